//! `tadpool fit`.

use std::collections::BTreeMap;
use std::fmt;

use clap::Args;
use serde::Serialize;
use tadpool_compiler::progress::Progress as _;
use tadpool_image::fit::{self, Need, Savings};
use tadpool_image::{Build, Interface, audit};

use super::board::FirmwareArgs;
use super::model::CompileArgs;
use super::progress::Bars;
use super::report::{grouped, table};

#[derive(Debug, Args)]
pub(crate) struct Fit {
    #[command(flatten)]
    model: CompileArgs,
    /// Boards: names (see `tadpool boards`), board files, or `all`.
    #[arg(
        long,
        value_name = "BOARD",
        value_delimiter = ',',
        default_value = "all"
    )]
    boards: Vec<String>,
    #[command(flatten)]
    firmware: FirmwareArgs,
}

#[derive(Debug, Serialize)]
pub(crate) struct FitReport {
    model: String,
    boards: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    board: String,
    fits: bool,
    /// The bound for the inference's stack, if the model fits a board of this core.
    inference_stack_bytes: Option<u32>,
    /// What the board's file reserves for it and the request loop.
    stack_bytes: u32,
    #[serde(flatten)]
    fit: fit::Fit,
}

impl Fit {
    pub(crate) fn run(self) -> anyhow::Result<FitReport> {
        let boards = match &self.boards[..] {
            [all] if all == "all" => tadpool_boards::names()
                .map(tadpool_boards::find)
                .collect::<Result<_, _>>()?,
            named => named
                .iter()
                .map(|name| tadpool_boards::find(name))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let (model, compiled) = self.model.compile()?;
        let savings = Savings::of(&model, &compiled, &self.model.schedule(&model))?;
        let bars = Bars::default();
        bars.begin("building images", boards.len());
        let mut rows = Vec::with_capacity(boards.len());
        let mut stacks = BTreeMap::new();
        for board in &boards {
            let (_, folder) = self.firmware.generate(&model, &compiled, board)?;
            let build = Build {
                firmware: self.firmware.folder()?,
                board,
                model: Some(&folder),
                interface: Interface::Requests,
            };
            let fit = fit::fit(board, &tadpool_image::weigh(&build)?, &savings);
            // The same machine code has the same bound on every board.
            if fit.fits() && !stacks.contains_key(&audit::code(board)) {
                stacks.insert(
                    audit::code(board),
                    audit::inference(&build)?.stack_bytes.ok(),
                );
            }
            rows.push(Row {
                board: board.name.clone(),
                fits: fit.fits(),
                inference_stack_bytes: None,
                stack_bytes: board.layout.stack_bytes,
                fit,
            });
            bars.advance();
        }
        for (row, board) in rows.iter_mut().zip(&boards) {
            row.inference_stack_bytes = stacks.get(&audit::code(board)).copied().flatten();
            row.fits &= row.inference_stack_bytes <= Some(row.stack_bytes);
        }
        bars.end();
        Ok(FitReport {
            model: model.description.name,
            boards: rows,
        })
    }
}

impl fmt::Display for FitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "what {} takes of each board, in bytes:", self.model)?;
        let mut rows = table(
            ["board", "flash", "of", "RAM", "of", "stack", "of", "fits"],
            1,
        );
        for row in &self.boards {
            let fit = &row.fit;
            let flash = fit.weights.map_or(fit.flash, |weights| Need {
                needed_bytes: fit.flash.needed_bytes + weights.needed_bytes,
                available_bytes: fit.flash.available_bytes + weights.available_bytes,
            });
            rows.add_row([
                row.board.clone(),
                grouped(flash.needed_bytes),
                grouped(flash.available_bytes),
                grouped(fit.ram.needed_bytes),
                grouped(fit.ram.available_bytes),
                row.inference_stack_bytes
                    .map_or_else(|| "-".to_owned(), |bytes| grouped(bytes.into())),
                grouped(row.stack_bytes.into()),
                if row.fits { "yes" } else { "no" }.to_owned(),
            ]);
        }
        writeln!(f, "{rows}")?;
        for row in self.boards.iter().filter(|row| !row.fits) {
            writeln!(f, "\n{} would need:", row.board)?;
            for remedy in &row.fit.remedies {
                writeln!(f, "  {remedy}")?;
            }
            if row.fit.fits() {
                writeln!(
                    f,
                    "  more stack: a copy of the board's file with more `stack_bytes`"
                )?;
            }
        }
        Ok(())
    }
}

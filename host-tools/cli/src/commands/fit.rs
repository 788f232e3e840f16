//! `tadpool fit`.

use std::collections::BTreeMap;
use std::fmt;

use clap::Args;
use serde::Serialize;
use tadpool_boards::Board;
use tadpool_compiler::progress::Progress as _;
use tadpool_image::fit::{self, Need, Savings};
use tadpool_image::shapes::shapes;
use tadpool_image::weigh::weigh_all;
use tadpool_operations::estimate::{Estimate, LEGEND};

use super::board::find_boards;
use super::model::CompileArgs;
use super::named::Named;
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
    /// Whether the sizes are sums of those of images for other boards and another model.
    derived: bool,
    /// The bound for the stack of the image, with exceptions.
    needed_stack_bytes: u32,
    /// The bytes that the board's file reserves for it.
    stack_bytes: u32,
    #[serde(flatten)]
    fit: fit::Fit,
    /// None of a board whose core has no model.
    latency: Option<Estimate>,
}

impl Fit {
    pub(crate) fn run(self) -> anyhow::Result<FitReport> {
        let boards = find_boards(&self.boards)?;
        let (model, compiled) = self.model.compile(&Named::default())?;
        let savings = Savings::of(&model, &compiled, &self.model.schedule(&model))?;
        let bars = Bars::default();
        bars.begin("building images", boards.len());
        // Boards may share kernels, whose weights are packed alike.
        let generated: BTreeMap<_, _> = boards
            .iter()
            .map(|board| (board.kernels.name(), board.kernels))
            .map(|(name, kernels)| (name, compiled.generate(kernels)))
            .collect();
        let model_for = |board: &Board| tadpool_image::Model {
            generated: &generated[board.kernels.name()],
            description: &compiled.description,
        };
        let weights = weigh_all(&boards, model_for, || bars.advance())?;
        let program = compiled.program();
        let shapes = boards
            .iter()
            .map(|board| shapes(&program, &generated[board.kernels.name()], board));
        let rows = boards.iter().zip(weights).zip(shapes);
        let rows = rows.map(|((board, weight), shapes)| {
            let fit = fit::fit(board, &weight.sizes, &savings);
            let stack = weight.needed_stack_bytes;
            Row {
                board: board.name.clone(),
                fits: fit.fits() && stack <= board.layout.stack_bytes,
                derived: weight.is_derived,
                needed_stack_bytes: stack,
                stack_bytes: board.layout.stack_bytes,
                fit,
                latency: Estimate::of(board, &shapes),
            }
        });
        let rows = rows.collect();
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
        let header = [
            "board", "flash", "of", "RAM", "of", "stack", "of", "fits", "ms", "error",
        ];
        let mut rows = table(header, 1);
        for row in &self.boards {
            let fit = &row.fit;
            let flash = fit.weights.map_or(fit.flash, |weights| Need {
                needed_bytes: fit.flash.needed_bytes + weights.needed_bytes,
                available_bytes: fit.flash.available_bytes + weights.available_bytes,
            });
            let [ms, error] = match &row.latency {
                Some(latency) => latency.cells(),
                None => [(); 2].map(|()| String::new()),
            };
            rows.add_row([
                format!("{}{}", row.board, if row.derived { " *" } else { "" }),
                grouped(flash.needed_bytes),
                grouped(flash.available_bytes),
                grouped(fit.ram.needed_bytes),
                grouped(fit.ram.available_bytes),
                grouped(row.needed_stack_bytes.into()),
                grouped(row.stack_bytes.into()),
                if row.fits { "yes" } else { "no" }.to_owned(),
                ms,
                error,
            ]);
        }
        writeln!(f, "{rows}")?;
        if self.boards.iter().any(|row| row.derived) {
            writeln!(
                f,
                "* derived from images for the same core and kernels, within 16 bytes; `tadpool \
                 compile` builds the image itself"
            )?;
        }
        if self.boards.iter().any(|row| row.latency.is_some()) {
            writeln!(f, "{LEGEND}")?;
        }
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

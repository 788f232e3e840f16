//! `tadpool boards`.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;
use tadpool_boards::Board;
use tadpool_image::{Build, Interface};

use super::flash::Through;
use super::guide::Guide;
use super::report::{Report, grouped, table};

#[derive(Debug, Args)]
pub(crate) struct Boards {
    /// The board to be guided through, or those to build: by name, or board files.
    #[arg(value_name = "BOARD")]
    boards: Vec<String>,
    /// Build every board's image of the CIFAR-10 PoolFormer that comes with this
    /// tool, and fail if one does not fit.
    #[arg(long)]
    build: bool,
    /// Leave out boards that are known to have no room for that model.
    #[arg(long, value_name = "BOARD", value_delimiter = ',')]
    except: Vec<String>,
    /// Build images that answer MLPerf Tiny's commands instead of this tool's.
    #[arg(long, value_name = "THROUGH", requires = "build")]
    mlperf: Option<Through>,
}

#[derive(Debug, Serialize)]
pub(crate) struct BoardList {
    boards: Vec<BoardRow>,
}

#[derive(Debug, Serialize)]
struct BoardRow {
    name: String,
    chip: String,
    core: String,
    target: String,
    kernels: &'static str,
    flash_bytes: u64,
    ram_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<FirmwareRow>,
}

/// The bytes that an image takes of its board's memory.
#[derive(Debug, Serialize)]
struct FirmwareRow {
    file: PathBuf,
    flash_bytes: u64,
    /// Variables and stack.
    ram_bytes: u64,
    stack_bytes: u64,
    /// The bound for all that runs on the stack.
    needed_stack_bytes: Option<u32>,
    /// The bound for the inference alone, and what the board's file allows it.
    inference_stack_bytes: Option<u32>,
    inference_stack_budget_bytes: Option<u32>,
}

impl Boards {
    pub(crate) fn run(self) -> anyhow::Result<Box<dyn Report>> {
        if !self.build
            && let Some(name) = self.boards.first()
        {
            ensure!(
                self.boards.len() == 1,
                "there is one guide at a time; pass one board, or `--build`"
            );
            let board = tadpool_probe::find_board(name)?;
            return Ok(Box::new(Guide::of(&board)?));
        }
        for name in &self.except {
            tadpool_boards::find(name)?;
        }
        let mut names = self.boards;
        if names.is_empty() {
            names = tadpool_boards::names().map(str::to_owned).collect();
        }
        names.retain(|name| !self.except.contains(name));
        let interface = Through::interface(self.mlperf);
        let boards = names
            .iter()
            .map(|name| {
                let board = tadpool_probe::find_board(name)?;
                let image = match self.build {
                    true => Some(image(&board, interface)?),
                    false => None,
                };
                Ok(row(&board, image))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Box::new(BoardList { boards }))
    }
}

/// Builds the board's image and audits it.
fn image(board: &Board, interface: Interface) -> anyhow::Result<FirmwareRow> {
    let build = Build {
        board,
        model: None,
        interface,
    };
    let named = || format!("board `{}`", board.name);
    let image = tadpool_image::build(&build).with_context(named)?;
    let (sizes, audit) = (image.sizes, image.audit);
    let stack = audit.as_ref().and_then(|audit| audit.stacks.first());
    Ok(FirmwareRow {
        file: image.path,
        flash_bytes: sizes.flash_bytes(),
        ram_bytes: sizes.ram_bytes(),
        stack_bytes: sizes.stack_bytes,
        needed_stack_bytes: stack.map(|stack| stack.needed_bytes()),
        inference_stack_bytes: audit.and_then(|audit| audit.inference_stack_bytes),
        inference_stack_budget_bytes: board.budget.inference_stack_bytes,
    })
}

fn row(board: &Board, image: Option<FirmwareRow>) -> BoardRow {
    BoardRow {
        name: board.name.clone(),
        chip: board.chip.clone(),
        core: board.core.clone(),
        target: board.target.clone(),
        kernels: board.kernels.name(),
        flash_bytes: board.flash_bytes(),
        ram_bytes: board.ram_bytes(),
        image,
    }
}

impl fmt::Display for BoardList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |bytes: Option<u32>| {
            bytes.map_or_else(|| "-".to_owned(), |bytes| grouped(bytes.into()))
        };
        let mut rows = table(["board", "chip", "core", "kernels", "flash", "RAM"], 4);
        let mut images = table(
            [
                "board",
                "flash",
                "of",
                "RAM",
                "of",
                "stack",
                "of",
                "inference's",
                "of",
            ],
            1,
        );
        for board in &self.boards {
            match &board.image {
                None => rows.add_row([
                    board.name.clone(),
                    board.chip.clone(),
                    board.core.clone(),
                    board.kernels.to_owned(),
                    grouped(board.flash_bytes),
                    grouped(board.ram_bytes),
                ]),
                Some(image) => images.add_row([
                    board.name.clone(),
                    grouped(image.flash_bytes),
                    grouped(board.flash_bytes),
                    grouped(image.ram_bytes),
                    grouped(board.ram_bytes),
                    bytes(image.needed_stack_bytes),
                    grouped(image.stack_bytes),
                    bytes(image.inference_stack_bytes),
                    bytes(image.inference_stack_budget_bytes),
                ]),
            };
        }
        let is_built = self.boards.iter().any(|board| board.image.is_some());
        writeln!(f, "{}", if is_built { images } else { rows })
    }
}

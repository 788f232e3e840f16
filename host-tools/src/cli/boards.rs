//! `tadpool boards`.

use std::fmt;

use clap::Args;
use serde::Serialize;
use tadpool::boards::{self, Board};

use super::report::{grouped, table};

#[derive(Debug, Args)]
pub(crate) struct Boards {}

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
}

impl Boards {
    pub(crate) fn run(self) -> anyhow::Result<BoardList> {
        let boards = boards::names()
            .map(|name| boards::find(name).map(|board| row(&board)))
            .collect::<Result<_, _>>()?;
        Ok(BoardList { boards })
    }
}

fn row(board: &Board) -> BoardRow {
    BoardRow {
        name: board.name.clone(),
        chip: board.chip.clone(),
        core: board.core.clone(),
        target: board.target.clone(),
        kernels: board.kernels.name(),
        flash_bytes: board.flash_bytes(),
        ram_bytes: board.ram_bytes(),
    }
}

impl fmt::Display for BoardList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(["board", "chip", "core", "kernels", "flash", "RAM"], 4);
        for board in &self.boards {
            rows.add_row([
                board.name.clone(),
                board.chip.clone(),
                board.core.clone(),
                board.kernels.to_owned(),
                grouped(board.flash_bytes),
                grouped(board.ram_bytes),
            ]);
        }
        writeln!(f, "{rows}")
    }
}

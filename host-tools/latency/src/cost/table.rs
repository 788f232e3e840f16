//! The committed figures.

use std::collections::BTreeMap;

use serde::Serialize;
use tadpool_boards::Board;

use super::features::{FEATURES, Features};

/// Board, kernel and its coefficients, a line each.
pub const COEFFICIENTS: &str = include_str!("coefficients.tsv");
/// Board, network, cycles by the coefficients and cycles of an execution, a line each.
pub const CHECKED: &str = include_str!("checked.tsv");

/// The coefficients that a table has under a name, by kernel.
pub(super) fn of(table: &str, name: &str) -> BTreeMap<String, Features> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let kernels = lines.filter_map(|line| {
        let mut fields = line.split('\t');
        if fields.next() != Some(name) {
            return None;
        }
        let kernel = fields.next()?;
        let mut features = [0.0; FEATURES];
        for feature in &mut features {
            *feature = fields.next()?.parse().ok()?;
        }
        Some((kernel.to_owned(), features))
    });
    kernels.collect()
}

/// A board of the table whose steps take as long as those of `board`.
pub(super) fn like(board: &Board) -> Option<&'static str> {
    let lines = COEFFICIENTS.lines().filter(|line| !line.starts_with('#'));
    let mut known: Vec<&str> = lines.filter_map(|line| line.split('\t').next()).collect();
    known.dedup();
    let is_like = |name: &&str| {
        tadpool_boards::find(name).is_ok_and(|other| {
            let (one, two) = (&board.layout, &other.layout);
            let apart = |layout: &tadpool_boards::MemoryLayout| layout.weights != layout.code;
            (&board.core, board.kernels, &board.target)
                == (&other.core, other.kernels, &other.target)
                && board.latency() == other.latency()
                && apart(one) == apart(two)
        })
    };
    known.into_iter().find(is_like)
}

/// A network that was executed besides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Checked {
    /// The board.
    pub board: &'static str,
    /// The network.
    pub network: &'static str,
    /// Cycles by the coefficients.
    pub cycles: f64,
    /// Cycles of an execution in the emulator, by the models of core and memories.
    pub executed: f64,
}

/// Distance from executions, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Deviation {
    /// Networks that were executed.
    pub networks: usize,
    /// The mean, without signs.
    pub mean_percent: f64,
    /// The largest.
    pub worst_percent: f64,
}

impl Checked {
    /// How far the cycles are from those of the execution.
    pub fn percent(&self) -> f64 {
        100.0 * (self.cycles / self.executed - 1.0)
    }
}

/// The networks that were executed besides.
pub fn checked() -> impl Iterator<Item = Checked> {
    let lines = CHECKED.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let mut fields = line.split('\t');
        Some(Checked {
            board: fields.next()?,
            network: fields.next()?,
            cycles: fields.next()?.parse().ok()?,
            executed: fields.next()?.parse().ok()?,
        })
    })
}

/// How far cycles on a board are from executions, if any were compared.
pub fn deviation(board: &str) -> Option<Deviation> {
    let of_board = checked().filter(|checked| checked.board == board);
    let percents: Vec<f64> = of_board.map(|checked| checked.percent().abs()).collect();
    (!percents.is_empty()).then(|| Deviation {
        networks: percents.len(),
        mean_percent: percents.iter().sum::<f64>() / percents.len() as f64,
        worst_percent: percents.iter().copied().fold(0.0, f64::max),
    })
}

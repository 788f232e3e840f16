//! Predictions for several boards.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tadpool_boards::Board;
use tadpool_compiler::compile::Compiled;
use tadpool_image::shapes::shapes;
use tadpool_latency::cost::Shape;
use tadpool_latency::twin::Twin;
use tadpool_operations::estimate::{Estimate, LEGEND};
use tadpool_operations::predict::{Predicted, predict_alike};

use crate::commands::board::SessionArgs;
use crate::commands::progress::Bars;
use crate::commands::report::{grouped, table};
use crate::print;

/// The predicted latency of an inference on several boards.
#[derive(Debug, Serialize)]
pub(crate) struct BoardsReport {
    model: String,
    picture: PathBuf,
    boards: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    board: String,
    core: &'static str,
    /// By an execution; none if no emulated board has room for the model.
    prediction: Option<Predicted>,
    /// By the shapes of the steps.
    estimate: Option<Estimate>,
    shapes: Vec<Shape>,
}

/// A board, and the emulated one that executes for it.
struct Candidate {
    board: Board,
    twin: Twin,
    shapes: Vec<Shape>,
}

impl BoardsReport {
    /// Executes an inference of `shown`, a picture and its pixels, for each kind of board.
    pub(super) fn predict(
        boards: Vec<Board>,
        compiled: &Compiled,
        args: &SessionArgs,
        shown: (&Path, &[u8]),
    ) -> anyhow::Result<Self> {
        let candidates = candidates(boards, compiled)?;
        let mut groups: Vec<Vec<&Candidate>> = Vec::new();
        for candidate in &candidates {
            match groups.iter_mut().find(|group| candidate.is_like(group[0])) {
                Some(group) => group.push(candidate),
                None => groups.push(vec![candidate]),
            }
        }
        let mut predictions = Vec::new();
        for group in groups {
            let alike: Vec<_> = group
                .iter()
                .map(|it| (&it.board, it.twin.clone()))
                .collect();
            match predict_alike(&alike, compiled, args.timeout(), shown, &Bars::default()) {
                Ok(predicted) => predictions.extend(predicted),
                Err(error) => {
                    let board = &group[0].board.name;
                    print::note(&format!(
                        "nothing is predicted for board `{board}`: {error:#}"
                    ));
                }
            }
        }
        Ok(Self::of(candidates, predictions, compiled, shown.0))
    }

    /// Executes nothing.
    pub(super) fn by_shapes(
        boards: Vec<Board>,
        compiled: &Compiled,
        picture: &Path,
    ) -> anyhow::Result<Self> {
        let candidates = candidates(boards, compiled)?;
        Ok(Self::of(candidates, Vec::new(), compiled, picture))
    }

    fn of(
        candidates: Vec<Candidate>,
        mut predictions: Vec<Predicted>,
        compiled: &Compiled,
        picture: &Path,
    ) -> Self {
        let rows = candidates.into_iter().map(|candidate| {
            let name = &candidate.board.name;
            let found = predictions.iter().position(|it| it.board == *name);
            Row {
                board: name.clone(),
                core: candidate.twin.core.name(),
                prediction: found.map(|at| predictions.swap_remove(at)),
                estimate: Estimate::of(&candidate.board, &candidate.shapes),
                shapes: candidate.shapes,
            }
        });
        Self {
            boards: rows.collect(),
            model: compiled.description.name.clone(),
            picture: picture.to_owned(),
        }
    }
}

fn candidates(boards: Vec<Board>, compiled: &Compiled) -> anyhow::Result<Vec<Candidate>> {
    let program = compiled.program();
    let candidate = |board: Board| -> anyhow::Result<Candidate> {
        let twin = Twin::of(&board)?;
        let generated = compiled.generate(board.kernels);
        Ok(Candidate {
            shapes: shapes(&program, &generated, &board),
            board,
            twin,
        })
    };
    boards.into_iter().map(candidate).collect()
}

impl Candidate {
    /// Whether the emulated boards of both have one and the same image.
    fn is_like(&self, other: &Self) -> bool {
        let places = |it: &Self| {
            it.shapes
                .iter()
                .map(|shape| shape.weights)
                .collect::<Vec<_>>()
        };
        let (one, two) = (&self.twin.emulated, &other.twin.emulated);
        self.twin.core == other.twin.core
            && one.target == two.target
            && one.kernels == two.kernels
            && one.layout == two.layout
            && places(self) == places(other)
    }
}

impl fmt::Display for BoardsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.model, self.picture.display())?;
        let is_executed = self.boards.iter().any(|row| row.prediction.is_some());
        let header = match is_executed {
            true => &[
                "board",
                "core",
                "cycles",
                "ms",
                "error",
                "by shapes",
                "differs",
            ][..],
            false => &["board", "core", "cycles", "ms", "error"],
        };
        let mut rows = table(header, 2);
        for row in &self.boards {
            let mut cells = vec![row.board.clone(), row.core.to_owned()];
            cells.extend(row.cells(is_executed));
            rows.add_row(cells);
        }
        let legend = match is_executed {
            true => {
                "cycles: predicted from an execution; by shapes: without one, as `tadpool fit` does"
            }
            false => LEGEND,
        };
        writeln!(f, "{rows}\n{legend}")
    }
}

impl Row {
    fn cells(&self, is_executed: bool) -> Vec<String> {
        let cycles = self.estimate.as_ref().and_then(|estimate| estimate.cycles);
        let by_shapes = cycles.map_or_else(String::new, |cycles| grouped(cycles as u64));
        if !is_executed {
            let [ms, error] = match &self.estimate {
                Some(estimate) => estimate.cells(),
                None => [(); 2].map(|()| String::new()),
            };
            return vec![by_shapes, ms, error];
        }
        let Some(it) = &self.prediction else {
            return Vec::new();
        };
        let more = cycles.map(|cycles| 100.0 * (cycles / it.total.cycles as f64 - 1.0));
        vec![
            grouped(it.total.cycles),
            it.ms.map_or_else(String::new, |ms| format!("{ms:.1}")),
            it.bound.short(),
            by_shapes,
            more.map_or_else(String::new, |more| format!("{more:+.1} %")),
        ]
    }
}

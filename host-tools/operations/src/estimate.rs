//! The latency of a model on a board by the shapes of its steps, without an execution.

use serde::Serialize;
use tadpool_boards::Board;
use tadpool_latency::bound::Bound;
use tadpool_latency::cost::{Costs, Deviation, Shape};
use tadpool_latency::ms;
use tadpool_latency::twin::Twin;

use crate::table::grouped;

/// The explanation of the figures, below the table.
pub const LEGEND: &str = "ms: predicted from the shapes of the steps, without an execution; \
     error: how far off it may\nbe; `>`: no such board was measured, so this is how far it is from \
     an execution alone.\n`tadpool bench MODEL --board BOARD --predict` executes one.";

/// The latency of a model on a board.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    clock_hz: Option<u32>,
    /// Cycles by the shapes; none if nothing is known of such a board or of a kernel.
    pub cycles: Option<f64>,
    /// The same in milliseconds, if the board has a clock.
    pub ms: Option<f64>,
    /// Cycles of each step; none if the whole has none.
    #[serde(skip)]
    pub steps: Vec<f64>,
    /// How far executions are from what was measured.
    bound: Bound,
    /// How far cycles by the shapes are from those of executions.
    deviation: Option<Deviation>,
}

impl Estimate {
    /// That of steps with these shapes; none if there is no model of the board's core.
    pub fn of(board: &Board, shapes: &[Shape]) -> Option<Self> {
        let twin = Twin::of(board).ok()?;
        let costs = Costs::of(board);
        let cycles = costs.as_ref().and_then(|costs| costs.cycles(shapes).ok());
        let known = costs.as_ref().filter(|_| cycles.is_some());
        let steps = known.map(|costs| shapes.iter().map(|it| costs.step(it)).collect());
        let clock_hz = board.clock.as_ref().map(|clock| clock.core_hz);
        Some(Self {
            clock_hz,
            cycles,
            ms: cycles.zip(clock_hz).map(|(cycles, hz)| ms(cycles, hz)),
            steps: steps.unwrap_or_default(),
            bound: twin.bound(board),
            deviation: costs.and_then(|costs| costs.deviation()),
        })
    }

    /// Milliseconds of so many cycles.
    pub fn ms_of(&self, cycles: f64) -> Option<f64> {
        self.clock_hz.map(|hz| ms(cycles, hz))
    }

    /// Its latency, in a line.
    pub fn line(&self) -> Option<String> {
        let cycles = grouped(self.cycles? as u64);
        let [ms, error] = self.cells();
        Some(match self.clock_hz {
            Some(hz) => {
                let mhz = f64::from(hz) / 1e6;
                format!("{ms} ms predicted: {cycles} cycles at {mhz} MHz; {error}; by shapes")
            }
            None => format!("{cycles} cycles predicted, by shapes"),
        })
    }

    /// Milliseconds, and how far off they may be.
    pub fn cells(&self) -> [String; 2] {
        let error = match (self.ms, self.bound, self.deviation) {
            (None, _, _) => String::new(),
            (_, Bound::Validated { worst_percent, .. }, Some(deviation)) => {
                format!("±{:.1} %", worst_percent + deviation.worst_percent)
            }
            (_, _, Some(deviation)) => format!("> {:.1} %", deviation.worst_percent),
            (_, _, None) => "not known".to_owned(),
        };
        [
            self.ms.map_or_else(String::new, |ms| format!("{ms:.1}")),
            error,
        ]
    }
}

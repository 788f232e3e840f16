//! How far off a prediction may be, by what predictions were compared with.

use std::fmt;

use serde::Serialize;
use tadpool_boards::Board;
use tadpool_cycles::pipeline::Core;

/// What predictions were compared with: core, board (or memories that answer at once),
/// number of measurements, mean and largest of the errors in percent, without their signs.
/// From the table that `host-tools/cycles/validation` has.
const COMPARED: &str = include_str!("compared.tsv");
/// The name there of memories that answer at once.
const AT_ONCE: &str = "zero-wait";

/// How far predictions were off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Bound {
    /// Those for this core and these memories were compared with measurements.
    Validated {
        /// How many.
        measurements: u32,
        /// The mean error, in percent.
        mean_percent: f64,
        /// The largest one.
        worst_percent: f64,
    },
    /// They were not.
    NotValidated {
        /// Whether those for this core were, with memories that answer at once.
        is_core: bool,
    },
}

/// The bound for a core with the memories of `board`; with those that answer at once if none.
pub fn bound(core: Core, board: Option<&Board>) -> Bound {
    of(COMPARED, core, board)
}

fn of(compared: &str, core: Core, board: Option<&Board>) -> Bound {
    let is_at_once = board.is_none_or(|board| board.latency().memories.is_empty());
    let find = |wanted: &dyn Fn(&str) -> bool| {
        let lines = compared.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .find_map(|fields| match fields[..] {
                [name, memories, count, mean, worst] if name == core.name() && wanted(memories) => {
                    Some(Bound::Validated {
                        measurements: count.parse().ok()?,
                        mean_percent: mean.parse().ok()?,
                        worst_percent: worst.parse().ok()?,
                    })
                }
                _ => None,
            })
    };
    let at_once = find(&|memories| memories == AT_ONCE);
    let found = match board {
        Some(board) if !is_at_once => find(&|name| is_same(name, board)),
        _ => at_once,
    };
    found.unwrap_or(Bound::NotValidated {
        is_core: at_once.is_some(),
    })
}

/// Whether a board has the clock and the memories of the built-in one of a name.
fn is_same(name: &str, board: &Board) -> bool {
    tadpool_boards::find(name).is_ok_and(|it| {
        it.latency == board.latency && it.clock == board.clock && it.layout == board.layout
    })
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validated {
                measurements,
                mean_percent,
                worst_percent,
            } => write!(
                f,
                "±{worst_percent} % (validated: {measurements} measurements, mean error \
                 {mean_percent} %, largest {worst_percent} %)"
            ),
            Self::NotValidated { is_core: true } => f.write_str(
                "not validated (the core was, with memories that answer at once; these memories \
                 were not)",
            ),
            Self::NotValidated { is_core: false } => f.write_str("not validated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_core_and_memories() {
        let table = "# core\ncortex-m4\tzero-wait\t40\t0.9\t3.5\n\
                     cortex-m4\tnucleo-l4r5zi\t7\t2.5\t6\n";
        let of = |core, board: &str| {
            let board = tadpool_boards::find(board).unwrap();
            of(table, core, Some(&board)).to_string()
        };
        let l4r5 = of(Core::CortexM4, "nucleo-l4r5zi");
        assert_eq!(
            l4r5,
            "±6 % (validated: 7 measurements, mean error 2.5 %, largest 6 %)"
        );
        assert!(of(Core::CortexM4, "qemu-mps2-an386").starts_with("±3.5 % (validated: 40 "));
        assert!(of(Core::CortexM4, "nrf52840-dk").contains("these memories were not"));
        assert_eq!(of(Core::CortexM7, "stm32f746g-disco"), "not validated");
        let mut slower = tadpool_boards::find("nucleo-l4r5zi").unwrap();
        slower.clock.as_mut().unwrap().core_hz = 80_000_000;
        let bound = super::of(table, Core::CortexM4, Some(&slower));
        assert_eq!(bound, Bound::NotValidated { is_core: true });
    }

    /// Each line is of a core and memories that there are.
    #[test]
    fn the_table_can_be_read() {
        for line in COMPARED.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let core = Core::by_name(fields[0]).unwrap();
            let board = match fields[1] {
                AT_ONCE => None,
                name => Some(tadpool_boards::find(name).unwrap()),
            };
            let bound = bound(core, board.as_ref());
            assert!(matches!(bound, Bound::Validated { .. }), "{line}");
        }
    }
}

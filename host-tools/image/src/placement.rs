//! Which weights an image copies to RAM at start, on boards whose flash is slower.

use tadpool_boards::Board;
use tadpool_compiler::generate::{Generated, StepWeights};

/// RAM that is left for the firmware's variables, the arena and the stack apart; they take
/// about half.
const VARIABLES_BYTES: u64 = 16 << 10;

/// The statics with the weights that are copied: of the steps that read theirs most often,
/// as far as the board's RAM, or what its budget leaves of it, has room.
///
/// Of those, the ones that are read most come last, next to the arena: chips with several RAMs
/// take a cycle more to go from one to another, and an inference goes to and fro between
/// weights and arena.
///
/// A step multiplies each weight by as many values as it has multiply-accumulates for a byte,
/// so that ratio tells how often its weights are read.
pub(crate) fn copied<'a>(board: &Board, generated: &'a Generated) -> Vec<&'a str> {
    if !board.layout.copy_weights {
        return Vec::new();
    }
    let taken = [
        board.layout.stack_bytes.into(),
        generated.arena_bytes as u64,
        VARIABLES_BYTES,
    ];
    let room = taken
        .into_iter()
        .fold(board.ram_bytes(), u64::saturating_sub);
    fitting(&generated.step_weights, room)
}

fn fitting(steps: &[StepWeights], mut room: u64) -> Vec<&str> {
    let mut busiest: Vec<&StepWeights> = steps.iter().collect();
    // Of two that are read as often, the first one.
    busiest.sort_by_key(|step| std::cmp::Reverse(step.macs / step.bytes.max(1)));
    let mut names = Vec::new();
    for step in busiest {
        if let Some(left) = room.checked_sub(step.bytes) {
            room = left;
            names.push(&step.name[..]);
        }
    }
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_read_most_and_fits() {
        let step = |name: &str, bytes, macs| StepWeights {
            name: name.into(),
            bytes,
            macs,
        };
        let steps = [
            step("stem", 100, 10_000),
            step("large", 5000, 50_000),
            step("small", 40, 400),
            step("busy", 200, 60_000),
        ];
        assert_eq!(fitting(&steps, 0), [""; 0]);
        assert_eq!(fitting(&steps, 200), ["busy"]);
        assert_eq!(fitting(&steps, 340), ["small", "stem", "busy"]);
        let all = fitting(&steps, 5340);
        assert_eq!(all, ["small", "large", "stem", "busy"]);
    }
}

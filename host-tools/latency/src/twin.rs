//! The emulated board that executes for a chip: of the same core, with the same kernels and
//! the same layout.

use tadpool_boards::{Board, BoardError, Budget, Region, Runner};
use tadpool_cycles::memory::MemoryMap;
use tadpool_cycles::pipeline::Core;

use super::bound::Bound;
use super::memory::{Moved, map, map_moved};

/// The memory that weights of their own lie in on the boards of the MPS2 family.
const PSRAM: &str = "psram";
const PSRAM_REGION: Region = Region {
    origin: 0x2100_0000,
    length: 16 << 20,
};

/// A board that no emulated one can stand for.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// There is no model of its core.
    #[error(
        "no latency can be predicted for board `{board}`: there is no model of a {core}; there \
         are {known}", known = Core::ALL.map(Core::name).join(", ")
    )]
    NoModel {
        /// The board.
        board: String,
        /// Its core.
        core: String,
    },
    /// The emulated board's file is wrong.
    #[error(transparent)]
    Board(#[from] BoardError),
}

/// A board that is emulated in place of another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Twin {
    /// The core whose pipeline is modelled.
    pub core: Core,
    /// The board that is emulated: the board itself, if it is.
    pub emulated: Board,
    /// Where the other board's memories lie there.
    pub moves: Vec<Moved>,
}

impl Twin {
    /// The emulated board that stands for `board`.
    ///
    /// # Errors
    /// [`TwinError`] if there is no model of its core.
    pub fn of(board: &Board) -> Result<Self, TwinError> {
        let core = Core::by_name(&board.core).ok_or_else(|| TwinError::NoModel {
            board: board.name.clone(),
            core: board.core.clone(),
        })?;
        if matches!(board.runner, Runner::Qemu(_)) {
            return Ok(Self {
                core,
                emulated: board.clone(),
                moves: Vec::new(),
            });
        }
        let template = tadpool_boards::find(template(core))?;
        let mut emulated = Board {
            target: board.target.clone(),
            kernels: board.kernels,
            budget: Budget {
                inference_stack_bytes: board.budget.inference_stack_bytes,
                ..Budget::default()
            },
            ..template
        };
        emulated.layout.stack_bytes = board.layout.stack_bytes;
        // The same weights are copied to RAM, for which there is as much room.
        emulated.layout.copy_weights = board.layout.copy_weights;
        let there = emulated.length(&emulated.layout.ram, None);
        emulated.budget.ram_bytes = Some(board.ram_bytes().min(there) as u32);
        let is_apart = board.layout.weights != board.layout.code;
        if is_apart && emulated.layout.weights == emulated.layout.code {
            emulated.memory.insert(PSRAM.to_owned(), PSRAM_REGION);
            emulated.layout.weights = PSRAM.to_owned();
        } else if !is_apart && core != Core::CortexM55 {
            // The Cortex-M55's board has no memory for both.
            emulated.layout.weights = emulated.layout.code.clone();
        }
        let moves = moves(board, &emulated);
        Ok(Self {
            core,
            emulated,
            moves,
        })
    }
}

impl Twin {
    /// The memories of `board`, whose twin this is, where the emulated one has others in their
    /// place.
    pub fn memory(&self, board: &Board) -> MemoryMap {
        match self.moves.is_empty() {
            true => map(board),
            false => map_moved(board, &self.moves),
        }
    }

    /// How far off predictions for `board` may be, whatever an execution accesses of its
    /// memories.
    pub fn bound(&self, board: &Board) -> Bound {
        self.core.validated(&self.memory(board)).into()
    }
}

/// The built-in board that is emulated for a core.
const fn template(core: Core) -> &'static str {
    match core {
        // A Cortex-M3 executes what those do, and its board has more memory.
        Core::CortexM0 | Core::CortexM0Plus | Core::CortexM3 => "qemu-mps2-an385",
        Core::CortexM4 => "qemu-mps2-an386",
        Core::CortexM7 => "qemu-mps2-an500",
        Core::CortexM33 => "qemu-mps2-an505",
        Core::CortexM55 => "qemu-mps3-an547",
    }
}

/// Where the memories of `board` lie on the emulated one.
fn moves(board: &Board, emulated: &Board) -> Vec<Moved> {
    let layouts = (&board.layout, &emulated.layout);
    let mut roles = vec![
        (&layouts.0.code, &layouts.1.code),
        (&layouts.0.ram, &layouts.1.ram),
    ];
    if layouts.1.weights != layouts.1.code {
        roles.push((&layouts.0.weights, &layouts.1.weights));
    }
    let moved = |(name, there): (&String, &String)| {
        let (region, place) = (board.memory.get(name)?, emulated.memory.get(there)?);
        Some(Moved {
            of_board: Region {
                length: region.length.min(place.length),
                ..*region
            },
            emulated: place.origin,
        })
    };
    roles.into_iter().filter_map(moved).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::memory::map_moved;
    use super::*;

    #[test]
    fn every_board_has_a_twin_that_can_be() {
        for name in tadpool_boards::names() {
            let board = tadpool_boards::find(name).unwrap();
            let twin = Twin::of(&board).unwrap();
            let emulated = &twin.emulated;
            tadpool_boards::check(Path::new(name), emulated).unwrap();
            assert_eq!(emulated.kernels, board.kernels, "{name}");
            assert_eq!(emulated.target, board.target, "{name}");
            assert_eq!(emulated.layout.copy_weights, board.layout.copy_weights);
            assert!(emulated.ram_bytes() <= board.ram_bytes(), "{name}");
            let map = map_moved(&board, &twin.moves);
            assert_eq!(map.check(), Ok(()), "{name}");
        }
    }

    #[test]
    fn weights_of_their_own_stay_apart() {
        let mut board = tadpool_boards::find("stm32f746g-disco").unwrap();
        board.layout.weights = "serial".into();
        let twin = Twin::of(&board).unwrap();
        let map = map_moved(&board, &twin.moves);
        let serial = map.regions.iter().find(|it| it.name == "serial").unwrap();
        let place = twin.emulated.memory[&twin.emulated.layout.weights];
        assert_eq!(serial.start, place.origin);
    }

    #[test]
    fn a_core_without_a_model_is_refused() {
        let mut board = tadpool_boards::find("stm32f746g-disco").unwrap();
        board.core = "Cortex-M85".into();
        let error = Twin::of(&board).unwrap_err().to_string();
        assert!(error.contains("no model of a Cortex-M85"), "{error}");
    }
}

//! Whether a model fits a board, and what would make it fit.

use std::fmt;

use serde::Serialize;

use crate::elf::Sizes;
use tadpool_boards::Board;
use tadpool_compiler::budget;
use tadpool_compiler::compile::{Compiled, Model};
use tadpool_compiler::given::model_toml::Feed;
use tadpool_compiler::place::memory::{self, MemoryError};
use tadpool_compiler::place::schedule::{self, ScheduleConfig};
use tadpool_compiler::quantize::quant_model::{QuantModel, Stream};

/// The bytes that an image takes of a board's memories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// Code, constants, and the weights if they lie in the same memory.
    pub flash: Need,
    /// The weights, if they have a memory of their own.
    pub weights: Option<Need>,
    /// Variables, the arena among them, and the stack.
    pub ram: Need,
    /// Remedies, best first; none if it fits.
    pub remedies: Vec<Remedy>,
}

/// Bytes of one memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Need {
    /// The bytes that the image takes.
    pub needed_bytes: u64,
    /// The bytes that the board has, or that its budget allows.
    pub available_bytes: u64,
}

/// A way to need less of a memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Weights in another memory of the board.
    MoveWeights {
        /// Its name in the board's file.
        memory: String,
    },
    /// Weights of four bits in all layers but the first and the last.
    Int4(Saving),
    /// Matrix products of one token at a time.
    SmallTile(Saving),
    /// An image that comes row by row.
    Rows(Saving),
    /// A residual stream of bytes, where the model has a wider one.
    Int8Stream(Saving),
    /// A smaller input, to which the arena is about proportional.
    SmallInput {
        /// About the largest input that fits.
        height: usize,
        /// Its width.
        width: usize,
    },
    /// Nothing that this tool can do.
    SmallNetwork,
}

/// The bytes that a remedy saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Saving {
    /// Bytes, or about so many.
    pub saved_bytes: u64,
    /// Whether that is enough.
    pub is_enough: bool,
}

/// The remedies of a model, with the bytes that each saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savings {
    arena_bytes: u64,
    input: [usize; 2],
    int4_bytes: u64,
    small_tile_bytes: u64,
    rows_bytes: u64,
    int8_stream_bytes: u64,
}

impl Need {
    /// Bytes that are missing.
    pub fn missing_bytes(&self) -> u64 {
        self.needed_bytes.saturating_sub(self.available_bytes)
    }
}

impl Savings {
    /// The remedies for a model that was compiled with `config`.
    ///
    /// # Errors
    /// A [`MemoryError`] if smaller tiles or a narrower stream have no plan.
    pub fn of(
        model: &Model,
        compiled: &Compiled,
        config: &ScheduleConfig,
    ) -> Result<Self, MemoryError> {
        let input = model.network.input;
        let arena_bytes = compiled.memory.arena_size as u64;
        let saved = |model: &QuantModel, config: &ScheduleConfig| -> Result<u64, MemoryError> {
            let plan = memory::plan(&schedule::schedule(model, config))?;
            Ok(arena_bytes.saturating_sub(plan.arena_size as u64))
        };
        let mut narrow = compiled.quantized.clone();
        for layer in &mut narrow.layers {
            layer.stream = Stream::Int8;
        }
        Ok(Self {
            arena_bytes,
            input: [input.height, input.width],
            int4_bytes: budget::int4_saving_bytes(model, &compiled.choice.precision),
            small_tile_bytes: saved(
                &compiled.quantized,
                &ScheduleConfig {
                    tile_tokens: 1,
                    ..*config
                },
            )?,
            rows_bytes: saved(
                &compiled.quantized,
                &ScheduleConfig {
                    feed: Feed::Rows,
                    ..*config
                },
            )?,
            int8_stream_bytes: saved(&narrow, config)?,
        })
    }
}

/// Weighs an image of `sizes` against a board.
pub fn fit(board: &Board, sizes: &Sizes, savings: &Savings) -> Fit {
    let layout = &board.layout;
    let program_bytes = sizes.code_bytes + sizes.constants_bytes + sizes.data_bytes;
    let has_own_memory = layout.weights != layout.code;
    let flash = Need {
        needed_bytes: match has_own_memory {
            true => program_bytes,
            false => program_bytes + sizes.weights_bytes,
        },
        available_bytes: board.length(&layout.code, board.budget.flash_bytes),
    };
    let weights = has_own_memory.then(|| Need {
        needed_bytes: sizes.weights_bytes,
        available_bytes: board.weights_bytes(),
    });
    let ram = Need {
        needed_bytes: sizes.ram_bytes(),
        available_bytes: board.ram_bytes(),
    };
    let mut remedies = Vec::new();
    let missing_of_weights = weights.unwrap_or(flash).missing_bytes();
    let mut is_helped = !has_own_memory || flash.missing_bytes() == 0;
    if missing_of_weights > 0 {
        let is_free = |name: &&String| {
            let used = [&layout.code, &layout.weights, &layout.ram];
            !used.contains(name) && board.length(name, None) >= sizes.weights_bytes
        };
        let free = board.memory.keys().find(is_free);
        is_helped &= free.is_some() || savings.int4_bytes >= missing_of_weights;
        remedies.extend(free.map(|memory| Remedy::MoveWeights {
            memory: memory.clone(),
        }));
        remedies.extend(saving(savings.int4_bytes, missing_of_weights).map(Remedy::Int4));
    }
    if ram.missing_bytes() > 0 {
        let saving = |saved| saving(saved, ram.missing_bytes());
        let int8_stream = saving(savings.int8_stream_bytes);
        let rows = saving(savings.rows_bytes);
        let small_tile = saving(savings.small_tile_bytes);
        remedies.extend(int8_stream.map(Remedy::Int8Stream));
        remedies.extend(rows.map(Remedy::Rows));
        remedies.extend(small_tile.map(Remedy::SmallTile));
        let room = savings.arena_bytes.saturating_sub(ram.missing_bytes());
        let side = (room as f64 / savings.arena_bytes.max(1) as f64).sqrt();
        let [height, width] = savings.input.map(|pixels| (pixels as f64 * side) as usize);
        let has_input = height > 0 && width > 0;
        let mut ways = [int8_stream, rows, small_tile].into_iter().flatten();
        is_helped &= has_input || ways.any(|saving| saving.is_enough);
        if has_input {
            remedies.push(Remedy::SmallInput { height, width });
        }
    }
    if !is_helped {
        remedies.push(Remedy::SmallNetwork);
    }
    Fit {
        flash,
        weights,
        ram,
        remedies,
    }
}

/// The share of `missing` bytes that `saved` ones make up for, if any.
fn saving(saved: u64, missing: u64) -> Option<Saving> {
    (saved > 0).then_some(Saving {
        saved_bytes: saved,
        is_enough: saved >= missing,
    })
}

impl Fit {
    /// Whether nothing is missing.
    pub fn fits(&self) -> bool {
        let weights = self.weights.map_or(0, |weights| weights.missing_bytes());
        self.flash.missing_bytes() + weights + self.ram.missing_bytes() == 0
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoveWeights { memory } => write!(
                f,
                "weights in `{memory}`: a copy of the board's file with `weights = \"{memory}\"`"
            ),
            Self::Int4(saving) => write!(f, "`--weights int4` saves about {saving}"),
            Self::SmallTile(saving) => write!(f, "`--tile-tokens 1` saves {saving}"),
            Self::Rows(saving) => write!(f, "`--feed rows` saves {saving}"),
            Self::Int8Stream(saving) => write!(f, "`--stream int8` saves {saving}"),
            Self::SmallInput { height, width } => {
                write!(f, "an input of about {height}x{width} pixels")
            }
            Self::SmallNetwork => f.write_str("a smaller network"),
        }
    }
}

impl fmt::Display for Saving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enough = match self.is_enough {
            true => "",
            false => ", which is not enough",
        };
        write!(f, "{} bytes{enough}", self.saved_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVINGS: Savings = Savings {
        arena_bytes: 200_000,
        input: [224, 160],
        int4_bytes: 100_000,
        small_tile_bytes: 1000,
        rows_bytes: 500,
        int8_stream_bytes: 60_000,
    };

    fn sizes(weights_bytes: u64, zeroed_bytes: u64) -> Sizes {
        Sizes {
            code_bytes: 30_000,
            constants_bytes: 2000,
            weights_bytes,
            copied_weights_bytes: 0,
            data_bytes: 100,
            zeroed_bytes,
            stack_bytes: 8192,
            sections: Vec::new(),
        }
    }

    #[test]
    fn what_fits_needs_no_remedy() {
        let board = tadpool_boards::find("stm32f746g-disco").unwrap();
        let fit = fit(&board, &sizes(500_000, 200_000), &SAVINGS);
        assert!(fit.fits());
        assert_eq!(fit.remedies, []);
        assert_eq!(
            (fit.flash.needed_bytes, fit.ram.needed_bytes),
            (532_100, 208_292)
        );
        assert_eq!(fit.weights, None);
    }

    #[test]
    fn weights_move_or_shrink() {
        let board = tadpool_boards::find("stm32f746g-disco").unwrap();
        let fit = fit(&board, &sizes(1_050_000, 200_000), &SAVINGS);
        assert!(!fit.fits());
        assert_eq!(fit.flash.missing_bytes(), 33_524);
        let memory = "serial".to_owned();
        let int4 = Remedy::Int4(Saving {
            saved_bytes: 100_000,
            is_enough: true,
        });
        assert_eq!(fit.remedies, [Remedy::MoveWeights { memory }, int4]);
    }

    #[test]
    fn weights_in_their_own_memory_are_weighed_there() {
        let mut board = tadpool_boards::find("stm32f746g-disco").unwrap();
        board.layout.weights = "serial".into();
        let fit = fit(&board, &sizes(1_050_000, 200_000), &SAVINGS);
        assert!(fit.fits());
        assert_eq!(fit.flash.needed_bytes, 32_100);
        assert_eq!(fit.weights.unwrap().needed_bytes, 1_050_000);
    }

    #[test]
    fn the_arena_shrinks_with_tile_and_input() {
        let board = tadpool_boards::find("nrf52840-dk").unwrap();
        let fit = fit(&board, &sizes(500_000, 304_000), &SAVINGS);
        assert_eq!(fit.ram.missing_bytes(), 50_148);
        // 149 852 of 200 000 bytes: sides times 0.8656.
        let small_tile = Remedy::SmallTile(Saving {
            saved_bytes: 1000,
            is_enough: false,
        });
        let small_input = Remedy::SmallInput {
            height: 193,
            width: 138,
        };
        let int8_stream = Remedy::Int8Stream(Saving {
            saved_bytes: 60_000,
            is_enough: true,
        });
        let rows = Remedy::Rows(Saving {
            saved_bytes: 500,
            is_enough: false,
        });
        let remedies = [int8_stream, rows, small_tile, small_input];
        assert_eq!(fit.remedies, remedies);
    }

    #[test]
    fn what_nothing_helps_is_told() {
        let board = tadpool_boards::find("qemu-microbit").unwrap();
        let fit = fit(&board, &sizes(900_000, 100_000), &SAVINGS);
        let int4 = Remedy::Int4(Saving {
            saved_bytes: 100_000,
            is_enough: false,
        });
        assert_eq!(fit.remedies[0], int4);
        // A smaller input helps the RAM only.
        assert!(matches!(fit.remedies[4], Remedy::SmallInput { .. }));
        assert_eq!(fit.remedies[5..], [Remedy::SmallNetwork]);
    }
}

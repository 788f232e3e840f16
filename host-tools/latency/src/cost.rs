//! Predicts the latency of a network from the shapes of its steps alone: in microseconds, for
//! searches and for tables of many boards.
//!
//! Each kernel on each board has a few coefficients: cycles for a token, for a product, for
//! each byte of weights that comes from flash, and so on. They were fitted to executions of a
//! grid of networks, each timed by the models of core and memories as
//! `tadpool bench --predict` does, and are committed in `cost/coefficients.tsv`, which
//! `cargo xtask costs` writes. `cost/checked.tsv` says how far they are from executions of
//! other networks.
//!
//! ```
//! use tadpool_latency::cost::{Costs, Product, Shape, Weights};
//!
//! let board = tadpool_boards::find("nucleo-l4r5zi").unwrap();
//! let costs = Costs::of(&board).unwrap();
//! let product = |inputs, outputs| Product { times: 256, inputs, outputs };
//! let mlp = Shape {
//!     kernel: "channel_mlp::run/dsp".into(),
//!     tokens: 256,
//!     rows: 16,
//!     channels: 32,
//!     value_bytes: 1,
//!     products: vec![product(32, 128), product(128, 32)],
//!     places: 0,
//!     heads: 0,
//!     tile_tokens: 2,
//!     weights_bytes: 8192,
//!     weights: Weights::Copied,
//! };
//! let cycles = costs.step(&mlp);
//! assert!(cycles > 2.0e6 && cycles < 4.0e6, "{cycles}");
//! ```

mod features;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tadpool_boards::Board;

pub use features::{FEATURES, Features, Memories, NAMES};
pub use table::{CHECKED, COEFFICIENTS, Checked, Deviation, checked, deviation};

/// The kernel that stands for what an inference takes beside its steps.
pub const REST: &str = "rest";
/// The kernel that stands for those that nothing is known of: all of a board together.
pub const ANY: &str = "any";
/// The most that steps of unknown kernels may take of an inference of which cycles are told.
const MOST_UNKNOWN: f64 = 0.03;

/// The properties of a step that its cycles depend on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Shape {
    /// The function that runs it, by its path in `tadpool_kernels`, behind that the layout of
    /// its matrices, and what else tells its variants apart: `channel_mlp::run/dsp`.
    pub kernel: String,
    /// Tokens of the map that is written; of the one that is read if that is none.
    pub tokens: u32,
    /// Rows of that map.
    pub rows: u32,
    /// Values of a token.
    pub channels: u32,
    /// Bytes of a value of the residual stream.
    pub value_bytes: u32,
    /// Its matrix products, in their order.
    pub products: Vec<Product>,
    /// Places of a window that is moved over the map; 0 if there is none.
    pub places: u32,
    /// Heads of an attention; 0 if it is none.
    pub heads: u32,
    /// Tokens that it takes at a time.
    pub tile_tokens: u32,
    /// Bytes of its weights in memory.
    pub weights_bytes: u32,
    /// The memory.
    pub weights: Weights,
}

/// A matrix that vectors are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub struct Product {
    /// Vectors.
    pub times: u32,
    /// Values of a vector.
    pub inputs: u32,
    /// Values of what comes of it.
    pub outputs: u32,
}

/// The memory that weights are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// Where the board's file has them.
    InPlace,
    /// RAM, to which they were copied at start.
    Copied,
}

/// A kernel that nothing is known of on a board, in a step that takes much of an inference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no cost is known of the kernel `{kernel}`; `tadpool bench --predict` executes it")]
pub struct UnknownKernel {
    /// The kernel.
    pub kernel: String,
}

/// The coefficients of a board's kernels.
#[derive(Debug, Clone, PartialEq)]
pub struct Costs {
    memories: Memories,
    kernels: BTreeMap<String, Features>,
    rest: Features,
    any: Features,
    deviation: Option<Deviation>,
}

impl Costs {
    /// Those of a board, or of a built-in one with its core, kernels and memories; none if
    /// there is no such board.
    pub fn of(board: &Board) -> Option<Self> {
        let name = table::like(board)?;
        let costs = Self::of_table(COEFFICIENTS, name, board)?;
        Some(Self {
            deviation: deviation(name),
            ..costs
        })
    }

    /// Those that a table such as [`COEFFICIENTS`] has under a name, for a board.
    pub fn of_table(table: &str, name: &str, board: &Board) -> Option<Self> {
        let mut kernels = table::of(table, name);
        Some(Self {
            memories: Memories::of(board),
            rest: kernels.remove(REST)?,
            any: kernels.remove(ANY)?,
            kernels,
            deviation: None,
        })
    }

    /// Cycles of a step; by all kernels together if nothing is known of its own.
    pub fn step(&self, shape: &Shape) -> f64 {
        let coefficients = self.kernel(&shape.kernel).unwrap_or(&self.any);
        dot(coefficients, &features::of(shape, &self.memories))
    }

    /// Cycles of an inference.
    ///
    /// # Errors
    /// [`UnknownKernel`] if steps of such kernels take more than a small part of it.
    pub fn cycles(&self, steps: &[Shape]) -> Result<f64, UnknownKernel> {
        let mut sum = dot(&self.rest, &features::of_rest(steps.len()));
        let mut unknown = (0.0, "");
        for shape in steps {
            let cycles = self.step(shape);
            sum += cycles;
            if self.kernel(&shape.kernel).is_none() {
                unknown = (unknown.0 + cycles, &shape.kernel);
            }
        }
        match unknown {
            (cycles, kernel) if cycles > MOST_UNKNOWN * sum => Err(UnknownKernel {
                kernel: kernel.to_owned(),
            }),
            _ => Ok(sum),
        }
    }

    /// How far cycles of whole networks are from those of their execution, if they were
    /// compared.
    pub const fn deviation(&self) -> Option<Deviation> {
        self.deviation
    }

    /// The coefficients of a kernel, or of the first variant of its function with its layout.
    fn kernel(&self, kernel: &str) -> Option<&Features> {
        self.kernels.get(kernel).or_else(|| {
            let mut parts = kernel.match_indices('/');
            let end = parts.nth(1).map_or(kernel.len(), |(at, _)| at);
            let base = &kernel[..end];
            let is_like = |name: &str| {
                let rest = name.strip_prefix(base);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let mut all = self.kernels.iter();
            all.find(|(name, _)| is_like(name)).map(|(_, found)| found)
        })
    }
}

fn dot(coefficients: &Features, features: &Features) -> f64 {
    let products = coefficients.iter().zip(features);
    products
        .map(|(coefficient, feature)| coefficient * feature)
        .sum()
}

/// The features of a step on a board with these memories, by which its coefficients are
/// multiplied.
pub fn features(shape: &Shape, memories: &Memories) -> Features {
    features::of(shape, memories)
}

/// The same of what an inference of so many steps takes beside them.
pub fn features_of_rest(steps: usize) -> Features {
    features::of_rest(steps)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn step(kernel: &str, tokens: u32) -> Shape {
        let product = |inputs, outputs| Product {
            times: tokens,
            inputs,
            outputs,
        };
        Shape {
            kernel: kernel.into(),
            tokens,
            rows: 16,
            channels: 32,
            value_bytes: 1,
            products: vec![product(32, 128), product(128, 32)],
            places: 0,
            heads: 0,
            tile_tokens: 2,
            weights_bytes: 8192,
            weights: Weights::Copied,
        }
    }

    #[test]
    fn unknown_kernels_are_told_where_they_matter() {
        let board = tadpool_boards::find("nucleo-l4r5zi").unwrap();
        let costs = Costs::of(&board).unwrap();
        let known = step("channel_mlp::run/dsp", 256);
        let mut steps = vec![known.clone(); 20];
        steps.push(step("new::run/dsp", 2));
        assert!(costs.cycles(&steps).is_ok());
        steps.extend(vec![step("new::run/dsp", 256); 20]);
        let error = costs.cycles(&steps).unwrap_err().to_string();
        assert!(error.contains("`new::run/dsp`"), "{error}");
        // A variant stands for another one of the same function and layout.
        let variant = step("channel_mlp::run/dsp/other", 256);
        assert_eq!(costs.step(&variant), costs.step(&known));
    }

    #[test]
    fn every_chip_has_costs_and_some_deviation() {
        for name in tadpool_boards::names() {
            let board = tadpool_boards::find(name).unwrap();
            let is_chip = matches!(board.runner, tadpool_boards::Runner::Probe(_));
            let costs = Costs::of(&board);
            assert_eq!(costs.is_some(), is_chip, "{name}");
            let Some(deviation) = costs.and_then(|costs| costs.deviation()) else {
                assert!(!is_chip, "{name}");
                continue;
            };
            // Shown beside each figure. The RP2350, whose code and weights share a small cache
            // before a slow flash, is furthest off.
            let most = if name == "rpi-pico2" { 50.0 } else { 10.0 };
            assert!(deviation.mean_percent < most, "{name}: {deviation:?}");
        }
    }

    #[test]
    fn ten_thousand_networks_take_less_than_a_second() {
        let board = tadpool_boards::find("nucleo-l4r5zi").unwrap();
        let costs = Costs::of(&board).unwrap();
        let steps = vec![step("channel_mlp::run/dsp", 256); 20];
        let start = Instant::now();
        let mut sum = 0.0;
        for _ in 0..10_000 {
            sum += costs.cycles(&steps).unwrap();
        }
        assert!(sum > 0.0 && start.elapsed().as_secs_f64() < 1.0);
    }
}

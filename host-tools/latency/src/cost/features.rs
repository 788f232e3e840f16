//! The features whose weighted sum is the cycles of a step.

use tadpool_boards::latency::Memory;
use tadpool_boards::{Board, Region};

use super::{Product, Shape, Weights};

/// How many there are.
pub const FEATURES: usize = 16;
/// Bytes that are read at a time where nothing else is known.
const WORD_BYTES: u32 = 4;
/// One figure for each.
pub type Features = [f64; FEATURES];

/// Their names, in the order of the coefficients.
pub const NAMES: [&str; FEATURES] = [
    "once",
    "token",
    "value",
    "multiply-accumulate",
    "output of the first matrix",
    "output of the others",
    "input of a matrix",
    "constant of a channel",
    "place of a window",
    "value of a row",
    "row",
    "pair of tokens",
    "product of attention",
    "byte of weights that its memory is asked for",
    "byte of the map beyond the cache",
    "multiply-accumulate of an odd token",
];

/// The properties of a board's memories that the cycles of a step depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memories {
    /// Bytes of the cache before the memory of the weights; 0 if there is none.
    weights_cache: u32,
    /// The same of the RAM.
    ram_cache: u32,
    /// How long the RAM takes for a byte, in what the memory of the weights takes.
    ram_share: f64,
}

impl Memories {
    /// Those of a board.
    pub fn of(board: &Board) -> Self {
        let latency = board.latency();
        let port = |role: &str| {
            let place = board.memory.get(role)?;
            let is_here = |(name, memory): &(&String, &Memory)| {
                let region = board.addresses(name, memory);
                region.is_some_and(|region| overlap(&region, place))
            };
            let (_, memory) = latency.memories.iter().find(is_here)?;
            let cache = memory.data.cache.as_ref();
            let cache = cache.and_then(|name| latency.caches.get(name));
            Some((&memory.data, cache))
        };
        let cache = |role| port(role)?.1.map(|cache| cache.bytes);
        let cycles_per_byte = |role| {
            let (port, cache) = port(role)?;
            let bytes = cache.map_or(port.read_bytes, |cache| cache.line_bytes);
            let cycles = port.miss_cycles + port.busy_cycles + port.load_cycles;
            Some(cycles / f64::from(bytes.max(WORD_BYTES)))
        };
        let [weights, ram] = [&board.layout.weights, &board.layout.ram];
        let of_weights = cycles_per_byte(weights).unwrap_or(0.0);
        Self {
            weights_cache: cache(weights).unwrap_or(0),
            ram_cache: cache(ram).unwrap_or(0),
            ram_share: match of_weights {
                0.0 => 0.0,
                of_weights => cycles_per_byte(ram).unwrap_or(0.0) / of_weights,
            },
        }
    }
}

fn overlap(one: &Region, other: &Region) -> bool {
    let end = |region: &Region| u64::from(region.origin) + u64::from(region.length);
    u64::from(one.origin) < end(other) && u64::from(other.origin) < end(one)
}

/// Those of a step.
pub(super) fn of(shape: &Shape, memories: &Memories) -> Features {
    let tile = Tile::of(&shape.kernel);
    let [tokens, rows, channels] = [shape.tokens, shape.rows, shape.channels].map(f64::from);
    let values = tokens * channels;
    let mut features = [0.0; FEATURES];
    features[0] = 1.0;
    features[1] = tokens;
    features[2] = values;
    features[7] = channels;
    for (number, product) in shape.products.iter().enumerate() {
        let times = f64::from(product.times.next_multiple_of(tile.tokens));
        let inputs = f64::from(product.inputs.next_multiple_of(tile.inputs));
        let outputs = f64::from(product.outputs);
        features[3] += times * inputs * outputs;
        features[if number == 0 { 4 } else { 5 }] += times * outputs;
        features[6] += times * inputs;
        features[7] += outputs;
        let odd = f64::from(product.times % tile.tokens);
        features[15] += odd * inputs * outputs;
    }
    features[8] = values * f64::from(shape.places);
    features[9] = rows * channels;
    features[10] = rows;
    features[11] = f64::from(shape.heads) * tokens * tokens;
    if shape.heads > 0 {
        features[12] = tokens * tokens * channels;
    }
    let (share, cache) = match shape.weights {
        Weights::InPlace => (1.0, memories.weights_cache),
        Weights::Copied => (memories.ram_share, memories.ram_cache),
    };
    let bytes = f64::from(shape.weights_bytes);
    let times = shape
        .products
        .iter()
        .map(|product| passes(product, shape, tile));
    let times = times.fold(1.0, f64::max);
    features[13] = share * bytes * (1.0 + (times - 1.0) * beyond(bytes, cache));
    let map = values * f64::from(shape.value_bytes);
    features[14] = match memories.ram_cache {
        0 => 0.0,
        cache => map * beyond(map, cache),
    };
    features
}

/// Those of what is no step.
pub(super) fn of_rest(steps: usize) -> Features {
    let mut features = [0.0; FEATURES];
    features[0] = 1.0;
    features[1] = steps as f64;
    features
}

/// Tokens and inputs that a layout of the weights takes at a time.
#[derive(Debug, Clone, Copy)]
struct Tile {
    tokens: u32,
    inputs: u32,
}

impl Tile {
    fn of(kernel: &str) -> Self {
        let (tokens, inputs) = match kernel.split('/').nth(1) {
            Some("dsp") => (2, 4),
            Some("helium") => (4, 16),
            _ => (2, 1),
        };
        Self { tokens, inputs }
    }
}

/// How often a matrix is read as a whole.
fn passes(product: &Product, shape: &Shape, tile: Tile) -> f64 {
    f64::from(product.times.div_ceil(shape.tile_tokens.max(tile.tokens)))
}

/// The part of `bytes` that are read again and again of which a cache has nothing left, the
/// line that was used least recently being replaced: from none to all where they are about as
/// many as it holds.
fn beyond(bytes: f64, cache: u32) -> f64 {
    match cache {
        0 => 1.0,
        cache => ((bytes / f64::from(cache) - 0.7) / 0.4).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_a_cache_is_read_again() {
        assert_eq!(beyond(100.0, 0), 1.0);
        assert_eq!(beyond(100.0, 1000), 0.0);
        assert!(beyond(900.0, 1000) > 0.0 && beyond(900.0, 1000) < 1.0);
        assert_eq!(beyond(2000.0, 1000), 1.0);
    }

    #[test]
    fn caches_are_found_where_the_board_has_them() {
        let of = |name: &str| Memories::of(&tadpool_boards::find(name).unwrap());
        let l4 = of("nucleo-l4r5zi");
        assert_eq!((l4.weights_cache, l4.ram_cache), (256, 0));
        let f7 = of("stm32f746g-disco");
        assert_eq!((f7.weights_cache, f7.ram_cache), (4096, 4096));
        assert!((f7.ram_share - 4.5 / 10.4).abs() < 1e-9);
        assert_eq!(l4.ram_share, 0.0);
    }
}

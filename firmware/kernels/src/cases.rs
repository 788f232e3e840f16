//! Steps with made-up data, the same on every machine.
//!
//! The self-test runs [`EDGES`] on a core and compares the checksums with those
//! of the host; the benchmark counts the instructions of larger ones.
use crate::arena::Fault;
use crate::arithmetic::layout::{Kernel, Rows};

mod ready;
mod running;
mod shapes;
mod sizes;

pub use ready::Ready;
pub use shapes::{COUNTED, EDGES, EDGES_MEMORY, POOLFORMER};

/// A step and its shape; a map has its tokens before its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Tokens, inputs, outputs.
    Pointwise([usize; 3]),
    /// Tokens, channels, hidden channels, tokens of a tile.
    ChannelMlp([usize; 4]),
    /// The same with weights of four bits.
    ChannelMlpInt4([usize; 4]),
    /// Rows and columns of a square map, channels, outputs, rows and columns of
    /// a square window, stride, padding on every side.
    PatchEmbedding([usize; 6]),
    /// Rows and columns of a square map, channels, rows and columns of a square window,
    /// stride, padding on every side: a convolution.
    DepthwiseEmbedding([usize; 5]),
    /// The same on streams of 16 bits.
    DepthwiseEmbeddingInt16([usize; 5]),
    /// The same as a mean that counts no padding.
    AveragePool([usize; 5]),
    /// The same as a maximum.
    MaxPool([usize; 5]),
    /// Tokens, channels.
    Activation([usize; 2]),
    /// The same on a stream of 16 bits.
    ActivationInt16([usize; 2]),
    /// Tokens, channels.
    PositionEmbedding([usize; 2]),
    /// The same on a stream of 16 bits.
    PositionEmbeddingInt16([usize; 2]),
    /// As [`Case::ChannelMlp`], behind a norm of each token.
    NormedMlp([usize; 4]),
    /// Rows, columns, channels.
    Pooling([usize; 3]),
    /// The same with a res scale.
    ScaledPooling([usize; 3]),
    /// The same with nothing subtracted from the pool.
    PoolAlone([usize; 3]),
    /// Rows, columns, channels, side of a window of more than 3x3; behind a norm that is folded.
    WidePooling([usize; 4]),
    /// The same on a stream of 16 bits.
    WidePoolingInt16([usize; 4]),
    /// The same behind a norm of each token that takes no mean.
    NormedWidePooling([usize; 4]),
    /// Tokens, channels.
    Identity([usize; 2]),
    /// The same with a norm of each token.
    NormedIdentity([usize; 2]),
    /// Tokens, channels.
    RandomMixing([usize; 2]),
    /// The same on a stream of 16 bits.
    RandomMixingInt16([usize; 2]),
    /// Rows, columns, channels, hidden channels, rows and columns of a square window.
    SepConv([usize; 5]),
    /// The same on a stream of 16 bits.
    SepConvInt16([usize; 5]),
    /// Rows, columns, channels, rows and columns of a window; behind a norm that is
    /// folded.
    DepthwiseMixer([usize; 5]),
    /// The same on a stream of 16 bits.
    DepthwiseMixerInt16([usize; 5]),
    /// The same behind a norm of each token.
    NormedDepthwiseMixer([usize; 5]),
    /// The same without a norm.
    PlainDepthwiseMixer([usize; 5]),
    /// Tokens, channels, heads, values of a head.
    Attention([usize; 4]),
    /// Tokens, channels, classes.
    Head([usize; 3]),
    /// The same with a hidden layer, whose values come before the classes.
    WideHead([usize; 4]),
}

/// Seeds that every case is checked with: all kinds of values are among them.
pub const SEEDS: u32 = 6;

/// Extremes and ordinary values in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u32);

/// Makes and runs one case, and returns its checksum.
///
/// # Errors
/// [`Fault::Buffer`] if `memory` is too small.
pub fn run<K: Kernel>(case: &Case, seed: Seed, memory: &mut [u8]) -> Result<u32, Fault> {
    fn run_in<K: Kernel>(case: &Case, seed: Seed, memory: &mut [u8]) -> Result<u32, Fault> {
        let mut ready = case.ready::<K>(seed, memory)?;
        let written = ready.run::<K>()?;
        Ok(ready.checksum(&written))
    }
    match case.layout(K::LAYOUT) {
        layout if layout == K::LAYOUT => run_in::<K>(case, seed, memory),
        layout if layout == K::Padded::LAYOUT => run_in::<K::Padded>(case, seed, memory),
        _ => run_in::<Rows>(case, seed, memory),
    }
}

/// The same in pieces of `most` tokens or rows.
///
/// # Errors
/// [`Fault::Buffer`] if `memory` is too small.
pub fn run_in_pieces<K: Kernel>(
    case: &Case,
    seed: Seed,
    most: usize,
    memory: &mut [u8],
) -> Result<u32, Fault> {
    fn run_in<K: Kernel>(
        case: &Case,
        seed: Seed,
        most: usize,
        memory: &mut [u8],
    ) -> Result<u32, Fault> {
        let mut ready = case.ready::<K>(seed, memory)?;
        let written = ready.run_in_pieces::<K>(most)?;
        Ok(ready.checksum(&written))
    }
    match case.layout(K::LAYOUT) {
        layout if layout == K::LAYOUT => run_in::<K>(case, seed, most, memory),
        layout if layout == K::Padded::LAYOUT => run_in::<K::Padded>(case, seed, most, memory),
        _ => run_in::<Rows>(case, seed, most, memory),
    }
}

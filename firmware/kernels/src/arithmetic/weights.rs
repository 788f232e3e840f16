//! Weights of eight or of four bits.
//!
//! A four-bit weight is an eight-bit one whose low four bits are zero. Two of
//! them lie in a byte, in the order of the layout, and are brought into the
//! layout's eight-bit form for a few outputs at a time: those are multiplied
//! with all tokens at hand before the next ones are unpacked. From there on the
//! kernels are the same, and so is every byte that they write.

use crate::arena::{Fault, ensure};
use crate::arithmetic::layout::Layout;
use crate::arithmetic::matmul::row_size;

/// A packed matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights<'a> {
    /// A byte a weight; see [`Layout::pack`](crate::layout::Layout::pack).
    Int8(&'a [u8]),
    /// Two weights a byte; see
    /// [`Layout::pack_int4`](crate::layout::Layout::pack_int4).
    Int4(&'a [u8]),
}

/// Bytes that a few unpacked outputs may take, if one group takes no more.
const UNPACKED_SIZE: usize = 1024;

/// Outputs that are taken together where a matrix is not taken as a whole: a
/// multiple of every layout's group.
pub(crate) const fn part_outputs(inputs: usize) -> usize {
    let groups = UNPACKED_SIZE / 4 / (row_size(inputs) + 1);
    4 * (groups + 1)
}

/// Scratch bytes for unpacked weights that a step with four-bit weights needs
/// besides those that it needs anyway, in any layout.
pub const fn unpacked_size(outputs: usize, inputs: usize) -> usize {
    let part = part_outputs(inputs);
    let outputs = if outputs < part {
        outputs.saturating_add(3) / 4 * 4
    } else {
        part
    };
    outputs.saturating_mul(row_size(inputs))
}

impl<'a> Weights<'a> {
    /// The bytes, whatever they stand for.
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Int8(bytes) | Self::Int4(bytes) => bytes,
        }
    }

    /// Whether this is a matrix of `outputs x inputs` in `layout`.
    pub(crate) fn check(self, layout: Layout, outputs: usize, inputs: usize) -> Result<(), Fault> {
        ensure(outputs > 0 && layout.fits(outputs, inputs))?;
        ensure(
            self.bytes().len()
                == match self {
                    Self::Int8(_) => layout.packed_size(outputs, inputs),
                    Self::Int4(_) => layout.packed_size_int4(outputs, inputs),
                },
        )
    }

    /// Scratch bytes that it is unpacked to.
    pub(crate) const fn unpacked_size(self, outputs: usize, inputs: usize) -> usize {
        match self {
            Self::Int8(_) => 0,
            Self::Int4(_) => unpacked_size(outputs, inputs),
        }
    }

    /// Those of `outputs` outputs from number `first` on, whole groups of the layout.
    pub(crate) fn part(
        self,
        layout: Layout,
        inputs: usize,
        first: usize,
        outputs: usize,
    ) -> Result<Self, Fault> {
        let cut = |bytes: &'a [u8], size: fn(Layout, usize, usize) -> usize| {
            let tail = bytes.get(size(layout, first, inputs)..);
            let part = tail.and_then(|tail| tail.get(..size(layout, outputs, inputs)));
            part.ok_or(Fault::Geometry)
        };
        Ok(match self {
            Self::Int8(bytes) => Self::Int8(cut(bytes, Layout::packed_size)?),
            Self::Int4(bytes) => Self::Int4(cut(bytes, Layout::packed_size_int4)?),
        })
    }
}

/// Brings two weights a byte to one a byte: a word's low halves, then its high
/// halves.
pub(crate) fn unpack(packed: &[i32], unpacked: &mut [i32]) {
    for (&word, pair) in packed.iter().zip(unpacked.as_chunks_mut::<2>().0) {
        let high = 0xf0f0_f0f0_u32 as i32;
        *pair = [(word << 4) & high, word & high];
    }
}

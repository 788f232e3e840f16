//! How the weights of a matrix lie in memory, and so which kernel reads them.
//!
//! The arithmetic is the same in every layout, modulo `2^32`, so every kernel
//! writes the same bytes. [`Rows`] holds any matrix and runs on any core; the
//! others are read by one family of cores and hold the matrices that
//! [`Layout::fits`] tells. A step that does not fit is packed as [`Rows`].
//!
//! The generated code names the layout of a step where it calls it:
//! `channel_mlp::run::<Dsp>(&STEP, &stats, arena)`. Only the kernels that are
//! named become part of an image.

use crate::arena::{Fault, ensure, volume};
use crate::matmul::Product;

/// A layout as a value, for the tools that pack weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `outputs x inputs`, as they are: Cortex-M0+, M3, the host, and whatever
    /// does not fit elsewhere.
    Rows,
    /// For cores with the DSP extension: Cortex-M4, M7, M33.
    ///
    /// Groups of four outputs `a b c d`. For every four inputs there are four
    /// words of two inputs each: inputs 0 and 2 for `a b`, then for `c d`, then
    /// inputs 1 and 3. The low byte of a halfword is the even output's weight
    /// plus 128, the high byte the odd output's. Inputs are padded to a multiple
    /// of four with weights of zero.
    Dsp,
    /// For cores with the M-profile vector extension: Cortex-M55, M85.
    ///
    /// Groups of two outputs: 16 inputs of the first, then of the second.
    /// Inputs are padded to a multiple of 16 with weights of zero.
    Helium,
}

/// A layout as a type. See [`Layout::Rows`].
#[derive(Debug, Clone, Copy)]
pub enum Rows {}

/// A layout as a type. See [`Layout::Dsp`].
#[cfg(any(feature = "dsp", not(target_arch = "arm")))]
#[derive(Debug, Clone, Copy)]
pub enum Dsp {}

/// A layout as a type. See [`Layout::Helium`].
#[cfg(any(feature = "helium", not(target_arch = "arm")))]
#[derive(Debug, Clone, Copy)]
pub enum Helium {}

/// A layout that this build has a kernel for. It cannot be implemented outside
/// this crate.
pub trait Kernel: Product {
    /// The layout as a value.
    const LAYOUT: Layout;
}

impl Kernel for Rows {
    const LAYOUT: Layout = Layout::Rows;
}

#[cfg(any(feature = "dsp", not(target_arch = "arm")))]
impl Kernel for Dsp {
    const LAYOUT: Layout = Layout::Dsp;
}

#[cfg(any(feature = "helium", not(target_arch = "arm")))]
impl Kernel for Helium {
    const LAYOUT: Layout = Layout::Helium;
}

impl Layout {
    /// The name of the layout's type in this module.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "Rows",
            Self::Dsp => "Dsp",
            Self::Helium => "Helium",
        }
    }

    /// Outputs that share a stretch of the packed weights.
    const fn group(self) -> usize {
        match self {
            Self::Rows => 1,
            Self::Dsp => 4,
            Self::Helium => 2,
        }
    }

    /// Inputs that are packed together; a row is padded to a multiple.
    const fn step(self) -> usize {
        match self {
            Self::Rows => 1,
            Self::Dsp => 4,
            Self::Helium => 16,
        }
    }

    /// Whether this layout can hold a matrix.
    ///
    /// Weights may be any `i8` and rows of any length: the kernels' sums are
    /// exact modulo `2^32` whatever they are. Only the number of outputs has to
    /// be a multiple of the group. A step with two matrices needs both to fit.
    pub const fn fits(self, outputs: usize, inputs: usize) -> bool {
        inputs > 0 && outputs.is_multiple_of(self.group())
    }

    /// Whether tokens of `inputs` values can be read where they lie in a map,
    /// without padding between them.
    pub(crate) const fn reads_whole(self, inputs: usize) -> bool {
        !matches!(self, Self::Dsp) || inputs.is_multiple_of(4)
    }

    /// Bytes of a packed matrix.
    pub const fn packed_size(self, outputs: usize, inputs: usize) -> usize {
        outputs.saturating_mul(inputs.saturating_add(self.step() - 1) / self.step() * self.step())
    }

    /// Packs a matrix of `inputs` columns, given row after row.
    ///
    /// The kernels want the packed bytes on a 4-byte boundary.
    ///
    /// # Errors
    /// [`Fault::Geometry`] if the matrix does not fit the layout, or `packed` is
    /// not of [`Layout::packed_size`].
    pub fn pack(self, rows: &[i8], inputs: usize, packed: &mut [u8]) -> Result<(), Fault> {
        let outputs = rows.len() / inputs.max(1);
        ensure(self.fits(outputs, inputs) && rows.len() == volume(&[outputs, inputs]))?;
        ensure(packed.len() == self.packed_size(outputs, inputs))?;
        let group = self.group() * inputs;
        let packed_group = (packed.len() / (outputs / self.group()).max(1)).max(1);
        for (rows, packed) in rows
            .chunks_exact(group)
            .zip(packed.chunks_mut(packed_group))
        {
            for (at, byte) in packed.iter_mut().enumerate() {
                *byte = self.packed_byte(rows, inputs, at);
            }
        }
        Ok(())
    }

    /// The byte at `at` of the packed group that `rows` make.
    fn packed_byte(self, rows: &[i8], inputs: usize, at: usize) -> u8 {
        let (row, column, bias) = match self {
            Self::Rows => (0, at, 0),
            Self::Dsp => {
                let (quad, at) = (at / 16, at % 16);
                let (word, byte) = (at / 4, at % 4);
                let row = 2 * (word % 2) + byte % 2;
                let column = 4 * quad + word / 2 + 2 * (byte / 2);
                (row, column, if byte % 2 == 0 { 128 } else { 0 })
            }
            Self::Helium => (at / 16 % 2, at / 32 * 16 + at % 16, 0),
        };
        let weight = match rows.get(row * inputs + column) {
            Some(&weight) if column < inputs => weight as u8,
            _ => 0,
        };
        weight.wrapping_add(bias)
    }
}

//! How the weights of a matrix lie in memory, and so which kernel reads them.
//!
//! The arithmetic is the same in every layout, modulo `2^32`, so every kernel
//! writes the same bytes. [`Rows`] holds any matrix and runs on any core; the
//! others are read by one family of cores and hold the matrices that
//! [`Layout::fits`] and [`Layout::holds`] tell. A step whose matrices do not fit is
//! packed as they do if they are padded ([`Layout::padded`]), or else as [`Rows`].
//!
//! The generated code names the layout of a step where it calls it:
//! `channel_mlp::run::<Dsp>(&STEP, &stats, arena)`. Only the kernels that are
//! named become part of an image.

use crate::arena::{Fault, ensure, volume};
use crate::arithmetic::matmul::Product;
#[cfg(any(tadpool_core = "dsp", tadpool_core = "helium", tadpool_core = "host"))]
pub use crate::arithmetic::padded::Padded;
use crate::present::missing;

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
    /// inputs 1 and 3. A halfword is the even output's weight plus 256 times
    /// the odd output's. Inputs are padded to a multiple of four with weights of
    /// zero.
    Dsp,
    /// For cores with the M-profile vector extension: Cortex-M55, M85.
    ///
    /// Groups of two outputs: 16 inputs of the first, then of the second.
    /// Inputs are padded to a multiple of 16 with weights of zero.
    Helium,
    /// [`Layout::Dsp`] for any number of outputs: the last group is padded with weights
    /// of zero. What they give is not written, by code that is not in the loop.
    DspPadded,
    /// [`Layout::Helium`] for any number of outputs, as [`Layout::DspPadded`].
    HeliumPadded,
}

/// A layout as a type. See [`Layout::Rows`].
#[derive(Debug, Clone, Copy)]
pub enum Rows {}

/// A layout as a type. See [`Layout::Dsp`].
#[cfg(any(tadpool_core = "dsp", tadpool_core = "host"))]
#[derive(Debug, Clone, Copy)]
pub enum Dsp {}

/// A layout as a type. See [`Layout::Helium`].
#[cfg(any(tadpool_core = "helium", tadpool_core = "host"))]
#[derive(Debug, Clone, Copy)]
pub enum Helium {}

/// A layout as a type. See [`Layout::DspPadded`].
#[cfg(any(tadpool_core = "dsp", tadpool_core = "host"))]
pub type DspPadded = Padded<Dsp>;

/// A layout as a type. See [`Layout::HeliumPadded`].
#[cfg(any(tadpool_core = "helium", tadpool_core = "host"))]
pub type HeliumPadded = Padded<Helium>;

/// A layout that this build has a kernel for. It cannot be implemented outside
/// this crate.
pub trait Kernel: Product {
    /// The layout as a value.
    const LAYOUT: Layout;
    /// The layout for any number of outputs.
    type Padded: Kernel;
}

impl Kernel for Rows {
    const LAYOUT: Layout = Layout::Rows;
    type Padded = Self;
}

#[cfg(any(tadpool_core = "dsp", tadpool_core = "host"))]
impl Kernel for Dsp {
    const LAYOUT: Layout = Layout::Dsp;
    type Padded = DspPadded;
}

#[cfg(any(tadpool_core = "helium", tadpool_core = "host"))]
impl Kernel for Helium {
    const LAYOUT: Layout = Layout::Helium;
    type Padded = HeliumPadded;
}

/// Added to each halfword of four-bit weights of [`Layout::Dsp`] besides two
/// weights.
pub(crate) const INT4_BIAS: i16 = 128;

impl Layout {
    /// The name of the layout's type in this module.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "Rows",
            Self::Dsp => "Dsp",
            Self::Helium => "Helium",
            Self::DspPadded => "DspPadded",
            Self::HeliumPadded => "HeliumPadded",
        }
    }

    /// The layout of these cores for any number of outputs.
    pub const fn padded(self) -> Self {
        match self {
            Self::Rows => Self::Rows,
            Self::Dsp | Self::DspPadded => Self::DspPadded,
            Self::Helium | Self::HeliumPadded => Self::HeliumPadded,
        }
    }

    /// Whether the last group of outputs may be padded.
    const fn is_padded(self) -> bool {
        matches!(self, Self::DspPadded | Self::HeliumPadded)
    }

    /// Outputs that share a stretch of the packed weights.
    pub(crate) const fn group(self) -> usize {
        match self {
            Self::Rows => 1,
            Self::Dsp | Self::DspPadded => 4,
            Self::Helium | Self::HeliumPadded => 2,
        }
    }

    /// Inputs that are packed together; a row is padded to a multiple.
    const fn step(self) -> usize {
        match self {
            Self::Rows => 1,
            Self::Dsp | Self::DspPadded => 4,
            Self::Helium | Self::HeliumPadded => 16,
        }
    }

    /// Whether matrices of this shape have a place in this layout: the number of
    /// outputs has to be a multiple of the group unless it is padded, and four tokens of
    /// [`Layout::Helium`] have 16-bit offsets. A step with two matrices needs both to
    /// fit.
    pub const fn fits(self, outputs: usize, inputs: usize) -> bool {
        let is_near =
            !matches!(self, Self::Helium | Self::HeliumPadded) || outputs <= u16::MAX as usize / 4;
        let is_whole = self.is_padded() || outputs.is_multiple_of(self.group());
        inputs > 0 && is_whole && is_near
    }

    /// Whether the layout's kernels are exact for this matrix, given row after
    /// row.
    ///
    /// [`Layout::Dsp`] takes two outputs' sums out of one accumulator. That is
    /// exact while two weights make a halfword, so -128 is none of them, and
    /// while an output's sum of products stays below `2^23`, whatever the values
    /// are: every row of up to 516 weights does, and a longer one depends on its
    /// weights. The other layouts' kernels are exact modulo `2^32` for any.
    pub fn holds(self, rows: &[i8], inputs: usize) -> bool {
        let is_exact = |row: &[i8]| {
            let sum: u64 = row.iter().map(|w| u64::from(w.unsigned_abs())).sum();
            !row.contains(&i8::MIN) && 128 * sum < 1 << 23
        };
        self.padded() != Self::DspPadded || rows.chunks(inputs.max(1)).all(is_exact)
    }

    /// Whether the pooling mixer of this layout's cores takes maps of this many
    /// channels.
    pub const fn pools(self, channels: usize) -> bool {
        match self {
            Self::Rows => true,
            Self::Dsp | Self::DspPadded => channels.is_multiple_of(4),
            Self::Helium | Self::HeliumPadded => channels >= 8,
        }
    }

    /// Whether tokens of `inputs` values can be read where they lie in a map,
    /// without padding between them.
    pub(crate) const fn reads_whole(self, inputs: usize) -> bool {
        !matches!(self, Self::Dsp) || inputs.is_multiple_of(4)
    }

    /// Bytes of a packed matrix.
    pub const fn packed_size(self, outputs: usize, inputs: usize) -> usize {
        let padded = inputs.saturating_add(self.step() - 1) / self.step() * self.step();
        self.padded_outputs(outputs).saturating_mul(padded)
    }

    /// Outputs with those that fill the last group.
    const fn padded_outputs(self, outputs: usize) -> usize {
        outputs.saturating_add(self.group() - 1) / self.group() * self.group()
    }

    /// Bytes of a packed matrix of four-bit weights: half of what
    /// [`Layout::packed_size`] tells, but for the padding in [`Layout::Rows`].
    pub const fn packed_size_int4(self, outputs: usize, inputs: usize) -> usize {
        self.padded_outputs(outputs)
            .saturating_mul(self.padded_int4(inputs) / 2)
    }

    /// Inputs of a row of four-bit weights: whole words of eight.
    const fn padded_int4(self, inputs: usize) -> usize {
        let step = match self {
            Self::Rows => 8,
            _ => self.step(),
        };
        inputs.saturating_add(step - 1) / step * step
    }

    /// Packs a matrix of `inputs` columns, given row after row.
    ///
    /// The kernels want the packed bytes on a 4-byte boundary.
    ///
    /// # Errors
    /// [`Fault::Geometry`] if the matrix does not fit the layout or is not held by
    /// it, or `packed` is not of [`Layout::packed_size`].
    pub fn pack(self, rows: &[i8], inputs: usize, packed: &mut [u8]) -> Result<(), Fault> {
        let outputs = rows.len() / inputs.max(1);
        ensure(self.fits(outputs, inputs) && rows.len() == volume(&[outputs, inputs]))?;
        ensure(self.holds(rows, inputs))?;
        ensure(packed.len() == self.packed_size(outputs, inputs))?;
        let group = self.group() * inputs;
        let packed_group = self.packed_size(self.group(), inputs).max(1);
        for (rows, packed) in rows.chunks(group).zip(packed.chunks_mut(packed_group)) {
            for (at, byte) in packed.iter_mut().enumerate() {
                *byte = self.packed_byte(rows, inputs, at, 0);
            }
        }
        Ok(())
    }

    /// Packs a matrix of weights that are multiples of 16, two in a byte.
    ///
    /// Groups of outputs lie as [`Layout::pack`] would lay them, with rows of
    /// [`Layout::Rows`] padded to a multiple of eight. Of every eight bytes, four
    /// are left: the first four bytes' upper halves in their lower halves, and
    /// the upper halves of the last four. [`Layout::Dsp`] adds 128 to its
    /// halfwords first, so that none of them borrows from its odd output's half.
    ///
    /// The kernels want the packed bytes on a 4-byte boundary.
    ///
    /// # Errors
    /// [`Fault::Geometry`] if the matrix does not fit the layout or is not held by
    /// it, a weight is no multiple of 16, or `packed` is not of
    /// [`Layout::packed_size_int4`].
    pub fn pack_int4(self, rows: &[i8], inputs: usize, packed: &mut [u8]) -> Result<(), Fault> {
        let outputs = rows.len() / inputs.max(1);
        ensure(self.fits(outputs, inputs) && rows.len() == volume(&[outputs, inputs]))?;
        ensure(packed.len() == self.packed_size_int4(outputs, inputs))?;
        ensure(self.holds(rows, inputs) && rows.iter().all(|weight| weight % 16 == 0))?;
        let group = self.group() * inputs;
        let packed_group = self.packed_size_int4(self.group(), inputs).max(1);
        for (rows, packed) in rows.chunks(group).zip(packed.chunks_mut(packed_group)) {
            for (word, bytes) in packed.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                for (at, byte) in bytes.iter_mut().enumerate() {
                    let half = |at| self.packed_byte(rows, inputs, 8 * word + at, INT4_BIAS);
                    *byte = half(at) >> 4 | half(at + 4) & 0xf0;
                }
            }
        }
        Ok(())
    }

    /// Puts a weight into a packed matrix that has a zero in its place.
    ///
    /// A matrix of zeros becomes what [`Layout::pack`] makes, weight by weight and in
    /// any order. It has to be held by the layout.
    #[inline(always)]
    pub(crate) fn put(
        self,
        packed: &mut [u8],
        inputs: usize,
        [row, column]: [usize; 2],
        weight: i8,
    ) {
        let step = self.step();
        let padded = inputs.saturating_add(step - 1) / step * step;
        let within = match self {
            Self::Rows => column,
            Self::Dsp | Self::DspPadded => {
                column / 4 * 16 + column % 2 * 8 + row % 4 / 2 * 4 + column % 4 / 2 * 2
            }
            Self::Helium | Self::HeliumPadded => column / 16 * 32 + row % 2 * 16 + column % 16,
        };
        let at = (row - row % self.group())
            .wrapping_mul(padded)
            .wrapping_add(within);
        let Some(place) = packed.get_mut(at..) else {
            missing();
            return;
        };
        match (self, place) {
            (Self::Dsp | Self::DspPadded, [low, high, ..]) => {
                let shift = row % 2 * 8;
                let both = i16::from_le_bytes([*low, *high]);
                [*low, *high] = both.wrapping_add(i16::from(weight) << shift).to_le_bytes();
            }
            (Self::Rows | Self::Helium | Self::HeliumPadded, [byte, ..]) => *byte = weight as u8,
            _ => missing(),
        }
    }

    /// The byte at `at` of the packed group that `rows` make, with `bias` added to
    /// every halfword of [`Layout::Dsp`].
    fn packed_byte(self, rows: &[i8], inputs: usize, at: usize, bias: i16) -> u8 {
        let weight = |row: usize, column: usize| match rows.get(row * inputs + column) {
            Some(&weight) if column < inputs => weight,
            _ => 0,
        };
        match self {
            Self::Rows => weight(0, at) as u8,
            Self::Dsp | Self::DspPadded => {
                let (quad, at) = (at / 16, at % 16);
                let (word, byte) = (at / 4, at % 4);
                let column = 4 * quad + word / 2 + 2 * (byte / 2);
                let even = i16::from(weight(2 * (word % 2), column));
                let odd = i16::from(weight(2 * (word % 2) + 1, column));
                let [low, high] = (bias + even + (odd << 8)).to_le_bytes();
                if byte % 2 == 0 { low } else { high }
            }
            Self::Helium | Self::HeliumPadded => weight(at / 16 % 2, at / 32 * 16 + at % 16) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn weights_that_are_put_make_what_is_packed() {
        let shapes = [(4, 1), (4, 4), (8, 17), (12, 32), (4, 49), (20, 6)];
        let odd = [(1, 1), (3, 5), (5, 16), (6, 18), (63, 31)];
        for layout in [Layout::Rows, Layout::Dsp, Layout::Helium]
            .into_iter()
            .flat_map(|layout| [layout, layout.padded()])
        {
            let fitting = shapes.into_iter().chain(odd);
            for (outputs, inputs) in
                fitting.filter(|&(outputs, inputs)| layout.fits(outputs, inputs))
            {
                let weight = |i: usize| ((i * 89 + i / 7) % 255) as i16 as i8;
                let rows: Vec<i8> = (0..outputs * inputs).map(|i| weight(i).max(-127)).collect();
                let size = layout.packed_size(outputs, inputs);
                let (mut packed, mut put) = (vec![0xaa; size], vec![0; size]);
                assert_eq!(layout.pack(&rows, inputs, &mut packed), Ok(()));
                for (i, &weight) in rows.iter().enumerate().rev() {
                    layout.put(&mut put, inputs, [i / inputs, i % inputs], weight);
                }
                assert_eq!(put, packed, "{layout:?} {outputs} {inputs}");
            }
        }
    }

    #[test]
    fn dsp_holds_what_its_sums_are_exact_for() {
        assert!(Layout::Dsp.holds(&[127; 516], 516));
        assert!(Layout::Dsp.holds(&[-127; 2 * 516], 516));
        assert!(!Layout::Dsp.holds(&[-127; 517], 517));
        assert!(Layout::Dsp.holds(&[32; 2047], 2047));
        assert!(!Layout::Dsp.holds(&[32; 2048], 2048));
        assert!(!Layout::Dsp.holds(&[0, i8::MIN, 0, 0], 4));
        assert!(!Layout::DspPadded.holds(&[0, i8::MIN, 0, 0], 4));
        assert!(Layout::Rows.holds(&[i8::MIN; 4096], 4096));
        assert!(Layout::Helium.holds(&[i8::MIN; 4096], 4096));
        let refused = Layout::Dsp.pack(&[i8::MIN; 16], 4, &mut [0; 16]);
        assert_eq!(refused, Err(Fault::Geometry));
    }
}

//! An activation of every value of a map, in place: behind a convolution of a stem.
//!
//! A value is a place in a table. Between two entries, where a stream of 16 bits has
//! values, the activation is taken as a line:
//!
//! ```text
//! q' = (table[i] + (table[i + 1] - table[i]) * (q + 128 - i)) / 2^16,   i = floor(q) + 128
//! ```
//!
//! # Constants from real numbers
//!
//! With `x(i) = x_scale * (i - 128 - x_zero)`, half a step of what is written included:
//!
//! ```text
//! table[i] = activation(x(i)) / written_scale + written_zero + half a step       Q16
//! ```

use crate::arena::{Buffer, Fault, ensure};
use crate::arithmetic::fixed::round_shift;
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::Stream;
use crate::present::missing;
use crate::steps::Step;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one activation.
#[derive(Debug, Clone, Copy)]
pub struct Activation<'a> {
    /// The map, read and written.
    pub map: Buffer,
    /// The output for each whole `q`, from -128 to 128, Q16.
    pub table: &'a [i32; 257],
}

fields!(step activation::Activation<'_>: map, table);

impl Step for Activation<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        0
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        ensure(self.map.size > 0 && self.map.size.is_multiple_of(I::BYTES))
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        _stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        advance::<I>(self, progress, most, arena)
    }
}

#[cfg(feature = "visit")]
impl Described for Activation<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "activation::run",
            parameters: &[Parameter::Input],
        }
    }

    fn reads_sums(&self) -> bool {
        false
    }

    fn units(&self, input: Values) -> Option<usize> {
        Some(self.map.size / input.bytes())
    }
}

/// Runs the step on a map of values `S`, and returns the sums of what was written.
///
/// # Errors
/// A [`Fault`] if the buffer does not hold such a map.
pub fn run<S: Stream>(step: &Activation<'_>, arena: &mut [u8]) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<S>(step, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` values; returns whether it is complete.
///
/// # Errors
/// As [`run`].
pub fn advance<S: Stream>(
    step: &Activation<'_>,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let map = S::values_mut(step.map.of_mut(arena)?)?;
    ensure(!map.is_empty())?;
    let total = map.len();
    let piece = Piece::next(progress, total, most, 1);
    let mut written = progress.written;
    for value in piece.of_mut(map, 1)? {
        let place = S::widened(*value) + (128 << 8);
        let Some(&[low, high, ..]) = step.table.get((place >> 8) as usize..) else {
            missing();
            continue;
        };
        let rise = (i64::from(high) - i64::from(low)) * i64::from(place & 0xff);
        let exact = i64::from(low) + round_shift(rise, 8);
        S::store(value, exact << 16, &mut written);
    }
    Ok(progress.reach(piece.end, total, written))
}

//! Places in the arena, and disjoint views of them.

use crate::arch::cast;

/// A place in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Buffer {
    /// First byte.
    pub offset: usize,
    /// Length in bytes.
    pub size: usize,
}

/// Why there is no inference.
///
/// The code generator writes only steps that fit their buffers, so all but the last two
/// tell of a caller that assembled a step by hand or passed a wrong arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Fault {
    /// A buffer lies outside the arena, or two that must be disjoint overlap.
    Buffer,
    /// A slice's length does not match the step's dimensions.
    Geometry,
    /// A buffer of wider integers is not aligned.
    Alignment,
    /// The image is missing or a part of it: an inference uses it up.
    NoImage,
    /// The observer ended the inference.
    Stopped,
}

impl Fault {
    /// The meaning in words, for firmware that formats no text.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Buffer => "a buffer lies outside the arena or overlaps another",
            Self::Geometry => "a slice does not match the dimensions of its step",
            Self::Alignment => "a buffer is not aligned",
            Self::NoImage => "there is no whole image: every inference needs a new one",
            Self::Stopped => "the observer ended the inference",
        }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Fault {}

impl Buffer {
    fn range(self) -> core::ops::Range<usize> {
        self.offset..self.offset.saturating_add(self.size)
    }

    /// [`Fault::Buffer`] unless it has `size` bytes.
    pub(crate) fn holds(self, size: usize) -> Result<(), Fault> {
        if self.size >= size {
            Ok(())
        } else {
            Err(Fault::Buffer)
        }
    }

    /// The bytes of this buffer.
    ///
    /// # Errors
    /// [`Fault::Buffer`] if it lies outside the arena.
    pub fn of(self, arena: &[u8]) -> Result<&[u8], Fault> {
        arena.get(self.range()).ok_or(Fault::Buffer)
    }

    /// The bytes of this buffer, to be written.
    ///
    /// # Errors
    /// [`Fault::Buffer`] if it lies outside the arena.
    pub fn of_mut(self, arena: &mut [u8]) -> Result<&mut [u8], Fault> {
        arena.get_mut(self.range()).ok_or(Fault::Buffer)
    }

    /// Copies these bytes to another place of the same length.
    ///
    /// # Errors
    /// [`Fault::Buffer`] if one lies outside the arena or both overlap,
    /// [`Fault::Geometry`] if their lengths differ.
    pub fn copy(self, to: Self, arena: &mut [u8]) -> Result<(), Fault> {
        ensure(self.size == to.size)?;
        let (from, to) = disjoint(arena, self, to)?;
        let to = to.get_mut(..from.len()).ok_or(Fault::Geometry)?;
        to.copy_from_slice(from);
        Ok(())
    }
}

/// A map, and the scratch beside it as words. One copy serves all kernels.
#[inline(never)]
pub(crate) fn map_and_scratch<'a>(
    arena: &'a mut [u8],
    map: &Buffer,
    scratch: &Buffer,
) -> Result<(&'a mut [u8], &'a mut [i32]), Fault> {
    let (map, scratch) = disjoint(arena, *map, *scratch)?;
    Ok((map, cast::words_mut(scratch)?))
}

/// Two buffers that do not overlap.
pub(crate) fn disjoint(
    arena: &mut [u8],
    first: Buffer,
    second: Buffer,
) -> Result<(&mut [u8], &mut [u8]), Fault> {
    let is_swapped = second.offset < first.offset;
    let (low, high) = if is_swapped {
        (second, first)
    } else {
        (first, second)
    };
    let (below, above) = arena
        .split_at_mut_checked(high.offset)
        .ok_or(Fault::Buffer)?;
    let low = low.of_mut(below)?;
    let high = above.get_mut(..high.size).ok_or(Fault::Buffer)?;
    Ok(if is_swapped { (high, low) } else { (low, high) })
}

/// Three buffers that do not overlap.
pub(crate) fn disjoint_three(
    arena: &mut [u8],
    buffers: [Buffer; 3],
) -> Result<[&mut [u8]; 3], Fault> {
    arena
        .get_disjoint_mut(buffers.map(Buffer::range))
        .map_err(|_| Fault::Buffer)
}

/// The product of dimensions; `usize::MAX`, which fits no buffer, if it is too
/// large to be represented. One copy serves all kernels.
#[inline(never)]
pub(crate) fn volume(dims: &[usize]) -> usize {
    dims.iter().fold(1, |size, &dim| size.saturating_mul(dim))
}

/// [`Fault::Geometry`] unless `fits`.
pub(crate) fn ensure(fits: bool) -> Result<(), Fault> {
    if fits { Ok(()) } else { Err(Fault::Geometry) }
}

/// Cuts `count` words off the head of a scratch buffer.
#[inline(always)]
pub(crate) fn cut<'a>(scratch: &mut &'a mut [i32], count: usize) -> Result<&'a mut [i32], Fault> {
    scratch.split_off_mut(..count).ok_or(Fault::Buffer)
}

/// Cuts `size` bytes, whole words, off the head of a scratch buffer, for int8 values.
pub(crate) fn cut_i8s<'a>(scratch: &mut &'a mut [i32], size: usize) -> Result<&'a mut [i8], Fault> {
    Ok(cast::words_as_i8s_mut(cut(scratch, size / 4)?))
}

/// Cuts `count` elements of type `i32` off the head of a buffer of bytes.
#[cfg(feature = "cases")]
pub(crate) fn take_i32s<'a>(
    scratch: &mut &'a mut [u8],
    count: usize,
) -> Result<&'a mut [i32], Fault> {
    cast::i32s_mut(take(scratch, count.saturating_mul(4))?)
}

/// Cuts `count` elements of type `i8` off the head of a buffer of bytes.
#[cfg(feature = "cases")]
pub(crate) fn take_i8s<'a>(
    scratch: &mut &'a mut [u8],
    count: usize,
) -> Result<&'a mut [i8], Fault> {
    Ok(cast::i8s_mut(take(scratch, count)?))
}

/// Fills with `zero`, by a loop: the compiler is not to see that they are zeros,
/// since what it calls then is ten times larger.
pub(crate) fn clear<T: Copy>(values: &mut [T], zero: T) {
    let zero = core::hint::black_box(zero);
    for value in values {
        *value = zero;
    }
}

#[cfg(feature = "cases")]
pub(crate) fn take<'a>(scratch: &mut &'a mut [u8], size: usize) -> Result<&'a mut [u8], Fault> {
    scratch.split_off_mut(..size).ok_or(Fault::Buffer)
}

//! Views of bytes as other integers.

#![allow(unsafe_code)]

use core::mem::MaybeUninit;

use crate::Fault;
use crate::network::{Arena, Logit, Memory, Network};

/// Bytes as two's complement values.
pub(crate) fn i8s(bytes: &[u8]) -> &[i8] {
    // SAFETY: `i8` and `u8` have the same size and alignment, and every bit
    // pattern is a valid `i8`; the length and lifetime are those of `bytes`.
    unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// Bytes as two's complement values, to be written.
pub(crate) fn i8s_mut(bytes: &mut [u8]) -> &mut [i8] {
    // SAFETY: as in `i8s`; the borrow of `bytes` is exclusive.
    unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// Two's complement values as bytes.
pub(crate) fn bytes(values: &[i8]) -> &[u8] {
    // SAFETY: as in `i8s`, the other way round.
    unsafe { core::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// Two's complement values as bytes, to be written.
pub(crate) fn bytes_mut(values: &mut [i8]) -> &mut [u8] {
    // SAFETY: as in `i8s_mut`, the other way round.
    unsafe { core::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
}

/// Aligned bytes as `i16` values, to be written.
pub(crate) fn i16s_mut(bytes: &mut [u8]) -> Result<&mut [i16], Fault> {
    aligned::<i16>(bytes)?;
    // SAFETY: every bit pattern is a valid `i16`, `aligned` has checked the start and
    // the length, and the borrow of `bytes` is exclusive.
    Ok(unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len() / 2) })
}

/// Aligned bytes as `i32` values, to be written.
pub(crate) fn i32s_mut(bytes: &mut [u8]) -> Result<&mut [i32], Fault> {
    aligned::<i32>(bytes)?;
    // SAFETY: as in `i16s_mut`.
    Ok(unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len() / 4) })
}

/// The whole words of bytes that begin at a word's boundary, to be written.
pub(crate) fn words_mut(bytes: &mut [u8]) -> Result<&mut [i32], Fault> {
    let whole = bytes.len() & !3;
    i32s_mut(bytes.split_at_mut(whole).0)
}

/// Aligned bytes as `i32` values.
pub(crate) fn i32s(bytes: &[u8]) -> Result<&[i32], Fault> {
    aligned::<i32>(bytes)?;
    // SAFETY: as in `i16s_mut`, without writing.
    Ok(unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / 4) })
}

/// Aligned bytes as `i16` values.
pub(crate) fn i16s(bytes: &[u8]) -> Result<&[i16], Fault> {
    aligned::<i16>(bytes)?;
    // SAFETY: as in `i32s`.
    Ok(unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / 2) })
}

/// Q16.16 values as logits.
pub(crate) fn logits(values: &[i32]) -> &[Logit] {
    // SAFETY: `Logit` is a transparent `i32`; length and lifetime are those of `values`.
    unsafe { core::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// Bytes that were never written as zeros.
pub(crate) fn zeroed(bytes: &mut [MaybeUninit<u8>]) -> &mut [u8] {
    for byte in &mut *bytes {
        byte.write(0);
    }
    // SAFETY: all of them were written; length and lifetime are those of `bytes`, whose
    // borrow is exclusive.
    unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// The head of some bytes as the arena of a network.
pub(crate) fn arena_mut<N: Network>(bytes: &mut [u8]) -> Result<&mut Arena<N>, Fault> {
    if bytes.len() < size_of::<Arena<N>>() {
        return Err(Fault::Buffer);
    }
    if !bytes.as_ptr().addr().is_multiple_of(align_of::<Arena<N>>()) {
        return Err(Fault::Alignment);
    }
    // SAFETY: an arena is an array of bytes, then integers, as its sealed traits say, so
    // every bit pattern is valid; size and alignment were checked above, and the borrow of
    // `bytes` is exclusive and its lifetime is kept.
    Ok(unsafe { &mut *bytes.as_mut_ptr().cast() })
}

/// The head of a memory as the arena of a network.
pub(crate) fn arena_in<N: Network, const BYTES: usize>(
    memory: &mut Memory<BYTES>,
) -> &mut Arena<N> {
    const {
        assert!(
            BYTES >= size_of::<Arena<N>>(),
            "the memory is too small: it needs `Arena::BYTES` of the largest network"
        );
        assert!(align_of::<Memory<BYTES>>() >= align_of::<Arena<N>>());
    };
    // SAFETY: as in `arena_mut`, with size and alignment checked in the compiler.
    unsafe { &mut *core::ptr::from_mut(memory).cast() }
}

/// [`Fault::Alignment`] unless values of type `T` fill these bytes. Smaller than
/// `align_to`, whose parts would be checked one by one.
#[inline(always)]
fn aligned<T>(bytes: &[u8]) -> Result<(), Fault> {
    const { assert!(size_of::<T>().is_power_of_two() && align_of::<T>() <= size_of::<T>()) };
    if (bytes.as_ptr().addr() | bytes.len()) & (size_of::<T>() - 1) == 0 {
        Ok(())
    } else {
        Err(Fault::Alignment)
    }
}

/// Words as pairs of `i16` values.
pub(crate) fn words_as_i16s(words: &[i32]) -> &[i16] {
    // SAFETY: an `i32` is two valid `i16` and aligned for them; the length
    // counts the same bytes and the lifetime is that of `words`.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 2) }
}

/// Words as pairs of `i16` values, to be written.
pub(crate) fn words_as_i16s_mut(words: &mut [i32]) -> &mut [i16] {
    // SAFETY: as in `words_as_i16s`; the borrow of `words` is exclusive.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 2) }
}

/// Words as two's complement values, to be written.
pub(crate) fn words_as_i8s_mut(words: &mut [i32]) -> &mut [i8] {
    // SAFETY: an `i32` is four valid `i8`; the length counts the same bytes and
    // the borrow of `words` is exclusive.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 4) }
}

/// Words as bytes, to be written.
pub(crate) fn words_as_bytes_mut(words: &mut [i32]) -> &mut [u8] {
    // SAFETY: an `i32` is four valid `u8`; the length counts the same bytes,
    // the borrow of `words` is exclusive and its lifetime is kept.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 4) }
}

/// Words as bytes.
pub(crate) fn words_as_bytes(words: &[i32]) -> &[u8] {
    // SAFETY: as in `words_as_bytes_mut`, without writing.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 4) }
}

//! Hosts with an x86-64 processor: what it has is found out at run time.
//!
//! The weights are those of [`Rows`](crate::arithmetic::layout::Rows), and so are the
//! bytes that are written: sums are exact modulo `2^32` in any order. Without AVX2, the
//! portable loops run.

#![allow(unsafe_code)]

mod block;
pub(crate) mod pooling;
pub(crate) mod products;
mod table;
mod wide;

/// Whether the processor has AVX2.
fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2")
}

/// Whether it also multiplies and adds 16-bit values in one instruction.
fn has_vnni() -> bool {
    std::is_x86_feature_detected!("avx512vnni") && std::is_x86_feature_detected!("avx512vl")
}

/// Whether it looks up 64 bytes at once.
fn has_vbmi() -> bool {
    std::is_x86_feature_detected!("avx512bw") && std::is_x86_feature_detected!("avx512vbmi")
}

/// A vector anywhere in memory. The standard library's loads compare pointers first where
/// debug assertions are on, which takes longer than the products.
#[repr(C, packed)]
struct Unaligned<T>(T);

/// The first values, and zeros if there are fewer.
#[inline(always)]
fn padded<T: Copy + Default, const N: usize>(values: &[T]) -> [T; N] {
    if let Some(first) = values.first_chunk() {
        return *first;
    }
    let mut array = [T::default(); N];
    for (place, &value) in array.iter_mut().zip(values) {
        *place = value;
    }
    array
}

//! Values of a table of 256, for many indices.

use core::arch::x86_64::*;

use super::has_vbmi;
use crate::arithmetic::matmul::look_up;

/// Replaces indices, of which the lower eight bits count, by the table's values.
pub(super) fn look_up_all(table: &[i8; 256], values: &mut [i16]) {
    let mut rest = values;
    if has_vbmi() {
        let (many, few) = rest.as_chunks_mut::<64>();
        // SAFETY: the processor has what the function needs.
        unsafe { with_vbmi(table, many) };
        rest = few;
    }
    for value in rest {
        *value = look_up(table, *value as u8);
    }
}

/// Replaces indices by the table's values.
pub(super) fn look_up_bytes(table: &[i8; 256], values: &mut [i8]) {
    let mut rest = values;
    if has_vbmi() {
        let (many, few) = rest.as_chunks_mut::<64>();
        // SAFETY: the processor has what the function needs.
        unsafe { bytes_with_vbmi(table, many) };
        rest = few;
    }
    for value in rest {
        *value = look_up(table, *value as u8) as i8;
    }
}

/// # Safety
/// The processor has what the function is made for.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn bytes_with_vbmi(table: &[i8; 256], values: &mut [[i8; 64]]) {
    // SAFETY: both types have the same size.
    let quarters = unsafe { core::mem::transmute::<[i8; 256], [__m512i; 4]>(*table) };
    for values in values {
        // SAFETY: both types have 512 bits.
        unsafe {
            let indices = core::mem::transmute::<[i8; 64], __m512i>(*values);
            let found = found(quarters, indices);
            *values = core::mem::transmute::<__m512i, [i8; 64]>(found);
        }
    }
}

/// The values of a table, in quarters, at 64 indices.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn found([a, b, c, d]: [__m512i; 4], indices: __m512i) -> __m512i {
    let low = _mm512_permutex2var_epi8(a, indices, b);
    let high = _mm512_permutex2var_epi8(c, indices, d);
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(indices), low, high)
}

/// # Safety
/// The processor has what the function is made for.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn with_vbmi(table: &[i8; 256], values: &mut [[i16; 64]]) {
    // SAFETY: both types have the same size; what is loaded and stored are arrays of that size.
    unsafe {
        let quarters = core::mem::transmute::<[i8; 256], [__m512i; 4]>(*table);
        for values in values {
            let at: *mut i16 = values.as_mut_ptr();
            let first = _mm512_cvtepi16_epi8(_mm512_loadu_epi16(at));
            let second = _mm512_cvtepi16_epi8(_mm512_loadu_epi16(at.add(32)));
            let indices = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second);
            let found = found(quarters, indices);
            let first = _mm512_cvtepi8_epi16(_mm512_castsi512_si256(found));
            let second = _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64::<1>(found));
            _mm512_storeu_epi16(at, first);
            _mm512_storeu_epi16(at.add(32), second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_index_is_looked_up() {
        let table: [i8; 256] = core::array::from_fn(|index| (index * 89 + 7) as u8 as i8);
        for count in [0, 1, 63, 64, 65, 400] {
            let indices: Vec<i16> = (0..count).map(|i| (i * 37 % 256) as i16).collect();
            let mut values = indices.clone();
            look_up_all(&table, &mut values);
            let expected = indices.iter().map(|&index| look_up(&table, index as u8));
            assert_eq!(values, expected.collect::<Vec<_>>());
        }
    }
}

//! No loops of their own for the products of a [`Rows`](crate::arithmetic::layout::Rows)
//! tile: the callers' are taken.

use crate::arithmetic::matmul::Linear;
use crate::arithmetic::norm::Partial;

#[inline(always)]
pub(crate) fn expand(_: &[i8], _: usize, _: usize, _: &mut [i32]) -> bool {
    false
}

#[inline(always)]
pub(crate) fn write(_: &Linear<'_>, _: &[i32], _: &mut [i8]) -> Option<Partial> {
    None
}

#[inline(always)]
pub(crate) fn update(_: &Linear<'_>, _: &[i32], _: &[i32], _: &mut [i8]) -> Option<Partial> {
    None
}

#[inline(always)]
pub(crate) fn sums(_: &Linear<'_>, _: &[i32], _: &mut [i32]) -> bool {
    false
}

#[inline(always)]
pub(crate) fn activate(_: &Linear<'_>, _: &[i8; 256], _: &[i32], _: &mut [i32]) -> bool {
    false
}

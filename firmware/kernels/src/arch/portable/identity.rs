//! An affine of each channel of an int8 map.

use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::{self, Int8};

/// See [`Width::affine_map`](crate::arithmetic::stream::Width::affine_map).
#[inline(always)]
pub(crate) fn affine_map(
    map: &mut [i8],
    channels: usize,
    affines: impl Iterator<Item = (i32, i32)>,
) -> Stats {
    stream::affine_map::<Int8>(map, channels, affines)
}

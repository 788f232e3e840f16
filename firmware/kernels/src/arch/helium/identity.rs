//! The identity mixer with the vector extension: the loop of `identity.s`.

#![allow(unsafe_code)]

use super::product::count_map;
use crate::arithmetic::norm::Stats;

assembly!("identity.s");

/// Channels that are updated together.
const GROUP: usize = 8;

/// Constants of a group of channels; the assembly has the same order.
#[repr(C)]
#[derive(Default)]
struct Group {
    slopes: [i32; GROUP],
    offsets: [i32; GROUP],
    channels: usize,
}

offsets!(Group: slopes 0, offsets 32, channels 64; 68);

// SAFETY: signature and contract as in `identity.s`.
unsafe extern "C" {
    fn tadpool_helium_affine(first: *mut i8, stride: usize, tokens: usize, group: *const Group);
}

/// See [`crate::stream::Width::affine_map`].
pub(crate) fn affine_map(
    map: &mut [i8],
    channels: usize,
    affines: impl Iterator<Item = (i32, i32)>,
) -> Stats {
    let tokens = map.len() / channels.max(1);
    if tokens > 0 {
        let mut affines = affines.take(channels);
        let mut first = 0;
        while first < channels {
            let mut group = Group {
                channels: channels - first,
                ..Group::default()
            };
            let places = group.slopes.iter_mut().zip(&mut group.offsets);
            for ((slope, offset), affine) in places.zip(affines.by_ref()) {
                (*slope, *offset) = affine;
            }
            // SAFETY: `map` holds `tokens` tokens of `channels` values, and no more than
            // those of the group are read or written.
            unsafe {
                let first = map.as_mut_ptr().add(first);
                tadpool_helium_affine(first, channels, tokens, &raw const group);
            }
            first += GROUP;
        }
    }
    count_map(map)
}

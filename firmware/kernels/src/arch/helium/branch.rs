//! A branch that is added to an int8 stream with the vector extension: the loop of
//! `branch.s`.

#![allow(unsafe_code)]

use super::product::count_map;
use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::Scales;
use crate::present::missing;

assembly!("branch.s");

// SAFETY: signature and contract as in `branch.s`.
unsafe extern "C" {
    fn tadpool_helium_add_branch(
        values: *mut i8,
        branch: *const i8,
        factors: *const i32,
        residual: *const i32,
        offsets: *const i32,
        channels: usize,
    );
}

/// See [`crate::stream::Width::add_branch`].
pub(crate) fn add(tokens: &mut [i8], branch: &[i8], scales: &Scales<'_>) -> Stats {
    let channels = scales.factor.len();
    if channels == 0 || [scales.residual, scales.offset].map(<[_]>::len) != [channels; 2] {
        missing();
        return Stats::default();
    }
    let places = tokens.chunks_exact_mut(channels);
    for (token, branch) in places.zip(branch.chunks_exact(channels)) {
        // SAFETY: a token and its part of the branch hold a value, and each list a word, for
        // each of the channels, of which there is one at least.
        unsafe {
            tadpool_helium_add_branch(
                token.as_mut_ptr(),
                branch.as_ptr(),
                scales.factor.as_ptr(),
                scales.residual.as_ptr(),
                scales.offset.as_ptr(),
                channels,
            );
        }
    }
    count_map(tokens)
}

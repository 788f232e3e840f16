//! The pooling mixer with the vector extension: the loops of `pooling.s`.

#![allow(unsafe_code)]

use super::product::count_map;
use crate::arena::{self, Fault};
use crate::arithmetic::layout::{Kernel, Layout};
use crate::arithmetic::norm::NormScale;
use crate::steps::pooling::Pooling;
use crate::steps::progress::{Piece, Progress};

assembly!("pooling.s");

/// Channels that are carried along a row together.
const GROUP: usize = 8;

/// The arguments of the loop over a group of channels; the assembly has the same
/// offsets.
#[repr(C)]
struct Group {
    /// These channels in the first token.
    out: *mut i8,
    /// Bytes of a token.
    stride: usize,
    offset: i32,
    residual: i32,
    factors: *const i32,
    inv_sigma: i32,
    /// The channels that are written: two bits each.
    lanes: u32,
    /// For the rows that are kept as they were, and zeros.
    kept: *mut i32,
    /// Columns that are read of these, two of them too many.
    read: usize,
    /// Rows that are not begun.
    rows: usize,
    /// 6 over the rows of a window of the first row, the one below not counted.
    above: usize,
}

offsets!(Group: out 0, stride 4, offset 8, residual 12, factors 16, inv_sigma 20,
    lanes 24, kept 28, read 32, rows 36, above 40; 44);

// SAFETY: signature and contract as in `pooling.s`.
unsafe extern "C" {
    fn tadpool_helium_pool(group: *mut Group);
}

/// Runs a piece of the pooling mixer, of the channels that take as long as `most` rows,
/// in this core's own layout; returns whether it is complete.
#[inline(always)]
pub(crate) fn pool<K: Kernel>(
    step: &Pooling<'_>,
    norm: &NormScale,
    progress: &mut Progress,
    most: usize,
    map: &mut [i8],
    scratch: &mut [i32],
) -> Result<bool, Fault> {
    pool_map(step, norm, progress, most, map, scratch)
}

fn pool_map(
    step: &Pooling<'_>,
    norm: &NormScale,
    progress: &mut Progress,
    most: usize,
    map: &mut [i8],
    mut scratch: &mut [i32],
) -> Result<bool, Fault> {
    let [height, width, channels] = step.shape;
    step.check(Layout::Helium, map.len())?;
    let read = width + 2;
    let kept = arena::cut(&mut scratch, GROUP / 4 * (1 + width + read))?;
    let mut group = Group {
        out: map.as_mut_ptr(),
        stride: channels,
        offset: step.offset,
        residual: step.residual,
        factors: step.factor.as_ptr(),
        inv_sigma: norm.inv_sigma,
        lanes: 0,
        kept: kept.as_mut_ptr(),
        read,
        rows: 0,
        above: 0,
    };
    let most = match most < height {
        true => most * channels / height.max(1),
        false => channels,
    };
    let piece = Piece::next(progress, channels, most, GROUP);
    let mut done = piece.first;
    while done < piece.end {
        // The last group has channels of the one before if there are not enough. They
        // are in its vectors, but are not written once more.
        let first = done.min(channels.saturating_sub(GROUP));
        group.out = map.as_mut_ptr().wrapping_add(first);
        group.factors = step.factor.as_ptr().wrapping_add(first);
        group.lanes = 0xffff << (2 * (done - first));
        (group.rows, group.above) = (height, 6);
        // SAFETY: `map` holds `height` rows of `width` tokens of `channels` values, eight
        // of which begin at `first`, as do eight factors; `kept` has eight bytes, and as
        // many for every token of two rows and two more.
        unsafe { tadpool_helium_pool(&mut group) }
        done = first + GROUP;
    }
    let written = match piece.end < channels {
        true => progress.written,
        false => count_map(map),
    };
    Ok(progress.reach(piece.end, channels, written))
}

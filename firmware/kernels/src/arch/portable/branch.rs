//! A branch that is added to an int8 stream.

use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::{self, Int8, Scales};

/// See [`Width::add_branch`](crate::arithmetic::stream::Width::add_branch).
#[inline(always)]
pub(crate) fn add(tokens: &mut [i8], branch: &[i8], scales: &Scales<'_>) -> Stats {
    stream::add_branch::<Int8>(tokens, branch, scales)
}

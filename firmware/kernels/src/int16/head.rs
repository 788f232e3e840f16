//! The head on a 16-bit stream; see [`crate::head`].

use crate::Fault;
use crate::head::{self, Head};
use crate::norm::Stats;
use crate::stream::Int16;

/// Runs the step; `stats` are those of the map.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run(step: &Head<'_>, stats: &Stats, arena: &mut [u8]) -> Result<(), Fault> {
    head::run_with::<Int16, true>(step, stats, arena)
}

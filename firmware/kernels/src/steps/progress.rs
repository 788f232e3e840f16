//! A step in pieces, for an inference that others are to come between.
//!
//! Beside `run`, a step that can be long has `advance` with the same constants. It does
//! at most so many tokens or rows, and returns whether the step is complete. What it
//! prepares for a whole run stays in the step's scratch, so that pieces cost nothing twice
//! and write the same bytes; `run` is one piece.

use crate::Fault;
use crate::arithmetic::norm::Stats;

/// How far a step has come.
///
/// It belongs to one step and one arena, in which nothing may change between two pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The part of the step that is done, in its own units.
    pub(crate) done: usize,
    /// Sums of what was written.
    pub(crate) written: Stats,
}

impl Progress {
    /// Nothing of a step.
    pub const fn new() -> Self {
        Self {
            done: 0,
            written: Stats {
                sum: 0,
                sum_of_squares: 0,
            },
        }
    }

    /// Runs a step as one piece, by its `advance`, which takes the progress and the most that
    /// it may do; returns the sums of what was written.
    #[inline(always)]
    pub(crate) fn whole(
        advance: impl FnOnce(&mut Self, usize) -> Result<bool, Fault>,
    ) -> Result<Stats, Fault> {
        let mut progress = Self::new();
        advance(&mut progress, usize::MAX)?;
        Ok(progress.written)
    }

    /// Sums of what was written: those of the whole map once the step is complete.
    pub const fn written(&self) -> &Stats {
        &self.written
    }

    /// Whether the step's constants are still to be prepared.
    #[inline(always)]
    pub(crate) const fn begins(&self) -> bool {
        self.done == 0
    }

    /// Of a step that has nothing left to do: hands the sums on.
    #[doc(hidden)]
    pub fn pass(&mut self, stats: &Stats) -> bool {
        self.reach(1, 1, *stats)
    }

    /// Adds units that are done, with the sums of all that was written; returns whether
    /// these are all of `units`.
    #[inline(always)]
    pub(crate) fn reach(&mut self, done: usize, units: usize, written: Stats) -> bool {
        (self.done, self.written) = (done, written);
        done >= units
    }
}

/// Units of one piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// The first.
    pub(crate) first: usize,
    /// Behind the last.
    pub(crate) end: usize,
}

impl Piece {
    /// The next piece of a step of `units`: at most `most` in whole lots of `at_once`, but
    /// one lot at least.
    #[inline(always)]
    pub(crate) fn next(progress: &Progress, units: usize, most: usize, at_once: usize) -> Self {
        let first = progress.done.min(units);
        let left = units - first;
        let now = if most >= left {
            left
        } else {
            let at_once = at_once.max(1);
            left.min((most / at_once).max(1) * at_once)
        };
        Self {
            first,
            end: first + now,
        }
    }

    /// The values of a map that belong to it, of `size` a unit.
    #[inline(always)]
    pub(crate) fn of_mut<'a, T>(
        &self,
        map: &'a mut [T],
        size: usize,
    ) -> Result<&'a mut [T], Fault> {
        map.get_mut(self.first * size..self.end * size)
            .ok_or(Fault::Geometry)
    }
}

//! The result of a solver, and how long it may take.

use alloc::vec::Vec;
#[cfg(feature = "std")]
use core::time::Duration;

use crate::problem::{Problem, RegionId};

/// Where one buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The region.
    pub region: RegionId,
    /// The first byte, counted from the region's start.
    pub offset: u64,
}

/// A placement for every buffer, in the order of
/// [`Problem::buffers`](crate::Problem::buffers).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plan {
    /// One placement a buffer.
    pub placements: Vec<Placement>,
}

impl Plan {
    /// The number of bytes used of each region: the highest end of any buffer.
    pub fn heights(&self, problem: &Problem) -> Vec<u64> {
        let mut heights = alloc::vec![0; problem.regions.len()];
        for (placement, buffer) in self.placements.iter().zip(&problem.buffers) {
            if let Some(height) = heights.get_mut(placement.region.index()) {
                *height = placement.offset.saturating_add(buffer.size).max(*height);
            }
        }
        heights
    }
}

/// The proof of how good a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// No plan is better.
    Optimal,
    /// The budget ended first: a better plan may exist, but none below the lower
    /// bounds.
    Bounded,
}

/// A plan and what is known about it.
///
/// Plans are compared by their height in the last region, then by that in the one
/// before, and so on. With one region, that is the height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// The plan. [`check`](crate::checker::check) accepts it.
    pub plan: Plan,
    /// The bytes used of each region.
    pub heights: Vec<u64>,
    /// For each region, a height below which no plan can get unless the height of a
    /// later region grows.
    pub lower_bounds: Vec<u64>,
    /// Whether the plan is proved optimal.
    pub proof: Proof,
    /// The steps that were taken.
    pub steps: u64,
}

impl Solution {
    /// The bytes used of all regions together.
    pub fn height(&self) -> u64 {
        self.heights.iter().sum()
    }

    /// The lower bounds of all regions together.
    pub fn lower_bound(&self) -> u64 {
        self.lower_bounds.iter().sum()
    }

    /// How many bytes the plan may be above the best one; 0 if it is proved optimal.
    pub fn gap(&self) -> u64 {
        match self.proof {
            Proof::Optimal => 0,
            Proof::Bounded => self.height().saturating_sub(self.lower_bound()),
        }
    }
}

/// How much work a solver may do.
///
/// A step is a placement tried, a few microseconds. With steps alone, the same problem
/// gives the same plan on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// The most steps to take. The first greedy plan is made whatever this says.
    pub steps: u64,
    /// When to stop early.
    pub goal: Goal,
    /// The longest time to take, if that is limited too.
    #[cfg(feature = "std")]
    pub time: Option<Duration>,
}

impl Budget {
    /// A budget in steps.
    pub const fn steps(steps: u64) -> Self {
        Self {
            steps,
            goal: Goal::Lowest,
            #[cfg(feature = "std")]
            time: None,
        }
    }

    /// A budget for the heuristics and short searches: some tens of milliseconds up to a
    /// thousand buffers, from there on by the square of their number, up to some seconds.
    pub const fn quick(buffers: usize) -> Self {
        let buffers = match buffers {
            ..1000 => 1000,
            1000..3500 => buffers as u64,
            _ => 3500,
        };
        Self::steps(50 + buffers * (buffers - 750) / 100)
    }

    /// A budget for some seconds, where the problem needs them: [`Budget::default`] up to a
    /// thousand buffers; fewer steps beyond, as each takes longer.
    pub const fn thorough(buffers: usize) -> Self {
        const DEFAULT: u64 = 500_000;
        const LEAST: u64 = 100_000;
        let buffers = if buffers < 1000 { 1000 } else { buffers as u64 };
        let steps = DEFAULT * 1000 / buffers;
        Self::steps(if steps < LEAST { LEAST } else { steps })
    }

    /// The same budget for the first plan that fits the capacities.
    #[must_use]
    pub const fn until_it_fits(mut self) -> Self {
        self.goal = Goal::Fits;
        self
    }

    /// The same budget with a time limit. The plan then depends on the machine.
    #[cfg(feature = "std")]
    #[must_use]
    pub const fn with_time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }
}

/// The goal that a solver stops at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Goal {
    /// The lowest plan, and the proof that it is.
    #[default]
    Lowest,
    /// Any plan that fits the capacities.
    Fits,
}

impl Default for Budget {
    /// Some seconds on a desktop computer, where the problem needs them.
    fn default() -> Self {
        Self::thorough(0)
    }
}

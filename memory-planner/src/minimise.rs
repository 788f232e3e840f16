//! From a search that decides whether a height is enough to the lowest height.

use alloc::vec::Vec;

use crate::clock::Clock;
use crate::plan::Goal;

/// How a search for a plan of some height ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The offsets of a plan.
    Plan(Vec<u64>),
    /// Proof that there is none.
    Nothing,
    /// The budget ended.
    OutOfBudget,
}

/// A search that can decide whether a height is enough.
pub(crate) trait Decide {
    /// Looks for a plan of at most `height`. Every `round` searches in another order.
    fn decide(&mut self, height: u64, round: u32, clock: &mut Clock) -> Ending;
}

/// What is known after a series of searches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The offsets of the lowest plan that was found.
    pub(crate) offsets: Option<Vec<u64>>,
    /// A height below which there is no plan.
    pub(crate) lower_bound: u64,
    /// Whether the budget was enough to reach the goal, or to prove that it cannot be.
    pub(crate) complete: bool,
}

/// The heights that are still in question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    /// No plan is lower.
    pub(crate) least: u64,
    /// Higher plans are of no interest.
    pub(crate) most: u64,
    /// All heights of interest are multiples of this.
    pub(crate) grain: u64,
    /// Whether a plan that fits is known already.
    pub(crate) fits: bool,
}

/// The first slice of steps, per item and at least.
const STEPS_PER_ITEM: u64 = 2;
const LEAST_STEPS: u64 = 2000;

/// Searches for a lower plan again and again, in slices that grow.
///
/// Once there is a plan that fits, the heights asked for jump between the lower bound,
/// where there is nothing to waste and a search is short, and the best height so far,
/// where a plan is most likely.
pub(crate) fn minimise(
    search: &mut dyn Decide,
    spans: &[u64],
    range: Range,
    goal: Goal,
    clock: &mut Clock,
) -> Outcome {
    let grain = range.grain.max(1);
    let mut least = range.least.next_multiple_of(grain);
    let mut most = range.most / grain * grain;
    let mut steps = (spans.len() as u64 * STEPS_PER_ITEM).max(LEAST_STEPS);
    let mut offsets = None;
    let mut round = 0;
    while least <= most {
        let known = range.fits || offsets.is_some();
        let fraction = match goal {
            Goal::Lowest if known => [3, 0, 5, 8][round as usize % 4],
            Goal::Lowest | Goal::Fits => 8,
        };
        let target = match fraction {
            8 => most,
            _ => least + (most - least) / 8 * fraction / grain * grain,
        };
        match clock.slice(steps, |clock| search.decide(target, round, clock)) {
            Ending::Plan(plan) => {
                let tops = spans.iter().zip(&plan).map(|(span, at)| span + at);
                let height = tops.max().unwrap_or(0);
                offsets = Some(plan);
                if goal == Goal::Fits || height < grain {
                    break;
                }
                most = height - grain;
            }
            Ending::Nothing => least = target + grain,
            Ending::OutOfBudget => {
                if clock.is_over() {
                    return Outcome {
                        offsets,
                        lower_bound: least,
                        complete: false,
                    };
                }
                round += 1;
                if round % 3 == 0 {
                    steps += steps / 2;
                }
            }
        }
    }
    Outcome {
        offsets,
        lower_bound: least,
        complete: true,
    }
}

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
    /// The budget ended; these offsets are higher than asked for, but better than any
    /// before.
    Better(Vec<u64>),
}

/// A search that can decide whether a height is enough.
pub(crate) trait Decide {
    /// Looks for a plan of at most `height`. Every `round` searches in another order.
    fn decide(&mut self, height: u64, round: u32, clock: &mut Clock) -> Ending;

    /// The steps in which this round's search tries that many placements.
    fn steps(&self, placements: u64, _round: u32) -> u64 {
        placements
    }
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

/// The placements tried in the first slice, per four items and at least.
const PLACEMENTS_PER_FOUR_ITEMS: u64 = 5;
const LEAST_PLACEMENTS: u64 = 2000;

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
    let mut placements = spans.len() as u64 * PLACEMENTS_PER_FOUR_ITEMS / 4;
    placements = placements.max(LEAST_PLACEMENTS);
    let mut offsets = None;
    let mut round = 0;
    while least <= most {
        let known = range.fits || offsets.is_some();
        let fraction = match goal {
            Goal::Lowest if known => [3, 0, 5, 8][round as usize / 2 % 4],
            Goal::Lowest | Goal::Fits => 8,
        };
        let target = match fraction {
            8 => most,
            _ => least + (most - least) / 8 * fraction / grain * grain,
        };
        let steps = search.steps(placements, round);
        let ending = clock.slice(steps, |clock| search.decide(target, round, clock));
        if ending == Ending::Nothing {
            least = target + grain;
            continue;
        }
        let out_of_budget = !matches!(ending, Ending::Plan(_));
        if let Ending::Plan(plan) | Ending::Better(plan) = ending {
            let tops = spans.iter().zip(&plan).map(|(span, at)| span + at);
            let height = tops.max().unwrap_or(0);
            if height <= most {
                offsets = Some(plan);
                if goal == Goal::Fits || height < grain {
                    break;
                }
                most = height - grain;
            }
        }
        if out_of_budget {
            if clock.is_over() && least <= most {
                return Outcome {
                    offsets,
                    lower_bound: least,
                    complete: false,
                };
            }
            round += 1;
            if round % 6 == 0 {
                placements += placements / 2;
            }
        }
    }
    Outcome {
        offsets,
        lower_bound: least,
        complete: true,
    }
}

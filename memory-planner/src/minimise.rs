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
    /// The ways to search that take turns.
    fn ways(&self) -> &'static [Way];

    /// Looks for a plan of at most `height`.
    fn decide(&mut self, height: u64, slice: Slice, clock: &mut Clock) -> Ending;

    /// The steps in which a way tries that many placements.
    fn steps(&self, placements: u64, _way: Way) -> u64 {
        placements
    }
}

/// Which of many searches is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) way: Way,
    /// Every round of a way searches in another order.
    pub(crate) round: u32,
    /// Whether it is one of those for the lower bound alone.
    pub(crate) is_tight: bool,
}

impl Slice {
    /// The first of a way.
    #[cfg(test)]
    pub(crate) fn first(way: Way) -> Self {
        Self {
            way,
            round: 0,
            is_tight: false,
        }
    }
}

/// A way to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// An exact search with all orders, in slices that grow: a proof takes long.
    Exact,
    /// The same in short slices, with one kind of order: a plan without waste is found soon
    /// or not at all.
    Restarts,
    /// Short exact searches for rectangles that were put together, as parts of a puzzle.
    Joined,
    /// The ejection search, in slices that grow.
    Ejection,
    /// Exact searches for parts, in slices that grow.
    Windows,
}

impl Way {
    /// The way of the least product of weight and steps is the next one: exact searches find
    /// the first plan, ejection makes a known one lower.
    fn weight(self, is_known: bool) -> u64 {
        match self {
            Self::Exact | Self::Restarts | Self::Joined => 1 + 2 * u64::from(is_known),
            Self::Ejection | Self::Windows => 3 - 2 * u64::from(is_known),
        }
    }
}

/// The knowledge after a series of searches.
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

/// The record of one way to search.
struct Turn {
    slice: Slice,
    steps: u64,
    /// The placements that it tries in the next slice.
    placements: u64,
}

impl Turn {
    fn new(way: Way, is_tight: bool, items: usize) -> Self {
        let placements = items as u64 * PLACEMENTS_PER_FOUR_ITEMS / 4;
        Self {
            slice: Slice {
                way,
                round: 0,
                is_tight,
            },
            steps: 0,
            placements: placements.max(LEAST_PLACEMENTS),
        }
    }

    /// The height that it is asked for, in eighths from the lower bound to the best plan.
    ///
    /// At the lower bound there is nothing to waste and a search is short; at the best
    /// height so far, a plan is most likely.
    fn eighths(&self, goal: Goal, is_known: bool) -> u64 {
        let at = |heights: &[u64]| heights[self.slice.round as usize % heights.len()];
        match (self.slice.way, goal) {
            _ if self.slice.is_tight => 0,
            (Way::Exact | Way::Ejection, Goal::Lowest) if is_known => at(&[3, 0, 5, 8]),
            (Way::Restarts | Way::Joined, Goal::Lowest) if is_known => at(&[0, 3, 0, 8]),
            (Way::Windows, _) => at(&[0, 3, 5, 8]),
            (Way::Exact | Way::Restarts | Way::Joined, _) => at(&[8, 4]),
            (Way::Ejection, _) => 8,
        }
    }

    fn end_round(&mut self) {
        let slice = &mut self.slice;
        slice.round += 1;
        if slice.round.is_multiple_of(3) && slice.way != Way::Restarts {
            self.placements += self.placements / 2;
        }
    }
}

/// Searches for a lower plan again and again, in slices. The ways to search take turns so
/// that each gets as many steps.
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
    let mut offsets = None;
    // As long as there is no plan, half of the steps are for the lower bound, in the order in
    // which they would be if there was no more room: so what fits there takes at most twice as
    // long where there is more. If the buffers are like a puzzle, the lowest plan is probably
    // there too.
    let is_wide = goal == Goal::Lowest || least < most;
    let is_tight = goal == Goal::Fits || search.ways().contains(&Way::Joined);
    let kinds = [is_tight, is_wide];
    let kinds = [true, false].into_iter().zip(kinds).filter(|kind| kind.1);
    let ways =
        kinds.flat_map(|(is_tight, _)| search.ways().iter().map(move |&way| (way, is_tight)));
    let mut turns: Vec<Turn> = ways
        .map(|(way, is_tight)| Turn::new(way, is_tight, spans.len()))
        .collect();
    while least <= most {
        let is_known = range.fits || offsets.is_some();
        let weight = |slice: Slice| slice.way.weight(is_known && !slice.is_tight);
        let used = |turn: &&mut Turn| turn.steps.saturating_mul(weight(turn.slice));
        let Some(turn) = turns.iter_mut().min_by_key(used) else {
            break;
        };
        let target = match turn.eighths(goal, is_known) {
            8 => most,
            eighths => least + (most - least) / 8 * eighths / grain * grain,
        };
        let before = clock.taken();
        let steps = search.steps(turn.placements, turn.slice.way);
        let ending = clock.slice(steps, |clock| search.decide(target, turn.slice, clock));
        turn.steps += clock.taken() - before;
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
            turn.end_round();
        }
    }
    Outcome {
        offsets,
        lower_bound: least,
        complete: true,
    }
}

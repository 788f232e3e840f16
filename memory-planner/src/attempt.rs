//! Greedy plans over all regions.

use alloc::vec::Vec;

use crate::bounds::{Bounds, choices};
use crate::clock::Clock;
use crate::greedy::{Orders, Shelves};
use crate::items::Item;
use crate::neighbours::Neighbours;
use crate::plan::{Placement, Plan};
use crate::portfolio::SORTING;
use crate::problem::{Problem, RegionId, Relation};
use crate::skyline::skyline;
use crate::solve::Task;

/// So many items are looked at in the time of one step.
pub(crate) const LOOKS_PER_STEP: u64 = 4096;

/// An offset that overflows any region: that of an item for which no place obeys the rules.
const ABOVE: u64 = 1 << 62;

/// A plan that may still overflow its regions.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) plan: Plan,
    pub(crate) heights: Vec<u64>,
    /// Whether some item found no place that obeys the rules. It then overflows too.
    pub(crate) broken: bool,
}

/// From so many buffers on, the orders are tried only as long as the budget lasts.
const MANY: usize = 1 << 13;

/// Orders at random, for problems with several regions.
const SHUFFLES: u32 = 64;

impl Attempt {
    /// The best of the greedy orders, with the bounds of the last variant; `fallback` if the time is over before one is done, or
    /// if the buffers are so many that it may be the best.
    pub(crate) fn start(
        task: &Task<'_>,
        variants: &[&[Item]],
        bounds_of_last: &Bounds,
        fallback: Option<Self>,
        clock: &mut Clock,
    ) -> Self {
        let problem = task.problem;
        let is_large = problem.buffers.len() > MANY;
        let (mut best, fallback) = match is_large {
            true => (fallback, None),
            false => (None, fallback),
        };
        for (index, items) in variants.iter().enumerate() {
            if clock.is_late() {
                break;
            }
            let own_bounds;
            let bounds = if index + 1 == variants.len() {
                bounds_of_last
            } else {
                own_bounds = Bounds::new(problem, &task.rules, items);
                &own_bounds
            };
            let is_good = |attempt: &Self| {
                attempt.overflow(problem).is_none()
                    && attempt.heights == bounds.all(problem, &attempt.heights)
            };
            let single = problem.regions.len() == 1;
            let live: Vec<_> = items.iter().map(|item| item.live.clone()).collect();
            let neighbours = Neighbours::new(&live);
            let is_sparse = neighbours.mean(&live) * SORTING < items.len() as u64;
            let neighbours = is_sparse.then_some(&neighbours);
            let shuffles = if single || is_large { 0 } else { SHUFFLES };
            for order in Orders::new(items, &overlaps(task, items), shuffles) {
                let may_stop = is_large && best.is_some();
                let attempt = Self::greedy(task, items, neighbours, &order, may_stop, clock);
                if attempt.is_some() {
                    Self::keep_better(&mut best, attempt, problem);
                }
                if clock.is_over() || best.as_ref().is_some_and(is_good) {
                    return best.or(fallback).unwrap_or_else(|| Self::nothing(problem));
                }
            }
            // A broken attempt has buffers that must not share the only region.
            if let Some(attempt) = &best
                && single
                && !is_large
                && !attempt.broken
                && items.iter().all(Item::is_plain)
            {
                let (offsets, looked_at) = skyline(items);
                clock.spend(1 + looked_at / LOOKS_PER_STEP);
                let mut attempt = attempt.clone();
                attempt.put(task, 0, items, &offsets);
                Self::keep_better(&mut best, Some(attempt), problem);
            }
        }
        best.or(fallback).unwrap_or_else(|| Self::nothing(problem))
    }

    /// The placeholder for a plan as long as none is known: it overflows every region.
    fn nothing(problem: &Problem) -> Self {
        let above = Placement {
            region: RegionId(0),
            offset: ABOVE,
        };
        let plan = Plan {
            placements: alloc::vec![above; problem.buffers.len()],
        };
        Self {
            heights: plan.heights(problem),
            plan,
            broken: true,
        }
    }

    fn keep_better(best: &mut Option<Self>, attempt: Option<Self>, problem: &Problem) {
        if let Some(attempt) = attempt
            && best
                .as_ref()
                .is_none_or(|best| attempt.rank(problem) < best.rank(problem))
        {
            *best = Some(attempt);
        }
    }

    /// Places the items one by one, each in the first region that has room; none if the time
    /// is over or, with `may_stop`, the steps.
    fn greedy(
        task: &Task<'_>,
        items: &[Item],
        neighbours: Option<&Neighbours>,
        order: &[usize],
        may_stop: bool,
        clock: &mut Clock,
    ) -> Option<Self> {
        let problem = task.problem;
        let mut shelves = Shelves::new(&task.rules, items, neighbours, problem.regions.len());
        let mut region_of = alloc::vec![usize::MAX; problem.buffers.len()];
        let mut broken = false;
        for &index in order {
            let looks = shelves.looked_at / LOOKS_PER_STEP;
            if clock.is_late() || may_stop && looks > clock.left() {
                clock.spend(looks);
                return None;
            }
            let item = &items[index];
            let mut choice = None;
            let mut overflow = None;
            for region in choices(problem, item) {
                if task
                    .rules
                    .apart(item)
                    .any(|other| region_of[other] == region)
                {
                    continue;
                }
                let at = shelves.lowest_offset(index, region);
                match at {
                    Some(at) if at + item.span <= problem.regions[region].usable() => {
                        choice = Some((region, at));
                        break;
                    }
                    Some(at) => overflow = Some((region, at)),
                    None => {}
                }
            }
            let region = choices(problem, item).next().unwrap_or(0);
            broken |= choice.or(overflow).is_none();
            let (region, at) = choice.or(overflow).unwrap_or((region, ABOVE));
            shelves.put(index, region, at);
            for member in &item.members {
                region_of[member.buffer] = region;
            }
        }
        clock.spend(1 + shelves.looked_at / LOOKS_PER_STEP);
        Some(Self::new(problem, items, &shelves.placed(), broken))
    }

    /// From the region and the offset of each item.
    pub(crate) fn new(
        problem: &Problem,
        items: &[Item],
        placed: &[(usize, usize, u64)],
        broken: bool,
    ) -> Self {
        let nowhere = Placement {
            region: RegionId(0),
            offset: 0,
        };
        let mut plan = Plan {
            placements: alloc::vec![nowhere; problem.buffers.len()],
        };
        for &(index, region, at) in placed {
            for member in &items[index].members {
                plan.placements[member.buffer] = Placement {
                    region: RegionId(u32::try_from(region).unwrap_or(u32::MAX)),
                    offset: at + member.relative,
                };
            }
        }
        let heights = plan.heights(problem);
        Self {
            plan,
            heights,
            broken,
        }
    }

    /// Moves some items to new offsets in a region.
    pub(crate) fn put(&mut self, task: &Task<'_>, region: usize, items: &[Item], offsets: &[u64]) {
        let region = RegionId(u32::try_from(region).unwrap_or(u32::MAX));
        for (item, at) in items.iter().zip(offsets) {
            for member in &item.members {
                let offset = at + member.relative;
                self.plan.placements[member.buffer] = Placement { region, offset };
            }
        }
        self.heights = self.plan.heights(task.problem);
    }

    /// A region that is too small for this attempt.
    pub(crate) fn overflow(&self, problem: &Problem) -> Option<usize> {
        (0..self.heights.len()).find(|&r| self.heights[r] > problem.regions[r].usable())
    }

    /// Less is better: the bytes that overflow, then the heights from the last region on.
    fn rank(&self, problem: &Problem) -> (bool, u64, impl Ord + use<>) {
        let over = self.heights.iter().zip(&problem.regions);
        let over = over.map(|(height, region)| height.saturating_sub(region.usable()));
        let heights: Vec<u64> = self.heights.iter().rev().copied().collect();
        (self.broken, over.fold(0, u64::saturating_add), heights)
    }
}

/// The pairs of items (lower, upper) for which an overlap is allowed.
fn overlaps(task: &Task<'_>, items: &[Item]) -> Vec<(usize, usize)> {
    if task.rules.allow_nothing() {
        return Vec::new();
    }
    let mut item_of = alloc::vec![0; task.problem.buffers.len()];
    for (index, item) in items.iter().enumerate() {
        for member in &item.members {
            item_of[member.buffer] = index;
        }
    }
    let overlap = |relation: &Relation| match *relation {
        Relation::MayOverlap {
            lower,
            upper,
            bytes,
        } if bytes > 0 => Some((item_of[lower.index()], item_of[upper.index()])),
        _ => None,
    };
    let pairs = task.problem.relations.iter().filter_map(overlap);
    pairs.filter(|(lower, upper)| lower != upper).collect()
}

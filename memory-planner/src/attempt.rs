//! Greedy plans over all regions.

use alloc::vec::Vec;

use crate::bounds::choices;
use crate::clock::Clock;
use crate::greedy::{Shelf, orders};
use crate::items::Item;
use crate::plan::{Placement, Plan};
use crate::problem::{Problem, RegionId, Relation};
use crate::skyline::skyline;
use crate::solve::{Task, lower_bounds};

/// So many items are looked at in the time of one step.
pub(crate) const LOOKS_PER_STEP: u64 = 4096;

/// A plan that may still overflow its regions.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) plan: Plan,
    pub(crate) heights: Vec<u64>,
    /// Whether some item found no place that obeys the rules. It then overflows too.
    pub(crate) broken: bool,
}

impl Attempt {
    /// The best of the greedy orders.
    pub(crate) fn start(task: &Task<'_>, variants: &[&[Item]], clock: &mut Clock) -> Self {
        let problem = task.problem;
        let nothing = Self {
            plan: Plan::default(),
            heights: Vec::new(),
            broken: true,
        };
        let mut best = nothing;
        for items in variants {
            let mut orders = orders(items, &overlaps(task, items));
            if problem.regions.len() > 1 {
                shuffle(items.len(), &mut orders);
            }
            for order in orders {
                let attempt = Self::greedy(task, items, &order, clock);
                if best.heights.is_empty() || attempt.rank(problem) < best.rank(problem) {
                    best = attempt;
                }
                let good = best.overflow(problem).is_none()
                    && best.heights == lower_bounds(task, items, &best.heights);
                if good || clock.is_over() {
                    return best;
                }
            }
            // A broken attempt has buffers that must not share the only region.
            let single = problem.regions.len() == 1 && !best.broken;
            if single && items.iter().all(Item::is_plain) {
                let (offsets, looked_at) = skyline(items);
                clock.spend(1 + looked_at / LOOKS_PER_STEP);
                let mut attempt = best.clone();
                attempt.put(task, 0, items, &offsets);
                if attempt.rank(problem) < best.rank(problem) {
                    best = attempt;
                }
            }
        }
        best
    }

    /// Places the items one by one, each in the first region that has room.
    fn greedy(task: &Task<'_>, items: &[Item], order: &[usize], clock: &mut Clock) -> Self {
        let problem = task.problem;
        let mut shelves: Vec<Shelf> = problem.regions.iter().map(|_| Shelf::default()).collect();
        let mut region_of = alloc::vec![usize::MAX; problem.buffers.len()];
        let mut broken = false;
        for &index in order {
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
                let shelf = &mut shelves[region];
                let at = shelf.lowest_offset(&task.rules, items, index);
                match at {
                    Some(at) if at + item.span <= problem.regions[region].usable() => {
                        choice = Some((region, at));
                        break;
                    }
                    Some(at) => overflow = Some((region, at)),
                    None => {}
                }
            }
            // A place that breaks a rule is marked by an offset that overflows any region.
            let region = choices(problem, item).next().unwrap_or(0);
            broken |= choice.or(overflow).is_none();
            let (region, at) = choice.or(overflow).unwrap_or((region, 1 << 62));
            shelves[region].put(items, index, at);
            for member in &item.members {
                region_of[member.buffer] = region;
            }
        }
        let looked_at: u64 = shelves.iter().map(|shelf| shelf.looked_at).sum();
        clock.spend(1 + looked_at / LOOKS_PER_STEP);
        Self::new(problem, items, &shelves, broken)
    }

    fn new(problem: &Problem, items: &[Item], shelves: &[Shelf], broken: bool) -> Self {
        let nowhere = Placement {
            region: RegionId(0),
            offset: 0,
        };
        let mut plan = Plan {
            placements: alloc::vec![nowhere; problem.buffers.len()],
        };
        for (region, shelf) in (0..).map(RegionId).zip(shelves) {
            for (index, at) in shelf.placed() {
                for member in &items[index].members {
                    plan.placements[member.buffer] = Placement {
                        region,
                        offset: at + member.relative,
                    };
                }
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

/// Adds some orders at random, always the same ones.
fn shuffle(count: usize, orders: &mut Vec<Vec<usize>>) {
    const SHUFFLES: usize = 64;
    let mut state = 1_u64;
    for _ in 0..SHUFFLES {
        let mut order: Vec<usize> = (0..count).collect();
        for index in (1..count).rev() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            order.swap(index, (state >> 33) as usize % (index + 1));
        }
        orders.push(order);
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

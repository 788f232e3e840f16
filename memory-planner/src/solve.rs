//! From a problem to a plan: greedy first, then the exact searches.

use alloc::vec::Vec;

use crate::bounds::{choices, height_bound, region_bound};
use crate::checker;
use crate::clock::Clock;
use crate::disjunctive;
use crate::error::PlanError;
use crate::greedy::{lowest_offset, orders};
use crate::items::{Allowances, Item, items};
use crate::plan::{Budget, Placement, Plan, Proof, Solution};
use crate::problem::{Problem, RegionId, Relation};
use crate::validate::validate;

/// Places the buffers of `problem`.
///
/// # Errors
/// A [`PlanError`] if the problem makes no sense, if it is proved that no plan fits, or
/// if none was found within the budget.
pub fn solve(problem: &Problem, budget: &Budget) -> Result<Solution, PlanError> {
    validate(problem)?;
    let mut clock = Clock::new(budget);
    let allowances = Allowances::new(problem);
    let plain = items(problem, &allowances, false)?;
    let merged = if allowances.is_empty() {
        Vec::new()
    } else {
        items(problem, &allowances, true)?
    };
    let task = Task {
        problem,
        allowances,
        apart: apart(problem),
    };
    let capacities: Vec<u64> = problem
        .regions
        .iter()
        .map(|region| region.capacity)
        .collect();
    for (index, region) in problem.regions.iter().enumerate() {
        let bound = region_bound(problem, &task.allowances, &plain, index, &capacities);
        if bound > region.capacity {
            return Err(PlanError::CapacityExceeded {
                region: region.name.clone(),
                lower_bound: bound,
                capacity: region.capacity,
            });
        }
    }

    let mut best = Attempt::start(&task, &plain, &merged, &mut clock);
    let complete = improve(&task, &plain, &merged, &mut best, &mut clock);
    if let Some(region) = best.overflow(problem) {
        if complete && !best.broken {
            return Err(PlanError::Infeasible {
                steps: clock.taken(),
            });
        }
        return Err(PlanError::NoPlanFound {
            region: problem.regions[region].name.clone(),
            height: best.heights[region],
            capacity: problem.regions[region].capacity,
            steps: clock.taken(),
        });
    }
    let lower_bounds = lower_bounds(&task, &plain, &best.heights);
    let optimal = complete || lower_bounds == best.heights;
    debug_assert_eq!(checker::check(problem, &best.plan), Ok(()));
    Ok(Solution {
        lower_bounds: if optimal {
            best.heights.clone()
        } else {
            lower_bounds
        },
        heights: best.heights,
        plan: best.plan,
        proof: if optimal {
            Proof::Optimal
        } else {
            Proof::Bounded
        },
        steps: clock.taken(),
    })
}

/// A height for each region below which no plan can get without a later region growing.
///
/// # Errors
/// As [`solve`], but for the search itself.
pub fn lower_bound(problem: &Problem) -> Result<Vec<u64>, PlanError> {
    validate(problem)?;
    let allowances = Allowances::new(problem);
    let items = items(problem, &allowances, false)?;
    let capacities: Vec<u64> = problem
        .regions
        .iter()
        .map(|region| region.capacity)
        .collect();
    Ok((0..problem.regions.len())
        .map(|region| region_bound(problem, &allowances, &items, region, &capacities))
        .collect())
}

/// A validated problem and what all solvers look up.
struct Task<'a> {
    problem: &'a Problem,
    allowances: Allowances,
    /// For each buffer, those that must be in another region.
    apart: Vec<Vec<usize>>,
}

fn apart(problem: &Problem) -> Vec<Vec<usize>> {
    let mut apart: Vec<Vec<usize>> = problem.buffers.iter().map(|_| Vec::new()).collect();
    for relation in &problem.relations {
        if let Relation::DifferentRegion { a, b } = *relation {
            apart[a.index()].push(b.index());
            apart[b.index()].push(a.index());
        }
    }
    apart
}

/// The bounds of all regions, where the later regions keep the heights that they have.
fn lower_bounds(task: &Task<'_>, items: &[Item], heights: &[u64]) -> Vec<u64> {
    let mut room: Vec<u64> = task
        .problem
        .regions
        .iter()
        .map(|region| region.capacity)
        .collect();
    let mut bounds = alloc::vec![0; heights.len()];
    for region in (0..heights.len()).rev() {
        bounds[region] = region_bound(task.problem, &task.allowances, items, region, &room);
        room[region] = heights[region];
    }
    bounds
}

/// A plan that may still overflow its regions.
#[derive(Clone, Debug)]
struct Attempt {
    plan: Plan,
    heights: Vec<u64>,
    /// Whether some item found no place that obeys the rules. It then overflows too.
    broken: bool,
}

impl Attempt {
    /// The best of the greedy orders.
    fn start(task: &Task<'_>, plain: &[Item], merged: &[Item], clock: &mut Clock) -> Self {
        let problem = task.problem;
        let nothing = Self {
            plan: Plan::default(),
            heights: Vec::new(),
            broken: true,
        };
        let mut best = nothing;
        for items in [merged, plain] {
            if items.is_empty() && !problem.buffers.is_empty() {
                continue;
            }
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
                    && best.heights == lower_bounds(task, plain, &best.heights);
                if good || clock.is_over() {
                    return best;
                }
            }
        }
        best
    }

    /// Places the items one by one, each in the first region that has room.
    fn greedy(task: &Task<'_>, items: &[Item], order: &[usize], clock: &mut Clock) -> Self {
        let problem = task.problem;
        let mut placed: Vec<Vec<(usize, u64)>> =
            problem.regions.iter().map(|_| Vec::new()).collect();
        let mut region_of = alloc::vec![usize::MAX; problem.buffers.len()];
        let mut scratch = Vec::new();
        let mut broken = false;
        for &index in order {
            let item = &items[index];
            let mut choice = None;
            let mut overflow = None;
            for region in choices(problem, item) {
                let members = || item.members.iter().flat_map(|m| &task.apart[m.buffer]);
                if members().any(|&other| region_of[other] == region) {
                    continue;
                }
                clock.spend(1);
                let beside = placed[region]
                    .iter()
                    .map(|&(other, at)| (&items[other], at));
                let unbounded = u64::MAX / 4;
                let at = lowest_offset(&task.allowances, item, beside, unbounded, &mut scratch);
                match at {
                    Some(at) if at + item.span <= problem.regions[region].capacity => {
                        choice = Some((region, at));
                        break;
                    }
                    Some(at) => overflow = Some((region, at)),
                    None => {}
                }
            }
            // A place that breaks a rule is marked by an offset that overflows.
            let region = choices(problem, item).next().unwrap_or(0);
            broken |= choice.or(overflow).is_none();
            let (region, at) = choice.or(overflow).unwrap_or((region, u64::MAX / 4));
            placed[region].push((index, at));
            for member in &item.members {
                region_of[member.buffer] = region;
            }
        }
        Self::new(problem, items, &placed, broken)
    }

    fn new(problem: &Problem, items: &[Item], placed: &[Vec<(usize, u64)>], broken: bool) -> Self {
        let nowhere = Placement {
            region: RegionId(0),
            offset: 0,
        };
        let mut plan = Plan {
            placements: alloc::vec![nowhere; problem.buffers.len()],
        };
        for (region, placed) in (0..).map(RegionId).zip(placed) {
            for &(index, at) in placed {
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

    /// A region that is too small for this attempt.
    fn overflow(&self, problem: &Problem) -> Option<usize> {
        (0..self.heights.len()).find(|&r| self.heights[r] > problem.regions[r].capacity)
    }

    /// Less is better: the bytes that overflow, then the heights from the last region on.
    fn rank(&self, problem: &Problem) -> (bool, u64, impl Ord + use<>) {
        let over = self.heights.iter().zip(&problem.regions);
        let over = over.map(|(height, region)| height.saturating_sub(region.capacity));
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
    if task.allowances.is_empty() {
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

/// Searches each region for a better plan of what the attempt placed there; true if
/// nothing better can exist.
fn improve(
    task: &Task<'_>,
    plain: &[Item],
    merged: &[Item],
    best: &mut Attempt,
    clock: &mut Clock,
) -> bool {
    let problem = task.problem;
    if best.broken {
        return false;
    }
    let forced = plain
        .iter()
        .all(|item| choices(problem, item).nth(1).is_none());
    let mut complete = forced;
    for region in (0..problem.regions.len()).rev() {
        for items in [merged, plain] {
            if items.is_empty() && !problem.buffers.is_empty() {
                continue;
            }
            let here: Vec<Item> = items
                .iter()
                .filter(|item| {
                    let first = item.members[0].buffer;
                    best.plan.placements[first].region.index() == region
                })
                .cloned()
                .collect();
            let done = improve_region(task, &here, region, best, clock);
            let last = core::ptr::eq(items, plain);
            if done == Done::LowerBound {
                break;
            }
            complete &= done == Done::Everything || !last;
        }
    }
    complete
}

/// How far the search of one region got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// The height is the lower bound.
    LowerBound,
    /// Everything was tried.
    Everything,
    /// The budget ended.
    Budget,
}

fn improve_region(
    task: &Task<'_>,
    items: &[Item],
    region: usize,
    best: &mut Attempt,
    clock: &mut Clock,
) -> Done {
    let refs: Vec<&Item> = items.iter().collect();
    let bound = height_bound(&task.allowances, &refs);
    let height = best.heights[region];
    if height <= bound {
        return Done::LowerBound;
    }
    let target = (height - 1).min(task.problem.regions[region].capacity);
    let outcome = disjunctive::search(&task.allowances, items, target, bound, clock);
    if let Some(offsets) = outcome.offsets {
        for (item, at) in items.iter().zip(offsets) {
            for member in &item.members {
                best.plan.placements[member.buffer].offset = at + member.relative;
            }
        }
        best.heights = best.plan.heights(task.problem);
        if best.heights[region] <= bound {
            return Done::LowerBound;
        }
    }
    if outcome.complete {
        Done::Everything
    } else {
        Done::Budget
    }
}

#[cfg(test)]
#[path = "solve_tests.rs"]
mod tests;

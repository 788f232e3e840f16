//! From a problem to a plan: greedy first, then the exact searches.

use alloc::vec::Vec;

use crate::attempt::Attempt;
use crate::bounds::{choices, height_bound, region_bound};
use crate::checker;
use crate::clock::Clock;
use crate::disjunctive::Disjunctive;
use crate::error::PlanError;
use crate::items::{Allowances, Item, items};
use crate::minimise::{Range, minimise};
use crate::plan::{Budget, Goal, Proof, Solution};
use crate::portfolio::Portfolio;
use crate::problem::{Problem, Relation};
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
    let merged = items(problem, &allowances, true)?;
    let both = [merged.as_slice(), plain.as_slice()];
    let variants = if merged.len() < plain.len() { &both } else { &both[1..] };
    let task = Task { problem, allowances, apart: apart(problem), goal: budget.goal };
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

    let mut best = Attempt::start(&task, variants, &mut clock);
    let complete = improve(&task, variants, &mut best, &mut clock);
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
pub(crate) struct Task<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) allowances: Allowances,
    /// For each buffer, those that must be in another region.
    pub(crate) apart: Vec<Vec<usize>>,
    pub(crate) goal: Goal,
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
pub(crate) fn lower_bounds(task: &Task<'_>, items: &[Item], heights: &[u64]) -> Vec<u64> {
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

/// Searches each region for a better plan of what the attempt placed there; true if
/// nothing better can exist.
fn improve(task: &Task<'_>, variants: &[&[Item]], best: &mut Attempt, clock: &mut Clock) -> bool {
    let problem = task.problem;
    if best.broken {
        return false;
    }
    // The last variant leaves everything open: only its searches prove anything.
    let Some((plain, merged)) = variants.split_last() else {
        return false;
    };
    let mut complete = plain.iter().all(|item| choices(problem, item).nth(1).is_none());
    for region in (0..problem.regions.len()).rev() {
        for items in merged {
            let steps = clock.left() / 4;
            clock.slice(steps, |clock| improve_region(task, items, region, best, clock));
        }
        complete &= improve_region(task, plain, region, best, clock);
    }
    complete
}

/// Searches one region; true if nothing better can exist for what lies in it.
fn improve_region(
    task: &Task<'_>,
    items: &[Item],
    region: usize,
    best: &mut Attempt,
    clock: &mut Clock,
) -> bool {
    let capacity = task.problem.regions[region].capacity;
    let is_here = |item: &&Item| {
        let placement = best.plan.placements[item.members[0].buffer];
        placement.region.index() == region
    };
    let here: Vec<Item> = items.iter().filter(is_here).cloned().collect();
    let bound = height_bound(&task.allowances, &here.iter().collect::<Vec<_>>());
    let height = best.heights[region];
    if height <= bound {
        return true;
    }
    if task.goal == Goal::Fits && height <= capacity || clock.is_over() {
        return false;
    }
    let spans: Vec<u64> = here.iter().map(|item| item.span).collect();
    let mut range = Range { least: bound, most: (height - 1).min(capacity), grain: 1 };
    let outcome = if let Some(mut search) = Portfolio::new(&here) {
        range.grain = search.grain;
        minimise(&mut search, &spans, range, task.goal, clock)
    } else if let Some(mut search) = Disjunctive::new(&task.allowances, &here) {
        minimise(&mut search, &spans, range, task.goal, clock)
    } else {
        return false;
    };
    for (item, at) in here.iter().zip(outcome.offsets.iter().flatten()) {
        for member in &item.members {
            best.plan.placements[member.buffer].offset = at + member.relative;
        }
    }
    best.heights = best.plan.heights(task.problem);
    outcome.complete && (task.goal == Goal::Lowest || outcome.offsets.is_none())
}

#[cfg(test)]
#[path = "solve_tests.rs"]
mod tests;

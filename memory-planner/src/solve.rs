//! From a problem to a plan: greedy first, then the exact searches.

use alloc::vec::Vec;

use crate::assign::assign;
use crate::attempt::Attempt;
use crate::bounds::{choices, region_bound};
use crate::checker;
use crate::clock::Clock;
use crate::error::PlanError;
use crate::improve::improve;
use crate::items::{Item, items};
use crate::plan::{Budget, Goal, Proof, Solution};
use crate::problem::{Problem, Region};
use crate::rules::Rules;
use crate::validate::validate;

/// Places the buffers of `problem`.
///
/// # Errors
/// A [`PlanError`] if the problem makes no sense, if it is proved that no plan fits, or
/// if none was found within the budget. Every plan is checked before it is returned.
pub fn solve(problem: &Problem, budget: &Budget) -> Result<Solution, PlanError> {
    validate(problem)?;
    let mut clock = Clock::new(budget);
    let rules = Rules::new(problem);
    let plain = items(problem, &rules, false)?;
    let merged = items(problem, &rules, true)?;
    let both = [merged.as_slice(), plain.as_slice()];
    let variants = if merged.len() < plain.len() {
        &both
    } else {
        &both[1..]
    };
    let task = Task {
        problem,
        rules,
        goal: budget.goal,
    };
    let capacities: Vec<u64> = problem.regions.iter().map(Region::usable).collect();
    for (index, region) in problem.regions.iter().enumerate() {
        let bound = region_bound(problem, &task.rules, &plain, index, &capacities);
        if bound > region.capacity {
            return Err(PlanError::CapacityExceeded {
                region: region.name.clone(),
                lower_bound: bound,
                capacity: region.capacity,
            });
        }
    }

    let mut best = Attempt::start(&task, variants, &mut clock);
    let mut known = Known {
        complete: false,
        bound: 0,
    };
    if task.has_choices(&plain) {
        // What lies where is part of the question: the regions as the greedy plan filled
        // them are only a start.
        if !best.broken {
            let steps = clock.left() / 2;
            clock.slice(steps, |clock| improve(&task, variants, &mut best, clock));
        }
        known.complete = assign(&task, &plain, &mut best, &mut clock);
    } else {
        known = improve(&task, variants, &mut best, &mut clock);
    }
    if let Some(region) = best.overflow(problem) {
        if known.complete {
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
    let mut lower_bounds = lower_bounds(&task, &plain, &best.heights);
    if let [bound] = lower_bounds.as_mut_slice() {
        *bound = known.bound.max(*bound);
    }
    let optimal = known.complete || lower_bounds == best.heights;
    if let Err(violation) = checker::check(problem, &best.plan) {
        return Err(PlanError::WrongPlan { violation });
    }
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
/// As [`solve()`], but for the search itself.
pub fn lower_bound(problem: &Problem) -> Result<Vec<u64>, PlanError> {
    validate(problem)?;
    let rules = Rules::new(problem);
    let items = items(problem, &rules, false)?;
    let capacities: Vec<u64> = problem.regions.iter().map(Region::usable).collect();
    Ok((0..problem.regions.len())
        .map(|region| region_bound(problem, &rules, &items, region, &capacities))
        .collect())
}

/// What the searches found out besides plans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Whether nothing better exists.
    pub(crate) complete: bool,
    /// With one region, a height below which there is no plan.
    pub(crate) bound: u64,
}

/// A validated problem and what all solvers look up.
pub(crate) struct Task<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) rules: Rules,
    pub(crate) goal: Goal,
}

impl Task<'_> {
    /// Whether there is more than one way to distribute the items over the regions, or
    /// none.
    fn has_choices(&self, items: &[Item]) -> bool {
        let fixed = |item: &Item| choices(self.problem, item).nth(1).is_none();
        !items
            .iter()
            .all(|item| fixed(item) && self.rules.apart(item).next().is_none())
    }
}

/// The bounds of all regions, where the later regions keep the heights that they have.
pub(crate) fn lower_bounds(task: &Task<'_>, items: &[Item], heights: &[u64]) -> Vec<u64> {
    let mut room: Vec<u64> = task.problem.regions.iter().map(Region::usable).collect();
    let mut bounds = alloc::vec![0; heights.len()];
    for region in (0..heights.len()).rev() {
        bounds[region] = region_bound(task.problem, &task.rules, items, region, &room);
        room[region] = heights[region];
    }
    bounds
}

#[cfg(test)]
#[path = "solve_tests.rs"]
mod tests;

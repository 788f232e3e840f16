//! From a problem to a plan: greedy first, then the exact searches.

use alloc::vec::Vec;

use crate::assign::assign;
use crate::attempt::Attempt;
use crate::bounds::{Bounds, choices};
use crate::checker;
use crate::clock::Clock;
use crate::error::PlanError;
use crate::improve::improve;
use crate::items::{Item, items, merged_items};
use crate::plan::{Budget, Goal, Proof, Solution};
use crate::problem::{Problem, Region};
use crate::rules::Rules;
use crate::sweep::sweep;
use crate::validate::validate;

/// Places the buffers of `problem`.
///
/// # Errors
/// A [`PlanError`] if the problem makes no sense, if it is proved that no plan fits, or
/// if none was found within the budget. Every plan is checked before it is returned.
pub fn solve(problem: &Problem, budget: &Budget) -> Result<Solution, PlanError> {
    solve_reporting(problem, budget, &mut |_| ())
}

/// As [`solve()`]; a plan that fits the capacities is reported as soon as it is found, before
/// the search for a lower one begins.
///
/// `first_fit` is called once, unless there is no plan.
///
/// # Errors
/// As [`solve()`].
pub fn solve_reporting(
    problem: &Problem,
    budget: &Budget,
    first_fit: &mut dyn FnMut(&Solution),
) -> Result<Solution, PlanError> {
    validate(problem)?;
    let mut clock = Clock::new(budget);
    let task = Task {
        problem,
        rules: Rules::new(problem),
        goal: budget.goal,
    };
    let plain = items(problem, &task.rules)?;
    let bounds = Bounds::new(problem, &task.rules, &plain);
    let capacities: Vec<u64> = problem.regions.iter().map(Region::usable).collect();
    for (index, region) in problem.regions.iter().enumerate() {
        let bound = bounds.region(index, &capacities);
        if bound > region.capacity {
            return Err(PlanError::CapacityExceeded {
                region: region.name.clone(),
                lower_bound: bound,
                capacity: region.capacity,
            });
        }
    }
    let fallback = sweep(&task, &plain);
    let mut checked = None;
    if let Some(fallback) = &fallback {
        // The plan that is returned has to be checked in time.
        let is_right = clock.rehearse(|| checker::check(problem, &fallback.plan));
        checked = is_right.is_ok().then(|| fallback.heights.clone());
    }
    let merged = merged_items(problem, &task.rules, &mut clock)?;
    let both = [merged.as_slice(), plain.as_slice()];
    let variants = if merged.is_empty() || merged.len() == plain.len() {
        &both[1..]
    } else {
        &both
    };
    let best = Attempt::start(&task, variants, &bounds, fallback, &mut clock);
    let mut search = Search {
        task,
        variants,
        plain: &plain,
        bounds,
        best,
        known: Known::NOTHING,
        checked,
    };
    if budget.goal == Goal::Lowest && search.best.overflow(problem).is_some() {
        // The searches for any plan and for the lowest one are two, so that the first one's
        // plan is there as soon as possible.
        search.task.goal = Goal::Fits;
        search.run(&mut clock);
        search.task.goal = Goal::Lowest;
        if search.known.complete {
            return search.solution(clock.taken());
        }
    }
    if search.best.overflow(problem).is_none() {
        first_fit(&search.solution(clock.taken())?);
    }
    search.run(&mut clock);
    search.solution(clock.taken())
}

/// A height for each region below which no plan can get without a later region growing.
///
/// # Errors
/// As [`solve()`], but for the search itself.
pub fn lower_bound(problem: &Problem) -> Result<Vec<u64>, PlanError> {
    validate(problem)?;
    let rules = Rules::new(problem);
    let bounds = Bounds::new(problem, &rules, &items(problem, &rules)?);
    let capacities: Vec<u64> = problem.regions.iter().map(Region::usable).collect();
    Ok((0..problem.regions.len())
        .map(|region| bounds.region(region, &capacities))
        .collect())
}

/// A search with the best plan so far.
struct Search<'a> {
    task: Task<'a>,
    variants: &'a [&'a [Item]],
    /// The last of the variants, which leaves everything open that the problem leaves open.
    plain: &'a [Item],
    bounds: Bounds,
    best: Attempt,
    known: Known,
    /// The heights of the plan that was checked last. Other plans have other heights.
    checked: Option<Vec<u64>>,
}

impl Search<'_> {
    /// Looks for a better plan.
    fn run(&mut self, clock: &mut Clock) {
        if clock.is_late() {
            return;
        }
        let Self { task, best, .. } = self;
        if !task.has_choices(self.plain) {
            self.known = improve(task, self.variants, best, clock);
            return;
        }
        // What lies where is part of the question: the regions as the greedy plan filled
        // them are only a start.
        if !best.broken {
            let steps = clock.left() / 2;
            clock.slice(steps, |clock| improve(task, self.variants, best, clock));
        }
        self.known.complete = assign(task, self.plain, best, clock);
    }

    /// The best plan with what is known about it, checked.
    fn solution(&mut self, steps: u64) -> Result<Solution, PlanError> {
        let (problem, best) = (self.task.problem, &self.best);
        if let Some(region) = best.overflow(problem) {
            if self.known.complete {
                return Err(PlanError::Infeasible { steps });
            }
            return Err(PlanError::NoPlanFound {
                region: problem.regions[region].name.clone(),
                height: best.heights[region],
                capacity: problem.regions[region].capacity,
                steps,
            });
        }
        if self.checked.as_ref() != Some(&best.heights) {
            checker::check(problem, &best.plan)
                .map_err(|violation| PlanError::WrongPlan { violation })?;
            self.checked = Some(best.heights.clone());
        }
        let mut lower_bounds = self.bounds.all(problem, &best.heights);
        if let [bound] = lower_bounds.as_mut_slice() {
            *bound = self.known.bound.max(*bound);
        }
        let optimal = self.known.complete || lower_bounds == best.heights;
        if optimal {
            lower_bounds.clone_from(&best.heights);
        }
        Ok(Solution {
            plan: best.plan.clone(),
            heights: best.heights.clone(),
            lower_bounds,
            proof: match optimal {
                true => Proof::Optimal,
                false => Proof::Bounded,
            },
            steps,
        })
    }
}

/// The results of the searches besides plans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Whether nothing better exists.
    pub(crate) complete: bool,
    /// With one region, a height below which there is no plan.
    pub(crate) bound: u64,
}

impl Known {
    pub(crate) const NOTHING: Self = Self {
        complete: false,
        bound: 0,
    };
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

#[cfg(test)]
#[path = "solve_tests.rs"]
mod tests;

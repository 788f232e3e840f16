//! The memory plan: where each buffer of a schedule lies in the arena.

use memory_planner::checker::{self, Violation};
use memory_planner::{Budget, BufferId, PlanError, Problem, Proof, solve};
use tadpool_kernels::Buffer;

use crate::place::schedule::Schedule;

/// Offsets of all buffers, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPlan {
    /// One place a buffer, in the order of the problem.
    pub places: Vec<Buffer>,
    /// Bytes of the arena.
    pub arena_size: usize,
    /// No plan can need less.
    pub lower_bound: usize,
    /// Whether no better plan exists.
    pub optimal: bool,
    /// The plan as the planner returned it, for drawings.
    pub plan: memory_planner::Plan,
}

/// Why there is no memory plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MemoryError {
    /// The planner found none.
    #[error("the memory planner found no plan: {0}")]
    Plan(#[from] PlanError),
    /// The planner returned a plan that breaks a rule; a bug in the planner.
    #[error("the memory plan breaks a rule ({0:?}); please report this model")]
    Violation(Violation),
}

/// Places the buffers of `schedule`.
///
/// # Errors
/// A [`MemoryError`] if there is no plan.
pub fn plan(schedule: &Schedule) -> Result<MemoryPlan, MemoryError> {
    let problem = &schedule.problem;
    let solution = solve(problem, &Budget::default())?;
    checker::check(problem, &solution.plan).map_err(MemoryError::Violation)?;
    let places = solution
        .plan
        .placements
        .iter()
        .zip(&problem.buffers)
        .map(|(placement, buffer)| Buffer {
            offset: placement.offset as usize,
            size: buffer.size as usize,
        })
        .collect();
    Ok(MemoryPlan {
        places,
        // A multiple of the arena's alignment, as its type has it.
        arena_size: (solution.height() as usize).next_multiple_of(8),
        lower_bound: solution.lower_bound() as usize,
        optimal: solution.proof == Proof::Optimal,
        plan: solution.plan,
    })
}

impl MemoryPlan {
    /// Where a buffer lies.
    pub fn place(&self, id: BufferId) -> Buffer {
        self.places[id.index()]
    }

    /// The end of the highest buffer that is live in each step.
    pub fn height_by_step(&self, problem: &Problem, steps: usize) -> Vec<usize> {
        (0..steps as u32)
            .map(|step| {
                self.places
                    .iter()
                    .zip(&problem.buffers)
                    .filter(|(_, buffer)| buffer.live.contains(&step))
                    .map(|(place, _)| place.offset + place.size)
                    .max()
                    .unwrap_or(0)
            })
            .collect()
    }
}

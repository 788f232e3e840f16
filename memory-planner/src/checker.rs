//! An independent check of a plan: every rule of the problem, pair by pair.
//!
//! It shares no code with the solvers, allocates nothing and is meant to be read.
//! Its time grows with the square of the number of buffers.

use core::fmt;

use crate::plan::Plan;
use crate::problem::{BufferId, Problem, Relation};

/// The first rule that a plan breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Not as many placements as buffers.
    WrongCount {
        /// The number of placements.
        placements: usize,
        /// The number of buffers.
        buffers: usize,
    },
    /// A buffer in a region that does not exist or that it may not use.
    WrongRegion(BufferId),
    /// A buffer whose end is above its region's capacity.
    OutOfBounds(BufferId),
    /// A buffer whose offset is no multiple of its alignment.
    Misaligned(BufferId),
    /// A buffer that is not at its fixed offset.
    NotAtFixedOffset(BufferId),
    /// Two buffers that share bytes while both are live, and may not.
    Overlap(BufferId, BufferId),
    /// Two buffers that had to follow each other.
    NotContiguous(BufferId, BufferId),
    /// Two buffers that had to be in different regions.
    SameRegion(BufferId, BufferId),
    /// A relation (by index) that names a buffer that does not exist.
    UnknownBuffer(usize),
}

/// Checks that `plan` obeys every rule of `problem`.
///
/// # Errors
/// The first rule that is broken.
pub fn check(problem: &Problem, plan: &Plan) -> Result<(), Violation> {
    let buffers = problem.buffers.len();
    if plan.placements.len() != buffers {
        return Err(Violation::WrongCount {
            placements: plan.placements.len(),
            buffers,
        });
    }
    for id in (0..).take(buffers).map(BufferId) {
        check_buffer(problem, plan, id)?;
    }
    for (index, relation) in problem.relations.iter().enumerate() {
        check_relation(problem, plan, index, relation)?;
    }
    for a in (0..).take(buffers).map(BufferId) {
        for b in (a.0 + 1..).take(buffers - a.index() - 1).map(BufferId) {
            if share_bytes(problem, plan, a, b) && !allowed(problem, plan, a, b) {
                return Err(Violation::Overlap(a, b));
            }
        }
    }
    Ok(())
}

/// Region, bounds, alignment and fixed offset of one buffer.
fn check_buffer(problem: &Problem, plan: &Plan, id: BufferId) -> Result<(), Violation> {
    let buffer = &problem.buffers[id.index()];
    let placement = plan.placements[id.index()];
    let Some(region) = problem.regions.get(placement.region.index()) else {
        return Err(Violation::WrongRegion(id));
    };
    if !buffer.regions.is_empty() && !buffer.regions.contains(&placement.region) {
        return Err(Violation::WrongRegion(id));
    }
    if u128::from(placement.offset) + u128::from(buffer.size) > u128::from(region.capacity) {
        return Err(Violation::OutOfBounds(id));
    }
    if placement.offset.checked_rem(buffer.alignment) != Some(0) {
        return Err(Violation::Misaligned(id));
    }
    if buffer
        .fixed_offset
        .is_some_and(|offset| offset != placement.offset)
    {
        return Err(Violation::NotAtFixedOffset(id));
    }
    Ok(())
}

/// The relations that ask for something. Those that allow something are in [`allowed`].
fn check_relation(
    problem: &Problem,
    plan: &Plan,
    index: usize,
    relation: &Relation,
) -> Result<(), Violation> {
    let (a, b) = relation.buffers();
    let count = problem.buffers.len();
    if a.index() >= count || b.index() >= count {
        return Err(Violation::UnknownBuffer(index));
    }
    let (at_a, at_b) = (plan.placements[a.index()], plan.placements[b.index()]);
    let size_a = problem.buffers[a.index()].size;
    match relation {
        Relation::Contiguous { .. }
            if at_a.region != at_b.region || at_a.offset + size_a != at_b.offset =>
        {
            Err(Violation::NotContiguous(a, b))
        }
        Relation::DifferentRegion { .. } if at_a.region == at_b.region => {
            Err(Violation::SameRegion(a, b))
        }
        _ => Ok(()),
    }
}

/// Whether two buffers have a byte and a moment in common.
fn share_bytes(problem: &Problem, plan: &Plan, a: BufferId, b: BufferId) -> bool {
    let (buffer_a, buffer_b) = (&problem.buffers[a.index()], &problem.buffers[b.index()]);
    let (at_a, at_b) = (plan.placements[a.index()], plan.placements[b.index()]);
    let live_start = buffer_a.live.start.max(buffer_b.live.start);
    let live_end = buffer_a.live.end.min(buffer_b.live.end);
    let start = at_a.offset.max(at_b.offset);
    let end = (at_a.offset + buffer_a.size).min(at_b.offset + buffer_b.size);
    at_a.region == at_b.region && live_start < live_end && start < end
}

/// Whether a relation allows the bytes that two buffers share.
fn allowed(problem: &Problem, plan: &Plan, a: BufferId, b: BufferId) -> bool {
    let offset = |id: BufferId| plan.placements[id.index()].offset;
    let end = |id: BufferId| u128::from(offset(id)) + u128::from(problem.buffers[id.index()].size);
    problem.relations.iter().any(|relation| {
        let pair = relation.buffers();
        (pair == (a, b) || pair == (b, a))
            && match *relation {
                Relation::MayAlias { .. } => offset(a) == offset(b),
                Relation::MayOverlap {
                    lower,
                    upper,
                    bytes,
                } => end(lower) <= u128::from(offset(upper)) + u128::from(bytes),
                Relation::Contiguous { .. } | Relation::DifferentRegion { .. } => false,
            }
    })
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WrongCount {
                placements,
                buffers,
            } => {
                write!(f, "{placements} placements for {buffers} buffers")
            }
            Self::WrongRegion(id) => write!(f, "buffer {} is in a wrong region", id.0),
            Self::OutOfBounds(id) => write!(f, "buffer {} ends above its region", id.0),
            Self::Misaligned(id) => write!(f, "buffer {} is misaligned", id.0),
            Self::NotAtFixedOffset(id) => write!(f, "buffer {} is not at its fixed offset", id.0),
            Self::Overlap(a, b) => write!(f, "buffers {} and {} share bytes", a.0, b.0),
            Self::NotContiguous(a, b) => {
                write!(f, "buffer {} does not follow buffer {}", b.0, a.0)
            }
            Self::SameRegion(a, b) => write!(f, "buffers {} and {} share a region", a.0, b.0),
            Self::UnknownBuffer(index) => {
                write!(f, "relation {index} names a buffer that does not exist")
            }
        }
    }
}

impl core::error::Error for Violation {}

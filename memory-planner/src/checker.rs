//! An independent check of a plan: every rule of the problem.
//!
//! It shares no code with the solvers and is meant to be read. It goes through time once,
//! with the buffers that are live in the order of their offsets: a hundred thousand buffers
//! take some tens of milliseconds.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
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
    check_bytes(problem, plan)
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

/// Whether any two buffers that are live at once share bytes, and may not.
fn check_bytes(problem: &Problem, plan: &Plan) -> Result<(), Violation> {
    let allows = |relation: &&Relation| {
        use Relation::{MayAlias, MayOverlap};
        matches!(relation, MayAlias { .. } | MayOverlap { .. })
    };
    let allowances = problem.relations.iter().filter(allows);
    let mut lenient = alloc::vec![false; problem.buffers.len()];
    for (a, b) in allowances.map(Relation::buffers) {
        lenient[a.index()] = true;
        lenient[b.index()] = true;
    }
    let live = (0..).zip(&problem.buffers);
    let live = live.filter(|(_, buffer)| buffer.size > 0 && buffer.live.start < buffer.live.end);
    let starts = in_order(live.clone().map(|(id, buffer)| (buffer.live.start, id)));
    let ends = in_order(live.map(|(id, buffer)| (buffer.live.end, id)));
    let size = |id: BufferId| problem.buffers[id.index()].size;
    // Region, start and end of each buffer, close together in memory.
    let placed = plan.placements.iter().zip(&problem.buffers);
    let places: Vec<(u32, u64, u64)> = placed
        .map(|(at, buffer)| (at.region.0, at.offset, at.offset + buffer.size))
        .collect();
    let lenient_ids = (0..)
        .map(BufferId)
        .zip(&lenient)
        .filter(|(_, lenient)| **lenient);
    let largest = lenient_ids.map(|(id, _)| size(id)).max().unwrap_or(0);
    // The live buffers that may share bytes with nobody, of each region by their offsets, with
    // their ends, and the others.
    let mut strict: Vec<BTreeMap<u64, (u64, BufferId)>> =
        problem.regions.iter().map(|_| BTreeMap::new()).collect();
    let mut others: BTreeSet<(u32, u64, BufferId)> = BTreeSet::new();
    let mut ends = ends.into_iter().peekable();
    for (moment, id) in starts {
        // At one moment, what ends makes room before anything starts.
        while let Some((_, over)) = ends.next_if(|(end, _)| *end <= moment) {
            let (region, start, _) = places[over.index()];
            if lenient[over.index()] {
                others.remove(&(region, start, over));
            } else {
                strict[region as usize].remove(&start);
            }
        }
        let (region, start, end) = places[id.index()];
        // Strict buffers are disjoint: below the first that ends in time, all do.
        let below = strict[region as usize].range(..end).rev();
        let strict_ones = below
            .map(|(_, other)| *other)
            .take_while(|(its_end, _)| *its_end > start)
            .map(|(_, other)| other);
        // None of the others that reaches this far begins lower.
        let first = start.saturating_sub(largest);
        let other_ones = others
            .range((region, first, BufferId(0))..(region, end, BufferId(0)))
            .map(|(.., other)| *other)
            .filter(|other| share_bytes(problem, plan, id, *other));
        for other in strict_ones.chain(other_ones) {
            if !allowed(problem, plan, id, other) {
                return Err(Violation::Overlap(id.min(other), id.max(other)));
            }
        }
        if lenient[id.index()] {
            others.insert((region, start, id));
        } else {
            strict[region as usize].insert(start, (end, id));
        }
    }
    Ok(())
}

/// Moments and buffers in the order of the moments; as numbers, which are fast to sort.
fn in_order(pairs: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, BufferId)> {
    let number = |(moment, id)| u64::from(moment) << 32 | u64::from(id);
    let mut numbers: Vec<u64> = pairs.map(number).collect();
    numbers.sort_unstable();
    let pair = |number: u64| ((number >> 32) as u32, BufferId(number as u32));
    numbers.into_iter().map(pair).collect()
}

/// Whether two buffers have a byte in common, if they are live at once.
fn share_bytes(problem: &Problem, plan: &Plan, a: BufferId, b: BufferId) -> bool {
    let (at_a, at_b) = (plan.placements[a.index()], plan.placements[b.index()]);
    let start = at_a.offset.max(at_b.offset);
    let end = |id: BufferId| plan.placements[id.index()].offset + problem.buffers[id.index()].size;
    at_a.region == at_b.region && start < end(a).min(end(b))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::tiny_problem;
    use crate::plan::Placement;
    use crate::problem::RegionId;

    /// Every pair of buffers, one by one.
    fn clash(problem: &Problem, plan: &Plan) -> bool {
        let ids = || (0..problem.buffers.len() as u32).map(BufferId);
        let live_together = |a: BufferId, b: BufferId| {
            let [a, b] = [a, b].map(|id| &problem.buffers[id.index()].live);
            a.start < b.end && b.start < a.end
        };
        ids().any(|a| {
            ids()
                .filter(|b| a < *b && live_together(a, *b))
                .any(|b| share_bytes(problem, plan, a, b) && !allowed(problem, plan, a, b))
        })
    }

    #[test]
    fn going_through_time_finds_what_comparing_all_pairs_finds() {
        let mut state = 1_u64;
        let mut below = |limit: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % limit
        };
        let (mut good, mut bad) = (0, 0);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..64).map(|_| below(256) as u8).collect();
            let problem = tiny_problem(&bytes);
            let place = |_| Placement {
                region: RegionId(below(problem.regions.len() as u64) as u32),
                offset: below(12),
            };
            let plan = Plan {
                placements: (0..problem.buffers.len()).map(place).collect(),
            };
            let clashes = clash(&problem, &plan);
            assert_eq!(
                check_bytes(&problem, &plan).is_err(),
                clashes,
                "{problem:?} {plan:?}"
            );
            if clashes { bad += 1 } else { good += 1 }
        }
        assert!(good > 1000 && bad > 1000, "{good} {bad}");
    }
}

//! Searches for lower plans of what already lies in a region.

use alloc::vec::Vec;

use crate::attempt::Attempt;
use crate::bounds::height_bound;
use crate::clock::Clock;
use crate::disjunctive::Disjunctive;
use crate::items::{Item, Member};
use crate::minimise::{Outcome, Range, minimise};
use crate::plan::Goal;
use crate::portfolio::Portfolio;
use crate::solve::{Known, Task};

/// Improves each region of an attempt, from the last one on.
///
/// A broken attempt can be mended too, as long as every item can lie in one region only.
///
/// The last variant of the items leaves everything open that the problem leaves open, so
/// only its searches prove anything.
pub(crate) fn improve(
    task: &Task<'_>,
    variants: &[&[Item]],
    best: &mut Attempt,
    clock: &mut Clock,
) -> Known {
    let mut known = Known {
        complete: true,
        bound: 0,
    };
    let Some((plain, merged)) = variants.split_last() else {
        return Known::NOTHING;
    };
    for region in (0..task.problem.regions.len()).rev() {
        for items in merged {
            let steps = clock.left() / 4;
            clock.slice(steps, |clock| {
                improve_region(task, items, region, best, clock)
            });
        }
        let here = improve_region(task, plain, region, best, clock);
        known.complete &= here.complete;
        known.bound = here.bound;
    }
    known
}

fn improve_region(
    task: &Task<'_>,
    items: &[Item],
    region: usize,
    best: &mut Attempt,
    clock: &mut Clock,
) -> Known {
    let Some(here) = items_in(best, items, region) else {
        return Known::NOTHING;
    };
    let bound = height_bound(&task.rules, &here.iter().collect::<Vec<_>>());
    let (height, capacity) = (best.heights[region], task.problem.regions[region].usable());
    let reached = task.goal == Goal::Fits && height <= capacity;
    if height <= bound || reached {
        return Known {
            complete: height <= bound,
            bound,
        };
    }
    let offset = |item: &Item| best.plan.placements[item.members[0].buffer].offset;
    let start: Vec<u64> = here.iter().map(offset).collect();
    let start = (!best.broken).then_some(start.as_slice());
    let range = Range {
        least: bound,
        most: (height - 1).min(capacity),
        grain: 1,
        fits: height <= capacity,
    };
    let outcome = lowest(task, &here, start, range, clock);
    let found = outcome.offsets.is_some();
    best.put(task, region, &here, &outcome.offsets.unwrap_or_default());
    Known {
        complete: outcome.complete && (task.goal == Goal::Lowest || !found),
        bound: outcome.lower_bound,
    }
}

/// The items that lie in a region; none if one of them lies there only in part.
///
/// A plan that was made from other items may have buffers in different regions that are
/// one item here. What is in the way in this region is then not known from these items.
fn items_in(best: &Attempt, items: &[Item], region: usize) -> Option<Vec<Item>> {
    let mut here = Vec::new();
    for item in items {
        let is_here = |member: &Member| {
            let placement = best.plan.placements[member.buffer];
            placement.region.index() == region
        };
        match item.members.iter().filter(|m| is_here(m)).count() {
            0 => {}
            all if all == item.members.len() => here.push(item.clone()),
            _ => return None,
        }
    }
    Some(here)
}

/// Searches for the lowest offsets of some items in one region. `start` is a plan that is
/// known already, if there is one; it may be too high.
pub(crate) fn lowest(
    task: &Task<'_>,
    items: &[Item],
    start: Option<&[u64]>,
    mut range: Range,
    clock: &mut Clock,
) -> Outcome {
    let unknown = Outcome {
        offsets: None,
        lower_bound: range.least,
        complete: range.least > range.most,
    };
    if unknown.complete || clock.is_over() {
        return unknown;
    }
    let spans: Vec<u64> = items.iter().map(|item| item.span).collect();
    if let Some(mut search) = Portfolio::new(items, start, clock) {
        range.grain = search.grain;
        minimise(&mut search, &spans, range, task.goal, clock)
    } else if let Some(mut search) = Disjunctive::new(&task.rules, items, clock) {
        minimise(&mut search, &spans, range, task.goal, clock)
    } else {
        unknown
    }
}

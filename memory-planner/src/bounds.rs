//! Lower bounds on the height of a region.

use alloc::vec::Vec;
use core::ops::Range;

use crate::items::Item;
use crate::problem::{MAX_BUFFERS, Problem, Region};
use crate::rules::Rules;
use crate::validate::allows;

/// Lower bounds of the heights of all regions.
pub(crate) struct Bounds {
    /// For each region, the height that the items need which can only be there.
    forced: Vec<u64>,
    /// The bytes that all items need together.
    peak: u64,
}

impl Bounds {
    pub(crate) fn new(problem: &Problem, rules: &Rules, items: &[Item]) -> Self {
        let regions = problem.regions.len();
        let forced = |region: usize| {
            let here = |item: &&Item| choices(problem, item).eq([region]);
            height_bound(rules, &items.iter().filter(here).collect::<Vec<_>>())
        };
        Self {
            forced: (0..regions).map(forced).collect(),
            peak: match regions {
                0 | 1 => 0,
                _ => peak(rules, &items.iter().collect::<Vec<_>>()),
            },
        }
    }

    /// A height below which no plan can get in one region, if the others use at most
    /// `heights`: their capacities, or less where that is known.
    pub(crate) fn region(&self, region: usize, heights: &[u64]) -> u64 {
        // What the other regions cannot hold at the busiest moment is left for this one.
        let others = (0..heights.len()).filter(|&other| other != region);
        let room = others
            .map(|other| heights[other])
            .fold(0, u64::saturating_add);
        self.forced[region].max(self.peak.saturating_sub(room))
    }

    /// The bounds of all regions, where the later regions keep the heights that they have.
    pub(crate) fn all(&self, problem: &Problem, heights: &[u64]) -> Vec<u64> {
        let mut room: Vec<u64> = problem.regions.iter().map(Region::usable).collect();
        let mut bounds = alloc::vec![0; heights.len()];
        for region in (0..heights.len()).rev() {
            bounds[region] = self.region(region, &room);
            room[region] = heights[region];
        }
        bounds
    }
}

/// The regions that every member of `item` may be placed in.
pub(crate) fn choices<'a>(
    problem: &'a Problem,
    item: &'a Item,
) -> impl Iterator<Item = usize> + 'a {
    (0..problem.regions.len()).filter(|&region| {
        item.members
            .iter()
            .all(|member| allows(&problem.buffers[member.buffer], region))
    })
}

/// A height below which no plan of these items in one region can get.
pub(crate) fn height_bound(rules: &Rules, items: &[&Item]) -> u64 {
    let end = |item: &&Item| item.fixed_offset.unwrap_or_else(|| item.align_up(0)) + item.span;
    let single = items.iter().map(end).max().unwrap_or(0);
    single.max(peak(rules, items))
}

/// The peak live bytes, less what relations may save.
fn peak(rules: &Rules, items: &[&Item]) -> u64 {
    let members: Vec<(usize, usize)> = (0..)
        .zip(items)
        .flat_map(|(index, item)| (0..item.members.len()).map(move |place| (index, place)))
        .collect();
    // Two events a buffer; at one moment, ends come before starts. The moment, which it is and
    // the member's number are one number, which is fast to sort.
    let mut events: Vec<u64> = Vec::with_capacity(2 * members.len());
    for (number, &(index, place)) in (0..).zip(&members) {
        let Range { start, end } = items[index].members[place].live;
        events.push(u64::from(start) << 32 | 1 << 31 | number);
        events.push(u64::from(end) << 32 | number);
    }
    events.sort_unstable();
    let mut live = Live::default();
    let mut bound = 0;
    for event in events {
        let (index, place) = members[event as usize & (MAX_BUFFERS - 1)];
        let starts = event >> 31 & 1 == 1;
        let member = &items[index].members[place];
        if starts {
            live.bytes += member.size;
            if items[index].related {
                live.related.push((member.size, index, place));
                live.related_bytes += member.size;
            }
            if live.bytes > bound {
                bound = bound.max(live.bytes - live.related_bytes + live.union(rules, items));
            }
        } else {
            live.bytes -= member.size;
            if items[index].related {
                live.related
                    .retain(|entry| (entry.1, entry.2) != (index, place));
                live.related_bytes -= member.size;
            }
        }
    }
    bound
}

/// The buffers that are live at one moment.
#[derive(Default)]
struct Live {
    bytes: u64,
    /// Size, item and member of those that have a relation.
    related: Vec<(u64, usize, usize)>,
    related_bytes: u64,
    /// How many buffers and pairs of them [`Self::union`] has looked at.
    looked_at: usize,
}

/// Keeps the time for all moments together far below a second; beyond it the bound is
/// only weaker.
const MOST_LOOKS: usize = 1 << 20;

impl Live {
    /// The fewest bytes that the related buffers can cover together.
    ///
    /// Any set of buffers covers at least its sum of sizes less what its pairs can
    /// share. The set is chosen greedily, the largest buffers first.
    fn union(&mut self, rules: &Rules, items: &[&Item]) -> u64 {
        if self.looked_at > MOST_LOOKS {
            return 0;
        }
        // Keeps the work for one moment small; beyond it the bound is only weaker.
        const MOST_BUFFERS: usize = 128;
        self.looked_at += self.related.len();
        let mut order = self.related.clone();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let mut chosen: Vec<(usize, usize)> = Vec::new();
        let mut total = 0;
        for &(size, index, place) in order.iter().take(MOST_BUFFERS) {
            let member = &items[index].members[place];
            self.looked_at += chosen.len();
            let shared = chosen.iter().fold(0_u64, |shared, &(other, other_place)| {
                let other = &items[other].members[other_place];
                shared.saturating_add(rules.most_shared(member, other))
            });
            if shared < size {
                total += size - shared;
                chosen.push((index, place));
            }
        }
        total
    }
}

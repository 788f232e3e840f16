//! The greedy heuristic: items in some order, each at the lowest offset that is free.

use alloc::vec::Vec;
use core::ops::Range;

use crate::items::Item;
use crate::rules::{Rules, intersect, signed};

/// The items that are placed in one region so far.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// In the order of their offsets.
    entries: Vec<Entry>,
    /// Whether one of them has several members.
    has_groups: bool,
    scratch: Vec<(i64, i64)>,
    /// How many items were looked at so far.
    pub(crate) looked_at: u64,
}

/// To collect and sort a forbidden interval takes as long as to look at so many items.
const LOOKS_PER_INTERVAL: usize = 16;

#[derive(Clone, Debug)]
struct Entry {
    start: u64,
    end: u64,
    live: Range<u32>,
    item: usize,
}

impl Shelf {
    /// The items and their offsets.
    pub(crate) fn placed(&self) -> impl Iterator<Item = (usize, u64)> {
        self.entries.iter().map(|entry| (entry.item, entry.start))
    }

    /// Adds an item.
    pub(crate) fn put(&mut self, items: &[Item], item: usize, start: u64) {
        let place = self.entries.partition_point(|entry| entry.start < start);
        let (end, live) = (start + items[item].span, items[item].live.clone());
        self.has_groups |= items[item].members.len() > 1;
        self.entries.insert(
            place,
            Entry {
                start,
                end,
                live,
                item,
            },
        );
    }

    /// The lowest aligned offset that is free for an item; none if its fixed offset is not.
    pub(crate) fn lowest_offset(
        &mut self,
        rules: &Rules,
        items: &[Item],
        item: usize,
    ) -> Option<u64> {
        let new = &items[item];
        self.looked_at += self.entries.len() as u64;
        if self.has_groups || new.members.len() > 1 || new.related || new.fixed_offset.is_some() {
            return self.lowest_offset_of_any(rules, items, new);
        }
        let mut offset = new.align_up(0);
        for entry in &self.entries {
            if entry.start >= offset + new.span {
                break;
            }
            if entry.end > offset && intersect(&entry.live, &new.live) && entry.end > entry.start {
                offset = new.align_up(entry.end);
            }
        }
        Some(offset)
    }

    /// The same by the forbidden differences, which know every relation.
    fn lowest_offset_of_any(&mut self, rules: &Rules, items: &[Item], new: &Item) -> Option<u64> {
        self.scratch.clear();
        for entry in &self.entries {
            let at = signed(entry.start);
            rules.forbidden_items(&items[entry.item], new, |low, high| {
                if at + high >= 0 {
                    self.scratch.push((at + low, at + high));
                }
            });
        }
        self.looked_at += (self.scratch.len() * LOOKS_PER_INTERVAL) as u64;
        if let Some(fixed) = new.fixed_offset {
            let clashes = |&(low, high): &(i64, i64)| (low..=high).contains(&signed(fixed));
            return (!self.scratch.iter().any(clashes)).then_some(fixed);
        }
        self.scratch.sort_unstable();
        let mut offset = new.align_up(0);
        for &(low, high) in &self.scratch {
            if low > signed(offset) {
                break;
            }
            if high >= signed(offset) {
                offset = new.align_up(high.unsigned_abs() + 1);
            }
        }
        Some(offset)
    }
}

/// The orders that are tried, each a permutation of the items.
///
/// Items with a fixed offset come first in all of them.
pub(crate) fn orders(items: &[Item], overlaps: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let width = |item: &Item| item.live.end - item.live.start;
    let depth = overlap_depth(items.len(), overlaps);
    let by = |key: &dyn Fn(usize) -> (u64, u64)| {
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_cached_key(|&i| (items[i].fixed_offset.is_none(), key(i)));
        order
    };
    let descending = |value: u64| u64::MAX - value;
    let mut orders = alloc::vec![
        by(&|i| (descending(items[i].weight()), descending(items[i].area()))),
        by(&|i| (descending(items[i].area()), descending(items[i].weight()))),
        by(&|i| (
            descending(u64::from(width(&items[i]))),
            descending(items[i].weight())
        )),
        by(&|i| (
            u64::from(items[i].live.start),
            descending(items[i].weight())
        )),
        by(&|i| (
            descending(u64::from(items[i].live.end)),
            descending(items[i].weight())
        )),
    ];
    if !overlaps.is_empty() {
        orders.push(by(&|i| (depth[i], descending(items[i].weight()))));
        orders.push(by(&|i| (depth[i], u64::from(items[i].live.start))));
        orders.push(by(&|i| (depth[i], descending(u64::from(width(&items[i]))))));
    }
    orders
}

/// How many items have to lie below each one, where an overlap is to be used.
fn overlap_depth(count: usize, overlaps: &[(usize, usize)]) -> Vec<u64> {
    let mut depth = alloc::vec![0_u64; count];
    // Overlaps may form cycles, so the rounds are bounded.
    for _ in 0..count.min(256) {
        let mut changed = false;
        for &(lower, upper) in overlaps {
            if depth[upper] <= depth[lower] && depth[lower] < count as u64 {
                depth[upper] = depth[lower] + 1;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    depth
}

//! The greedy heuristic: items in some order, each at the lowest offset that is free.

use alloc::vec::Vec;

use crate::items::{Allowances, Item, signed};

/// The lowest aligned offset for `item` beside the items that are placed already.
///
/// `capacity` bounds the end of the item. `scratch` is working memory.
pub(crate) fn lowest_offset<'a>(
    allowances: &Allowances,
    item: &Item,
    placed: impl Iterator<Item = (&'a Item, u64)>,
    capacity: u64,
    scratch: &mut Vec<(i64, i64)>,
) -> Option<u64> {
    scratch.clear();
    for (other, at) in placed {
        let at = signed(at);
        allowances.forbidden_items(other, item, |low, high| {
            if at + high >= 0 {
                scratch.push((at + low, at + high));
            }
        });
    }
    let highest = capacity.checked_sub(item.span)?;
    if let Some(fixed) = item.fixed_offset {
        let free = scratch
            .iter()
            .all(|&(low, high)| !(low..=high).contains(&signed(fixed)));
        return (free && fixed <= highest).then_some(fixed);
    }
    scratch.sort_unstable();
    let mut offset = item.align_up(0);
    for &(low, high) in scratch.iter() {
        if low > signed(offset) {
            break;
        }
        if high >= signed(offset) {
            offset = item.align_up(high.unsigned_abs() + 1);
        }
    }
    (offset <= highest).then_some(offset)
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

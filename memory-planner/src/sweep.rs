//! The fastest plan: time goes by, and bytes are taken and given back.
//!
//! An item takes the smallest free block that it fits into, or one at the top, and keeps it
//! while any member is live. Nothing that relations allow is used, and what has a fixed
//! offset keeps its bytes for all time. A plan takes as long as to sort the items.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::attempt::Attempt;
use crate::bounds::choices;
use crate::items::Item;
use crate::solve::Task;

/// A plan, which may overflow the regions; none if that simple a plan obeys the rules nowhere.
pub(crate) fn sweep(task: &Task<'_>, items: &[Item]) -> Option<Attempt> {
    let problem = task.problem;
    let mut memories: Vec<Memory> = problem.regions.iter().map(|_| Memory::default()).collect();
    let mut region_of = alloc::vec![usize::MAX; problem.buffers.len()];
    let mut place_of = alloc::vec![(0, 0); items.len()];
    let order = order(items);
    let ends = ends(items);
    // The items that can lie in the only region. What is far away in memory is asked once.
    let is_lone = |item: &Item| {
        problem.regions.len() == 1
            && choices(problem, item).eq([0])
            && task.rules.apart(item).next().is_none()
    };
    let lone: Vec<bool> = items.iter().map(is_lone).collect();
    let mut ended = 0;
    for index in order {
        let item = &items[index];
        while let Some(&(end, before)) = ends.get(ended)
            && item.fixed_offset.is_none()
            && end <= item.live.start
        {
            let (region, at): (usize, u64) = place_of[before as usize];
            memories[region].give_back(at, items[before as usize].span);
            ended += 1;
        }
        let place = match lone[index] {
            true => Some((0, memories[0].place(item))),
            false => first_fit(task, item, &region_of, &memories),
        };
        let (region, at) = place?;
        let at = at?;
        memories[region].take(at, item.span);
        place_of[index] = (region, at);
        if !lone[index] {
            for member in &item.members {
                region_of[member.buffer] = region;
            }
        }
    }
    let placed = place_of.into_iter().enumerate();
    let placed: Vec<_> = placed
        .map(|(item, (region, at))| (item, region, at))
        .collect();
    Some(Attempt::new(problem, items, &placed, false))
}

/// The first region that has room for an item, else the last one that it may be placed in,
/// with the offset there, if there is one; none if no region is allowed.
fn first_fit(
    task: &Task<'_>,
    item: &Item,
    region_of: &[usize],
    memories: &[Memory],
) -> Option<(usize, Option<u64>)> {
    let is_allowed = |&region: &usize| {
        let mut apart = task.rules.apart(item);
        apart.all(|other| region_of[other] != region)
    };
    let mut place = None;
    for region in choices(task.problem, item).filter(is_allowed) {
        let at = memories[region].place(item);
        place = Some((region, at));
        if at.is_some_and(|at| at + item.span <= task.problem.regions[region].usable()) {
            break;
        }
    }
    place
}

/// Fixed items first, the lowest one first; then by starts, the larger one first.
fn order(items: &[Item]) -> Vec<usize> {
    let is_fixed = |&index: &usize| items[index].fixed_offset.is_some();
    let mut fixed: Vec<usize> = (0..items.len()).filter(is_fixed).collect();
    fixed.sort_by_key(|&index| (items[index].fixed_offset, Reverse(items[index].span)));
    let numbered = (0..).zip(items);
    let free = numbered.filter(|(_, item)| item.fixed_offset.is_none());
    // The keys beside each other: an item is far from the next one in memory.
    let mut free: Vec<(u32, Reverse<u64>, u32)> = free
        .map(|(index, item)| (item.live.start, Reverse(item.span), index))
        .collect();
    free.sort_unstable();
    fixed.extend(free.into_iter().map(|(.., index)| index as usize));
    fixed
}

/// When the items without a fixed offset end, in order. One that has ended by the time that
/// another starts has started before.
fn ends(items: &[Item]) -> Vec<(u32, u32)> {
    let numbered = (0..).zip(items);
    let free = numbered.filter(|(_, item)| item.fixed_offset.is_none());
    let mut ends: Vec<(u32, u32)> = free.map(|(index, item)| (item.live.end, index)).collect();
    ends.sort_unstable();
    ends
}

/// The free bytes of a region.
#[derive(Default)]
struct Memory {
    /// Blocks below the top: the end of each by its start, and all by size.
    free: BTreeMap<u64, u64>,
    by_size: BTreeSet<(u64, u64)>,
    /// From here on, all is free.
    top: u64,
}

/// So many blocks are tried, the smallest ones that may do. An alignment may rule out some.
const TRIES: usize = 16;

impl Memory {
    /// Where an item fits; none if it has a fixed offset that is not free.
    fn place(&self, item: &Item) -> Option<u64> {
        if let Some(fixed) = item.fixed_offset {
            return (fixed >= self.top || item.span == 0).then_some(fixed);
        }
        let large_enough = self.by_size.range((item.span, 0)..).take(TRIES);
        let fits = |&(size, start): &(u64, u64)| {
            let at = item.align_up(start);
            (at + item.span <= start + size).then_some(at)
        };
        let block = large_enough.filter_map(fits).next();
        Some(block.unwrap_or_else(|| item.align_up(self.top)))
    }

    /// Takes bytes that are free.
    fn take(&mut self, at: u64, size: u64) {
        let end = at + size;
        if size == 0 {
            return;
        }
        if at >= self.top {
            self.insert(self.top, at);
            self.top = end;
        } else if let Some((&start, &free_end)) = self.free.range(..=at).next_back() {
            self.remove(start, free_end);
            self.insert(start, at);
            self.insert(end, free_end);
        }
    }

    fn give_back(&mut self, at: u64, size: u64) {
        let (mut start, mut end) = (at, at + size);
        if size == 0 {
            return;
        }
        if let Some((&before, &its_end)) = self.free.range(..at).next_back()
            && its_end == at
        {
            self.remove(before, its_end);
            start = before;
        }
        if let Some(&its_end) = self.free.get(&end) {
            self.remove(end, its_end);
            end = its_end;
        }
        if end == self.top {
            self.top = start;
        } else {
            self.insert(start, end);
        }
    }

    fn insert(&mut self, start: u64, end: u64) {
        if start < end {
            self.free.insert(start, end);
            self.by_size.insert((end - start, start));
        }
    }

    fn remove(&mut self, start: u64, end: u64) {
        self.free.remove(&start);
        self.by_size.remove(&(end - start, start));
    }
}

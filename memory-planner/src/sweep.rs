//! The fastest plan: time goes by, and bytes are taken and given back.
//!
//! An item takes the smallest free block that it fits into, or one at the top, and keeps it
//! while any member is live. Nothing that relations allow is used, and what has a fixed
//! offset keeps its bytes for all time. A plan takes as long as to sort the items.

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap};
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
    let mut order: Vec<usize> = (0..items.len()).collect();
    // Fixed items first, the lowest one first.
    order.sort_unstable_by_key(|&i| {
        let item = &items[i];
        let start = item.fixed_offset.is_none().then_some(item.live.start);
        (start, item.fixed_offset, Reverse(item.span), i)
    });
    let mut ends: BinaryHeap<Reverse<(u32, usize)>> = BinaryHeap::new();
    for index in order {
        let item = &items[index];
        while let Some(&Reverse((end, ended))) = ends.peek()
            && item.fixed_offset.is_none()
            && end <= item.live.start
        {
            ends.pop();
            let (region, at): (usize, u64) = place_of[ended];
            memories[region].give_back(at, items[ended].span);
        }
        let is_allowed = |&region: &usize| {
            let mut apart = task.rules.apart(item);
            apart.all(|other| region_of[other] != region)
        };
        let allowed: Vec<usize> = choices(problem, item).filter(is_allowed).collect();
        let room = |region: usize| problem.regions[region].usable();
        let mut places = allowed.iter().map(|&r| (r, memories[r].place(item)));
        let fitting =
            places.find(|&(region, at)| at.is_some_and(|at| at + item.span <= room(region)));
        let (region, at) = match fitting {
            Some((region, at)) => (region, at?),
            // It overflows the last region that it may be placed in.
            None => {
                let region = *allowed.last()?;
                (region, memories[region].place(item)?)
            }
        };
        memories[region].take(at, item.span);
        place_of[index] = (region, at);
        for member in &item.members {
            region_of[member.buffer] = region;
        }
        if item.fixed_offset.is_none() {
            ends.push(Reverse((item.live.end, index)));
        }
    }
    let placed = place_of.into_iter().enumerate();
    let placed: Vec<_> = placed
        .map(|(item, (region, at))| (item, region, at))
        .collect();
    Some(Attempt::new(problem, items, &placed, false))
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

//! The greedy heuristic: items in some order, each at the lowest offset that is free.

use alloc::vec::Vec;
use core::ops::Range;

use crate::items::Item;
use crate::neighbours::Neighbours;
use crate::portfolio::SORTING;
use crate::rules::{Rules, intersect, signed};

/// The items that are placed so far, in all regions.
pub(crate) struct Shelves<'a> {
    rules: &'a Rules,
    items: &'a [Item],
    kind: Kind<'a>,
    scratch: Vec<(i64, i64)>,
    /// How many items were looked at so far.
    pub(crate) looked_at: u64,
}

/// To collect and sort a forbidden interval takes as long as to look at so many items.
const LOOKS_PER_INTERVAL: usize = 16;

/// How the placed items are found that are in the way of another one.
enum Kind<'a> {
    /// Where most items are live together: the items of each region, by their offsets.
    Lists(Vec<Shelf>),
    /// Where few are: those that are live together with an item.
    Index {
        neighbours: &'a Neighbours,
        /// The region and the offset of each item that is placed.
        placed: Vec<Option<(usize, u64)>>,
    },
}

/// The items in one region, in the order of their offsets.
#[derive(Default)]
struct Shelf {
    entries: Vec<Entry>,
    /// Whether one of them has several members.
    has_groups: bool,
}

struct Entry {
    start: u64,
    end: u64,
    live: Range<u32>,
    item: usize,
}

impl<'a> Shelves<'a> {
    /// Nothing is placed. `neighbours` is an index of the items' live ranges.
    pub(crate) fn new(
        rules: &'a Rules,
        items: &'a [Item],
        neighbours: Option<&'a Neighbours>,
        regions: usize,
    ) -> Self {
        let kind = match neighbours {
            Some(neighbours) => Kind::Index {
                neighbours,
                placed: alloc::vec![None; items.len()],
            },
            None => Kind::Lists((0..regions).map(|_| Shelf::default()).collect()),
        };
        Self {
            rules,
            items,
            kind,
            scratch: Vec::new(),
            looked_at: 0,
        }
    }

    /// The items with their regions and offsets.
    pub(crate) fn placed(&self) -> Vec<(usize, usize, u64)> {
        match &self.kind {
            Kind::Lists(shelves) => {
                let all = shelves.iter().enumerate();
                let entries = all.flat_map(|(region, shelf)| {
                    let entry = move |entry: &Entry| (entry.item, region, entry.start);
                    shelf.entries.iter().map(entry)
                });
                entries.collect()
            }
            Kind::Index { placed, .. } => {
                let all = placed.iter().enumerate();
                all.filter_map(|(item, place)| place.map(|(region, at)| (item, region, at)))
                    .collect()
            }
        }
    }

    /// Adds an item.
    pub(crate) fn put(&mut self, item: usize, region: usize, start: u64) {
        match &mut self.kind {
            Kind::Lists(shelves) => {
                let (shelf, new) = (&mut shelves[region], &self.items[item]);
                let place = shelf.entries.partition_point(|entry| entry.start < start);
                shelf.has_groups |= new.members.len() > 1;
                let entry = Entry {
                    start,
                    end: start + new.span,
                    live: new.live.clone(),
                    item,
                };
                shelf.entries.insert(place, entry);
            }
            Kind::Index { placed, .. } => placed[item] = Some((region, start)),
        }
    }

    /// The lowest aligned offset in a region that is free for an item; none if its fixed
    /// offset is not.
    pub(crate) fn lowest_offset(&mut self, item: usize, region: usize) -> Option<u64> {
        let new = &self.items[item];
        let (rules, items, scratch) = (self.rules, self.items, &mut self.scratch);
        scratch.clear();
        let mut forbid = |other: usize, at: u64| {
            rules.forbidden_items(&items[other], new, |low, high| {
                scratch.push((signed(at) + low, signed(at) + high));
            });
        };
        match &self.kind {
            Kind::Lists(shelves) => {
                let shelf = &shelves[region];
                self.looked_at += shelf.entries.len() as u64;
                let is_single = !shelf.has_groups && new.members.len() == 1;
                if is_single && new.fixed_offset.is_none() {
                    return Some(self.between_entries(new, region));
                }
                for entry in &shelf.entries {
                    forbid(entry.item, entry.start);
                }
                self.looked_at += (self.scratch.len() * LOOKS_PER_INTERVAL) as u64;
            }
            Kind::Index { neighbours, placed } => {
                let mut looked_at = 0;
                for other in neighbours.of(&new.live) {
                    looked_at += 1;
                    if let Some((its_region, at)) = placed[other]
                        && its_region == region
                    {
                        forbid(other, at);
                    }
                }
                self.looked_at += looked_at * SORTING;
            }
        }
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
            rise(&mut offset, new, (low, high));
        }
        Some(offset)
    }

    /// The same where all items have one member, from a list in the order of the offsets.
    fn between_entries(&mut self, new: &Item, region: usize) -> u64 {
        let Kind::Lists(shelves) = &self.kind else {
            return 0;
        };
        let entries = &shelves[region].entries;
        let buffer = new.members[0].buffer;
        let is_partner = |entry: &&Entry| {
            let other = &self.items[entry.item];
            other.related && self.rules.are_partners(buffer, other.members[0].buffer)
        };
        // What relations allow is no interval of the list's order, but that of few items.
        if new.related {
            for entry in entries.iter().filter(is_partner) {
                let other = &self.items[entry.item];
                self.rules.forbidden_items(other, new, |low, high| {
                    let at = signed(entry.start);
                    self.scratch.push((at + low, at + high));
                });
            }
            self.scratch.sort_unstable();
        }
        let mut special = self.scratch.iter().peekable();
        let mut offset = new.align_up(0);
        for entry in entries {
            let low = signed(entry.start) - signed(new.span) + 1;
            while let Some(interval) = special.next_if(|interval| interval.0 <= low) {
                rise(&mut offset, new, *interval);
            }
            if low > signed(offset) {
                break;
            }
            if entry.end > offset
                && intersect(&entry.live, &new.live)
                && entry.end > entry.start
                && !(new.related && is_partner(&entry))
            {
                offset = new.align_up(entry.end);
            }
        }
        for interval in special {
            rise(&mut offset, new, *interval);
        }
        offset
    }
}

/// Raises an offset above an inclusive interval that it may not lie in.
fn rise(offset: &mut u64, item: &Item, (low, high): (i64, i64)) {
    if low <= signed(*offset) && signed(*offset) <= high {
        *offset = item.align_up(high.unsigned_abs() + 1);
    }
}

/// The orders that are tried, each a permutation of the items.
///
/// Items with a fixed offset come first in all but the shuffled ones.
pub(crate) struct Orders<'a> {
    items: &'a [Item],
    /// How many items have to lie below each one; empty if overlaps are allowed nowhere.
    depth: Vec<u64>,
    next: u32,
    /// The number of orders at random, always the same ones.
    shuffles: u32,
    random: u64,
}

impl<'a> Orders<'a> {
    /// `overlaps` are pairs (lower, upper) of items for which an overlap is allowed.
    pub(crate) fn new(items: &'a [Item], overlaps: &[(usize, usize)], shuffles: u32) -> Self {
        Self {
            items,
            depth: match overlaps {
                [] => Vec::new(),
                _ => overlap_depth(items.len(), overlaps),
            },
            next: 0,
            shuffles,
            random: 1,
        }
    }

    fn shuffled(&mut self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        for index in (1..order.len()).rev() {
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            order.swap(index, (self.random >> 33) as usize % (index + 1));
        }
        order
    }
}

impl Iterator for Orders<'_> {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        const PLAIN: u32 = 5;
        let with_depth = if self.depth.is_empty() { 0 } else { 3 };
        let number = self.next;
        self.next += 1;
        if number >= PLAIN + with_depth {
            let is_left = number < PLAIN + with_depth + self.shuffles;
            return is_left.then(|| self.shuffled());
        }
        let descending = |value: u64| u64::MAX - value;
        let weight = |item: &Item| descending(item.weight());
        let width = |item: &Item| descending((item.live.end - item.live.start).into());
        let key = |i: usize| {
            let item = &self.items[i];
            let key = match number {
                0 => (weight(item), descending(item.area())),
                1 => (descending(item.area()), weight(item)),
                2 => (width(item), weight(item)),
                3 => (item.live.start.into(), weight(item)),
                4 => (descending(item.live.end.into()), weight(item)),
                5 => (self.depth[i], weight(item)),
                6 => (self.depth[i], item.live.start.into()),
                _ => (self.depth[i], width(item)),
            };
            (item.fixed_offset.is_none(), key)
        };
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_cached_key(|&i| key(i));
        Some(order)
    }
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

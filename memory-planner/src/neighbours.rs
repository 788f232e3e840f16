//! Finds the live ranges that have a moment in common with a given one.
//!
//! A segment tree over the moments at which ranges start tells what is live at one of them;
//! a list in the order of the starts tells what starts later. Together they name each
//! neighbour once, in time proportional to their number.

use alloc::vec::Vec;
use core::ops::Range;

/// An index of live ranges.
#[derive(Debug)]
pub(crate) struct Neighbours {
    /// The moments at which ranges start, in order, each once.
    moments: Vec<u32>,
    /// The ranges in the order of their starts, and where those of each moment begin.
    by_start: Vec<u32>,
    first_of_moment: Vec<u32>,
    /// The ranges that each node of the tree holds: `held[first_of_node[node]..]` up to where
    /// the next node's begin. The leaf of moment `m` is node `moments.len() + m`.
    held: Vec<u32>,
    first_of_node: Vec<u32>,
    ends: Vec<u32>,
}

impl Neighbours {
    /// Fewer than 2^32 ranges, none of them empty.
    pub(crate) fn new(ranges: &[Range<u32>]) -> Self {
        let mut moments: Vec<u32> = ranges.iter().map(|range| range.start).collect();
        moments.sort_unstable();
        moments.dedup();
        let place = |moment: u32| moments.partition_point(|&start| start < moment);
        let spans: Vec<Range<usize>> = ranges
            .iter()
            .map(|range| place(range.start)..place(range.end))
            .collect();
        let starts = || spans.iter().map(|span| span.start);
        let (by_start, first_of_moment) = grouped(moments.len(), starts().map(core::iter::once));
        let leaves = moments.len();
        let (held, first_of_node) = grouped(
            2 * leaves,
            spans.iter().map(|span| covering(leaves, span.clone())),
        );
        let mut ends: Vec<u32> = ranges.iter().map(|range| range.end).collect();
        ends.sort_unstable();
        Self {
            moments,
            by_start,
            first_of_moment,
            held,
            first_of_node,
            ends,
        }
    }

    /// The ranges that have a moment in common with `range`, which is one of them: itself
    /// too, in no particular order.
    pub(crate) fn of<'a>(&'a self, range: &Range<u32>) -> impl Iterator<Item = usize> + use<'a> {
        let start = self.moments.partition_point(|&m| m < range.start);
        let end = self.moments.partition_point(|&m| m < range.end);
        let mut node = start + self.moments.len();
        let path = core::iter::from_fn(move || {
            let here = node;
            node /= 2;
            (here > 0).then_some(here)
        });
        let live = path.flat_map(|node| group(&self.held, &self.first_of_node, node..node + 1));
        let later = group(&self.by_start, &self.first_of_moment, start + 1..end);
        live.chain(later).map(|&index| index as usize)
    }

    /// The mean number of neighbours of some of the ranges.
    pub(crate) fn mean(&self, ranges: &[Range<u32>]) -> u64 {
        let sum: usize = ranges.iter().map(|range| self.count(range)).sum();
        sum as u64 / ranges.len().max(1) as u64
    }

    /// The number of ranges that [`Self::of`] returns.
    pub(crate) fn count(&self, range: &Range<u32>) -> usize {
        let started = self.moments.partition_point(|&m| m < range.end);
        let over = self.ends.partition_point(|&end| end <= range.start);
        self.first_of_moment[started] as usize - over
    }
}

/// The nodes of a segment tree that cover some leaves together.
fn covering(leaves: usize, span: Range<usize>) -> impl Iterator<Item = usize> + Clone {
    let (mut low, mut high) = (span.start + leaves, span.end + leaves);
    core::iter::from_fn(move || {
        while low < high {
            if low % 2 == 1 {
                low += 1;
                return Some(low - 1);
            }
            if high % 2 == 1 {
                high -= 1;
                return Some(high);
            }
            low /= 2;
            high /= 2;
        }
        None
    })
}

/// Sorts indices into groups: all groups one after the other, and where each begins.
fn grouped<G: Iterator<Item = usize>>(
    count: usize,
    groups: impl Iterator<Item = G> + Clone,
) -> (Vec<u32>, Vec<u32>) {
    let mut first = alloc::vec![0_u32; count + 2];
    for group in groups.clone().flatten() {
        first[group + 2] += 1;
    }
    for at in 2..first.len() {
        first[at] += first[at - 1];
    }
    let mut members = alloc::vec![0; first[count + 1] as usize];
    for (index, groups) in (0..).zip(groups) {
        for group in groups {
            members[first[group + 1] as usize] = index;
            first[group + 1] += 1;
        }
    }
    first.pop();
    (members, first)
}

/// The members of some consecutive groups.
fn group<'a>(members: &'a [u32], first: &[u32], groups: Range<usize>) -> &'a [u32] {
    if groups.start >= groups.end {
        return &[];
    }
    &members[first[groups.start] as usize..first[groups.end] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::intersect;

    #[test]
    fn every_neighbour_is_named_once() {
        let mut state = 1_u64;
        let mut below = |limit: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u32 % limit
        };
        for round in 0..300 {
            let ranges: Vec<Range<u32>> = (0..1 + below(40))
                .map(|_| {
                    let start = below(1 + round % 50);
                    start..start + 1 + below(1 + round % 20)
                })
                .collect();
            let neighbours = Neighbours::new(&ranges);
            for range in &ranges {
                let mut found: Vec<usize> = neighbours.of(range).collect();
                assert_eq!(found.len(), neighbours.count(range));
                found.sort_unstable();
                let meets = |&index: &usize| intersect(&ranges[index], range);
                let expected: Vec<usize> = (0..ranges.len()).filter(meets).collect();
                assert_eq!(found, expected, "{range:?} of {ranges:?}");
            }
        }
    }
}

//! Puts rectangles together that were probably cut from one.
//!
//! Where buffers fill the memory at nearly all moments, hardly a place is a choice: they fit
//! as the parts of a rectangle that was cut again and again. The last cut left two parts side
//! by side: of one live range, one above the other, or of one size, one live until the other
//! begins. To undo cuts is a guess, for equal sizes may be an accident; but sizes are large
//! numbers and accidents rare, so what is left is a puzzle of some tens of rectangles in place
//! of hundreds, which the exact search solves soon.
//!
//! A side of a cut in time may itself consist of several parts of one live range, so what is
//! looked for is a few rectangles that end at a moment, and a few that begin there, whose
//! sizes have the same sum. The fewer they are, the less likely is an accident.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::clock::Clock;
use crate::stacks::Rect;

/// More rectangles are never put together: the effort grows with the square of their number.
const MOST_RECTS: usize = 1 << 12;

/// Of the rectangles with one live range, so many are tried together.
const MOST_IN_GROUP: usize = 8;

/// Sums that are compared at one moment, at most.
const MOST_SUMS: usize = 1 << 10;

/// So many sums are made and sorted in the time of one step.
const SUMS_PER_STEP: u64 = 256;

/// The rectangles that one consists of, and their offsets in it.
type Parts = Vec<(usize, u64)>;

/// Rectangles that were put together from others.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) rects: Vec<Rect>,
    parts: Vec<Parts>,
}

impl Joined {
    /// Undoes cuts until no pair of sides is left. Other rounds break ties in another way,
    /// and most of them leave alone what many rectangles would have to agree on.
    ///
    /// None if that leaves more than half of the rectangles: it is no such puzzle. None too
    /// if the time is over.
    pub(crate) fn new(rects: &[Rect], round: u32, clock: &mut Clock) -> Option<Self> {
        let sections = rects.iter().map(|rect| rect.end).max()?;
        let alignment = rects.iter().map(|rect| rect.alignment).max()?;
        let is_aligned = rects.iter().all(|rect| rect.size.is_multiple_of(alignment));
        if rects.len() > MOST_RECTS || !is_aligned || !is_full(rects, sections) {
            return None;
        }
        let mut puzzle = Puzzle::new(rects, round);
        let mut best: Vec<Option<Cut>> = Vec::with_capacity(sections);
        for at in 0..sections {
            best.push(puzzle.best_cut(at, clock));
        }
        let most = [u32::MAX, 3, 2, 4][round as usize % 4];
        while let Some(cut) = best.iter().flatten().min_by_key(|cut| cut.key).cloned()
            && cut.key.0 <= most
        {
            let [first, end] = puzzle.undo(&cut);
            for at in [first, cut.at, end] {
                if let Some(best) = best.get_mut(at) {
                    *best = puzzle.best_cut(at, clock);
                }
            }
        }
        if clock.is_over() {
            return None;
        }
        let (rects_left, parts): (Vec<_>, Vec<_>) = puzzle.nodes.into_iter().flatten().unzip();
        (2 * rects_left.len() <= rects.len()).then_some(Self {
            rects: rects_left,
            parts,
        })
    }

    /// The offsets of the rectangles that these were put together from.
    pub(crate) fn offsets(&self, joined: &[u64]) -> Vec<u64> {
        let count = self.parts.iter().map(Vec::len).sum();
        let mut offsets = alloc::vec![0; count];
        for (parts, at) in self.parts.iter().zip(joined) {
            for &(part, relative) in parts {
                offsets[part] = at + relative;
            }
        }
        offsets
    }
}

/// Whether seven eighths of the largest load are live on average.
fn is_full(rects: &[Rect], sections: usize) -> bool {
    let mut changes = alloc::vec![0_i128; sections + 1];
    for rect in rects {
        changes[rect.first] += i128::from(rect.size);
        changes[rect.end] -= i128::from(rect.size);
    }
    let (mut load, mut most, mut sum) = (0, 0, 0);
    for change in &changes[..sections] {
        load += change;
        most = most.max(load);
        sum += load;
    }
    8 * sum >= 7 * most * sections as i128
}

/// Two sides of a cut in time.
#[derive(Clone, Debug)]
struct Cut {
    at: usize,
    /// The number of rectangles, then what breaks ties.
    key: (u32, Reverse<u64>),
    before: Side,
    after: Side,
}

/// Some rectangles of one live range.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// The other end of the live range.
    far: usize,
    /// Which of the group.
    members: u32,
}

/// The rectangles as they are put together.
struct Puzzle {
    /// A rectangle and its parts; none once it is a part itself.
    nodes: Vec<Option<(Rect, Parts)>>,
    /// The nodes that begin at a section and end at another one, and the other way round.
    by_first: BTreeMap<(usize, usize), Vec<usize>>,
    by_end: BTreeMap<(usize, usize), Vec<usize>>,
    round: u32,
    random: u64,
}

impl Puzzle {
    fn new(rects: &[Rect], round: u32) -> Self {
        let mut puzzle = Self {
            nodes: Vec::new(),
            by_first: BTreeMap::new(),
            by_end: BTreeMap::new(),
            round,
            random: u64::from(round),
        };
        for (index, &rect) in rects.iter().enumerate() {
            puzzle.push(rect, alloc::vec![(index, 0)]);
        }
        puzzle
    }

    fn push(&mut self, rect: Rect, parts: Parts) {
        let index = self.nodes.len();
        self.nodes.push(Some((rect, parts)));
        let (first, end) = (rect.first, rect.end);
        self.by_first.entry((first, end)).or_default().push(index);
        self.by_end.entry((end, first)).or_default().push(index);
    }

    /// The cut of the fewest rectangles at a section; none if the time is over.
    fn best_cut(&mut self, at: usize, clock: &mut Clock) -> Option<Cut> {
        let before = self.sums(&self.by_end, at);
        let after = self.sums(&self.by_first, at);
        if !clock.spend(1 + (before.len() + after.len()) as u64 / SUMS_PER_STEP) {
            return None;
        }
        let mut best: Option<Cut> = None;
        let mut after = after.chunk_by(|a, b| a.0 == b.0).peekable();
        for before in before.chunk_by(|a, b| a.0 == b.0) {
            let sum = before[0].0;
            while after.next_if(|after| after[0].0 < sum).is_some() {}
            let Some(after) = after.next_if(|after| after[0].0 == sum) else {
                continue;
            };
            let [before, after] = [before, after].map(|sides| self.fewest(sides));
            // A large sum is seldom an accident. Later rounds try others first.
            let tie = match self.round {
                0 => sum,
                _ => next(&mut self.random),
            };
            let count = before.members.count_ones() + after.members.count_ones();
            let key = (count, Reverse(tie));
            if best.as_ref().is_none_or(|best| key < best.key) {
                best = Some(Cut {
                    at,
                    key,
                    before,
                    after,
                });
            }
        }
        best
    }

    /// The side of the fewest rectangles; in later rounds one of those at random.
    fn fewest(&mut self, sides: &[(u64, Side)]) -> Side {
        let tie = |random: &mut u64| match self.round {
            0 => 0,
            _ => next(random),
        };
        let key = |side: &Side, random: &mut u64| (side.members.count_ones(), tie(random));
        let mut best = sides[0].1;
        let mut least = key(&best, &mut self.random);
        for (_, side) in &sides[1..] {
            let key = key(side, &mut self.random);
            if key < least {
                (best, least) = (*side, key);
            }
        }
        best
    }

    /// The sums of sizes of some rectangles of one live range that ends at a section, or
    /// begins there, in order.
    fn sums(&self, groups: &BTreeMap<(usize, usize), Vec<usize>>, at: usize) -> Vec<(u64, Side)> {
        let mut sums = Vec::new();
        for (&(_, far), group) in groups.range((at, 0)..(at + 1, 0)) {
            let group = &group[..group.len().min(MOST_IN_GROUP)];
            for members in 1..1_u32 << group.len() {
                let chosen = (0..group.len()).filter(|index| members >> index & 1 == 1);
                let nodes = chosen.filter_map(|index| self.nodes[group[index]].as_ref());
                let sum = nodes.map(|(rect, _)| rect.size).sum();
                sums.push((sum, Side { far, members }));
                if sums.len() == MOST_SUMS {
                    break;
                }
            }
            if sums.len() == MOST_SUMS {
                break;
            }
        }
        sums.sort_unstable_by_key(|&(sum, _)| sum);
        sums
    }

    /// Makes one rectangle of both sides, and returns where it begins and ends.
    fn undo(&mut self, cut: &Cut) -> [usize; 2] {
        let (first, end) = (cut.before.far, cut.after.far);
        let before = self.take((first, cut.at), cut.before.members);
        let after = self.take((cut.at, end), cut.after.members);
        let mut joined = Rect {
            first,
            end,
            size: 0,
            alignment: 1,
        };
        let mut parts = Vec::new();
        for side in [before, after] {
            let mut at = 0;
            for (rect, its_parts) in side {
                joined.alignment = joined.alignment.max(rect.alignment);
                parts.extend(its_parts.iter().map(|&(part, offset)| (part, at + offset)));
                at += rect.size;
            }
            joined.size = at;
        }
        self.push(joined, parts);
        [first, end]
    }

    /// Takes some nodes out of a group.
    fn take(&mut self, (first, end): (usize, usize), members: u32) -> Vec<(Rect, Parts)> {
        let Some(group) = self.by_first.get(&(first, end)) else {
            return Vec::new();
        };
        let chosen = |&(index, _): &(usize, &usize)| index < 32 && members >> index & 1 == 1;
        let taken: Vec<usize> = group
            .iter()
            .enumerate()
            .filter(chosen)
            .map(|(_, &n)| n)
            .collect();
        for (groups, key) in [
            (&mut self.by_first, (first, end)),
            (&mut self.by_end, (end, first)),
        ] {
            if let Some(group) = groups.get_mut(&key) {
                group.retain(|node| !taken.contains(node));
                if group.is_empty() {
                    groups.remove(&key);
                }
            }
        }
        taken
            .iter()
            .filter_map(|&node| self.nodes[node].take())
            .collect()
    }
}

/// The next number of a fixed sequence.
fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Budget;

    fn rect(live: core::ops::Range<usize>, size: u64) -> Rect {
        Rect {
            first: live.start,
            end: live.end,
            size,
            alignment: 1,
        }
    }

    fn joined(rects: &[Rect]) -> Option<Joined> {
        Joined::new(rects, 0, &mut Clock::new(&Budget::steps(1000)))
    }

    #[test]
    fn a_rectangle_that_was_cut_is_whole_again() {
        // Two below on the left are as high as three on the right, and one lies above all.
        let rects = [
            rect(0..2, 5),
            rect(2..3, 1),
            rect(0..2, 6),
            rect(2..3, 3),
            rect(2..3, 7),
            rect(0..3, 100),
        ];
        let joined = joined(&rects).unwrap();
        assert_eq!(joined.rects.len(), 2);
        let at = |live: core::ops::Range<usize>, size: u64| {
            let whole = joined
                .rects
                .iter()
                .position(|r| *r == rect(live.clone(), size));
            whole.map(|index| if index == 0 { 0 } else { joined.rects[0].size })
        };
        assert!(at(0..3, 11).is_some() && at(0..3, 100).is_some());
        let plan = [0, joined.rects[0].size];
        let mut offsets = joined.offsets(&plan);
        for (offset, rect) in offsets.iter_mut().zip(&rects) {
            *offset += rect.size;
        }
        assert_eq!(offsets.iter().max(), Some(&111));
    }

    #[test]
    fn what_is_no_puzzle_stays_as_it_is() {
        // Hardly anything fits anything.
        let rects = [rect(0..1, 5), rect(1..2, 6), rect(0..2, 9), rect(2..3, 14)];
        assert!(joined(&rects).is_none());
        // Half of the memory is free most of the time.
        let rects = [rect(0..1, 5), rect(1..9, 1), rect(9..10, 1)];
        assert!(joined(&rects).is_none());
        assert!(joined(&[]).is_none());
    }
}

//! Buffers without relations as rectangles: who is in whose way.
//!
//! A *section* is a moment; the buffers that are live then are stacked above each other.
//! A buffer is a rectangle that covers some sections, at the same height in all of them.

use alloc::vec::Vec;

use crate::items::Item;

/// A buffer as a rectangle whose place in time is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rect {
    /// The first section in which it is live, and the one after the last.
    pub(crate) first: usize,
    pub(crate) end: usize,
    pub(crate) size: u64,
    pub(crate) alignment: u64,
}

impl Rect {
    /// The lowest aligned offset that is at least `offset`.
    pub(crate) fn align_up(&self, offset: u64) -> u64 {
        let mask = self.alignment - 1;
        (offset + mask) & !mask
    }
}

/// Some tens of megabytes, and a moment to find out who meets whom.
const MOST_MEETINGS: usize = 1 << 24;

/// The rectangles and, derived from them, who is in whose way.
#[derive(Debug)]
pub(crate) struct Stacks {
    pub(crate) rects: Vec<Rect>,
    /// For each section, the rectangles in it.
    pub(crate) sections: Vec<Vec<u32>>,
    /// For each rectangle, those that share a section with it.
    pub(crate) neighbours: Vec<Vec<u32>>,
}

impl Stacks {
    /// None if there are so many meetings that the lists would be too long.
    pub(crate) fn new(rects: Vec<Rect>) -> Option<Self> {
        if meetings(&rects) > MOST_MEETINGS {
            return None;
        }
        let count = rects.iter().map(|rect| rect.end).max().unwrap_or(0);
        let mut sections: Vec<Vec<u32>> = (0..count).map(|_| Vec::new()).collect();
        let mut neighbours: Vec<Vec<u32>> = Vec::with_capacity(rects.len());
        for (index, rect) in (0..).zip(&rects) {
            for section in &mut sections[rect.first..rect.end] {
                section.push(index);
            }
            let meets = |other: &Rect| other.first < rect.end && rect.first < other.end;
            let others = (0..)
                .zip(&rects)
                .filter(|&(other, rect)| other != index && meets(rect));
            neighbours.push(others.map(|(other, _)| other).collect());
        }
        Some(Self {
            rects,
            sections,
            neighbours,
        })
    }
}

/// The number of entries that the sections and the neighbours have together.
fn meetings(rects: &[Rect]) -> usize {
    let mut ends: Vec<usize> = rects.iter().map(|rect| rect.end).collect();
    ends.sort_unstable();
    let gone = |rect: &Rect| ends.partition_point(|end| *end <= rect.first);
    // Each pair that does not meet is counted once, by the later of the two.
    let apart: usize = rects.iter().map(gone).sum();
    let covered: usize = rects.iter().map(|rect| rect.end - rect.first).sum();
    covered + rects.len() * rects.len() - 2 * apart
}

/// The moments at which sections begin.
///
/// Between a start and the next end, each further start only adds to what is live, so
/// the last of them has all the others' conflicts: one section is enough.
pub(crate) fn sections(items: &[&Item]) -> Vec<u32> {
    let mut events: Vec<(u32, bool)> = Vec::with_capacity(items.len() * 2);
    for item in items {
        events.push((item.live.start, true));
        events.push((item.live.end, false));
    }
    events.sort_unstable();
    let mut starts = Vec::new();
    for pair in events.windows(2) {
        if pair[0].1 && !pair[1].1 {
            starts.push(pair[0].0);
        }
    }
    starts
}

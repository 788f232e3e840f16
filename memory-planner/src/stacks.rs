//! Buffers without relations as rectangles: who is in whose way.
//!
//! A *section* is a moment; the buffers that are live then are stacked above each other.
//! A buffer is a rectangle that covers some sections, at the same height in all of them.

use alloc::vec::Vec;
use core::ops::Range;

use crate::clock::Clock;
use crate::neighbours::Neighbours;

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
    /// The sections in which it is live.
    pub(crate) fn live(&self) -> Range<u32> {
        self.first as u32..self.end as u32
    }

    /// The lowest aligned offset that is at least `offset`.
    pub(crate) fn align_up(&self, offset: u64) -> u64 {
        let mask = self.alignment - 1;
        (offset + mask) & !mask
    }
}

/// Some tens of megabytes, and a moment to find out who meets whom.
const MOST_MEETINGS: usize = 1 << 24;

/// A decision looks at every rectangle that is not placed, and a plan takes as many decisions
/// as there are rectangles.
const MOST_RECTS: usize = 1 << 13;

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
    /// None if there are so many rectangles or meetings that a search would take too long,
    /// or the time is over.
    pub(crate) fn new(
        rects: Vec<Rect>,
        neighbours_of: &Neighbours,
        clock: &mut Clock,
    ) -> Option<Self> {
        let covered: usize = rects.iter().map(|rect| rect.end - rect.first).sum();
        let met = rects.iter().map(|rect| neighbours_of.count(&rect.live()));
        if rects.len() > MOST_RECTS || covered + met.sum::<usize>() > MOST_MEETINGS {
            return None;
        }
        let count = rects.iter().map(|rect| rect.end).max().unwrap_or(0);
        let mut sections: Vec<Vec<u32>> = (0..count).map(|_| Vec::new()).collect();
        let mut neighbours: Vec<Vec<u32>> = Vec::with_capacity(rects.len());
        for (index, rect) in (0..).zip(&rects) {
            if clock.is_late() {
                return None;
            }
            for section in &mut sections[rect.first..rect.end] {
                section.push(index);
            }
            let others = neighbours_of.of(&rect.live()).map(|other| other as u32);
            let mut others: Vec<u32> = others.filter(|other| *other != index).collect();
            others.sort_unstable();
            neighbours.push(others);
        }
        Some(Self {
            rects,
            sections,
            neighbours,
        })
    }
}

/// The moments at which sections begin.
///
/// Between a start and the next end, each further start only adds to what is live, so
/// the last of them has all the others' conflicts: one section is enough.
pub(crate) fn sections(live: impl Iterator<Item = Range<u32>>) -> Vec<u32> {
    let mut events: Vec<(u32, bool)> = live
        .flat_map(|live| [(live.start, true), (live.end, false)])
        .collect();
    events.sort_unstable();
    let mut starts = Vec::new();
    for pair in events.windows(2) {
        if pair[0].1 && !pair[1].1 {
            starts.push(pair[0].0);
        }
    }
    starts
}

//! The strong exact search: whether buffers without relations fit a capacity.
//!
//! A *section* is a moment; the buffers that are live then are stacked above each other.
//! A buffer is a rectangle that covers some sections, at the same height in all of them.
//! Only *canonical* plans are looked for, in which each buffer lies on the ground or on
//! another buffer: pushing buffers down turns any plan into one.
//!
//! All stacks grow from the bottom, level by level. The level is the lowest offset that
//! any rectangle can still have, so nothing will ever lie below it. A decision is about
//! one section at the level: which rectangle comes next in it, or that none lies exactly
//! there and the section wastes a few bytes. The section with the fewest ways on and the
//! least to waste is decided first, and sections that failed often before the others.
//!
//! A node fails when some section's remaining rectangles, all of them above its floor,
//! exceed the capacity. The decisions that raised the floor are the *conflict*. When all
//! ways of a decision have failed, their conflicts together say which earlier decision to
//! go back to: decisions about unrelated parts of the problem are skipped.

mod moves;
mod reasons;

use alloc::vec::Vec;
use core::cell::Cell;

use crate::attempt::LOOKS_PER_STEP;
use crate::clock::Clock;
use crate::depths::Depths;
use crate::minimise::Ending;
use crate::stacks::Stacks;

/// The knowledge that a search leaves to the next one: how often each section failed.
#[derive(Debug)]
pub(crate) struct Memory {
    weights: Vec<u64>,
}

impl Memory {
    pub(crate) fn new(stacks: &Stacks) -> Self {
        Self {
            weights: alloc::vec![1; stacks.sections.len()],
        }
    }
}

/// One decision: the section that it is about, and what is left to try.
struct Frame {
    section: usize,
    level: u64,
    /// The rectangles that may come next in the section, the best last.
    candidates: Vec<u32>,
    /// Whether nothing at all at this level is still to be tried.
    may_raise: bool,
    /// Whether that is what is being tried.
    raised: bool,
    /// Whether some rectangle is no candidate because nothing is below it.
    unsupported: bool,
    placed: Option<u32>,
    trail: usize,
    /// Earlier decisions that the failures below this one depend on.
    conflict: Depths,
}

/// A lowest offset of a rectangle.
#[derive(Clone, Copy, Debug)]
struct Low {
    value: u64,
    /// The decision that raised it to this.
    depth: u32,
    /// Whether it lies on something there.
    supported: bool,
}

/// The state of one search.
pub(crate) struct Search<'a> {
    stacks: &'a Stacks,
    capacity: u64,
    /// The preference of each rectangle: higher is tried first.
    preference: &'a [u128],
    memory: &'a mut Memory,
    /// The lowest offset of each rectangle that is possible above what is placed; once it
    /// is placed, its offset.
    low: Vec<u64>,
    /// The depth at which a rectangle was placed, if it is.
    placed_at: Vec<u32>,
    /// For each rectangle, the values that its lowest offset took.
    history: Vec<Vec<Low>>,
    /// The rectangles whose lowest offset was raised, in order.
    trail: Vec<u32>,
    /// The rectangles that are not placed, in no order, and the place of each in it.
    unplaced: Vec<u32>,
    place_in_unplaced: Vec<u32>,
    /// The total size of what is not placed yet, for each section.
    rest: Vec<u64>,
    frames: Vec<Frame>,
    /// For each section, a rectangle that could be placed at its floor when last looked at.
    witness: Vec<u32>,
    /// For each section, the rectangles that can come next; working memory.
    counts: Vec<u32>,
    /// Scales slacks down to 20 bits.
    shift: u32,
    /// How many rectangles were looked at since steps were last counted.
    looked_at: Cell<u64>,
}

const UNPLACED: u32 = u32::MAX;

impl<'a> Search<'a> {
    pub(crate) fn new(
        stacks: &'a Stacks,
        capacity: u64,
        preference: &'a [u128],
        memory: &'a mut Memory,
    ) -> Self {
        let count = stacks.rects.len();
        let size = |&index: &u32| stacks.rects[index as usize].size;
        Self {
            capacity,
            preference,
            memory,
            low: alloc::vec![0; count],
            placed_at: alloc::vec![UNPLACED; count],
            history: alloc::vec![Vec::new(); count],
            trail: Vec::new(),
            rest: stacks
                .sections
                .iter()
                .map(|s| s.iter().map(size).sum())
                .collect(),
            frames: Vec::new(),
            unplaced: (0..).take(count).collect(),
            place_in_unplaced: (0..).take(count).collect(),
            witness: stacks.sections.iter().map(|section| section[0]).collect(),
            counts: alloc::vec![0; stacks.sections.len()],
            shift: (64 - capacity.leading_zeros()).saturating_sub(20),
            looked_at: Cell::new(0),
            stacks,
        }
    }

    pub(crate) fn run(&mut self, clock: &mut Clock) -> Ending {
        if self.rest.iter().any(|&rest| rest > self.capacity) {
            return Ending::Nothing;
        }
        loop {
            if !self.push_frame() {
                return Ending::Plan(self.low.clone());
            }
            let mut conflict = None;
            loop {
                let looked_at = self.looked_at.take();
                if !clock.spend(1 + looked_at / LOOKS_PER_STEP) {
                    return Ending::OutOfBudget;
                }
                match self.advance(conflict.take()) {
                    Ok(()) => break,
                    Err(Some(next)) => conflict = Some(next),
                    Err(None) => return Ending::Nothing,
                }
            }
        }
    }

    /// Chooses the next section to decide about; false if everything is placed.
    fn push_frame(&mut self) -> bool {
        let Some(level) = self.unplaced.iter().map(|&i| self.low[i as usize]).min() else {
            return false;
        };
        self.look(self.unplaced.len() + self.counts.len());
        self.counts.fill(0);
        for &i in &self.unplaced {
            if self.low[i as usize] == level {
                let rect = self.stacks.rects[i as usize];
                for count in &mut self.counts[rect.first..rect.end] {
                    *count += 1;
                }
            }
        }
        let mut best: Option<(u64, usize)> = None;
        for (section, &count) in self.counts.iter().enumerate() {
            if count == 0 {
                continue;
            }
            let slack = self.capacity - level - self.rest[section];
            let branches = if slack == 0 { count } else { count + 1 };
            let (branches, slack) = (u64::from(branches), slack >> self.shift);
            let score = (((10 * branches - 9) * ((self.capacity >> self.shift) + 40 * slack))
                << 10)
                / self.memory.weights[section];
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, section));
            }
        }
        let Some((_, section)) = best else {
            return false;
        };
        let mut candidates: Vec<u32> = self.stacks.sections[section]
            .iter()
            .copied()
            .filter(|&i| self.placed_at[i as usize] == UNPLACED && self.low[i as usize] == level)
            .collect();
        let all = candidates.len();
        candidates.retain(|&i| self.is_supported(i as usize));
        let unsupported = candidates.len() < all;
        candidates.sort_by_key(|&i| (self.preference[i as usize], i));
        let rects = &self.stacks.rects;
        candidates.dedup_by_key(|i| rects[*i as usize]);
        self.frames.push(Frame {
            section,
            level,
            candidates,
            may_raise: level + self.rest[section] < self.capacity,
            raised: false,
            unsupported,
            placed: None,
            trail: self.trail.len(),
            conflict: Depths::default(),
        });
        true
    }

    /// Tries the next alternative, after the previous one failed because of `conflict`.
    ///
    /// An error carries the conflict of this attempt; none if there is nothing to try.
    fn advance(&mut self, conflict: Option<Depths>) -> Result<(), Option<Depths>> {
        if let Some(conflict) = conflict {
            let Some(depth) = conflict.last() else {
                return Err(None);
            };
            while self.frames.len() > depth as usize + 1 {
                self.undo();
                self.frames.pop();
            }
            self.undo();
            if self.frames[depth as usize].raised {
                let reasons = self.raise_reasons(depth);
                self.frames[depth as usize].conflict.add_all(&reasons);
            }
            let frame = &mut self.frames[depth as usize];
            frame.conflict.add_all(&conflict);
            frame.conflict.remove(depth);
        }
        let depth = self.frames.len() - 1;
        let frame = &mut self.frames[depth];
        let depth = depth as u32;
        if let Some(next) = frame.candidates.pop() {
            frame.placed = Some(next);
            return self.place(next, depth).map_err(Some);
        }
        if frame.may_raise {
            frame.may_raise = false;
            frame.raised = true;
            return self.raise(depth).map_err(Some);
        }
        // Everything failed: why the candidates were all there are.
        let (section, level, unsupported) = (frame.section, frame.level, frame.unsupported);
        let mut conflict = core::mem::take(&mut frame.conflict);
        for &i in &self.stacks.sections[section] {
            let i = i as usize;
            if self.placed_at[i] == UNPLACED {
                let value = if self.low[i] == level {
                    level
                } else {
                    level + 1
                };
                self.explain(i, value, &mut conflict);
            }
        }
        if unsupported {
            conflict.add_all(&self.raise_reasons(depth));
        }
        conflict.remove(depth);
        if conflict.last().is_none() {
            Err(None)
        } else {
            Err(Some(conflict))
        }
    }

    fn look(&self, rects: usize) {
        self.looked_at.set(self.looked_at.get() + rects as u64);
    }
}

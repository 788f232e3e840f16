//! Decisions and what follows from them: lowest offsets rise, until some section has too
//! little room.

use super::{Low, Search, UNPLACED};
use crate::depths::Depths;

impl Search<'_> {
    /// Puts `i` at its lowest offset.
    pub(super) fn place(&mut self, i: u32, depth: u32) -> Result<(), Depths> {
        let stacks = self.stacks;
        let rect = stacks.rects[i as usize];
        self.placed_at[i as usize] = depth;
        let place = self.place_in_unplaced[i as usize];
        self.unplaced.swap_remove(place as usize);
        if let Some(&moved) = self.unplaced.get(place as usize) {
            self.place_in_unplaced[moved as usize] = place;
        }
        for rest in &mut self.rest[rect.first..rect.end] {
            *rest -= rect.size;
        }
        self.look(stacks.neighbours[i as usize].len());
        let top = self.low[i as usize] + rect.size;
        let (mut first, mut end) = (rect.first, rect.end);
        for &j in &stacks.neighbours[i as usize] {
            let j = j as usize;
            if self.placed_at[j] != UNPLACED || self.low[j] > top + stacks.rects[j].alignment {
                continue;
            }
            let other = stacks.rects[j];
            let value = other.align_up(top);
            if self.low[j] < value || self.low[j] == value && !self.is_supported(j) {
                self.set_low(
                    j,
                    Low {
                        value,
                        depth,
                        supported: true,
                    },
                );
                first = first.min(other.first);
                end = end.max(other.end);
            }
        }
        self.check(first, end)
    }

    /// Nothing more in this section at this level.
    pub(super) fn raise(&mut self, depth: u32) -> Result<(), Depths> {
        let stacks = self.stacks;
        let frame = &self.frames[depth as usize];
        let (section, level) = (frame.section, frame.level);
        let (mut first, mut end) = (section, section + 1);
        for &i in &stacks.sections[section] {
            let i = i as usize;
            if self.placed_at[i] == UNPLACED && self.low[i] == level {
                let rect = stacks.rects[i];
                self.look(stacks.neighbours[i].len());
                let next = self.next_support(i, level);
                if next > self.capacity - rect.size {
                    // It has no place any more.
                    let mut conflict = Depths::default();
                    conflict.add(depth);
                    return Err(conflict);
                }
                self.set_low(
                    i,
                    Low {
                        value: next,
                        depth,
                        supported: false,
                    },
                );
                first = first.min(rect.first);
                end = end.max(rect.end);
            }
        }
        self.check(first, end)
    }

    /// Takes back the last decision.
    pub(super) fn undo(&mut self) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        if let Some(i) = frame.placed.take() {
            let rect = self.stacks.rects[i as usize];
            self.placed_at[i as usize] = UNPLACED;
            // The places of the others are as they were just after `i` was taken out.
            let place = self.place_in_unplaced[i as usize] as usize;
            self.unplaced.push(i);
            let last = self.unplaced.len() - 1;
            self.unplaced.swap(place, last);
            if let Some(&moved) = self.unplaced.get(last) {
                self.place_in_unplaced[moved as usize] = last as u32;
            }
            for rest in &mut self.rest[rect.first..rect.end] {
                *rest += rect.size;
            }
        }
        while self.trail.len() > frame.trail {
            if let Some(i) = self.trail.pop() {
                let history = &mut self.history[i as usize];
                history.pop();
                self.low[i as usize] = history.last().map_or(0, |low| low.value);
            }
        }
    }

    /// Whether `i` lies on the ground or on something at its lowest offset.
    pub(super) fn is_supported(&self, i: usize) -> bool {
        self.history[i].last().is_none_or(|low| low.supported)
    }

    /// The lowest offset above `level` at which `i` could lie on something.
    fn next_support(&self, i: usize, level: u64) -> u64 {
        let rect = self.stacks.rects[i];
        let tops = self.stacks.neighbours[i].iter().filter_map(|&j| {
            let j = j as usize;
            let top = rect.align_up(self.low[j] + self.stacks.rects[j].size);
            (top > level).then_some(top)
        });
        tops.min().unwrap_or(u64::MAX)
    }

    fn set_low(&mut self, i: usize, low: Low) {
        self.low[i] = low.value;
        self.history[i].push(low);
        self.trail.push(i as u32);
    }

    /// Whether what is not placed yet still fits into the sections from `first` to `end`.
    fn check(&mut self, first: usize, end: usize) -> Result<(), Depths> {
        let stacks = self.stacks;
        for section in first..end {
            let rest = self.rest[section];
            // One rectangle that still fits below all others shows that nothing is lost.
            let fits = |i: u32| {
                self.placed_at[i as usize] == UNPLACED
                    && self.low[i as usize] + rest <= self.capacity
            };
            if rest == 0 || fits(self.witness[section]) {
                continue;
            }
            if let Some(&witness) = stacks.sections[section].iter().find(|&&i| fits(i)) {
                self.witness[section] = witness;
                continue;
            }
            self.look(stacks.sections[section].len());
            self.memory.weights[section] += 1;
            let mut conflict = Depths::default();
            let value = (self.capacity + 1).saturating_sub(rest);
            for &i in &stacks.sections[section] {
                if self.placed_at[i as usize] == UNPLACED {
                    self.explain(i as usize, value, &mut conflict);
                }
            }
            return Err(conflict);
        }
        Ok(())
    }
}

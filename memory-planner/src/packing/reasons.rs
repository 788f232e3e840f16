//! Which decisions are to blame for a lowest offset.

use super::{Search, UNPLACED};
use crate::depths::Depths;

impl Search<'_> {
    /// Adds the decisions that raised the lowest offset of `i` to `value` or more.
    ///
    /// A rectangle that was placed at some level raised `i` above itself because `i` could
    /// not lie below: what had raised `i` that far is part of the reason.
    pub(super) fn explain(&self, i: usize, mut value: u64, conflict: &mut Depths) {
        let size = self.stacks.rects[i].size;
        while value > 0 {
            self.look(1);
            // The values of a history never fall.
            let history = &self.history[i];
            let Some(low) = history.get(history.partition_point(|low| low.value < value)) else {
                return;
            };
            conflict.add(low.depth);
            let frame = &self.frames[low.depth as usize];
            if frame.raised {
                return;
            }
            // Below the rectangle there is no room from `level - size + 1` on.
            value = (frame.level + 1).saturating_sub(size).min(value - 1);
        }
    }

    /// The reasons of the offsets that [`Self::raise`] chose, besides the decision itself.
    pub(super) fn raise_reasons(&self, depth: u32) -> Depths {
        let mut reasons = Depths::default();
        let mut seen = alloc::vec![false; self.low.len()];
        let frame = &self.frames[depth as usize];
        for &i in &self.stacks.sections[frame.section] {
            let i = i as usize;
            if self.placed_at[i] == UNPLACED && self.low[i] == frame.level {
                self.look(self.stacks.neighbours[i].len());
                for &j in &self.stacks.neighbours[i] {
                    let j = j as usize;
                    if core::mem::replace(&mut seen[j], true) {
                        continue;
                    }
                    if self.placed_at[j] != UNPLACED {
                        reasons.add(self.placed_at[j]);
                    } else {
                        self.explain(j, self.low[j], &mut reasons);
                    }
                }
            }
        }
        reasons
    }
}

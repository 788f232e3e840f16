//! Buffers at fixed distances from each other.

use alloc::vec::Vec;

/// A partition of the buffers, with fixed distances inside each group.
pub(crate) struct Groups {
    /// The buffers of each group; empty once it has been joined to another.
    pub(crate) members: Vec<Vec<usize>>,
    /// The group of each buffer.
    group: Vec<usize>,
    /// The offset of each buffer inside its group.
    pub(crate) offset: Vec<i64>,
}

impl Groups {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            members: (0..count).map(|id| alloc::vec![id]).collect(),
            group: (0..count).collect(),
            offset: alloc::vec![0; count],
        }
    }

    /// Fixes `offset(b) - offset(a)`; false if another difference is fixed already.
    pub(crate) fn join(&mut self, a: usize, b: usize, distance: i64) -> bool {
        let (mut from, mut to) = (self.group[b], self.group[a]);
        let mut shift = self.offset[a] + distance - self.offset[b];
        if from == to {
            return shift == 0;
        }
        if self.members[from].len() > self.members[to].len() {
            core::mem::swap(&mut from, &mut to);
            shift = -shift;
        }
        for id in core::mem::take(&mut self.members[from]) {
            self.group[id] = to;
            self.offset[id] += shift;
            self.members[to].push(id);
        }
        true
    }

    /// Gives two buffers the same offset, if `is_consistent` says of the group that results,
    /// its buffers and all offsets, that this contradicts nothing.
    pub(crate) fn try_same_offset(
        &mut self,
        a: usize,
        b: usize,
        is_consistent: impl Fn(&[usize], &[i64]) -> bool,
    ) {
        // Larger groups are left alone, so that the question stays cheap.
        const MOST_MEMBERS: usize = 64;
        let sides = [self.group[a], self.group[b]];
        let [before_a, before_b] = sides.map(|side| self.members[side].clone());
        if sides[0] == sides[1] || before_a.len() + before_b.len() > MOST_MEMBERS {
            return;
        }
        let offsets = |ids: &[usize]| ids.iter().map(|&id| self.offset[id]).collect::<Vec<_>>();
        let (offsets_a, offsets_b) = (offsets(&before_a), offsets(&before_b));
        self.join(a, b, 0);
        if is_consistent(&self.members[self.group[a]], &self.offset) {
            return;
        }
        let undo = [(before_a, offsets_a), (before_b, offsets_b)];
        for (side, (ids, offsets)) in sides.into_iter().zip(undo) {
            for (&id, offset) in ids.iter().zip(offsets) {
                self.group[id] = side;
                self.offset[id] = offset;
            }
            self.members[side] = ids;
        }
    }
}

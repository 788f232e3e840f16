//! The best plan of a tiny problem, by trying every placement of every buffer.

use memory_planner::{Placement, Problem, RegionId, Relation};

/// The heights of the best plan there is, if there is one.
pub(crate) fn best_heights(problem: &Problem) -> Option<Vec<u64>> {
    let mut search = BruteForce {
        problem,
        placed: Vec::new(),
        best: None,
    };
    let nothing = vec![0; problem.regions.len()];
    search.extend(&nothing);
    search.best.map(|mut heights| {
        heights.reverse();
        heights
    })
}

struct BruteForce<'a> {
    problem: &'a Problem,
    placed: Vec<Placement>,
    /// The heights of the best plan so far, the last region's first.
    best: Option<Vec<u64>>,
}

impl BruteForce<'_> {
    /// Tries every placement of the next buffer; `heights` are those of the placed ones.
    fn extend(&mut self, heights: &[u64]) {
        if self
            .best
            .as_ref()
            .is_some_and(|best| best.as_slice() <= heights)
        {
            return;
        }
        let id = self.placed.len();
        let Some(buffer) = self.problem.buffers.get(id) else {
            self.best = Some(heights.to_vec());
            return;
        };
        for (index, region) in self.problem.regions.iter().enumerate() {
            let region_id = RegionId(index as u32);
            if !buffer.regions.is_empty() && !buffer.regions.contains(&region_id) {
                continue;
            }
            for offset in 0..=region.capacity.saturating_sub(buffer.size) {
                let misplaced = buffer.fixed_offset.is_some_and(|fixed| fixed != offset);
                if misplaced || offset % buffer.alignment != 0 || buffer.size > region.capacity {
                    continue;
                }
                self.placed.push(Placement {
                    region: region_id,
                    offset,
                });
                if (0..id).all(|other| self.is_allowed(other, id)) {
                    let mut heights = heights.to_vec();
                    let height = &mut heights[self.problem.regions.len() - 1 - index];
                    *height = (offset + buffer.size).max(*height);
                    self.extend(&heights);
                }
                self.placed.pop();
            }
        }
    }

    /// Whether two placed buffers obey every rule about them.
    fn is_allowed(&self, a: usize, b: usize) -> bool {
        let at = |id: usize| self.placed[id];
        let buffer = |id: usize| &self.problem.buffers[id];
        let end = |id: usize| at(id).offset + buffer(id).size;
        let apart = at(a).region != at(b).region;
        let mut may_share = false;
        for relation in &self.problem.relations {
            let (first, second) = relation.buffers();
            let (first, second) = (first.index(), second.index());
            if (first, second) != (a, b) && (first, second) != (b, a) {
                continue;
            }
            match *relation {
                Relation::MayAlias { .. } => may_share |= at(a).offset == at(b).offset,
                Relation::MayOverlap { bytes, .. } => {
                    may_share |= end(first) <= at(second).offset + bytes;
                }
                Relation::Contiguous { .. } => {
                    if apart || end(first) != at(second).offset {
                        return false;
                    }
                }
                Relation::DifferentRegion { .. } => {
                    if !apart {
                        return false;
                    }
                }
            }
        }
        let live_together =
            buffer(a).live.start < buffer(b).live.end && buffer(b).live.start < buffer(a).live.end;
        let share_bytes = at(a).offset.max(at(b).offset) < end(a).min(end(b));
        apart || may_share || !live_together || !share_bytes
    }
}

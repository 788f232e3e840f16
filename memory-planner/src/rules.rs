//! The constraints of relations, sizes and live ranges on pairs of buffers.
//!
//! Whether two of them get in each other's way depends only on the difference of their
//! offsets: the *forbidden differences* are a short list of intervals.

use alloc::vec::Vec;
use core::ops::Range;

use crate::items::{Item, Member};
use crate::problem::{Problem, Relation};

/// The positions that a relation allows two buffers.
#[derive(Clone, Copy, Debug)]
enum Allowance {
    SameOffset,
    /// The buffer with the smaller index lies lower.
    FirstBelow(u64),
    SecondBelow(u64),
}

/// The relations of pairs of buffers, but for contiguity.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// For each buffer, what is allowed between it and buffers of larger indices, in the
    /// order of these.
    allowances: Vec<Vec<(usize, Allowance)>>,
    /// For each buffer, all others that something is allowed with, in order.
    partners: Vec<Vec<usize>>,
    /// For each buffer, those that must be in another region.
    apart: Vec<Vec<usize>>,
}

impl Rules {
    pub(crate) fn new(problem: &Problem) -> Self {
        let count = problem.buffers.len();
        let mut allowances = alloc::vec![Vec::new(); count];
        let mut partners = alloc::vec![Vec::new(); count];
        let mut apart = alloc::vec![Vec::new(); count];
        for relation in &problem.relations {
            let (a, b) = relation.buffers();
            let (a, b) = (a.index(), b.index());
            let allowance = match *relation {
                Relation::MayAlias { .. } => Allowance::SameOffset,
                Relation::MayOverlap { bytes, .. } if a < b => Allowance::FirstBelow(bytes),
                Relation::MayOverlap { bytes, .. } => Allowance::SecondBelow(bytes),
                Relation::Contiguous { .. } => continue,
                Relation::DifferentRegion { .. } => {
                    apart[a].push(b);
                    apart[b].push(a);
                    continue;
                }
            };
            let live = |id: usize| &problem.buffers[id].live;
            if intersect(live(a), live(b)) {
                allowances[a.min(b)].push((a.max(b), allowance));
                partners[a].push(b);
                partners[b].push(a);
            }
        }
        for allowances in &mut allowances {
            allowances.sort_by_key(|(other, _)| *other);
        }
        for partners in &mut partners {
            partners.sort_unstable();
            partners.dedup();
        }
        Self {
            allowances,
            partners,
            apart,
        }
    }

    /// Whether something is allowed between two buffers.
    pub(crate) fn are_partners(&self, a: usize, b: usize) -> bool {
        self.partners[a].binary_search(&b).is_ok()
    }

    /// The buffers that must be in another region than some member of `item`.
    pub(crate) fn apart<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = usize> + 'a {
        item.members
            .iter()
            .flat_map(|member| &self.apart[member.buffer])
            .copied()
    }

    /// Whether nothing is allowed between any two buffers.
    pub(crate) fn allow_nothing(&self) -> bool {
        self.allowances.iter().all(Vec::is_empty)
    }

    /// The pairs of buffers that have an allowance, some of them several times.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let pairs = (0..).zip(&self.allowances);
        pairs.flat_map(|(a, allowed)| allowed.iter().map(move |(b, _)| (a, *b)))
    }

    /// All that is allowed between two buffers, the first of smaller index.
    fn allowances(&self, first: usize, second: usize) -> impl Iterator<Item = Allowance> {
        let allowed = &self.allowances[first];
        let from = allowed.partition_point(|(other, _)| *other < second);
        let here = allowed[from..]
            .iter()
            .take_while(move |(other, _)| *other == second);
        here.map(|(_, allowance)| *allowance)
    }

    /// Calls `forbid` with the inclusive intervals of `offset(b) - offset(a)` at which
    /// the two members share bytes and may not.
    pub(crate) fn forbidden(&self, a: &Member, b: &Member, mut forbid: impl FnMut(i64, i64)) {
        if a.size == 0 || b.size == 0 || !intersect(&a.live, &b.live) {
            return;
        }
        let (size_a, size_b) = (signed(a.size), signed(b.size));
        let (mut low, mut high) = (1 - size_b, size_a - 1);
        let mut same_offset = false;
        let (first, second) = (a.buffer.min(b.buffer), a.buffer.max(b.buffer));
        for allowance in self.allowances(first, second) {
            let reach = |bytes: u64| signed(bytes.min(a.size + b.size));
            match (allowance, a.buffer < b.buffer) {
                (Allowance::SameOffset, _) => same_offset = true,
                (Allowance::FirstBelow(d), true) | (Allowance::SecondBelow(d), false) => {
                    high = high.min(size_a - reach(d) - 1);
                }
                (Allowance::FirstBelow(d), false) | (Allowance::SecondBelow(d), true) => {
                    low = low.max(reach(d) - size_b + 1);
                }
            }
        }
        if same_offset && low <= 0 && 0 <= high {
            if low < 0 {
                forbid(low, -1);
            }
            if high > 0 {
                forbid(1, high);
            }
        } else if low <= high {
            forbid(low, high);
        }
    }

    /// The most bytes that the two members may share while both are live.
    pub(crate) fn most_shared(&self, a: &Member, b: &Member) -> u64 {
        let smaller = a.size.min(b.size);
        let (first, second) = (a.buffer.min(b.buffer), a.buffer.max(b.buffer));
        let shared = self
            .allowances(first, second)
            .map(|allowance| match allowance {
                Allowance::SameOffset => smaller,
                Allowance::FirstBelow(d) | Allowance::SecondBelow(d) => d.min(smaller),
            });
        shared.max().unwrap_or(0)
    }

    /// As [`Self::forbidden`], for two items.
    pub(crate) fn forbidden_items(&self, a: &Item, b: &Item, mut forbid: impl FnMut(i64, i64)) {
        if !intersect(&a.live, &b.live) {
            return;
        }
        if !(a.related && b.related)
            && let ([a], [b]) = (a.members.as_slice(), b.members.as_slice())
        {
            if a.size > 0 && b.size > 0 {
                forbid(1 - signed(b.size), signed(a.size) - 1);
            }
            return;
        }
        for member_a in &a.members {
            for member_b in &b.members {
                let shift = signed(member_a.relative) - signed(member_b.relative);
                self.forbidden(member_a, member_b, |low, high| {
                    forbid(low + shift, high + shift);
                });
            }
        }
    }
}

/// Whether two half-open ranges have a moment in common.
pub(crate) fn intersect(a: &Range<u32>, b: &Range<u32>) -> bool {
    a.start < b.end && b.start < a.end
}

/// A number of bytes as a difference of offsets. Validation keeps all sums of sizes
/// and offsets far below `i64::MAX`.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

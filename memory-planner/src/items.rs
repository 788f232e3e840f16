//! Items: what a solver moves as one piece.
//!
//! Buffers that must be contiguous have fixed distances, so they become one rigid
//! item. Whether two items get in each other's way then depends only on the
//! difference of their offsets: the *forbidden differences* are a short list of
//! intervals. Every relation, size and live range is hidden behind them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::PlanError;
use crate::problem::{BufferId, Problem, Relation};
use crate::validate::allows;

/// A buffer inside an item.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) buffer: usize,
    /// Its offset minus the item's.
    pub(crate) relative: u64,
    pub(crate) live: Range<u32>,
    pub(crate) size: u64,
}

/// A rigid group of buffers, most often a single one.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) members: Vec<Member>,
    /// From the lowest member's start to the highest member's end.
    pub(crate) span: u64,
    /// The offset is `residue` modulo `alignment`, a power of two.
    pub(crate) alignment: u64,
    pub(crate) residue: u64,
    pub(crate) fixed_offset: Option<u64>,
    /// From the first member's live start to the last one's live end.
    pub(crate) live: Range<u32>,
    /// Whether a pair of its members is related to another item's member.
    pub(crate) related: bool,
}

impl Item {
    /// Whether it is a single buffer that may lie anywhere: no relation, no fixed offset.
    pub(crate) fn is_plain(&self) -> bool {
        self.members.len() == 1 && !self.related && self.fixed_offset.is_none()
    }

    /// The lowest offset that is at least `offset` and aligned.
    pub(crate) fn align_up(&self, offset: u64) -> u64 {
        let above = offset.wrapping_sub(self.residue) & (self.alignment - 1);
        if above == 0 {
            offset
        } else {
            offset + (self.alignment - above)
        }
    }

    /// The highest offset that is at most `offset` and aligned, if there is one.
    pub(crate) fn align_down(&self, offset: u64) -> Option<u64> {
        offset.checked_sub(offset.wrapping_sub(self.residue) & (self.alignment - 1))
    }

    /// Bytes times moments, saturating.
    pub(crate) fn area(&self) -> u64 {
        let area = |m: &Member| m.size.saturating_mul(u64::from(m.live.end - m.live.start));
        self.members.iter().map(area).fold(0, u64::saturating_add)
    }

    /// The largest number of bytes that it has live at once.
    pub(crate) fn weight(&self) -> u64 {
        match self.members.as_slice() {
            [member] => member.size,
            members => members.iter().map(|m| m.size).max().unwrap_or(0),
        }
    }
}

/// What a relation allows between two buffers.
#[derive(Clone, Copy, Debug)]
enum Allowance {
    SameOffset,
    /// The buffer with the smaller index lies lower.
    FirstBelow(u64),
    SecondBelow(u64),
}

/// What the relations say about pairs of buffers, but for contiguity.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The allowances of all pairs, by the two buffers' indices in increasing order.
    allowances: BTreeMap<(usize, usize), Vec<Allowance>>,
    /// For each buffer, those that must be in another region.
    apart: Vec<Vec<usize>>,
}

impl Rules {
    pub(crate) fn new(problem: &Problem) -> Self {
        let mut allowances: BTreeMap<_, Vec<Allowance>> = BTreeMap::new();
        let mut apart: Vec<Vec<usize>> = problem.buffers.iter().map(|_| Vec::new()).collect();
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
                let key = (a.min(b), a.max(b));
                allowances.entry(key).or_default().push(allowance);
            }
        }
        Self { allowances, apart }
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
        self.allowances.is_empty()
    }

    /// The pairs of buffers that have an allowance.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.allowances.keys().copied()
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
        let key = (a.buffer.min(b.buffer), a.buffer.max(b.buffer));
        for allowance in self.allowances.get(&key).into_iter().flatten() {
            let reach = |bytes: u64| signed(bytes.min(a.size + b.size));
            match (*allowance, a.buffer < b.buffer) {
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
        let key = (a.buffer.min(b.buffer), a.buffer.max(b.buffer));
        let shared = self
            .allowances
            .get(&key)
            .into_iter()
            .flatten()
            .map(|allowance| match *allowance {
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

/// Groups the buffers of a validated problem into items.
///
/// With `merge_aliases`, buffers that may alias and are live together get the same
/// offset wherever that contradicts nothing.
///
/// # Errors
/// [`PlanError::Contradiction`] where contiguity, alignments, fixed offsets and regions
/// cannot be met together.
pub(crate) fn items(
    problem: &Problem,
    rules: &Rules,
    merge_aliases: bool,
) -> Result<Vec<Item>, PlanError> {
    let count = problem.buffers.len();
    let mut groups = Groups::new(count);
    for relation in &problem.relations {
        if let Relation::Contiguous { first, second } = *relation {
            let distance = signed(problem.buffers[first.index()].size);
            if !groups.join(first.index(), second.index(), distance) {
                return Err(contradiction(problem, second.index()));
            }
        }
    }
    for members in groups.members.iter().filter(|members| !members.is_empty()) {
        item(problem, rules, members, &groups.offset)?;
    }
    if merge_aliases {
        for relation in &problem.relations {
            if let Relation::MayAlias { a, b } = *relation
                && intersect(
                    &problem.buffers[a.index()].live,
                    &problem.buffers[b.index()].live,
                )
                && problem.buffers[a.index()].regions == problem.buffers[b.index()].regions
            {
                groups.merge_alias(problem, rules, a, b);
            }
        }
    }
    let mut items = Vec::with_capacity(count);
    for members in groups.members.iter().filter(|members| !members.is_empty()) {
        items.push(item(problem, rules, members, &groups.offset)?);
    }
    if !rules.allow_nothing() {
        mark_related(rules, &mut items, count);
    }
    Ok(items)
}

fn contradiction(problem: &Problem, buffer: usize) -> PlanError {
    PlanError::Contradiction {
        buffer: problem.buffers[buffer].name.clone(),
    }
}

/// A partition of the buffers, with fixed distances inside each group.
struct Groups {
    /// The buffers of each group; empty once it has been joined to another.
    members: Vec<Vec<usize>>,
    /// The group of each buffer.
    group: Vec<usize>,
    /// The offset of each buffer inside its group.
    offset: Vec<i64>,
}

impl Groups {
    fn new(count: usize) -> Self {
        Self {
            members: (0..count).map(|id| alloc::vec![id]).collect(),
            group: (0..count).collect(),
            offset: alloc::vec![0; count],
        }
    }

    /// Fixes `offset(b) - offset(a)`; false if another difference is fixed already.
    fn join(&mut self, a: usize, b: usize, distance: i64) -> bool {
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

    /// Gives two buffers the same offset, if the result is consistent.
    fn merge_alias(&mut self, problem: &Problem, rules: &Rules, a: BufferId, b: BufferId) {
        // Larger groups are left alone, so that the consistency check stays cheap.
        const MOST_MEMBERS: usize = 64;
        let sides = [self.group[a.index()], self.group[b.index()]];
        let [before_a, before_b] = sides.map(|side| self.members[side].clone());
        if sides[0] == sides[1] || before_a.len() + before_b.len() > MOST_MEMBERS {
            return;
        }
        let offsets = |ids: &[usize]| ids.iter().map(|&id| self.offset[id]).collect::<Vec<_>>();
        let (offsets_a, offsets_b) = (offsets(&before_a), offsets(&before_b));
        self.join(a.index(), b.index(), 0);
        let merged = &self.members[self.group[a.index()]];
        if item(problem, rules, merged, &self.offset).is_ok() {
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

/// Builds the item of one group and checks it for contradictions.
fn item(
    problem: &Problem,
    rules: &Rules,
    group: &[usize],
    offset: &[i64],
) -> Result<Item, PlanError> {
    let lowest = group.iter().map(|&id| offset[id]).min().unwrap_or(0);
    let mut members: Vec<Member> = group
        .iter()
        .map(|&buffer| Member {
            buffer,
            relative: (offset[buffer] - lowest).unsigned_abs(),
            live: problem.buffers[buffer].live.clone(),
            size: problem.buffers[buffer].size,
        })
        .collect();
    members.sort_by_key(|member| (member.relative, member.buffer));
    let first = members[0].buffer;
    let mut item = Item {
        span: members
            .iter()
            .map(|m| m.relative + m.size)
            .max()
            .unwrap_or(0),
        alignment: 1,
        residue: 0,
        fixed_offset: None,
        live: members.iter().map(|m| m.live.start).min().unwrap_or(0)
            ..members.iter().map(|m| m.live.end).max().unwrap_or(0),
        related: members.len() > 1,
        members,
    };
    for member in &item.members {
        let alignment = problem.buffers[member.buffer].alignment;
        if alignment > item.alignment {
            item.alignment = alignment;
            item.residue = member.relative.wrapping_neg() & (alignment - 1);
        }
    }
    for member in &item.members {
        let buffer = &problem.buffers[member.buffer];
        let aligned = (item.residue + member.relative).is_multiple_of(buffer.alignment);
        let fixed = buffer
            .fixed_offset
            .map(|offset| offset.checked_sub(member.relative));
        if !aligned || fixed == Some(None) {
            return Err(contradiction(problem, member.buffer));
        }
        if let Some(Some(offset)) = fixed {
            let agrees = item.fixed_offset.is_none_or(|other| other == offset);
            if !agrees || item.align_up(offset) != offset {
                return Err(contradiction(problem, member.buffer));
            }
            item.fixed_offset = Some(offset);
        }
    }
    if item.members.len() > 1 {
        check_inside(problem, rules, &item)?;
        let region = (0..problem.regions.len()).find(|&region| {
            let all_allow = |m: &Member| allows(&problem.buffers[m.buffer], region);
            item.members.iter().all(all_allow) && item.span <= problem.regions[region].capacity
        });
        if region.is_none() {
            return Err(contradiction(problem, first));
        }
    }
    Ok(item)
}

/// Whether the members of one item get in each other's way.
fn check_inside(problem: &Problem, rules: &Rules, item: &Item) -> Result<(), PlanError> {
    let mut apart = rules.apart(item);
    if let Some(buffer) = apart.find(|&other| item.members.iter().any(|m| m.buffer == other)) {
        return Err(contradiction(problem, buffer));
    }
    for (index, a) in item.members.iter().enumerate() {
        for b in &item.members[index + 1..] {
            // Members are sorted: from here on they lie above `a`.
            if b.relative >= a.relative + a.size {
                break;
            }
            let difference = signed(b.relative) - signed(a.relative);
            let mut clash = false;
            rules.forbidden(a, b, |low, high| {
                clash |= (low..=high).contains(&difference);
            });
            if clash {
                return Err(contradiction(problem, b.buffer));
            }
        }
    }
    Ok(())
}

/// Marks the items for which the rules have to be looked up.
fn mark_related(rules: &Rules, items: &mut [Item], count: usize) {
    let mut related = alloc::vec![false; count];
    for (a, b) in rules.pairs() {
        related[a] = true;
        related[b] = true;
    }
    for item in items {
        item.related |= item.members.iter().any(|member| related[member.buffer]);
    }
}

//! Items: what a solver moves as one piece.
//!
//! Buffers that must be contiguous have fixed distances, so they become one rigid item.

use alloc::vec::Vec;
use core::ops::Range;

use crate::clock::Clock;
use crate::error::PlanError;
use crate::groups::Groups;
use crate::problem::{Problem, Relation};
use crate::rules::{Rules, intersect, signed};
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

/// Groups the buffers of a validated problem into items.
///
/// # Errors
/// [`PlanError::Contradiction`] where contiguity, alignments, fixed offsets and regions
/// cannot be met together.
pub(crate) fn items(problem: &Problem, rules: &Rules) -> Result<Vec<Item>, PlanError> {
    let is_contiguous = |relation: &Relation| matches!(relation, Relation::Contiguous { .. });
    if problem.relations.iter().any(is_contiguous) {
        return items_of(problem, rules, &contiguous(problem)?);
    }
    // There may be very many, each one alone.
    let count = problem.buffers.len();
    let offsets = alloc::vec![0; count];
    let alone = (0..count).map(|id| item(problem, rules, &[id], &offsets));
    Ok(marked(problem, rules, alone.collect::<Result<_, _>>()?))
}

/// As [`items()`], where buffers that may alias and are live together get the same offset
/// wherever that contradicts nothing; no items if there are none of these, or no time.
///
/// # Errors
/// As [`items()`].
pub(crate) fn merged_items(
    problem: &Problem,
    rules: &Rules,
    clock: &mut Clock,
) -> Result<Vec<Item>, PlanError> {
    let may_alias = |relation: &Relation| matches!(relation, Relation::MayAlias { .. });
    if !problem.relations.iter().any(may_alias) {
        return Ok(Vec::new());
    }
    let mut groups = contiguous(problem)?;
    for relation in &problem.relations {
        let Relation::MayAlias { a, b } = *relation else {
            continue;
        };
        if clock.is_late() {
            return Ok(Vec::new());
        }
        let (a, b) = (a.index(), b.index());
        let [buffer_a, buffer_b] = [a, b].map(|id| &problem.buffers[id]);
        if intersect(&buffer_a.live, &buffer_b.live) && buffer_a.regions == buffer_b.regions {
            groups.try_same_offset(a, b, |members, offset| {
                item(problem, rules, members, offset).is_ok()
            });
        }
    }
    items_of(problem, rules, &groups)
}

/// The buffers that have to follow each other.
fn contiguous(problem: &Problem) -> Result<Groups, PlanError> {
    let mut groups = Groups::new(problem.buffers.len());
    for relation in &problem.relations {
        if let Relation::Contiguous { first, second } = *relation {
            let distance = signed(problem.buffers[first.index()].size);
            if !groups.join(first.index(), second.index(), distance) {
                return Err(contradiction(problem, second.index()));
            }
        }
    }
    Ok(groups)
}

fn items_of(problem: &Problem, rules: &Rules, groups: &Groups) -> Result<Vec<Item>, PlanError> {
    let solid = groups.members.iter().filter(|members| !members.is_empty());
    let items = solid.map(|members| item(problem, rules, members, &groups.offset));
    Ok(marked(problem, rules, items.collect::<Result<_, _>>()?))
}

/// The items, marked where the rules have to be looked up.
fn marked(problem: &Problem, rules: &Rules, mut items: Vec<Item>) -> Vec<Item> {
    if !rules.allow_nothing() {
        mark_related(rules, &mut items, problem.buffers.len());
    }
    items
}

fn contradiction(problem: &Problem, buffer: usize) -> PlanError {
    PlanError::Contradiction {
        buffer: problem.buffers[buffer].name.clone(),
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

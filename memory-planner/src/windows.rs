//! Exact searches for the hard moments of problems that are too large for one.
//!
//! Large networks are hard at few moments. What is live around a moment at which a plan is
//! too high is a small problem of its own: if it has no plan, neither has the whole; if it has
//! one, the rest, which has room, is put around it by the ejection search.

use alloc::vec::Vec;

use crate::clock::Clock;
use crate::ejection::{Ejection, NOWHERE};
use crate::minimise::{Ending, Way};
use crate::neighbours::Neighbours;
use crate::packing::{Memory, Search};
use crate::portfolio::preference;
use crate::stacks::{Rect, Stacks};

/// So many rectangles are searched at once, at most.
const MOST_RECTS: usize = 400;

/// So many decisions are made for each window, per rectangle.
const STEPS_PER_RECT: u64 = 8;

/// Looks for a plan of at most `height` for `rects`, from the best plan of `ejection`.
pub(crate) fn run(
    rects: &[Rect],
    neighbours: &Neighbours,
    ejection: &mut Ejection,
    height: u64,
    round: u32,
    clock: &mut Clock,
) -> Ending {
    let Some(mut offsets) = ejection.start() else {
        return Ending::OutOfBudget;
    };
    let mut is_tried = alloc::vec![false; rects.len()];
    for index in 0..rects.len() {
        let is_high = offsets[index] != NOWHERE && offsets[index] + rects[index].size > height;
        if !is_high || is_tried[index] {
            continue;
        }
        let window = around(rects, neighbours, index);
        for &index in &window {
            is_tried[index] = true;
        }
        match solve(rects, &window, height, round, clock) {
            Ending::Nothing => return Ending::Nothing,
            Ending::Plan(plan) => put(rects, neighbours, &window, &plan, &mut offsets),
            Ending::OutOfBudget | Ending::Better(_) => {}
        }
        if clock.is_over() {
            return Ending::OutOfBudget;
        }
    }
    ejection.run_from(&offsets, rects, Some(neighbours), height, clock)
}

/// The rectangles that are live at about the same time as one of them.
fn around(rects: &[Rect], neighbours: &Neighbours, index: usize) -> Vec<usize> {
    let last = rects.iter().map(|rect| rect.end).max().unwrap_or(0) as u32;
    let live = rects[index].live();
    let mut range = live.clone();
    let mut margin = 1;
    loop {
        let wider = live.start.saturating_sub(margin)..(live.end + margin).min(last);
        if neighbours.count(&wider) > MOST_RECTS || wider == range {
            break;
        }
        range = wider;
        margin *= 2;
    }
    neighbours.of(&range).take(MOST_RECTS).collect()
}

/// Looks for a plan of some rectangles alone.
fn solve(rects: &[Rect], window: &[usize], height: u64, round: u32, clock: &mut Clock) -> Ending {
    let first = window.iter().map(|&i| rects[i].first).min().unwrap_or(0);
    let shifted = |&index: &usize| Rect {
        first: rects[index].first - first,
        end: rects[index].end - first,
        ..rects[index]
    };
    let here: Vec<Rect> = window.iter().map(shifted).collect();
    let live: Vec<_> = here.iter().map(Rect::live).collect();
    let Some(stacks) = Stacks::new(here.clone(), &Neighbours::new(&live), clock) else {
        return Ending::OutOfBudget;
    };
    let mut memory = Memory::new(&stacks);
    let preference = preference(&here, Way::Exact, round);
    let steps = (here.len() as u64 * STEPS_PER_RECT) << (round / 3).min(16);
    clock.slice(steps, |clock| {
        Search::new(&stacks, height, &preference, &mut memory).run(clock)
    })
}

/// Writes the plan of a window into that of all, and takes out what is in its way.
fn put(
    rects: &[Rect],
    neighbours: &Neighbours,
    window: &[usize],
    plan: &[u64],
    offsets: &mut [u64],
) {
    for &index in window {
        offsets[index] = NOWHERE;
    }
    for (&index, &at) in window.iter().zip(plan) {
        let top = at + rects[index].size;
        for other in neighbours.of(&rects[index].live()) {
            let clash = offsets[other] < top && offsets[other] + rects[other].size > at;
            if offsets[other] != NOWHERE && clash && !window.contains(&other) {
                offsets[other] = NOWHERE;
            }
        }
        offsets[index] = at;
    }
}

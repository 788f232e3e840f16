//! The skyline heuristic: the lowest gap first, and into it what covers most of it.
//!
//! The *skyline* is the height of what is placed so far, moment by moment. Its lowest
//! stretch is filled with the item of the largest area that is live only during that
//! stretch. If there is none, nothing will ever lie there, and the stretch is raised to the
//! lower one of its neighbours.

use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::items::Item;

/// A stretch of time at one height.
#[derive(Clone, Copy)]
struct Stretch {
    start: u32,
    end: u32,
    height: u64,
}

/// The offsets of items that have one member each, no relations and no fixed offsets, and
/// the number of items and stretches that were looked at.
pub(crate) fn skyline(items: &[Item]) -> (Vec<u64>, u64) {
    let mut offsets = alloc::vec![0; items.len()];
    let mut looked_at = 0;
    let mut left: Vec<usize> = (0..items.len()).filter(|&i| items[i].span > 0).collect();
    left.sort_by_key(|&i| (Reverse(items[i].area()), i));
    let ends = left.iter().map(|&i| items[i].live.end);
    let mut skyline = alloc::vec![Stretch {
        start: 0,
        end: ends.max().unwrap_or(0),
        height: 0,
    }];
    while !left.is_empty() {
        let Some(lowest) = (0..skyline.len()).min_by_key(|&at| skyline[at].height) else {
            break;
        };
        let gap = skyline[lowest];
        let fits = |&i: &usize| gap.start <= items[i].live.start && items[i].live.end <= gap.end;
        let next = left.iter().position(fits);
        looked_at += (skyline.len() + next.unwrap_or(left.len())) as u64;
        if let Some(next) = next {
            let i = left.remove(next);
            let live = &items[i].live;
            offsets[i] = items[i].align_up(gap.height);
            let cut = |start: u32, end: u32, height: u64| Stretch { start, end, height };
            let parts = [
                cut(gap.start, live.start, gap.height),
                cut(live.start, live.end, offsets[i] + items[i].span),
                cut(live.end, gap.end, gap.height),
            ];
            let parts = parts.into_iter().filter(|part| part.start < part.end);
            skyline.splice(lowest..=lowest, parts);
        } else {
            let before = lowest.checked_sub(1).map(|at| skyline[at].height);
            let after = skyline.get(lowest + 1).map(|next| next.height);
            let neighbours = [before, after];
            let Some(height) = neighbours.into_iter().flatten().min() else {
                break; // a single stretch has room for every item
            };
            skyline[lowest].height = height;
        }
        merge(&mut skyline, lowest.saturating_sub(1));
    }
    (offsets, looked_at)
}

/// Joins stretches of the same height among the few that may have changed.
fn merge(skyline: &mut Vec<Stretch>, from: usize) {
    for at in (from..(from + 4).min(skyline.len() - 1)).rev() {
        if skyline[at].height == skyline[at + 1].height {
            skyline[at].end = skyline[at + 1].end;
            skyline.remove(at + 1);
        }
    }
}

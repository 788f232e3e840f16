//! Prepares items for the packing search and varies its preferences from round to round.

use alloc::vec::Vec;

use crate::clock::Clock;
use crate::items::Item;
use crate::minimise::{Decide, Ending};
use crate::packing::{Memory, Rect, Search, Stacks};

/// The packing search with what it keeps between rounds.
pub(crate) struct Portfolio {
    stacks: Stacks,
    memory: Memory,
    /// For each item its rectangle; none if it has no bytes.
    rect_of: Vec<Option<usize>>,
    /// All heights are multiples of this.
    pub(crate) grain: u64,
}

impl Portfolio {
    /// None if an item has a relation, several members or a fixed offset, which this
    /// search does not know.
    pub(crate) fn new(items: &[Item]) -> Option<Self> {
        let simple =
            |item: &Item| item.members.len() == 1 && !item.related && item.fixed_offset.is_none();
        if !items.iter().all(simple) {
            return None;
        }
        let solid: Vec<&Item> = items.iter().filter(|item| item.span > 0).collect();
        let starts = sections(&solid);
        let place = |moment: u32| starts.partition_point(|&start| start < moment);
        let rect = |item: &&Item| Rect {
            first: place(item.live.start),
            end: place(item.live.end),
            size: item.span,
            alignment: item.alignment,
        };
        let stacks = Stacks::new(solid.iter().map(rect).collect());
        let mut next = 0..;
        let rect_of = items
            .iter()
            .map(|item| (item.span > 0).then(|| next.next()).flatten());
        let alignments = solid.iter().map(|item| item.alignment).filter(|&a| a > 1);
        Some(Self {
            rect_of: rect_of.collect(),
            grain: solid
                .iter()
                .map(|item| item.span)
                .chain(alignments)
                .fold(0, gcd),
            memory: Memory::new(&stacks),
            stacks,
        })
    }
}

impl Decide for Portfolio {
    fn decide(&mut self, height: u64, round: u32, clock: &mut Clock) -> Ending {
        let preference = preference(&self.stacks.rects, round);
        let ending = Search::new(&self.stacks, height, &preference, &mut self.memory).run(clock);
        match ending {
            Ending::Plan(offsets) => {
                let offset = |rect: &Option<usize>| rect.map_or(0, |rect| offsets[rect]);
                Ending::Plan(self.rect_of.iter().map(offset).collect())
            }
            other => other,
        }
    }
}

/// The moments at which sections begin.
///
/// Between a start and the next end, each further start only adds to what is live, so
/// the last of them has all the others' conflicts: one section is enough.
fn sections(items: &[&Item]) -> Vec<u32> {
    let mut events: Vec<(u32, bool)> = Vec::with_capacity(items.len() * 2);
    for item in items {
        events.push((item.live.start, true));
        events.push((item.live.end, false));
    }
    events.sort_unstable();
    let mut starts = Vec::new();
    for pair in events.windows(2) {
        if pair[0].1 && !pair[1].1 {
            starts.push(pair[0].0);
        }
    }
    starts
}

/// How much each rectangle wants to be placed early: long-lived ones, large areas or
/// large sizes in turn, from the second turn on with some noise.
fn preference(rects: &[Rect], round: u32) -> Vec<u128> {
    let mut state = u64::from(round) + 1;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // From 70 % to 130 %, in parts of 1024.
        if round < 3 {
            1024
        } else {
            717 + u128::from(state >> 33) % 614
        }
    };
    let key = |rect: &Rect| {
        let width = (rect.end - rect.first) as u128;
        let key = match round % 3 {
            0 => (width << 64) + u128::from(rect.size),
            1 => width * u128::from(rect.size),
            _ => u128::from(rect.size),
        };
        key * noise()
    };
    rects.iter().map(key).collect()
}

/// The greatest common divisor; that of 0 and another number is the other number.
fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disjunctive::Disjunctive;
    use crate::items::{Rules, items};
    use crate::{Budget, Buffer, Problem};

    /// Two searches that share nothing but the items have to agree on what fits.
    #[test]
    fn packing_agrees_with_the_disjunctive_search() {
        let mut state = 11_u64;
        let mut below = |limit: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % limit
        };
        let (mut plans, mut nothings) = (0, 0);
        for _ in 0..400 {
            let mut problem = Problem::with_capacity(u64::MAX);
            for _ in 0..7 + below(6) {
                let start = below(9) as u32;
                let live = start..start + 1 + below(4) as u32;
                let mut buffer = Buffer::new("", live, 1 + below(7));
                buffer.alignment = 1 << (below(8) / 6);
                problem.add_buffer(buffer);
            }
            let rules = Rules::new(&problem);
            let items = items(&problem, &rules, false).unwrap();
            let bound = crate::lower_bound(&problem).unwrap()[0];
            for height in bound..bound + 3 {
                let clock = || Clock::new(&Budget::steps(1_000_000));
                let packed = Portfolio::new(&items)
                    .unwrap()
                    .decide(height, 0, &mut clock());
                let other =
                    Disjunctive::new(&rules, &items)
                        .unwrap()
                        .decide(height, 0, &mut clock());
                match (&packed, &other) {
                    (Ending::Plan(_), Ending::Plan(_)) => plans += 1,
                    (Ending::Nothing, Ending::Nothing) => nothings += 1,
                    _ => panic!("{packed:?} but {other:?} for {height}: {problem:?}"),
                }
            }
        }
        assert!(plans > 100 && nothings > 10, "{plans} {nothings}");
    }
}

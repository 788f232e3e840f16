//! Prepares items for the searches that know no relations, and runs them in turns.

use alloc::vec::Vec;

use crate::attempt::LOOKS_PER_STEP;
use crate::clock::Clock;
use crate::ejection::Ejection;
use crate::items::Item;
use crate::joins::Joined;
use crate::minimise::{Decide, Ending, Slice, Way};
use crate::neighbours::Neighbours;
use crate::packing::{Memory, Search};
use crate::stacks::{Rect, Stacks, sections};
use crate::windows;

/// The ejection search, which finds, and the packing search, which also proves, with what
/// they keep between rounds.
pub(crate) struct Portfolio {
    rects: Vec<Rect>,
    ejection: Ejection,
    /// None if most rectangles are live together.
    neighbours: Option<Neighbours>,
    /// The mean number of rectangles that a placement looks at.
    mean_looks: u64,
    /// None if the problem is too large for the packing search.
    packing: Option<(Stacks, [Memory; 2])>,
    /// None if the rectangles are not what is left of one that was cut.
    joined: Option<Joined>,
    /// For each item its rectangle; none if it has no bytes.
    rect_of: Vec<Option<usize>>,
    /// All heights are multiples of this.
    pub(crate) grain: u64,
}

impl Portfolio {
    /// Begins with the offsets `start`, if there are some.
    ///
    /// None if an item has a relation, several members or a fixed offset, which these
    /// searches do not know.
    pub(crate) fn new(items: &[Item], start: Option<&[u64]>, clock: &mut Clock) -> Option<Self> {
        if !items.iter().all(Item::is_plain) {
            return None;
        }
        let solid: Vec<&Item> = items.iter().filter(|item| item.span > 0).collect();
        let starts = sections(solid.iter().map(|item| item.live.clone()));
        let place = |moment: u32| starts.partition_point(|&start| start < moment);
        let rect = |item: &&Item| Rect {
            first: place(item.live.start),
            end: place(item.live.end),
            size: item.span,
            alignment: item.alignment,
        };
        let rects: Vec<Rect> = solid.iter().map(rect).collect();
        let mut next = 0..;
        let rect_of = items
            .iter()
            .map(|item| (item.span > 0).then(|| next.next()).flatten());
        let alignments = solid.iter().map(|item| item.alignment).filter(|&a| a > 1);
        let start = start.map(|offsets| {
            let pairs = items.iter().zip(offsets);
            let solid = pairs.filter(|(item, _)| item.span > 0);
            solid.map(|(_, offset)| *offset).collect::<Vec<_>>()
        });
        let live: Vec<_> = rects.iter().map(Rect::live).collect();
        let neighbours = Neighbours::new(&live);
        let stacks = Stacks::new(rects.clone(), &neighbours, clock);
        let all = rects.len() as u64;
        let mean = neighbours.mean(&live);
        // To sort some takes longer than to go through many that are sorted.
        let is_sparse = mean * SORTING < all;
        Some(Self {
            ejection: Ejection::new(&rects, start.as_deref()),
            neighbours: is_sparse.then_some(neighbours),
            // Two edges each, and most placements lead to another one.
            mean_looks: 4 * if is_sparse { mean * SORTING } else { all },
            packing: stacks.map(|stacks| {
                let memories = [Memory::new(&stacks), Memory::new(&stacks)];
                (stacks, memories)
            }),
            joined: Joined::new(&rects, 0, clock),
            rect_of: rect_of.collect(),
            grain: solid
                .iter()
                .map(|item| item.span)
                .chain(alignments)
                .fold(0, gcd),
            rects,
        })
    }

    fn search(&mut self, height: u64, slice: Slice, clock: &mut Clock) -> Ending {
        let Slice {
            way,
            round,
            is_tight,
        } = slice;
        if let (Way::Windows, Some(neighbours)) = (way, &self.neighbours) {
            let ejection = &mut self.ejection;
            return windows::run(&self.rects, neighbours, ejection, height, round, clock);
        }
        let ending = match &mut self.packing {
            Some(_) if way == Way::Joined => self.search_joined(height, round, clock),
            Some((stacks, memories)) if way != Way::Ejection => {
                let preference = preference(&self.rects, way, round);
                let memory = &mut memories[usize::from(is_tight)];
                Search::new(stacks, height, &preference, memory).run(clock)
            }
            _ => {
                let neighbours = self.neighbours.as_ref();
                return self.ejection.run(&self.rects, neighbours, height, clock);
            }
        };
        if let Ending::Plan(offsets) = &ending {
            self.ejection.learn(&self.rects, offsets);
        }
        ending
    }

    /// Looks for a plan in which some rectangles lie side by side.
    fn search_joined(&mut self, height: u64, round: u32, clock: &mut Clock) -> Ending {
        if round > 0 && round.is_multiple_of(ROUNDS_PER_JOIN) {
            let again = Joined::new(&self.rects, round / ROUNDS_PER_JOIN, clock);
            self.joined = again.or(self.joined.take());
        }
        let Some(joined) = &self.joined else {
            return Ending::OutOfBudget;
        };
        let starts = sections(joined.rects.iter().map(Rect::live));
        let place = |section: usize| starts.partition_point(|&start| (start as usize) < section);
        let rect = |rect: &Rect| Rect {
            first: place(rect.first),
            end: place(rect.end),
            ..*rect
        };
        let rects: Vec<Rect> = joined.rects.iter().map(rect).collect();
        let live: Vec<_> = rects.iter().map(Rect::live).collect();
        let Some(stacks) = Stacks::new(rects, &Neighbours::new(&live), clock) else {
            return Ending::OutOfBudget;
        };
        let preference = preference(&stacks.rects, Way::Restarts, round);
        match Search::new(&stacks, height, &preference, &mut Memory::new(&stacks)).run(clock) {
            Ending::Plan(offsets) => Ending::Plan(joined.offsets(&offsets)),
            // That these do not fit proves nothing.
            _ => Ending::OutOfBudget,
        }
    }
}

/// So many times what was put together is searched, each time in another order.
const ROUNDS_PER_JOIN: u32 = 4;

impl Decide for Portfolio {
    fn ways(&self) -> &'static [Way] {
        match self.packing {
            Some(_) if self.joined.is_some() => {
                &[Way::Joined, Way::Exact, Way::Restarts, Way::Ejection]
            }
            Some(_) => &[Way::Exact, Way::Restarts, Way::Ejection],
            None if self.neighbours.is_some() => &[Way::Windows, Way::Ejection],
            None => &[Way::Ejection],
        }
    }

    fn decide(&mut self, height: u64, slice: Slice, clock: &mut Clock) -> Ending {
        let ending = self.search(height, slice, clock);
        let of_items = |offsets: Vec<u64>| {
            let offset = |rect: &Option<usize>| rect.map_or(0, |rect| offsets[rect]);
            self.rect_of.iter().map(offset).collect()
        };
        match ending {
            Ending::Plan(offsets) => Ending::Plan(of_items(offsets)),
            Ending::Better(offsets) => Ending::Better(of_items(offsets)),
            Ending::Nothing | Ending::OutOfBudget => ending,
        }
    }

    fn steps(&self, placements: u64, way: Way) -> u64 {
        match way {
            Way::Ejection => placements * (1 + self.mean_looks / LOOKS_PER_STEP),
            Way::Exact | Way::Restarts | Way::Joined | Way::Windows => placements,
        }
    }
}

/// To find and sort one neighbour takes as long as to look at so many rectangles.
pub(crate) const SORTING: u64 = 8;

/// How much each rectangle wants to be placed early: long-lived ones, large areas or large
/// sizes in turn; most restarts, to fill small gaps, go by sizes.
pub(crate) fn preference(rects: &[Rect], way: Way, round: u32) -> Vec<u128> {
    // The first rounds are without noise, the others from 70 % to 130 % or, to keep the order
    // of most sizes, from 98 % to 102 % and from 90 % to 110 %.
    let (kind, noise) = match (way, round) {
        (Way::Restarts, 0) => (2, 0),
        (Way::Restarts, _) => [(2, 20), (1, 307), (3, 102), (2, 102), (0, 307)][round as usize % 5],
        (_, 0..3) => (round % 3, 0),
        (_, _) => (round % 3, 307),
    };
    let mut state = u64::from(round) + 1;
    let mut factor = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // In parts of 1024.
        1024 - noise + u128::from(state >> 33) % (2 * noise + 1)
    };
    let key = |rect: &Rect| {
        let (width, size) = ((rect.end - rect.first) as u128, u128::from(rect.size));
        let key = match kind {
            0 => (width << 64) + size,
            1 => width * size,
            2 => size,
            _ => width * size * size,
        };
        key * factor()
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
    use crate::items::items;
    use crate::rules::Rules;
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
            let items = items(&problem, &rules).unwrap();
            let bound = crate::lower_bound(&problem).unwrap()[0];
            for height in bound..bound + 3 {
                let clock = || Clock::new(&Budget::steps(1_000_000));
                let packed = Portfolio::new(&items, None, &mut clock()).unwrap().decide(
                    height,
                    Slice::first(Way::Exact),
                    &mut clock(),
                );
                let other = Disjunctive::new(&rules, &items, &mut clock())
                    .unwrap()
                    .decide(height, Slice::first(Way::Exact), &mut clock());
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

//! The ejection search: finds plans of a given height for thousands of buffers.
//!
//! It starts from a plan that is too high. What ends above the height is taken out and
//! put into a pool. One rectangle of the pool after the other goes where it costs least:
//! where nothing is in its way, or where the rectangles in its way weigh least; those go
//! to the pool in turn. A rectangle that found no free place weighs more from then on, so
//! what is hard to place settles first, and the search does not run in circles. When the
//! pool is empty, there is a plan. It proves nothing.
//!
//! The idea is the ejection pool of Nagata and Bräysy's vehicle routing heuristic.

use alloc::vec::Vec;

use crate::attempt::LOOKS_PER_STEP;
use crate::clock::Clock;
use crate::minimise::Ending;
use crate::neighbours::Neighbours;
use crate::stacks::Rect;

/// The search with what it keeps between heights.
pub(crate) struct Ejection {
    /// The lowest plan so far, if there is one, and its height.
    start: Option<Vec<u64>>,
    height: u64,
    /// The cost of taking a rectangle out, per failure.
    weights: Vec<u64>,
    /// How often each rectangle found no free place, and one.
    failures: Vec<u64>,
    random: u64,
}

/// The most failures that count.
const MOST_FAILURES: u64 = 1 << 24;

impl Ejection {
    /// `start` is a plan to begin with, if there is one.
    pub(crate) fn new(rects: &[Rect], start: Option<&[u64]>) -> Self {
        let root = |rect: &Rect| {
            let width = (rect.end - rect.first) as u64;
            rect.size.saturating_mul(width).isqrt()
        };
        // Twenty bits, so that sums of weights times failures stay below 2^63.
        let largest = rects.iter().map(root).max().unwrap_or(0);
        let shift = (64 - largest.leading_zeros()).saturating_sub(20);
        let mut search = Self {
            start: None,
            height: u64::MAX,
            weights: rects.iter().map(|rect| (root(rect) >> shift) + 1).collect(),
            failures: alloc::vec![1; rects.len()],
            random: 1,
        };
        if let Some(start) = start {
            search.learn(rects, start);
        }
        search
    }

    /// Takes a plan to begin with.
    pub(crate) fn learn(&mut self, rects: &[Rect], offsets: &[u64]) {
        self.start = Some(offsets.to_vec());
        let tops = rects.iter().zip(offsets).map(|(rect, at)| at + rect.size);
        self.height = tops.max().unwrap_or(0);
    }

    /// The best plan so far, if there is one.
    pub(crate) fn start(&self) -> Option<Vec<u64>> {
        self.start.clone()
    }

    /// Looks for a plan of at most `height`, from the best one so far. With `neighbours`, only
    /// what is live together with a rectangle is looked at to place it: faster, if that is a
    /// small part of all.
    pub(crate) fn run(
        &mut self,
        rects: &[Rect],
        neighbours: Option<&Neighbours>,
        height: u64,
        clock: &mut Clock,
    ) -> Ending {
        let nothing = || alloc::vec![NOWHERE; rects.len()];
        let start = self.start().unwrap_or_else(nothing);
        self.run_from(&start, rects, neighbours, height, clock)
    }

    /// As [`Self::run`], from other offsets, some of which may be [`NOWHERE`].
    pub(crate) fn run_from(
        &mut self,
        start: &[u64],
        rects: &[Rect],
        neighbours: Option<&Neighbours>,
        height: u64,
        clock: &mut Clock,
    ) -> Ending {
        if rects.iter().any(|rect| rect.size > height) {
            return Ending::Nothing;
        }
        let mut placed = Placed::new(rects, neighbours);
        let mut pool: Vec<usize> = Vec::new();
        for (index, (rect, &at)) in rects.iter().zip(start).enumerate() {
            if at != NOWHERE && at + rect.size <= height {
                placed.push(index, at, self.cost(index));
            } else {
                pool.push(index);
            }
        }
        placed.sort();
        let area = |&index: &usize| {
            let width = (rects[index].end - rects[index].first) as u64;
            rects[index].size.saturating_mul(width)
        };
        pool.sort_by_key(area);
        while let Some(index) = pool.pop() {
            let rect = &rects[index];
            let place = placed.cheapest(rect, height - rect.size, &mut self.random);
            if place.cost > 0 {
                self.failures[index] = (self.failures[index] + 1).min(MOST_FAILURES);
                placed.eject(rect, place.offset, &mut pool);
            }
            placed.insert(index, place.offset, self.cost(index));
            if !clock.spend(1 + place.looked_at / LOOKS_PER_STEP) {
                break;
            }
        }
        let fits = pool.is_empty();
        // What is left goes to the lowest free place at any height.
        pool.sort_by_key(area);
        while let Some(index) = pool.pop() {
            if clock.is_late() {
                return Ending::OutOfBudget;
            }
            let rect = &rects[index];
            let place = placed.cheapest(rect, u64::MAX, &mut self.random);
            placed.insert(index, place.offset, self.cost(index));
        }
        let offsets = placed.offsets;
        let tops = rects.iter().zip(&offsets).map(|(rect, at)| rect.size + at);
        if fits {
            self.learn(rects, &offsets);
            Ending::Plan(offsets)
        } else if tops.max().unwrap_or(0) < self.height {
            self.learn(rects, &offsets);
            Ending::Better(offsets)
        } else {
            Ending::OutOfBudget
        }
    }

    fn cost(&self, index: usize) -> u64 {
        self.weights[index] * self.failures[index]
    }
}

/// The lower or upper edge of a placed rectangle.
#[derive(Clone, Copy)]
struct Edge {
    at: u64,
    index: usize,
    first: usize,
    end: usize,
    /// The cost of taking the rectangle out.
    cost: u64,
}

impl Edge {
    fn meets(&self, rect: &Rect) -> bool {
        self.first < rect.end && rect.first < self.end
    }
}

/// The rectangles that have a place.
struct Placed<'a> {
    rects: &'a [Rect],
    neighbours: Option<&'a Neighbours>,
    /// The offset of each rectangle, or [`NOWHERE`].
    offsets: Vec<u64>,
    /// The cost of taking each rectangle out.
    costs: Vec<u64>,
    /// By their lower and by their upper edges: all that have a place or, with `neighbours`,
    /// those that are live together with the last rectangle that was asked for.
    bottoms: Vec<Edge>,
    tops: Vec<Edge>,
}

/// The offset of what has no place.
pub(crate) const NOWHERE: u64 = u64::MAX;

/// A place for a rectangle.
struct Place {
    offset: u64,
    /// The cost of the rectangles that are in the way there.
    cost: u64,
    looked_at: u64,
}

impl<'a> Placed<'a> {
    fn new(rects: &'a [Rect], neighbours: Option<&'a Neighbours>) -> Self {
        Self {
            rects,
            neighbours,
            offsets: alloc::vec![NOWHERE; rects.len()],
            costs: alloc::vec![0; rects.len()],
            bottoms: Vec::new(),
            tops: Vec::new(),
        }
    }

    /// Adds a rectangle without keeping the order.
    fn push(&mut self, index: usize, at: u64, cost: u64) {
        self.offsets[index] = at;
        self.costs[index] = cost;
        if self.neighbours.is_none() {
            let [bottom, top] = edges(&self.rects[index], index, at, cost);
            self.bottoms.push(bottom);
            self.tops.push(top);
        }
    }

    fn sort(&mut self) {
        self.bottoms.sort_by_key(|edge| edge.at);
        self.tops.sort_by_key(|edge| edge.at);
    }

    fn insert(&mut self, index: usize, at: u64, cost: u64) {
        self.offsets[index] = at;
        self.costs[index] = cost;
        if self.neighbours.is_some() {
            return;
        }
        let edges = edges(&self.rects[index], index, at, cost);
        for (list, edge) in [&mut self.bottoms, &mut self.tops].into_iter().zip(edges) {
            let place = list.partition_point(|other| other.at < edge.at);
            list.insert(place, edge);
        }
    }

    /// Lists the edges of what is live together with `rect`.
    fn gather(&mut self, neighbours: &Neighbours, rect: &Rect) {
        self.bottoms.clear();
        self.tops.clear();
        for index in neighbours.of(&rect.live()) {
            let at = self.offsets[index];
            if at != NOWHERE {
                let [bottom, top] = edges(&self.rects[index], index, at, self.costs[index]);
                self.bottoms.push(bottom);
                self.tops.push(top);
            }
        }
        for list in [&mut self.bottoms, &mut self.tops] {
            list.sort_unstable_by_key(|edge| (edge.at, edge.index));
        }
    }

    /// The cheapest offset up to `highest`; the lowest free one, if one is free.
    ///
    /// Going up, a rectangle comes into the way where its lower edge is passed by the top
    /// of `rect`, and leaves it where its upper edge is passed by the bottom. The cost is
    /// least just after something has left.
    fn cheapest(&mut self, rect: &Rect, highest: u64, random: &mut u64) -> Place {
        if let Some(neighbours) = self.neighbours {
            self.gather(neighbours, rect);
        }
        let (mut bottoms, mut tops) = (0, 0);
        let (mut offset, mut cost) = (0, 0);
        let mut best = (u64::MAX, 0);
        let mut ties = 0;
        loop {
            while let Some(edge) = self.bottoms.get(bottoms)
                && edge.at < offset + rect.size
            {
                cost += if edge.meets(rect) { edge.cost } else { 0 };
                bottoms += 1;
            }
            while let Some(edge) = self.tops.get(tops)
                && edge.at <= offset
            {
                cost -= if edge.meets(rect) { edge.cost } else { 0 };
                tops += 1;
            }
            if cost < best.0 {
                best = (cost, offset);
                ties = 1;
            } else if cost == best.0 {
                // One of the equally cheap places at random, always the same ones.
                ties += 1;
                *random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                if (*random >> 33).is_multiple_of(ties) {
                    best.1 = offset;
                }
            }
            while self.tops.get(tops).is_some_and(|edge| !edge.meets(rect)) {
                tops += 1;
            }
            match self.tops.get(tops) {
                Some(edge) if cost > 0 => offset = rect.align_up(edge.at),
                _ => break,
            }
            if offset > highest {
                break;
            }
        }
        Place {
            offset: best.1,
            cost: best.0,
            looked_at: (bottoms + tops) as u64,
        }
    }

    /// Moves what is in the way of `rect` at `at`, a place just found, to the pool.
    fn eject(&mut self, rect: &Rect, at: u64, pool: &mut Vec<usize>) {
        let top = at + rect.size;
        let (rects, offsets) = (self.rects, &mut self.offsets);
        self.bottoms.retain(|edge| {
            let clash = edge.at < top && edge.at + rects[edge.index].size > at && edge.meets(rect);
            if clash {
                pool.push(edge.index);
                offsets[edge.index] = NOWHERE;
            }
            !clash
        });
        if self.neighbours.is_none() {
            self.tops.retain(|edge| {
                !(edge.at > at && edge.at - rects[edge.index].size < top && edge.meets(rect))
            });
        }
    }
}

/// The lower and the upper edge.
fn edges(rect: &Rect, index: usize, at: u64, cost: u64) -> [Edge; 2] {
    [at, at + rect.size].map(|at| Edge {
        at,
        index,
        first: rect.first,
        end: rect.end,
        cost,
    })
}

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
use crate::stacks::Rect;

/// The search with what it keeps between heights.
pub(crate) struct Ejection {
    /// The lowest plan so far, if there is one, and its height.
    start: Option<Vec<u64>>,
    height: u64,
    /// What it costs to take a rectangle out, per failure.
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

    /// Looks for a plan of at most `height`.
    pub(crate) fn run(&mut self, rects: &[Rect], height: u64, clock: &mut Clock) -> Ending {
        if rects.iter().any(|rect| rect.size > height) {
            return Ending::Nothing;
        }
        let mut placed = Placed::default();
        let mut pool: Vec<usize> = Vec::new();
        for (index, rect) in rects.iter().enumerate() {
            match self.start.as_ref().map(|start| start[index]) {
                Some(at) if at + rect.size <= height => {
                    placed.push(rect, index, at, self.cost(index));
                }
                _ => pool.push(index),
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
                placed.eject(rects, rect, place.offset, &mut pool);
            }
            placed.insert(rect, index, place.offset, self.cost(index));
            if !clock.spend(1 + place.looked_at / LOOKS_PER_STEP) {
                break;
            }
        }
        let fits = pool.is_empty();
        // What is left goes to the lowest free place at any height.
        pool.sort_by_key(area);
        while let Some(index) = pool.pop() {
            let rect = &rects[index];
            let place = placed.cheapest(rect, u64::MAX, &mut self.random);
            placed.insert(rect, index, place.offset, self.cost(index));
        }
        let mut offsets = alloc::vec![0; rects.len()];
        for bottom in &placed.bottoms {
            offsets[bottom.index] = bottom.at;
        }
        if fits {
            self.learn(rects, &offsets);
            Ending::Plan(offsets)
        } else if placed.height() < self.height {
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
    /// What it costs to take the rectangle out.
    cost: u64,
}

impl Edge {
    fn meets(&self, rect: &Rect) -> bool {
        self.first < rect.end && rect.first < self.end
    }
}

/// The rectangles that have a place, by their lower and by their upper edges.
#[derive(Default)]
struct Placed {
    bottoms: Vec<Edge>,
    tops: Vec<Edge>,
}

/// A place for a rectangle.
struct Place {
    offset: u64,
    /// What is in the way there costs so much.
    cost: u64,
    looked_at: u64,
}

impl Placed {
    /// Adds a rectangle without keeping the order.
    fn push(&mut self, rect: &Rect, index: usize, at: u64, cost: u64) {
        let [bottom, top] = edges(rect, index, at, cost);
        self.bottoms.push(bottom);
        self.tops.push(top);
    }

    fn sort(&mut self) {
        self.bottoms.sort_by_key(|edge| edge.at);
        self.tops.sort_by_key(|edge| edge.at);
    }

    fn height(&self) -> u64 {
        self.tops.last().map_or(0, |edge| edge.at)
    }

    fn insert(&mut self, rect: &Rect, index: usize, at: u64, cost: u64) {
        let edges = edges(rect, index, at, cost);
        for (list, edge) in [&mut self.bottoms, &mut self.tops].into_iter().zip(edges) {
            let place = list.partition_point(|other| other.at < edge.at);
            list.insert(place, edge);
        }
    }

    /// The cheapest offset up to `highest`; the lowest free one, if one is free.
    ///
    /// Going up, a rectangle comes into the way where its lower edge is passed by the top
    /// of `rect`, and leaves it where its upper edge is passed by the bottom. The cost is
    /// least just after something has left.
    fn cheapest(&self, rect: &Rect, highest: u64, random: &mut u64) -> Place {
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

    /// Moves what is in the way of `rect` at `at` to the pool.
    fn eject(&mut self, rects: &[Rect], rect: &Rect, at: u64, pool: &mut Vec<usize>) {
        let top = at + rect.size;
        self.bottoms.retain(|edge| {
            let clash = edge.at < top && edge.at + rects[edge.index].size > at && edge.meets(rect);
            if clash {
                pool.push(edge.index);
            }
            !clash
        });
        self.tops.retain(|edge| {
            !(edge.at > at && edge.at - rects[edge.index].size < top && edge.meets(rect))
        });
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

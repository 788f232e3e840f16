//! An exact search that understands every relation.
//!
//! For each pair of items, the allowed differences of their offsets are a few
//! intervals: below, above and, for aliases and rigid groups, something between. A node
//! of the search has chosen an interval for some pairs. Each choice is one or two
//! difference constraints, whose least solution gives the lowest offset of every item;
//! in the same way the height to beat gives the highest one. A pair with no interval
//! left ends the node, a pair with one takes it, and when the lowest offsets break no
//! pair they are a plan. Otherwise the search branches over a broken pair.

use alloc::vec::Vec;

use crate::clock::Clock;
use crate::items::Item;
use crate::minimise::{Decide, Ending, Slice, Way};
use crate::neighbours::Neighbours;
use crate::rules::{Rules, signed};

/// The largest number of pairs that get in each other's way for which the search runs.
const MOST_PAIRS: usize = 20_000;

/// The same, times the number of items: a node keeps two offsets of every item, and there
/// are at most as many nodes as pairs.
const MOST_OFFSETS: usize = 1 << 24;

/// The search and the pairs that it is about.
pub(crate) struct Disjunctive<'a> {
    items: &'a [Item],
    pairs: Vec<Pair>,
}

impl<'a> Disjunctive<'a> {
    /// None if there are too many pairs, or the time is over.
    pub(crate) fn new(rules: &Rules, items: &'a [Item], clock: &mut Clock) -> Option<Self> {
        Some(Self {
            items,
            pairs: pairs(rules, items, clock)?,
        })
    }
}

impl Decide for Disjunctive<'_> {
    fn ways(&self) -> &'static [Way] {
        &[Way::Exact]
    }

    fn decide(&mut self, height: u64, _slice: Slice, clock: &mut Clock) -> Ending {
        Search::new(self.items, &self.pairs).run(height, clock)
    }
}

/// Two items that may get in each other's way.
struct Pair {
    a: usize,
    b: usize,
    /// The allowed inclusive intervals of `offset(b) - offset(a)`, in increasing order.
    gaps: Vec<(i64, i64)>,
}

/// Far outside every difference of offsets.
const FAR: i64 = i64::MAX / 4;

fn pairs(rules: &Rules, items: &[Item], clock: &mut Clock) -> Option<Vec<Pair>> {
    let live: Vec<_> = items.iter().map(|item| item.live.clone()).collect();
    let neighbours = Neighbours::new(&live);
    let mut pairs = Vec::new();
    let mut forbidden = Vec::new();
    for a in 0..items.len() {
        let mut others: Vec<usize> = neighbours.of(&live[a]).filter(|b| *b > a).collect();
        others.sort_unstable();
        if clock.is_late() {
            return None;
        }
        for b in others {
            forbidden.clear();
            rules.forbidden_items(&items[a], &items[b], |low, high| {
                forbidden.push((low, high));
            });
            if forbidden.is_empty() {
                continue;
            }
            forbidden.sort_unstable();
            let mut gaps = Vec::with_capacity(forbidden.len() + 1);
            let mut from = -FAR;
            for &(low, high) in &forbidden {
                if from < low {
                    gaps.push((from, low - 1));
                }
                from = from.max(high + 1);
            }
            gaps.push((from, FAR));
            pairs.push(Pair { a, b, gaps });
            if pairs.len() > MOST_PAIRS || pairs.len() * items.len() > MOST_OFFSETS {
                return None;
            }
        }
    }
    Some(pairs)
}

/// `offset(to) >= offset(from) + distance`.
#[derive(Clone, Copy)]
struct Arc {
    from: usize,
    to: usize,
    distance: i64,
}

/// The lowest and the highest offset of every item.
#[derive(Clone)]
struct Windows {
    low: Vec<u64>,
    high: Vec<u64>,
}

/// A node with alternatives left.
struct Node {
    windows: Windows,
    arcs: usize,
    chosen: usize,
    pair: usize,
    /// The indices of the gaps still to try, the most promising last.
    gaps: Vec<usize>,
}

struct Search<'a> {
    items: &'a [Item],
    pairs: &'a [Pair],
    arcs: Vec<Arc>,
    /// The pairs for which a gap is chosen, in the order of the choices.
    chosen: Vec<usize>,
    is_chosen: Vec<bool>,
    leaving: Vec<Vec<Arc>>,
    entering: Vec<Vec<Arc>>,
    queue: Vec<usize>,
}

/// The constraints of the pairs on a node.
enum Verdict {
    Dead,
    Solved,
    Branch(usize),
    OutOfBudget,
}

impl<'a> Search<'a> {
    fn new(items: &'a [Item], pairs: &'a [Pair]) -> Self {
        Self {
            items,
            pairs,
            arcs: Vec::new(),
            chosen: Vec::new(),
            is_chosen: alloc::vec![false; pairs.len()],
            leaving: items.iter().map(|_| Vec::new()).collect(),
            entering: items.iter().map(|_| Vec::new()).collect(),
            queue: Vec::new(),
        }
    }

    fn run(&mut self, height: u64, clock: &mut Clock) -> Ending {
        let Some(mut windows) = self.windows(height) else {
            return Ending::Nothing;
        };
        let mut stack: Vec<Node> = Vec::new();
        loop {
            match self.settle(&mut windows, clock) {
                Verdict::OutOfBudget => return Ending::OutOfBudget,
                Verdict::Solved => return Ending::Plan(windows.low),
                Verdict::Branch(pair) => {
                    let gaps = self.ranked_gaps(&windows, pair);
                    let (arcs, chosen) = (self.arcs.len(), self.chosen.len());
                    stack.push(Node {
                        windows: windows.clone(),
                        arcs,
                        chosen,
                        pair,
                        gaps,
                    });
                }
                Verdict::Dead => {}
            }
            // The next alternative of the deepest node that has one.
            loop {
                let Some(node) = stack.last_mut() else {
                    return Ending::Nothing;
                };
                let Some(gap) = node.gaps.pop() else {
                    stack.pop();
                    continue;
                };
                let (arcs, chosen, pair) = (node.arcs, node.chosen, node.pair);
                windows = node.windows.clone();
                self.forget(arcs, chosen);
                if self.choose(&mut windows, pair, gap, clock) {
                    break;
                }
                if clock.is_over() {
                    return Ending::OutOfBudget;
                }
            }
        }
    }

    /// The windows before any choice.
    fn windows(&self, height: u64) -> Option<Windows> {
        let mut windows = Windows {
            low: Vec::new(),
            high: Vec::new(),
        };
        for item in self.items {
            let highest = item.align_down(height.checked_sub(item.span)?)?;
            let low = item.fixed_offset.unwrap_or_else(|| item.align_up(0));
            let high = item
                .fixed_offset
                .map_or(highest, |fixed| fixed.min(highest));
            if low > high {
                return None;
            }
            windows.low.push(low);
            windows.high.push(high);
        }
        Some(windows)
    }

    /// Makes every forced choice and looks for a pair to branch over.
    fn settle(&mut self, windows: &mut Windows, clock: &mut Clock) -> Verdict {
        let pairs = self.pairs;
        loop {
            if !clock.spend(1 + pairs.len() as u64 / 256) {
                return Verdict::OutOfBudget;
            }
            let mut forced = false;
            let mut broken: Option<(i64, usize)> = None;
            for (index, pair) in pairs.iter().enumerate() {
                let low = signed(windows.low[pair.b]) - signed(windows.high[pair.a]);
                let high = signed(windows.high[pair.b]) - signed(windows.low[pair.a]);
                let now = signed(windows.low[pair.b]) - signed(windows.low[pair.a]);
                let mut left = pair
                    .gaps
                    .iter()
                    .enumerate()
                    .filter(|gap| meets(*gap.1, low, high));
                let Some((first, _)) = left.next() else {
                    return Verdict::Dead;
                };
                if left.next().is_none() {
                    if !self.is_chosen[index] {
                        if !self.choose(windows, index, first, clock) {
                            return if clock.is_over() {
                                Verdict::OutOfBudget
                            } else {
                                Verdict::Dead
                            };
                        }
                        forced = true;
                    }
                } else if !pair.gaps.iter().any(|gap| meets(*gap, now, now)) {
                    let slack = high - low;
                    if broken.is_none_or(|(least, _)| slack < least) {
                        broken = Some((slack, index));
                    }
                }
            }
            match broken {
                _ if forced => {}
                Some((_, index)) => return Verdict::Branch(index),
                None => return Verdict::Solved,
            }
        }
    }

    /// The gaps of a pair that are still possible, the one that moves least last.
    fn ranked_gaps(&self, windows: &Windows, index: usize) -> Vec<usize> {
        let pair = &self.pairs[index];
        let low = signed(windows.low[pair.b]) - signed(windows.high[pair.a]);
        let high = signed(windows.high[pair.b]) - signed(windows.low[pair.a]);
        let now = signed(windows.low[pair.b]) - signed(windows.low[pair.a]);
        let mut gaps: Vec<usize> = (0..pair.gaps.len())
            .filter(|&gap| meets(pair.gaps[gap], low, high))
            .collect();
        gaps.sort_by_key(|&gap| {
            let (from, to) = pair.gaps[gap];
            core::cmp::Reverse((from - now).max(now - to))
        });
        gaps
    }

    /// Adds the constraints of one gap; false if they cannot be met.
    fn choose(
        &mut self,
        windows: &mut Windows,
        pair: usize,
        gap: usize,
        clock: &mut Clock,
    ) -> bool {
        let Pair { a, b, ref gaps } = self.pairs[pair];
        let (from, to) = gaps[gap];
        self.chosen.push(pair);
        self.is_chosen[pair] = true;
        self.queue.clear();
        if from > -FAR {
            self.constrain(Arc {
                from: a,
                to: b,
                distance: from,
            });
        }
        if to < FAR {
            self.constrain(Arc {
                from: b,
                to: a,
                distance: -to,
            });
        }
        self.queue.extend([a, b]);
        self.propagate(windows, clock)
    }

    fn constrain(&mut self, arc: Arc) {
        self.arcs.push(arc);
        self.leaving[arc.from].push(arc);
        self.entering[arc.to].push(arc);
    }

    /// Takes back all constraints but the first `arcs` and all choices but the first
    /// `chosen`.
    fn forget(&mut self, arcs: usize, chosen: usize) {
        for &pair in &self.chosen[chosen..] {
            self.is_chosen[pair] = false;
        }
        self.chosen.truncate(chosen);
        while self.arcs.len() > arcs {
            if let Some(arc) = self.arcs.pop() {
                self.leaving[arc.from].pop();
                self.entering[arc.to].pop();
            }
        }
    }

    /// Raises the lowest and lowers the highest offsets as the constraints of the queued
    /// items demand; false if a window becomes empty or the budget ends.
    fn propagate(&mut self, windows: &mut Windows, clock: &mut Clock) -> bool {
        while let Some(item) = self.queue.pop() {
            for arc in &self.leaving[item] {
                let least = signed(windows.low[item]) + arc.distance;
                if least > signed(windows.low[arc.to]) {
                    let low = self.items[arc.to].align_up(least.unsigned_abs());
                    if low > windows.high[arc.to] || !clock.spend(1) {
                        return false;
                    }
                    windows.low[arc.to] = low;
                    self.queue.push(arc.to);
                }
            }
            for arc in &self.entering[item] {
                let most = signed(windows.high[item]) - arc.distance;
                if most < signed(windows.high[arc.from]) {
                    let high = u64::try_from(most)
                        .ok()
                        .and_then(|most| self.items[arc.from].align_down(most));
                    match high {
                        Some(high) if high >= windows.low[arc.from] && clock.spend(1) => {
                            windows.high[arc.from] = high;
                            self.queue.push(arc.from);
                        }
                        _ => return false,
                    }
                }
            }
        }
        true
    }
}

/// Whether two inclusive intervals have a number in common.
fn meets(gap: (i64, i64), low: i64, high: i64) -> bool {
    gap.0 <= high && low <= gap.1
}

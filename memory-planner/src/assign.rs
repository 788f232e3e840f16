//! An exact search over the ways to distribute items over regions.

use alloc::vec::Vec;

use crate::attempt::Attempt;
use crate::bounds::{choices, height_bound};
use crate::clock::Clock;
use crate::improve::lowest;
use crate::items::Item;
use crate::minimise::Range;
use crate::plan::Goal;
use crate::solve::Task;

/// So many items are bounded in the time of one step.
const ITEMS_PER_STEP: u64 = 64;

/// Tries every distribution that may be better than the best attempt so far; true if the
/// budget was enough to decide all of them.
pub(crate) fn assign(
    task: &Task<'_>,
    items: &[Item],
    best: &mut Attempt,
    clock: &mut Clock,
) -> bool {
    let fits = best.overflow(task.problem).is_none();
    if fits && task.goal == Goal::Fits {
        return false;
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    let freedom = |i: usize| {
        (
            choices(task.problem, &items[i]).count(),
            u64::MAX - items[i].span,
        )
    };
    order.sort_by_cached_key(|&i| freedom(i));
    let regions = task.problem.regions.len();
    let mut search = Assign {
        task,
        items,
        best_heights: fits.then(|| best.heights.iter().rev().copied().collect()),
        region_of: alloc::vec![None; task.problem.buffers.len()],
        here: alloc::vec![Vec::new(); regions],
        bounds: alloc::vec![0; regions],
        exact: true,
    };
    search.run(&order, best, clock);
    search.exact
}

struct Assign<'a> {
    task: &'a Task<'a>,
    items: &'a [Item],
    /// The heights to beat, the last region's first; none as long as nothing fits.
    best_heights: Option<Vec<u64>>,
    region_of: Vec<Option<usize>>,
    /// The items in each region.
    here: Vec<Vec<usize>>,
    /// A lower bound for each region, the last region's first.
    bounds: Vec<u64>,
    exact: bool,
}

/// An item on the way down the tree.
struct Level {
    /// The regions still to try, the first one last.
    left: Vec<usize>,
    /// The region that is being tried, and the bounds before.
    current: Option<(usize, Vec<u64>)>,
}

impl Assign<'_> {
    fn run(&mut self, order: &[usize], best: &mut Attempt, clock: &mut Clock) {
        let mut levels: Vec<Level> = Vec::new();
        loop {
            if levels.len() == order.len() {
                self.finish(best, clock);
            } else {
                let mut left: Vec<usize> =
                    choices(self.task.problem, &self.items[order[levels.len()]]).collect();
                left.reverse();
                levels.push(Level {
                    left,
                    current: None,
                });
            }
            // On to the next region of the deepest item that has one.
            loop {
                if clock.is_over() || self.is_done() {
                    self.exact = false;
                    return;
                }
                let Some(level) = levels.last_mut() else {
                    return;
                };
                let left = level.left.pop();
                let current = level.current.take();
                let item = order[levels.len() - 1];
                if let Some((region, bounds)) = current {
                    self.bounds = bounds;
                    self.here[region].pop();
                    for member in &self.items[item].members {
                        self.region_of[member.buffer] = None;
                    }
                }
                let Some(region) = left else {
                    levels.pop();
                    continue;
                };
                clock.spend(1 + self.here[region].len() as u64 / ITEMS_PER_STEP);
                let bounds = self.bounds.clone();
                let accepted = self.put(item, region);
                if let Some(level) = levels.last_mut() {
                    level.current = Some((region, bounds));
                }
                if accepted {
                    break;
                }
            }
            if levels.is_empty() {
                return;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.task.goal == Goal::Fits && self.best_heights.is_some()
    }

    /// Puts an item into a region; false if that leads to nothing better.
    fn put(&mut self, item: usize, region: usize) -> bool {
        let (task, items) = (self.task, self.items);
        self.here[region].push(item);
        for member in &items[item].members {
            self.region_of[member.buffer] = Some(region);
        }
        let mut apart = task.rules.apart(&items[item]);
        if apart.any(|other| self.region_of[other] == Some(region)) {
            return false;
        }
        let here: Vec<&Item> = self.here[region].iter().map(|&i| &items[i]).collect();
        let bound = height_bound(&task.rules, &here);
        let place = self.bounds.len() - 1 - region;
        self.bounds[place] = bound;
        bound <= task.problem.regions[region].usable()
            && self
                .best_heights
                .as_ref()
                .is_none_or(|best| self.bounds < *best)
    }

    /// Plans all regions for one distribution.
    fn finish(&mut self, best: &mut Attempt, clock: &mut Clock) {
        let task = self.task;
        let mut attempt = best.clone();
        let mut heights = Vec::new();
        for region in (0..self.here.len()).rev() {
            let here: Vec<Item> = self.here[region]
                .iter()
                .map(|&i| self.items[i].clone())
                .collect();
            let bound = self.bounds[heights.len()];
            let most = task.problem.regions[region].usable();
            // As long as the later regions are as high as before, this one may not be higher.
            let most = match &self.best_heights {
                Some(best) if best[..heights.len()] == heights => most.min(best[heights.len()]),
                _ => most,
            };
            let range = Range {
                least: bound,
                most,
                grain: 1,
                fits: false,
            };
            let outcome = lowest(task, &here, None, range, clock);
            self.exact &= outcome.complete;
            let Some(offsets) = outcome.offsets else {
                return;
            };
            let tops = here.iter().zip(&offsets).map(|(item, at)| at + item.span);
            heights.push(tops.max().unwrap_or(0));
            attempt.put(task, region, &here, &offsets);
        }
        if self
            .best_heights
            .as_ref()
            .is_none_or(|best| heights < *best)
        {
            self.best_heights = Some(heights);
            attempt.broken = false;
            *best = attempt;
        }
    }
}

//! Problems like those of whole networks that run in place: proved optimal, and fast.

mod support;

use memory_planner::{
    Axis, Budget, Buffer, BufferId, Problem, Proof, Relation, SlidingWindow, checker,
    sliding_window_overlap, solve,
};
use support::{NETWORKS, Random, network_and_offsets};

/// A chain of feature maps, each computed from the one before by sliding windows, with
/// in-place updates of each in between.
struct Network {
    problem: Problem,
    step: u32,
    current: BufferId,
    side: u32,
    token_bytes: u64,
}

impl Network {
    fn new(side: u32, token_bytes: u64) -> Self {
        let mut problem = Problem::with_capacity(16 << 20);
        let size = u64::from(side * side) * token_bytes;
        let current = problem.add_buffer(Buffer::new("input", 0..1, size));
        Self {
            problem,
            step: 1,
            current,
            side,
            token_bytes,
        }
    }

    /// A buffer that is live during the current step.
    fn scratch(&mut self, name: &str, bytes: u64) {
        let name = format!("step{}.{name}", self.step);
        let live = self.step..self.step + 1;
        self.problem
            .add_buffer(Buffer::new(name, live, bytes).aligned(4));
    }

    /// A step that updates the feature map in place.
    fn update(&mut self, scratch_bytes: u64) {
        self.scratch("scratch", scratch_bytes);
        self.end_step();
    }

    fn end_step(&mut self) {
        self.step += 1;
        self.problem.buffers[self.current.index()].live.end = self.step;
    }

    /// A step that writes a new feature map over the one that it reads.
    fn downsample(&mut self, window: u32, stride: u32, padding: u32, token_bytes: u64) {
        let outputs = (self.side + 2 * padding - window) / stride + 1;
        let axis = Axis {
            inputs: self.side,
            outputs,
            window,
            stride,
            padding,
        };
        let geometry = SlidingWindow {
            rows: axis,
            columns: axis,
            in_token_bytes: self.token_bytes,
            out_token_bytes: token_bytes,
            tile_tokens: 1,
        };
        let name = format!("map{}", self.step);
        let live = self.step..self.step + 1;
        let lower = self
            .problem
            .add_buffer(Buffer::new(name, live, geometry.out_bytes()).aligned(4));
        self.scratch("window", u64::from(window * window) * self.token_bytes);
        let bytes = sliding_window_overlap(&geometry);
        let upper = self.current;
        self.problem.relations.push(Relation::MayOverlap {
            lower,
            upper,
            bytes,
        });
        self.end_step();
        (self.current, self.side, self.token_bytes) = (lower, outputs, token_bytes);
        self.problem.buffers[lower.index()].live.end = self.step;
    }

    /// A step that computes a map of the same size and may write it over its input.
    fn elementwise(&mut self) {
        let old = self.current;
        let size = self.problem.buffers[old.index()].size;
        let live = self.step..self.step + 1;
        let new = self
            .problem
            .add_buffer(Buffer::new(format!("map{}", self.step), live, size));
        self.problem
            .relations
            .push(Relation::MayAlias { a: old, b: new });
        self.end_step();
        self.current = new;
        self.problem.buffers[new.index()].live.end = self.step;
    }

    /// Solves and checks; the steps that the solver took.
    fn assert_optimal(&self) -> u64 {
        let solution = solve(&self.problem, &Budget::default()).unwrap();
        assert_eq!(checker::check(&self.problem, &solution.plan), Ok(()));
        let figures = (solution.height(), solution.lower_bound(), solution.steps);
        assert_eq!(
            solution.proof,
            Proof::Optimal,
            "{figures:?} {:#?}",
            self.problem
        );
        solution.steps
    }
}

/// A few milliseconds. Tests count steps, as time depends on what else a machine does.
const MOST_STEPS: u64 = 1000;

/// Four stages with updates in place, as in a MetaFormer.
fn metaformer(side: u32, dims: [u64; 4], depths: [u32; 4], patch: (u32, u32, u32)) -> Network {
    let mut network = Network::new(side, 3);
    for (stage, (dim, depth)) in dims.into_iter().zip(depths).enumerate() {
        let (window, stride, padding) = if stage == 0 { patch } else { (3, 2, 1) };
        network.downsample(window, stride, padding, dim);
        for _ in 0..depth {
            network.update(2 * u64::from(network.side) * dim);
            network.update(8 * 4 * dim);
        }
    }
    network.scratch("logits", 1000);
    network.end_step();
    network
}

#[test]
fn metaformers_are_planned_optimally() {
    let s12 = metaformer(224, [64, 128, 320, 512], [2, 2, 6, 2], (7, 4, 2));
    assert!(s12.problem.buffers.len() > 20);
    let mut most = s12.assert_optimal();
    let small = metaformer(32, [32, 64, 128, 160], [2, 2, 2, 1], (3, 2, 1));
    most = small.assert_optimal().max(most);
    assert!(most < MOST_STEPS, "{most} steps");
}

#[test]
fn the_repositorys_networks_are_planned_optimally() {
    for name in NETWORKS {
        let (problem, offsets) = network_and_offsets(name);
        let solution = solve(&problem, &Budget::default()).unwrap();
        assert_eq!(checker::check(&problem, &solution.plan), Ok(()));
        let placements = solution.plan.placements.iter();
        let planned: Vec<u64> = placements.map(|placement| placement.offset).collect();
        assert_eq!(
            planned, offsets,
            "{name}: another plan than the committed one"
        );
        assert_eq!(solution.proof, Proof::Optimal, "{name}");
        assert!(solution.steps < MOST_STEPS, "{name}: {}", solution.steps);
    }
}

#[test]
fn random_networks_are_planned_optimally() {
    let mut most = 0;
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut network = Network::new(24 + random.below(80) as u32, 1 + random.below(4));
        for _ in 0..4 + random.below(30) {
            match random.below(4) {
                0 if network.side >= 7 => {
                    let window = 1 + random.below(7) as u32;
                    let stride = 1 + random.below(4) as u32;
                    let padding = random.below(u64::from(window)) as u32;
                    let token_bytes = 1 + random.below(64);
                    network.downsample(window, stride, padding, token_bytes);
                }
                1 => network.elementwise(),
                _ => network.update(1 + random.below(4000)),
            }
        }
        most = network.assert_optimal().max(most);
    }
    assert!(most < MOST_STEPS, "{most} steps");
}

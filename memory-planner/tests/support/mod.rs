//! Instances for tests and benchmarks: MiniMalloc's files, networks and random problems.
#![allow(dead_code)]

pub(crate) mod brute_force;
pub(crate) mod generate;

use memory_planner::{Buffer, BufferId, Problem, Relation};

/// The eleven hard instances by name.
pub(crate) const HARD: [&str; 11] = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K"];

/// The capacity that they are to fit.
pub(crate) const HARD_CAPACITY: u64 = 1_048_576;

/// Reads one of MiniMalloc's instances.
pub(crate) fn hard(name: &str) -> Problem {
    let file = format!("../tests/fixtures/minimalloc/{name}.1048576.csv");
    read(&file, HARD_CAPACITY).0
}

/// The networks of this repository by name, with int8 and with int4 weights.
pub(crate) const NETWORKS: [&str; 4] = [
    "identityformer-cifar10-int4",
    "identityformer-cifar10-int8",
    "poolformer-cifar10-int4",
    "poolformer-cifar10-int8",
];

/// Reads the buffers of one of these networks, as tadpool schedules it.
pub(crate) fn network(name: &str) -> Problem {
    network_and_offsets(name).0
}

/// The same with the offsets of the committed plan.
pub(crate) fn network_and_offsets(name: &str) -> (Problem, Vec<u64>) {
    read(&format!("tests/networks/{name}.csv"), u64::MAX)
}

/// Reads the columns of `tadpool plan` that the instances here have.
fn read(file: &str, capacity: u64) -> (Problem, Vec<u64>) {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let rows: Vec<Vec<&str>> = rows.collect();
    let id = |name: &str| {
        let index = rows.iter().position(|row| row[0] == name).unwrap();
        BufferId(index as u32)
    };
    let mut problem = Problem::with_capacity(capacity);
    let mut offsets = Vec::new();
    for row in &rows {
        let mut buffer = Buffer::new("", 0..0, 0);
        let this = id(row[0]);
        for (column, field) in header.iter().zip(row) {
            match *column {
                "id" => buffer.name = (*field).into(),
                "lower" => buffer.live.start = field.parse().unwrap(),
                "upper" => buffer.live.end = field.parse().unwrap(),
                "size" => buffer.size = field.parse().unwrap(),
                "alignment" => buffer.alignment = field.parse().unwrap(),
                "overlap" => problem
                    .relations
                    .extend(field.split(' ').filter_map(|entry| {
                        let (upper, bytes) = entry.rsplit_once(':')?;
                        Some(Relation::MayOverlap {
                            lower: this,
                            upper: id(upper),
                            bytes: bytes.parse().unwrap(),
                        })
                    })),
                "offset" => offsets.push(field.parse().unwrap()),
                _ => panic!("{file}: column {column}"),
            }
        }
        problem.add_buffer(buffer);
    }
    (problem, offsets)
}

/// A small generator of numbers that are the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// The shapes of random problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A network's tensors: most live for a few steps, some for long.
    Network,
    /// Live ranges of all lengths, anywhere.
    Uniform,
    /// As `Network`, with alignments from 1 to 64 bytes.
    Aligned,
}

/// A random problem of `count` buffers, with all the capacity it can need.
pub(crate) fn random(shape: Shape, count: u32, seed: u64) -> Problem {
    let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(u64::from(count)));
    let mut problem = Problem::with_capacity(u64::MAX);
    for index in 0..count {
        let horizon = u64::from(count.max(2));
        let start = random.below(horizon);
        let length = match shape {
            Shape::Uniform => 1 + random.below(horizon - start + 1),
            Shape::Network | Shape::Aligned => match random.below(10) {
                0 => 1 + random.below(horizon / 2 + 1),
                1 | 2 => 1 + random.below(horizon / 10 + 2),
                _ => 1 + random.below(6),
            },
        };
        // Sizes over three orders of magnitude, in multiples of 16 bytes.
        let size = (1 + random.below(64)) << random.below(7);
        let live = start as u32..(start + length) as u32;
        let mut buffer = Buffer::new(format!("b{index}"), live, size * 16);
        if shape == Shape::Aligned {
            buffer.alignment = 1 << random.below(7);
            buffer.size += random.below(16);
        }
        problem.add_buffer(buffer);
    }
    problem
}

/// All shapes.
pub(crate) const SHAPES: [Shape; 3] = [Shape::Network, Shape::Uniform, Shape::Aligned];

/// The middle of an odd number of figures.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

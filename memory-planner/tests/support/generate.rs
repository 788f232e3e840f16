//! Made instances: packings without a gap, and the live ranges of large networks.

use memory_planner::{Buffer, Problem};

use super::Random;

/// Buffers that fill `height` bytes at all moments without a gap, cut out of one rectangle;
/// so `height` is the best there is.
pub(crate) fn perfect_packing(count: usize, height: u64, seed: u64) -> Problem {
    struct Piece {
        time: (u32, u32),
        bytes: (u64, u64),
    }
    let mut random = Random::new(seed);
    let mut pieces = vec![Piece {
        time: (0, 1000),
        bytes: (0, height),
    }];
    while pieces.len() < count {
        // One of three pieces at random, the one of the largest area.
        let pick = (0..3).map(|_| random.below(pieces.len() as u64) as usize);
        let area = |piece: &Piece| {
            let (time, bytes) = (piece.time, piece.bytes);
            u64::from(time.1 - time.0) * (bytes.1 - bytes.0)
        };
        let index = pick.max_by_key(|&index| area(&pieces[index])).unwrap();
        let Piece { time, bytes } = pieces[index];
        let (width, size) = (u64::from(time.1 - time.0), bytes.1 - bytes.0);
        if random.below(2) == 0 && width > 1 {
            let cut = time.0 + 1 + random.below(width - 1) as u32;
            pieces[index].time.1 = cut;
            pieces.push(Piece {
                time: (cut, time.1),
                bytes,
            });
        } else if size > 1 {
            let cut = bytes.0 + 1 + random.below(size - 1);
            pieces[index].bytes.1 = cut;
            pieces.push(Piece {
                time,
                bytes: (cut, bytes.1),
            });
        }
    }
    let mut problem = Problem::with_capacity(height);
    for (index, piece) in pieces.iter().enumerate() {
        let size = piece.bytes.1 - piece.bytes.0;
        let live = piece.time.0..piece.time.1;
        problem.add_buffer(Buffer::new(format!("b{index}"), live, size));
    }
    problem
}

/// How the tensors of a large network depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Graph {
    /// Blocks whose input is added to their output.
    Residual,
    /// Encoder outputs wait for the decoder, the first one longest.
    SkipLong,
    /// Parallel branches that are concatenated.
    Branches,
    /// Every output is read by all later layers of its block.
    Dense,
    /// Maps of the forward pass are kept for the backward pass.
    Training,
}

pub(crate) const GRAPHS: [Graph; 5] = [
    Graph::Residual,
    Graph::SkipLong,
    Graph::Branches,
    Graph::Dense,
    Graph::Training,
];

/// The buffers of a network of about `count` tensors and scratch buffers.
pub(crate) fn large_network(graph: Graph, count: usize, seed: u64) -> Problem {
    let mut network = LargeNetwork {
        random: Random::new(seed),
        problem: Problem::with_capacity(u64::MAX),
        step: 0,
        input: 0,
        channels: 64,
        side: 224,
    };
    network.input = network.tensor(3 * 224 * 224);
    match graph {
        Graph::Residual => network.repeat(count, LargeNetwork::residual_block),
        Graph::SkipLong => network.repeat(count, |network| network.skip_long(count.min(600))),
        Graph::Branches => network.repeat(count, LargeNetwork::branches),
        Graph::Dense => network.repeat(count, LargeNetwork::dense_block),
        Graph::Training => network.training(count),
    }
    network.problem
}

struct LargeNetwork {
    random: Random,
    problem: Problem,
    step: u32,
    /// The tensor that the next operation reads.
    input: usize,
    channels: u64,
    side: u64,
}

impl LargeNetwork {
    fn repeat(&mut self, count: usize, mut block: impl FnMut(&mut Self)) {
        while self.problem.buffers.len() < count {
            block(self);
            // Fewer and fewer pixels, more and more channels, then from the start.
            match self.random.below(6) {
                0 if self.side > 7 => {
                    self.side /= 2;
                    self.channels = (self.channels * 2).min(2048);
                }
                0 => (self.side, self.channels) = (224, 64),
                _ => {}
            }
            self.input = self.operation();
        }
    }

    /// An operation that reads the input, and some of them scratch; its output.
    fn operation(&mut self) -> usize {
        self.read(self.input);
        if self.random.below(3) == 0 {
            let bytes = 64 * (1 + self.random.below(4096));
            self.tensor(bytes);
        }
        let channels = self.channels * (1 + self.random.below(4)) / 2;
        let output = self.tensor(self.side * self.side * channels);
        self.step += 1;
        self.read(output);
        output
    }

    /// A buffer that is made in this step, and its index.
    fn tensor(&mut self, bytes: u64) -> usize {
        let live = self.step..self.step + 1;
        let name = format!("t{}", self.problem.buffers.len());
        let buffer = Buffer::new(name, live, bytes.next_multiple_of(64));
        self.problem.add_buffer(buffer).index()
    }

    /// A tensor is read in this step.
    fn read(&mut self, tensor: usize) {
        let end = &mut self.problem.buffers[tensor].live.end;
        *end = (self.step + 1).max(*end);
    }

    fn chain(&mut self, length: u64) {
        for _ in 0..length {
            self.input = self.operation();
        }
    }

    fn residual_block(&mut self) {
        let first = self.input;
        let length = 2 + self.random.below(4);
        self.chain(length);
        self.read(first);
    }

    fn skip_long(&mut self, count: usize) {
        let mut skipped = Vec::new();
        for level in 0..count / 6 {
            self.chain(2);
            skipped.push((self.input, self.side, self.channels));
            if level % 8 == 7 && self.side > 7 {
                self.side /= 2;
                self.channels *= 2;
            }
        }
        while let Some((tensor, side, channels)) = skipped.pop() {
            (self.side, self.channels) = (side, channels);
            self.read(tensor);
            self.chain(2);
        }
    }

    fn branches(&mut self) {
        let (input, count) = (self.input, 2 + self.random.below(6));
        let mut outputs = Vec::new();
        for _ in 0..count {
            self.input = input;
            let length = 1 + self.random.below(4);
            self.chain(length);
            outputs.push(self.input);
        }
        for output in outputs {
            self.read(output);
        }
        self.input = self.operation();
    }

    fn dense_block(&mut self) {
        let mut outputs = vec![self.input];
        for _ in 0..4 + self.random.below(20) {
            let output = self.operation();
            for &earlier in &outputs {
                self.read(earlier);
            }
            outputs.push(output);
            self.input = output;
        }
    }

    fn training(&mut self, count: usize) {
        let mut kept = Vec::new();
        self.side = 56;
        while self.problem.buffers.len() < count / 2 {
            self.chain(1);
            if self.random.below(3) < 2 {
                kept.push(self.input);
            }
            if self.random.below(64) == 0 {
                self.side = [56, 28, 14, 7][self.random.below(4) as usize];
            }
        }
        while self.problem.buffers.len() < count || !kept.is_empty() {
            if let Some(tensor) = kept.pop() {
                self.read(tensor);
            }
            self.chain(1);
        }
    }
}

//! Every step kernel against the naive oracle, over edge shapes and random
//! ones, and over geometry that does not fit.

mod oracle;

use std::fmt::Debug;
use std::ops::Range;

use oracle::{Classifier, Convolution, Linear, Mixer, Mlp};
use proptest::prelude::*;
use tadpool_kernels::channel_mlp::{self, ChannelMlp, NormedLinear, ResidualLinear};
use tadpool_kernels::head::{self, Head};
use tadpool_kernels::identity::{self, Identity};
use tadpool_kernels::layout::{Dsp, Helium, Kernel, Layout, Rows};
use tadpool_kernels::norm::{Norm, Stats};
use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
use tadpool_kernels::pooling::{self, Pooling};
use tadpool_kernels::{Buffer, Fault};

/// One step with all its data, made from a small description.
trait Case: Debug + Clone {
    /// What the kernel writes, after it has checked the sums that it returned.
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault>;
    /// Whether the step's matrices fit a layout; without any, only the first
    /// layout is asked.
    fn fits(&self, layout: Layout) -> bool {
        layout == Layout::Rows
    }
    /// What the oracle says.
    fn naive(&self) -> Vec<u8>;
    /// Shapes that every run covers.
    fn edges() -> Vec<Self>;
    /// Random shapes.
    fn any() -> BoxedStrategy<Self>;
}

fn check<C: Case>(case: &C) {
    let naive = case.naive();
    check_layout::<C, Rows>(case, &naive);
    check_layout::<C, Dsp>(case, &naive);
    check_layout::<C, Helium>(case, &naive);
}

fn check_layout<C: Case, K: Kernel>(case: &C, naive: &[u8]) {
    if case.fits(K::LAYOUT) {
        let written = case.kernel::<K>();
        assert_eq!(written.as_deref(), Ok(naive), "{:?} {case:?}", K::LAYOUT);
    }
}

macro_rules! against_the_oracle {
    ($($name:ident: $case:ty),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[test]
            fn edges() {
                for case in <$case>::edges() {
                    check(&case);
                }
            }

            proptest! {
                #[test]
                fn random(case in <$case>::any()) {
                    check(&case);
                }
            }
        }
    )*};
}

against_the_oracle! {
    channel_mlp_step: MlpCase,
    patch_embedding_step: ConvolutionCase,
    pooling_step: PoolingCase,
    identity_step: IdentityCase,
    head_step: HeadCase,
}

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fill {
    Random,
    Lowest,
    Highest,
    /// Lowest and highest in turn.
    Alternating,
}

const FILLS: [Fill; 4] = [Fill::Random, Fill::Lowest, Fill::Highest, Fill::Alternating];

fn fills() -> impl Strategy<Value = Fill> {
    prop_oneof![
        4 => Just(Fill::Random),
        1 => proptest::sample::select(&FILLS[1..]),
    ]
}

/// A source of values: xorshift, after G. Marsaglia.
struct Source {
    state: u64,
    fill: Fill,
}

impl Source {
    fn new(seed: u64, fill: Fill) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { state, fill }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 16
    }

    /// `count` values of `low..=high`.
    fn values<T: TryFrom<i64, Error: Debug>>(
        &mut self,
        count: usize,
        low: i64,
        high: i64,
    ) -> Vec<T> {
        (0..count)
            .map(|i| {
                let value = match self.fill {
                    Fill::Random => low + (self.next() % (high - low + 1) as u64) as i64,
                    Fill::Lowest => low,
                    Fill::Highest => high,
                    Fill::Alternating if i % 2 == 0 => low,
                    Fill::Alternating => high,
                };
                T::try_from(value).unwrap()
            })
            .collect()
    }

    fn map(&mut self, count: usize) -> Vec<i8> {
        self.values(count, -128, 127)
    }

    /// Multipliers that leave results of about a byte, or anything at all.
    fn multipliers(&mut self, count: usize, inputs: usize, full_range: bool) -> Vec<i32> {
        if full_range {
            return self.values(count, i32::MIN.into(), i32::MAX.into());
        }
        let top = (1 << 27) / (64 * (inputs as f64).sqrt() as i64 + 1);
        self.values(count, top / 2, top)
    }

    fn linear(&mut self, outputs: usize, inputs: usize, full_range: bool) -> Linear {
        Linear {
            weights: self.values(outputs * inputs, -127, 127),
            bias: self.values(outputs, -100_000, 100_000),
            residual: self.values(outputs, -30_000, 30_000),
            multiplier: self.multipliers(outputs, inputs, full_range),
        }
    }
}

/// Weights in a layout, on a 4-byte boundary at `.1`.
fn packed(layout: Layout, weights: &[i8], inputs: usize) -> (Vec<u8>, Range<usize>) {
    let size = layout.packed_size(weights.len() / inputs, inputs);
    let mut storage = vec![0xee; size + 3];
    let start = storage.as_ptr().align_offset(4);
    let range = start..start + size;
    layout
        .pack(weights, inputs, &mut storage[range.clone()])
        .unwrap();
    (storage, range)
}

fn bytes(values: &[i8]) -> Vec<u8> {
    values.iter().map(|&q| q as u8).collect()
}

fn norm(elements: usize, epsilon: u64) -> Norm {
    Norm {
        elements: elements as u32,
        epsilon,
    }
}

/// The sums that a step returned are those of the bytes that it wrote.
fn written(stats: Stats, output: &[u8]) -> Vec<u8> {
    let values: Vec<i8> = output.iter().map(|&byte| byte as i8).collect();
    let (sum, sum_of_squares) = oracle::sums(&values);
    assert_eq!((stats.sum, stats.sum_of_squares), (sum, sum_of_squares));
    output.to_vec()
}

/// An arena with `map` at its start and scratch behind it, filled with `0x5a`,
/// on an 8-byte boundary.
struct Arena {
    storage: Vec<u8>,
    start: usize,
    map: Buffer,
    scratch: Buffer,
}

impl Arena {
    fn new(map: &[i8], scratch_size: usize) -> Self {
        let offset = map.len().next_multiple_of(8);
        let storage = vec![0x5a; offset + scratch_size + 7];
        let start = storage.as_ptr().align_offset(8);
        let mut arena = Self {
            storage,
            start,
            map: Buffer {
                offset: 0,
                size: map.len(),
            },
            scratch: Buffer {
                offset,
                size: scratch_size,
            },
        };
        for (byte, &q) in arena.bytes().iter_mut().zip(map) {
            *byte = q as u8;
        }
        arena
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..]
    }

    fn output(&mut self) -> Vec<u8> {
        let size = self.map.size;
        self.bytes()[..size].to_vec()
    }
}

// The channel MLP.

#[derive(Debug, Clone)]
struct MlpCase {
    tokens: usize,
    channels: usize,
    hidden: usize,
    tile_tokens: usize,
    fill: Fill,
    full_range: bool,
    hidden_zero: i32,
    zero_point: i32,
    seed: u64,
}

impl MlpCase {
    fn data(&self) -> (Mlp, Vec<i8>) {
        let mut source = Source::new(self.seed, self.fill);
        let map = source.map(self.tokens * self.channels);
        let table: Vec<i8> = source.map(256);
        let mut fc1 = source.linear(self.hidden, self.channels, self.full_range);
        for bias in &mut fc1.bias {
            *bias /= 64;
        }
        let mlp = Mlp {
            channels: self.channels,
            epsilon: self.seed % 1_000_000,
            fc1,
            hidden_zero: self.hidden_zero,
            activation: table.try_into().unwrap(),
            fc2: source.linear(self.channels, self.hidden, self.full_range),
            zero_point: self.zero_point,
        };
        (mlp, map)
    }
}

impl Case for MlpCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mlp, map) = self.data();
        let scratch = ChannelMlp::scratch_size(self.channels, self.hidden, self.tile_tokens);
        let mut arena = Arena::new(&map, scratch);
        let (fc1, fc1_range) = packed(K::LAYOUT, &mlp.fc1.weights, self.channels);
        let (fc2, fc2_range) = packed(K::LAYOUT, &mlp.fc2.weights, self.hidden);
        let step = ChannelMlp {
            map: arena.map,
            scratch: arena.scratch,
            channels: self.channels,
            hidden: self.hidden,
            tile_tokens: self.tile_tokens,
            norm: norm(map.len(), mlp.epsilon),
            fc1: NormedLinear {
                weights: &fc1[fc1_range],
                row_sums: &oracle::row_sums(&mlp.fc1.weights, self.channels),
                bias: &mlp.fc1.bias,
                multiplier: &mlp.fc1.multiplier,
            },
            hidden_zero: self.hidden_zero,
            activation: &mlp.activation,
            fc2: ResidualLinear {
                weights: &fc2[fc2_range],
                bias: &mlp.fc2.bias,
                residual: &mlp.fc2.residual,
                multiplier: &mlp.fc2.multiplier,
                zero_point: self.zero_point,
            },
        };
        let stats = channel_mlp::run::<K>(&step, &Stats::of(&map), arena.bytes())?;
        Ok(written(stats, &arena.output()))
    }

    fn fits(&self, layout: Layout) -> bool {
        layout.fits(self.hidden, self.channels) && layout.fits(self.channels, self.hidden)
    }

    fn naive(&self) -> Vec<u8> {
        let (mlp, map) = self.data();
        bytes(&oracle::channel_mlp(&mlp, &map))
    }

    fn edges() -> Vec<Self> {
        let mut cases = Vec::new();
        let shapes = [
            (1, 1, 1),
            (1, 4, 16),
            (2, 3, 5),
            (5, 7, 9),
            (9, 32, 128),
            (3, 48, 17),
            (4, 20, 36),
        ];
        for (i, (tokens, channels, hidden)) in shapes.into_iter().enumerate() {
            for tile_tokens in 1..=5 {
                for fill in FILLS {
                    cases.push(Self {
                        tokens,
                        channels,
                        hidden,
                        tile_tokens,
                        fill,
                        full_range: i % 2 == 1,
                        hidden_zero: [0, 128, 255][tile_tokens % 3],
                        zero_point: [-128, 0, 127][tile_tokens % 3],
                        seed: i as u64,
                    });
                }
            }
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        // Most shapes are of the kind that fits every layout.
        let width = |end: usize| prop_oneof![1 => 1..end, 3 => (1..end / 4).prop_map(|n| 4 * n)];
        let shape = (1usize..20, width(40), width(80), 1usize..=5);
        let zeros = (0i32..=255, -128i32..=127);
        (shape, fills(), any::<bool>(), zeros, any::<u64>())
            .prop_map(|(shape, fill, full_range, zeros, seed)| Self {
                tokens: shape.0,
                channels: shape.1,
                hidden: shape.2,
                tile_tokens: shape.3,
                fill,
                full_range,
                hidden_zero: zeros.0,
                zero_point: zeros.1,
                seed,
            })
            .boxed()
    }
}

// Patch embedding and downsampling.

#[derive(Debug, Clone)]
struct ConvolutionCase {
    input_shape: [usize; 3],
    outputs: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    /// Top, left, and what is added at the bottom and right.
    padding: [usize; 4],
    tile_tokens: usize,
    /// Output below the input, as close as it may be.
    in_place: bool,
    pixels: bool,
    fill: Fill,
    full_range: bool,
    zero_point: i32,
    seed: u64,
}

impl ConvolutionCase {
    fn data(&self) -> (Convolution, Vec<i8>) {
        let [height, width, channels] = self.input_shape;
        let [top, left, bottom, right] = self.padding;
        let outputs = |size, before, after, axis: usize| {
            let padded: usize = size + before + after;
            match padded.checked_sub(self.kernel[axis]) {
                Some(room) => room / self.stride[axis] + 1,
                None => 1,
            }
        };
        let mut source = Source::new(self.seed, self.fill);
        let input = source.map(height * width * channels);
        let inputs = self.kernel[0] * self.kernel[1] * channels;
        let conv = Convolution {
            input_shape: self.input_shape,
            output_shape: [
                outputs(height, top, bottom, 0),
                outputs(width, left, right, 1),
                self.outputs,
            ],
            kernel: self.kernel,
            stride: self.stride,
            padding: [top, left],
            pad: source.map(channels),
            linear: source.linear(self.outputs, inputs, self.full_range),
            zero_point: self.zero_point,
        };
        (conv, input)
    }
}

impl Case for ConvolutionCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (conv, input) = self.data();
        let output_size = conv.output_shape.iter().product();
        let distance = if self.in_place {
            oracle::overlap_distance(&conv, self.tile_tokens)
        } else {
            output_size
        };
        let mut map = vec![0x33; (distance + input.len()).max(output_size)];
        let flip = if self.pixels { 0x80 } else { 0 };
        for (byte, &q) in map[distance..].iter_mut().zip(&input) {
            *byte = (q as u8 ^ flip) as i8;
        }
        let [.., channels] = self.input_shape;
        let inputs = self.kernel[0] * self.kernel[1] * channels;
        let scratch = PatchEmbedding::scratch_size(inputs, self.outputs, self.tile_tokens);
        let mut arena = Arena::new(&map, scratch);
        let output = Buffer {
            offset: 0,
            size: output_size,
        };
        let (weights, range) = packed(K::LAYOUT, &conv.linear.weights, inputs);
        let step = PatchEmbedding {
            input: Buffer {
                offset: distance,
                size: input.len(),
            },
            output,
            scratch: arena.scratch,
            input_shape: self.input_shape,
            output_shape: conv.output_shape,
            kernel: self.kernel,
            stride: self.stride,
            padding: conv.padding,
            tile_tokens: self.tile_tokens,
            flip,
            pad: &conv.pad,
            weights: &weights[range],
            bias: &conv.linear.bias,
            multiplier: &conv.linear.multiplier,
            zero_point: self.zero_point,
        };
        let stats = patch_embedding::run::<K>(&step, arena.bytes())?;
        Ok(written(stats, output.of(arena.bytes())?))
    }

    fn fits(&self, layout: Layout) -> bool {
        let [.., channels] = self.input_shape;
        layout.fits(self.outputs, self.kernel[0] * self.kernel[1] * channels)
    }

    fn naive(&self) -> Vec<u8> {
        let (conv, input) = self.data();
        bytes(&oracle::patch_embedding(&conv, &input))
    }

    fn edges() -> Vec<Self> {
        let plain = Self {
            input_shape: [8, 8, 3],
            outputs: 8,
            kernel: [3, 3],
            stride: [2, 2],
            padding: [1, 1, 1, 1],
            tile_tokens: 2,
            in_place: true,
            pixels: false,
            fill: Fill::Random,
            full_range: false,
            zero_point: 3,
            seed: 7,
        };
        let mut cases = Vec::new();
        for kernel in 1..=7 {
            for stride in 1..=4 {
                for tile_tokens in 1..=5 {
                    cases.push(Self {
                        kernel: [kernel, kernel],
                        stride: [stride, stride],
                        padding: [kernel / 2; 4],
                        tile_tokens,
                        pixels: stride % 2 == 0,
                        ..plain.clone()
                    });
                }
            }
        }
        for input_shape in [[1, 1, 1], [1, 9, 4], [9, 1, 5], [5, 7, 6], [2, 2, 33]] {
            for fill in FILLS {
                for (outputs, zero_point) in [(1, -128), (5, 127), (12, 0)] {
                    cases.push(Self {
                        input_shape,
                        outputs,
                        fill,
                        full_range: outputs == 5,
                        zero_point,
                        ..plain.clone()
                    });
                }
            }
        }
        // Windows larger than the map, beside it altogether, and not square.
        for (kernel, padding) in [([7, 7], [3; 4]), ([2, 5], [4, 6, 4, 6]), ([7, 1], [0; 4])] {
            cases.push(Self {
                input_shape: [3, 2, 3],
                kernel,
                padding,
                ..plain.clone()
            });
        }
        // The stem and the downsampling of a CIFAR-10 PoolFormer.
        cases.push(Self {
            input_shape: [32, 32, 3],
            outputs: 32,
            kernel: [5, 5],
            padding: [2; 4],
            pixels: true,
            ..plain
        });
        cases.push(Self {
            input_shape: [16, 16, 32],
            outputs: 64,
            ..plain
        });
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        let outputs = prop_oneof![1usize..12, Just(4), Just(8)];
        let shape = ([1usize..10, 1..10, 1..8], outputs, 1usize..=5);
        let windows = (
            [1usize..=7, 1..=7],
            [1usize..=4, 1..=4],
            [0usize..4, 0..4, 0..4, 0..4],
        );
        let flags = any::<[bool; 3]>();
        (shape, windows, flags, fills(), -128i32..=127, any::<u64>())
            .prop_map(|(shape, windows, flags, fill, zero_point, seed)| Self {
                input_shape: shape.0,
                outputs: shape.1,
                kernel: windows.0,
                stride: windows.1,
                padding: windows.2,
                tile_tokens: shape.2,
                in_place: flags[0],
                pixels: flags[1],
                full_range: flags[2],
                fill,
                zero_point,
                seed,
            })
            .boxed()
    }
}

// The token mixers.

#[derive(Debug, Clone)]
struct MixerCase {
    shape: [usize; 3],
    fill: Fill,
    /// Factors that the kernel has to clamp.
    full_range: bool,
    /// Real input scale over output scale times 16.
    residual: i32,
    seed: u64,
}

#[derive(Debug, Clone)]
struct PoolingCase(MixerCase);

#[derive(Debug, Clone)]
struct IdentityCase(MixerCase);

impl MixerCase {
    fn data(&self, offsets: usize, factor_bits: u32) -> (Mixer, Vec<i8>) {
        let [height, width, channels] = self.shape;
        let mut source = Source::new(self.seed, self.fill);
        let map = source.map(height * width * channels);
        let top = if self.full_range {
            i32::MAX.into()
        } else {
            1 << factor_bits
        };
        let mixer = Mixer {
            shape: self.shape,
            epsilon: self.seed % 1_000_000,
            factor: source.values(channels, -top - 1, top),
            offset: source.values(offsets, -(1 << 27), 1 << 27),
            residual: self.residual << 12,
        };
        (mixer, map)
    }

    fn edges() -> Vec<Self> {
        let shapes = [
            [1, 1, 1],
            [1, 1, 4],
            [1, 5, 3],
            [5, 1, 6],
            [2, 2, 4],
            [2, 1, 8],
            [1, 2, 5],
            [3, 3, 7],
            [4, 6, 12],
            [16, 16, 32],
            [8, 8, 64],
        ];
        let mut cases = Vec::new();
        for shape in shapes {
            for fill in FILLS {
                for (full_range, residual) in [(false, 16), (true, 15), (true, -128)] {
                    cases.push(Self {
                        shape,
                        fill,
                        full_range,
                        residual,
                        seed: 11,
                    });
                }
            }
        }
        cases
    }

    fn any() -> impl Strategy<Value = Self> {
        let shape = [1usize..12, 1..12, 1..14];
        (shape, fills(), any::<bool>(), -512i32..512, any::<u64>()).prop_map(
            |(shape, fill, full_range, residual, seed)| Self {
                shape,
                fill,
                full_range,
                residual,
                seed,
            },
        )
    }
}

impl Case for PoolingCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mixer, map) = self.0.data(1, 22);
        let [_, width, channels] = mixer.shape;
        let mut arena = Arena::new(&map, Pooling::scratch_size(width, channels));
        let step = Pooling {
            map: arena.map,
            scratch: arena.scratch,
            shape: mixer.shape,
            norm: norm(map.len(), mixer.epsilon),
            factor: &mixer.factor,
            residual: mixer.residual,
            offset: mixer.offset[0],
        };
        let stats = pooling::run::<K>(&step, &Stats::of(&map), arena.bytes())?;
        Ok(written(stats, &arena.output()))
    }

    fn fits(&self, layout: Layout) -> bool {
        layout.pools(self.0.shape[2])
    }

    fn naive(&self) -> Vec<u8> {
        let (mixer, map) = self.0.data(1, 22);
        bytes(&oracle::pooling(&mixer, &map))
    }

    fn edges() -> Vec<Self> {
        MixerCase::edges().into_iter().map(Self).collect()
    }

    fn any() -> BoxedStrategy<Self> {
        MixerCase::any().prop_map(Self).boxed()
    }
}

impl Case for IdentityCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mixer, map) = self.0.data(self.0.shape[2], 20);
        let mut arena = Arena::new(&map, 0);
        let step = Identity {
            map: arena.map,
            channels: mixer.factor.len(),
            norm: norm(map.len(), mixer.epsilon),
            factor: &mixer.factor,
            offset: &mixer.offset,
            residual: mixer.residual,
        };
        let stats = identity::run(&step, &Stats::of(&map), arena.bytes())?;
        Ok(written(stats, &arena.output()))
    }

    fn naive(&self) -> Vec<u8> {
        let (mixer, map) = self.0.data(self.0.shape[2], 20);
        bytes(&oracle::identity(&mixer, &map))
    }

    fn edges() -> Vec<Self> {
        MixerCase::edges().into_iter().map(Self).collect()
    }

    fn any() -> BoxedStrategy<Self> {
        MixerCase::any().prop_map(Self).boxed()
    }
}

/// The steepest slope on the lowest value, and the highest offset: the sum is
/// as large as it gets.
#[test]
fn identity_at_its_bounds() {
    let mixer = Mixer {
        shape: [1, 2, 1],
        epsilon: 0,
        factor: vec![i32::MIN],
        offset: vec![i32::MAX],
        residual: i32::MIN,
    };
    let map = [-128, 127];
    let mut arena = Arena::new(&map, 0);
    let step = Identity {
        map: arena.map,
        channels: 1,
        norm: norm(2, 0),
        factor: &mixer.factor,
        offset: &mixer.offset,
        residual: mixer.residual,
    };
    identity::run(&step, &Stats::of(&map), arena.bytes()).unwrap();
    assert_eq!(arena.output(), bytes(&oracle::identity(&mixer, &map)));
    assert_eq!(arena.output(), [127, 127]);
}

// The head.

#[derive(Debug, Clone)]
struct HeadCase {
    tokens: usize,
    channels: usize,
    classes: usize,
    normed: bool,
    fill: Fill,
    full_range: bool,
    zero_point: i8,
    seed: u64,
}

impl HeadCase {
    fn data(&self) -> (Classifier, Vec<i8>) {
        let mut source = Source::new(self.seed, self.fill);
        let map = source.map(self.tokens * self.channels);
        let classifier = Classifier {
            channels: self.channels,
            epsilon: self.normed.then_some(self.seed % 1_000_000),
            map_zero: self.zero_point,
            linear: source.linear(self.classes, self.channels, self.full_range),
        };
        (classifier, map)
    }
}

impl Case for HeadCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (classifier, map) = self.data();
        let mut arena = Arena::new(&map, Head::scratch_size(self.channels) + 4 * self.classes);
        let scratch = Buffer {
            size: Head::scratch_size(self.channels),
            ..arena.scratch
        };
        let output = Buffer {
            offset: scratch.offset + scratch.size,
            size: 4 * self.classes,
        };
        let step = Head {
            map: arena.map,
            output,
            scratch,
            tokens: self.tokens,
            channels: self.channels,
            norm: classifier.epsilon.map(|epsilon| norm(map.len(), epsilon)),
            zero_point: self.zero_point,
            weights: &bytes(&classifier.linear.weights),
            row_sums: &oracle::row_sums(&classifier.linear.weights, self.channels),
            multiplier: &classifier.linear.multiplier,
            bias: &classifier.linear.bias,
        };
        head::run(&step, &Stats::of(&map), arena.bytes())?;
        Ok(output.of(arena.bytes())?.to_vec())
    }

    fn naive(&self) -> Vec<u8> {
        let (classifier, map) = self.data();
        let logits = oracle::head(&classifier, &map);
        logits.into_iter().flat_map(i32::to_le_bytes).collect()
    }

    fn edges() -> Vec<Self> {
        let mut cases = Vec::new();
        for (tokens, channels, classes) in [(1, 1, 1), (16, 128, 10), (3, 5, 2), (49, 33, 7)] {
            for fill in FILLS {
                for zero_point in [-128, 0, 127] {
                    cases.push(Self {
                        tokens,
                        channels,
                        classes,
                        normed: zero_point == 0,
                        fill,
                        full_range: tokens == 3,
                        zero_point,
                        seed: 5,
                    });
                }
            }
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        let shape = (1usize..60, 1usize..60, 1usize..12);
        (
            shape,
            any::<[bool; 2]>(),
            fills(),
            any::<i8>(),
            any::<u64>(),
        )
            .prop_map(|(shape, flags, fill, zero_point, seed)| Self {
                tokens: shape.0,
                channels: shape.1,
                classes: shape.2,
                normed: flags[0],
                full_range: flags[1],
                fill,
                zero_point,
                seed,
            })
            .boxed()
    }
}

// Geometry that does not fit.

/// Sizes that are right, a little off, and absurd.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0usize..70,
        1 => proptest::sample::select(&[usize::MAX, usize::MAX / 2 + 1, 1 << 33, 1 << 16][..]),
    ]
}

fn buffers() -> impl Strategy<Value = Buffer> {
    (sizes(), sizes()).prop_map(|(offset, size)| Buffer { offset, size })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn wrong_geometry_never_panics(
        buffers in [buffers(), buffers(), buffers()],
        dims in prop::array::uniform8(sizes()),
        more in prop::array::uniform8(sizes()),
        lengths in prop::array::uniform8(0usize..40),
        elements in any::<u32>(),
        normed in any::<bool>(),
    ) {
        let words = [-77i32; 40];
        let bytes = [0x81u8; 40];
        let ints = |i: usize| &words[..lengths[i]];
        let some = |i: usize| &bytes[..lengths[i]];
        let signed = vec![-9i8; lengths[3]];
        let [map, scratch, output] = buffers;
        let norm = Norm { elements, epsilon: 3 };
        let stats = Stats { sum: -300, sum_of_squares: 99_999 };
        let mut arena = Arena::new(&[5; 100], 28);
        let arena = arena.bytes();

        let mlp = ChannelMlp {
            map,
            scratch,
            channels: dims[0],
            hidden: dims[1],
            tile_tokens: dims[2],
            norm,
            fc1: NormedLinear {
                weights: some(0),
                row_sums: ints(1),
                bias: ints(2),
                multiplier: ints(3),
            },
            hidden_zero: elements as i32,
            activation: &[7; 256],
            fc2: ResidualLinear {
                weights: some(4),
                bias: ints(5),
                residual: ints(6),
                multiplier: ints(7),
                zero_point: i32::MAX,
            },
        };
        let _ = channel_mlp::run::<Rows>(&mlp, &stats, arena);
        let _ = channel_mlp::run::<Dsp>(&mlp, &stats, arena);
        let _ = channel_mlp::run::<Helium>(&mlp, &stats, arena);

        let embedding = PatchEmbedding {
            input: map,
            output,
            scratch,
            input_shape: [dims[0], dims[1], dims[2]],
            output_shape: [dims[3], dims[4], dims[5]],
            kernel: [dims[6], dims[7]],
            stride: [more[0], more[1]],
            padding: [more[2], more[3]],
            tile_tokens: more[4],
            flip: 0x80,
            pad: &signed,
            weights: some(4),
            bias: ints(5),
            multiplier: ints(6),
            zero_point: i32::MIN,
        };
        let _ = patch_embedding::run::<Rows>(&embedding, arena);
        let _ = patch_embedding::run::<Dsp>(&embedding, arena);
        let _ = patch_embedding::run::<Helium>(&embedding, arena);

        let mixer = Pooling {
            map,
            scratch,
            shape: [dims[0], dims[1], dims[2]],
            norm,
            factor: ints(0),
            residual: elements as i32,
            offset: i32::MAX,
        };
        let _ = pooling::run::<Rows>(&mixer, &stats, arena);
        let _ = pooling::run::<Dsp>(&mixer, &stats, arena);

        let identity = Identity {
            map,
            channels: dims[0],
            norm,
            factor: ints(0),
            offset: ints(1),
            residual: i32::MIN,
        };
        let _ = identity::run(&identity, &stats, arena);

        let head = Head {
            map,
            output,
            scratch,
            tokens: dims[0],
            channels: dims[1],
            norm: normed.then_some(norm),
            zero_point: -128,
            weights: some(4),
            row_sums: ints(5),
            multiplier: ints(6),
            bias: ints(7),
        };
        let _ = head::run(&head, &stats, arena);
        let _ = head::logits::<3>(output, arena);
    }
}

#[test]
fn a_step_that_does_not_fit_is_a_fault() {
    let mut cases = MlpCase::edges().into_iter();
    let case = cases.find(|case| case.channels == 7).unwrap();
    let (mlp, map) = case.data();
    let scratch = ChannelMlp::scratch_size(case.channels, case.hidden, 1);
    let mut arena = Arena::new(&map, scratch);
    let (fc1, fc2) = (bytes(&mlp.fc1.weights), bytes(&mlp.fc2.weights));
    let sums = oracle::row_sums(&mlp.fc1.weights, case.channels);
    let fits = ChannelMlp {
        map: arena.map,
        scratch: arena.scratch,
        channels: case.channels,
        hidden: case.hidden,
        tile_tokens: 1,
        norm: norm(map.len(), 1),
        fc1: NormedLinear {
            weights: &fc1,
            row_sums: &sums,
            bias: &mlp.fc1.bias,
            multiplier: &mlp.fc1.multiplier,
        },
        hidden_zero: 0,
        activation: &mlp.activation,
        fc2: ResidualLinear {
            weights: &fc2,
            bias: &mlp.fc2.bias,
            residual: &mlp.fc2.residual,
            multiplier: &mlp.fc2.multiplier,
            zero_point: 0,
        },
    };
    let stats = Stats::of(&map);
    let run = |step: &ChannelMlp<'_>, arena: &mut Arena| {
        channel_mlp::run::<Rows>(step, &stats, arena.bytes())
    };
    assert!(run(&fits, &mut arena).is_ok());

    let mut step = fits;
    step.scratch.size -= 4;
    assert_eq!(run(&step, &mut arena), Err(Fault::Buffer));
    step = fits;
    step.scratch.offset += 1;
    step.scratch.size -= 1;
    assert!(run(&step, &mut arena).is_err());
    step = fits;
    step.map.size += 8 * 1024;
    assert_eq!(run(&step, &mut arena), Err(Fault::Buffer));
    step = fits;
    step.scratch.offset = 0;
    assert_eq!(run(&step, &mut arena), Err(Fault::Buffer));
    step = fits;
    step.map.size -= 1;
    assert_eq!(run(&step, &mut arena), Err(Fault::Geometry));
    step = fits;
    step.fc1.weights = &fc1[1..];
    assert_eq!(run(&step, &mut arena), Err(Fault::Geometry));
    step = fits;
    step.fc2.residual = &mlp.fc2.residual[1..];
    assert_eq!(run(&step, &mut arena), Err(Fault::Geometry));
}

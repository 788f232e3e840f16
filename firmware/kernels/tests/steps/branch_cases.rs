//! Token mixers whose norm is written out, on streams of both widths.

use tadpool_kernels::depthwise::{Depthwise, padded_rows};
use tadpool_kernels::linear::PlainLinear;
use tadpool_kernels::normed::{NormScope, Normed};
use tadpool_kernels::random_mixing::{self, RandomMixing, matrix_rows};
use tadpool_kernels::sep_conv::{self, SepConv};

use super::*;
use crate::oracle::branches::{self, Width};

/// The parameters that all kinds have.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    pub(crate) fill: Fill,
    pub(crate) full_range: bool,
    /// On a stream of 16 bits.
    pub(crate) wide: bool,
    /// Each token has a norm of its own.
    each_token: bool,
    /// Whether the first and the second matrix have weights of four bits.
    int4: [bool; 2],
    pub(crate) seed: u64,
}

pub(crate) fn draws() -> impl Strategy<Value = Draw> {
    let flags = any::<[bool; 3]>();
    (fills(), flags, any::<[bool; 2]>(), any::<u64>()).prop_map(|(fill, flags, int4, seed)| Draw {
        fill,
        full_range: flags[0],
        wide: flags[1],
        each_token: flags[2],
        int4,
        seed,
    })
}

/// Every fill on both widths, all else in turn.
pub(crate) fn edge_draws() -> impl Iterator<Item = Draw> + Clone {
    (0..16usize).map(|i| Draw {
        fill: FILLS[i % 4],
        full_range: i % 3 == 1,
        wide: i / 4 % 2 == 1,
        each_token: i / 8 == 1,
        int4: [i % 5 == 2, i % 5 == 3],
        seed: i as u64,
    })
}

impl Draw {
    pub(crate) fn width(&self) -> Width {
        Width {
            fraction: if self.wide { 8 } else { 0 },
        }
    }

    pub(crate) fn map(&self, source: &mut Source, count: usize) -> Vec<i128> {
        let bound = if self.wide { 32_768 } else { 128 };
        let values: Vec<i64> = source.values(count, -bound, bound - 1);
        values.into_iter().map(i128::from).collect()
    }

    pub(crate) fn normed(&self, source: &mut Source) -> branches::Normed {
        let multipliers: Vec<i32> = match self.full_range {
            true => source.values(1, i32::MIN.into(), i32::MAX.into()),
            false => source.values(1, 80_000, 400_000),
        };
        branches::Normed {
            each_token: self.each_token,
            epsilon: self.seed % 1_000_000,
            about: (self.seed % 3 == 2).then(|| match self.wide {
                true => 0,
                false => (self.seed % 256) as i32 - 128,
            }),
            multiplier: multipliers[0],
        }
    }

    pub(crate) fn bytes(&self, values: &[i128]) -> Vec<u8> {
        let bytes = values.iter().flat_map(|&value| match self.wide {
            true => (value as i16).to_le_bytes().to_vec(),
            false => (value as i8).to_le_bytes().to_vec(),
        });
        bytes.collect()
    }

    pub(crate) fn stats(&self, bytes: &[u8]) -> Stats {
        let values: Vec<i64> = match self.wide {
            true => {
                let (pairs, _) = bytes.as_chunks::<2>();
                pairs
                    .iter()
                    .map(|&pair| i16::from_le_bytes(pair).into())
                    .collect()
            }
            false => bytes.iter().map(|&byte| (byte as i8).into()).collect(),
        };
        Stats {
            sum: values.iter().sum(),
            sum_of_squares: values.iter().map(|value| value.pow(2) as u64).sum(),
        }
    }

    /// The map that was written, after a check of the sums that were returned.
    pub(crate) fn written(&self, stats: Stats, output: Vec<u8>) -> Vec<u8> {
        assert_eq!(stats, self.stats(&output));
        output
    }
}

pub(crate) fn kernel_normed(normed: &branches::Normed, values: usize, channels: usize) -> Normed {
    let (scope, elements) = match normed.each_token {
        true => (NormScope::Token, channels),
        false => (NormScope::Map, values),
    };
    Normed {
        scope,
        norm: Norm {
            about: normed.about,
            ..norm(elements, normed.epsilon)
        },
        multiplier: normed.multiplier,
    }
}

#[derive(Debug, Clone)]
pub(crate) struct SepConvCase {
    shape: [usize; 3],
    hidden: usize,
    window: [usize; 2],
    tile_tokens: usize,
    /// Whether there is an activation before and behind the convolution.
    activations: [bool; 2],
    draw: Draw,
}

impl SepConvCase {
    fn data(&self) -> (branches::SepConv, Vec<i128>) {
        let ([height, width, channels], draw) = (self.shape, &self.draw);
        let source = &mut Source::new(draw.seed, draw.fill);
        let map = draw.map(source, height * width * channels);
        let window = self.window[0] * self.window[1];
        let [act1, act2] = self.activations.map(|is| is.then(|| table(source)));
        let mut fc1 = source.linear(self.hidden, channels, draw.full_range);
        let mut fc2 = source.linear(channels, self.hidden, draw.full_range);
        narrow(&mut fc1.weights, draw.int4[0]);
        narrow(&mut fc2.weights, draw.int4[1]);
        let zeros: Vec<i32> = source.values(3, -128, 127);
        let conv = branches::SepConv {
            shape: self.shape,
            hidden: self.hidden,
            window: self.window,
            normed: draw.normed(source),
            fc1,
            fc1_zero: zeros[0],
            act1,
            depthwise: source.linear(self.hidden, window, draw.full_range),
            padding: source.map(1)[0],
            depthwise_zero: zeros[1],
            act2,
            fc2_offset: source.values(channels, -(1 << 24), 1 << 24),
            fc2,
            fc2_zero: zeros[2],
        };
        (conv, map)
    }
}

fn table(source: &mut Source) -> [i8; 256] {
    source.map(256).try_into().unwrap()
}

/// Weights of windows as the kernel reads them.
pub(crate) fn by_columns(weights: &[i8], [rows, columns]: [usize; 2]) -> Vec<i8> {
    let mut ordered = Vec::new();
    for window in weights.chunks(rows * columns) {
        for column in 0..columns {
            let weights = window.iter().skip(column).step_by(columns).copied();
            let zeros = std::iter::repeat(0);
            ordered.extend(weights.chain(zeros).take(padded_rows(rows)));
        }
    }
    ordered
}

impl Case for SepConvCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (conv, map) = self.data();
        let ([_, _, channels], hidden, draw) = (self.shape, self.hidden, &self.draw);
        let scratch_size = match draw.wide {
            true => SepConv::scratch_size::<Int16>,
            false => SepConv::scratch_size::<Int8>,
        };
        let unpacked = unpacked_size(hidden, channels).max(unpacked_size(channels, hidden));
        let scratch = scratch_size(self.shape, hidden, self.window, self.tile_tokens)
            + if draw.int4.contains(&true) {
                unpacked
            } else {
                0
            };
        let map_bytes = draw.bytes(&map);
        let mut arena = Arena::of_bytes(&map_bytes, scratch);
        let fc1 = Packed::new(K::LAYOUT, &conv.fc1.weights, channels, draw.int4[0]);
        let fc2 = Packed::new(K::LAYOUT, &conv.fc2.weights, hidden, draw.int4[1]);
        let step = SepConv {
            map: arena.map,
            scratch: arena.scratch,
            shape: self.shape,
            hidden,
            tile_tokens: self.tile_tokens,
            normed: kernel_normed(&conv.normed, map.len(), channels),
            fc1: PlainLinear {
                weights: fc1.weights(),
                bias: &conv.fc1.bias,
                multiplier: &conv.fc1.multiplier,
                zero: conv.fc1_zero,
            },
            act1: conv.act1.as_ref(),
            depthwise: Depthwise {
                window: self.window,
                weights: &by_columns(&conv.depthwise.weights, self.window),
                bias: &conv.depthwise.bias,
                multiplier: &conv.depthwise.multiplier,
                padding: conv.padding,
                zero: conv.depthwise_zero,
            },
            act2: conv.act2.as_ref(),
            fc2: ResidualLinear {
                weights: fc2.weights(),
                bias: &conv.fc2.bias,
                residual: &conv.fc2.residual,
                multiplier: &conv.fc2.multiplier,
                offset: if draw.wide { &conv.fc2_offset } else { &[] },
                zero_point: if draw.wide { 0 } else { conv.fc2_zero },
            },
        };
        let run = match draw.wide {
            true => sep_conv::run::<K, Int16>,
            false => sep_conv::run::<K, Int8>,
        };
        let stats = run(&step, &draw.stats(&map_bytes), arena.bytes())?;
        Ok(draw.written(stats, arena.output()))
    }

    fn fits(&self, layout: Layout) -> bool {
        let [_, _, channels] = self.shape;
        layout.fits(self.hidden, channels) && layout.fits(channels, self.hidden)
    }

    fn naive(&self) -> Vec<u8> {
        let (conv, map) = self.data();
        let output = branches::sep_conv(&conv, self.draw.width(), &map);
        self.draw.bytes(&output)
    }

    fn edges() -> Vec<Self> {
        let shapes = [
            ([1, 1, 1], 1, [1, 1], 1),
            ([1, 1, 4], 4, [7, 7], 1),
            ([2, 3, 3], 5, [3, 3], 2),
            ([3, 2, 4], 8, [7, 7], 2),
            ([9, 1, 2], 3, [7, 5], 1),
            ([1, 9, 4], 12, [5, 7], 5),
            ([8, 9, 8], 20, [7, 7], 3),
            ([4, 5, 4], 4, [9, 3], 2),
            ([3, 6, 4], 8, [3, 9], 4),
            ([2, 5, 20], 36, [1, 7], 2),
            // Taken in several parts if its weights are unpacked.
            ([2, 3, 24], 296, [3, 3], 2),
        ];
        let mut cases = Vec::new();
        for (i, (shape, hidden, window, tile_tokens)) in shapes.into_iter().enumerate() {
            cases.extend(edge_draws().map(|draw| Self {
                shape,
                hidden,
                window,
                tile_tokens,
                activations: [i % 2 == 0, draw.seed % 3 == 0],
                draw,
            }));
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        let width = |end: usize| prop_oneof![1 => 1..end, 3 => (1..end / 4).prop_map(|n| 4 * n)];
        let odd = || (0usize..5).prop_map(|n| 2 * n + 1);
        let sizes = (1usize..8, 1usize..11, width(20), width(40));
        let more = (odd(), odd(), 1usize..=5, any::<[bool; 2]>());
        (sizes, more, draws())
            .prop_map(|((height, columns, channels, hidden), more, draw)| Self {
                shape: [height, columns, channels],
                hidden,
                window: [more.0, more.1],
                tile_tokens: more.2,
                activations: more.3,
                draw,
            })
            .boxed()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RandomMixingCase {
    tokens: usize,
    channels: usize,
    /// Whether the norm has a bias.
    beta: bool,
    draw: Draw,
}

impl RandomMixingCase {
    fn data(&self) -> (branches::RandomMixing, Vec<i128>) {
        let (tokens, channels, draw) = (self.tokens, self.channels, &self.draw);
        let source = &mut Source::new(draw.seed, draw.fill);
        let map = draw.map(source, tokens * channels);
        let mut weights: Vec<i8> = source.values(tokens * tokens, -127, 127);
        narrow(&mut weights, draw.int4[0]);
        let top = if draw.full_range {
            i64::from(i32::MAX)
        } else {
            1 << 22
        };
        let count = |count: usize| if self.beta { count } else { 0 };
        // Sums of products of such constants stay below 2^63.
        let mixing = branches::RandomMixing {
            channels,
            normed: draw.normed(source),
            weights,
            multiplier: source.values(tokens, i32::MIN.into(), i32::MAX.into()),
            constant: source.values(count(tokens), -(1 << 29), 1 << 29),
            beta: source.values(count(channels), -(1 << 29), 1 << 29),
            factor: source.values(channels, -top, top),
            residual: source.values(channels, -(1 << 26), 1 << 26),
            offset: source.values(channels, -(1 << 24), 1 << 24),
        };
        (mixing, map)
    }
}

impl Case for RandomMixingCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mixing, map) = self.data();
        let (tokens, channels, draw) = (self.tokens, self.channels, &self.draw);
        let rows = matrix_rows(tokens);
        let normed = kernel_normed(&mixing.normed, map.len(), channels);
        let scratch = RandomMixing::scratch_size(tokens, normed.scope)
            + if draw.int4[0] {
                unpacked_size(rows, tokens)
            } else {
                0
            };
        let map_bytes = draw.bytes(&map);
        let mut arena = Arena::of_bytes(&map_bytes, scratch);
        let mut weights = mixing.weights.clone();
        weights.resize(rows * tokens, 0);
        let weights = Packed::new(K::LAYOUT, &weights, tokens, draw.int4[0]);
        let step = RandomMixing {
            map: arena.map,
            scratch: arena.scratch,
            tokens,
            channels,
            normed,
            weights: weights.weights(),
            multiplier: &mixing.multiplier,
            constant: &mixing.constant,
            beta: &mixing.beta,
            factor: &mixing.factor,
            residual: &mixing.residual,
            offset: &mixing.offset,
        };
        let run = match draw.wide {
            true => random_mixing::run::<K, Int16>,
            false => random_mixing::run::<K, Int8>,
        };
        let stats = run(&step, &draw.stats(&map_bytes), arena.bytes())?;
        Ok(draw.written(stats, arena.output()))
    }

    fn fits(&self, layout: Layout) -> bool {
        layout.fits(matrix_rows(self.tokens), self.tokens)
    }

    fn naive(&self) -> Vec<u8> {
        let (mixing, map) = self.data();
        let output = branches::random_mixing(&mixing, self.draw.width(), &map);
        self.draw.bytes(&output)
    }

    fn edges() -> Vec<Self> {
        let sizes = [(1, 1), (2, 3), (4, 4), (9, 12), (49, 5), (64, 8), (100, 2)];
        let mut cases = Vec::new();
        for (i, (tokens, channels)) in sizes.into_iter().enumerate() {
            cases.extend(edge_draws().map(|draw| Self {
                tokens,
                channels,
                beta: i % 2 == 0,
                draw,
            }));
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        (1usize..50, 1usize..14, any::<bool>(), draws())
            .prop_map(|(tokens, channels, beta, draw)| Self {
                tokens,
                channels,
                beta,
                draw,
            })
            .boxed()
    }
}

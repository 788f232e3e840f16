//! Self-attention on streams of both widths.

use super::*;
use crate::oracle::attention::{Attention as Naive, Map, attention as naive};

#[derive(Debug, Clone)]
pub(crate) struct AttentionCase {
    tokens: usize,
    channels: usize,
    heads: usize,
    head_size: usize,
    tile_tokens: usize,
    wide: bool,
    by_token: bool,
    fill: Fill,
    full_range: bool,
    /// Whether `qkv` and the projection have weights of four bits.
    int4: [bool; 2],
    seed: u64,
}

impl AttentionCase {
    fn data(&self) -> (Naive, Map) {
        let mut source = Source::new(self.seed, self.fill);
        let inner = self.heads * self.head_size;
        let (low, high) = match self.wide {
            true => (i16::MIN.into(), i16::MAX.into()),
            false => (-128, 127),
        };
        let map = Map {
            values: source.values(self.tokens * self.channels, low, high),
            fraction: if self.wide { 8 } else { 0 },
        };
        let mut qkv = source.linear(3 * inner, self.channels, self.full_range);
        let mut projection = source.linear(self.channels, inner, self.full_range);
        narrow(&mut qkv.weights, self.int4[0]);
        narrow(&mut projection.weights, self.int4[1]);
        if self.wide {
            projection.residual = source.values(self.channels, -(1 << 25), 1 << 25);
        }
        let exponents = [0, 1 << 12, 1 << 17, 1 << 20, i32::MAX];
        let factors = [0, 1 << 19, 1 << 20, 3 << 20, (1 << 27) - 1];
        let naive = Naive {
            channels: self.channels,
            heads: self.heads,
            head_size: self.head_size,
            by_token: self.by_token,
            epsilon: self.seed % 1_000_000,
            norm_multiplier: if self.full_range { i32::MAX } else { 140_000 },
            qkv,
            exponent: exponents[(self.seed % 5) as usize],
            attended: factors[(self.seed / 5 % 5) as usize],
            projection,
            zero_point: (self.seed % 256) as i32 - 128,
            offset: source.values(self.channels, -(1 << 24), 1 << 24),
        };
        (naive, map)
    }

    fn bytes(&self, values: &[i16]) -> Vec<u8> {
        match self.wide {
            true => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            false => values.iter().map(|&value| value as u8).collect(),
        }
    }

    fn run<K: Kernel, S: Stream>(&self) -> Result<Vec<u8>, Fault> {
        let (naive, map) = self.data();
        let inner = self.heads * self.head_size;
        let heads = [self.heads, self.head_size];
        let scratch = Attention::scratch_size(self.tokens, self.channels, heads, self.tile_tokens)
            + unpacked_size(3 * inner, self.channels).max(unpacked_size(self.channels, inner));
        let mut arena = Arena::of_bytes(&self.bytes(&map.values), scratch);
        let qkv = Packed::new(K::LAYOUT, &naive.qkv.weights, self.channels, self.int4[0]);
        let projection = Packed::new(K::LAYOUT, &naive.projection.weights, inner, self.int4[1]);
        let step = Attention {
            map: arena.map,
            scratch: arena.scratch,
            channels: self.channels,
            heads: self.heads,
            head_size: self.head_size,
            tile_tokens: self.tile_tokens,
            norm: Normed {
                scope: match self.by_token {
                    true => NormScope::Token,
                    false => NormScope::Map,
                },
                norm: norm(
                    if self.by_token {
                        self.channels
                    } else {
                        map.values.len()
                    },
                    naive.epsilon,
                ),
                multiplier: naive.norm_multiplier,
            },
            qkv: PlainLinear {
                weights: qkv.weights(),
                bias: &naive.qkv.bias,
                multiplier: &naive.qkv.multiplier,
                zero: 0,
            },
            exponent: naive.exponent,
            attended: naive.attended,
            projection: ResidualLinear {
                weights: projection.weights(),
                bias: &naive.projection.bias,
                residual: &naive.projection.residual,
                multiplier: &naive.projection.multiplier,
                offset: if self.wide { &naive.offset } else { &[] },
                zero_point: if self.wide { 0 } else { naive.zero_point },
            },
        };
        let sums = |values: &[i16]| Stats {
            sum: values.iter().map(|&value| i64::from(value)).sum(),
            sum_of_squares: values
                .iter()
                .map(|&value| i64::from(value).pow(2) as u64)
                .sum(),
        };
        let stats = attention::run::<K, S>(&step, &sums(&map.values), arena.bytes())?;
        let output = arena.output();
        let values: Vec<i16> = match self.wide {
            true => output
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&pair| i16::from_le_bytes(pair))
                .collect(),
            false => output.iter().map(|&byte| i16::from(byte as i8)).collect(),
        };
        assert_eq!(stats, sums(&values));
        Ok(output)
    }
}

impl Case for AttentionCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        match self.wide {
            true => self.run::<K, Int16>(),
            false => self.run::<K, Int8>(),
        }
    }

    fn fits(&self, layout: Layout) -> bool {
        let inner = self.heads * self.head_size;
        layout.fits(inner, self.channels)
            && layout.fits(self.channels, inner)
            && Attention::fits(layout, self.tokens, self.head_size)
    }

    fn naive(&self) -> Vec<u8> {
        let (op, map) = self.data();
        self.bytes(&naive(&op, &map))
    }

    fn edges() -> Vec<Self> {
        let mut cases = Vec::new();
        // Tokens, channels, heads, values of a head. A row of 517 tokens is longer than
        // the DSP layout holds.
        let shapes = [
            (1, 1, 1, 1),
            (1, 4, 1, 4),
            (3, 5, 3, 2),
            (4, 8, 2, 4),
            (7, 12, 1, 20),
            (9, 20, 5, 4),
            (49, 32, 1, 32),
            (66, 8, 2, 8),
            (517, 4, 1, 4),
        ];
        for (i, (tokens, channels, heads, head_size)) in shapes.into_iter().enumerate() {
            for (j, fill) in FILLS.into_iter().enumerate() {
                for flags in 0..4 {
                    cases.push(Self {
                        tokens,
                        channels,
                        heads,
                        head_size,
                        tile_tokens: 1 + (i + j) % 5,
                        wide: flags & 1 == 1,
                        by_token: flags & 2 == 2,
                        fill,
                        full_range: (i + j) % 3 == 1,
                        int4: [j == 2, i % 3 == 2],
                        seed: (7 * i + 5 * j + flags) as u64,
                    });
                }
            }
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        // Most shapes are of the kind that fits every layout.
        let width = |end: usize| prop_oneof![1 => 1..end, 3 => (1..=end / 4).prop_map(|n| 4 * n)];
        let shape = (1usize..40, width(24), 1usize..4, width(20), 1usize..=5);
        let flags = any::<[bool; 5]>();
        (shape, fills(), flags, any::<u64>())
            .prop_map(|(shape, fill, flags, seed)| Self {
                tokens: shape.0,
                channels: shape.1,
                heads: shape.2,
                head_size: shape.3,
                tile_tokens: shape.4,
                wide: flags[0],
                by_token: flags[1],
                fill,
                full_range: flags[2],
                int4: [flags[3], flags[4]],
                seed,
            })
            .boxed()
    }
}

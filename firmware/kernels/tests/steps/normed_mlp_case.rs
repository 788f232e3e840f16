//! The channel MLP behind a norm that is written out, on streams of either width.

use proptest::prelude::*;
use tadpool_kernels::layout::{Dsp, DspPadded, Helium, HeliumPadded, Kernel, Layout, Rows};
use tadpool_kernels::linear::{PlainLinear, ResidualLinear};
use tadpool_kernels::norm::Stats;
use tadpool_kernels::normed::{NormScope, Normed};
use tadpool_kernels::normed_mlp::{self, NormedMlp};
use tadpool_kernels::stream::{Int8, Int16, Stream};
use tadpool_kernels::weights::unpacked_size;

use crate::oracle::{self, Mlp, wide};
use crate::support::{self, Arena, FILLS, Fill, Packed, Source, fills, narrow, norm};

#[derive(Debug, Clone, Copy)]
struct Case {
    /// Tokens, channels, hidden channels, tokens of a tile.
    shape: [usize; 4],
    of_tokens: bool,
    int4: [bool; 2],
    full_range: bool,
    fill: Fill,
    seed: u64,
}

impl Case {
    fn mlp(&self, source: &mut Source) -> Mlp {
        let [_, channels, hidden, _] = self.shape;
        let activation: Vec<i8> = source.map(256);
        let mut fc1 = source.linear(hidden, channels, self.full_range);
        let mut fc2 = source.linear(channels, hidden, self.full_range);
        narrow(&mut fc1.weights, self.int4[0]);
        narrow(&mut fc2.weights, self.int4[1]);
        Mlp {
            channels,
            epsilon: self.seed % 1_000_000,
            fc1,
            hidden_zero: (self.seed % 256) as i32,
            activation: activation.try_into().unwrap(),
            fc2,
            zero_point: 0,
        }
    }

    fn steps(&self) -> i32 {
        match self.full_range {
            true => i32::MAX,
            false => 40 << 12,
        }
    }

    fn run<K: Kernel, S: Stream>(
        &self,
        mlp: &Mlp,
        [residual, offset]: [&[i32]; 2],
        map: &[u8],
        stats: &Stats,
    ) -> (Stats, Vec<u8>) {
        let [tokens, channels, hidden, tile_tokens] = self.shape;
        let unpacked = unpacked_size(hidden, channels).max(unpacked_size(channels, hidden));
        let scratch = NormedMlp::scratch_size::<S>(channels, hidden, tile_tokens) + unpacked;
        let mut arena = Arena::of_bytes(map, scratch);
        let fc1 = Packed::new(K::LAYOUT, &mlp.fc1.weights, channels, self.int4[0]);
        let fc2 = Packed::new(K::LAYOUT, &mlp.fc2.weights, hidden, self.int4[1]);
        let elements = if self.of_tokens { 1 } else { tokens } * channels;
        let step = NormedMlp {
            map: arena.map,
            scratch: arena.scratch,
            channels,
            hidden,
            tile_tokens,
            norm: Normed {
                scope: match self.of_tokens {
                    true => NormScope::Token,
                    false => NormScope::Map,
                },
                norm: norm(elements, mlp.epsilon),
                multiplier: self.steps(),
            },
            fc1: PlainLinear {
                weights: fc1.weights(),
                bias: &mlp.fc1.bias,
                multiplier: &mlp.fc1.multiplier,
                zero: mlp.hidden_zero,
            },
            activation: &mlp.activation,
            fc2: ResidualLinear {
                weights: fc2.weights(),
                bias: &mlp.fc2.bias,
                residual,
                multiplier: &mlp.fc2.multiplier,
                offset,
                zero_point: mlp.zero_point,
            },
        };
        let written = normed_mlp::run::<K, S>(&step, stats, arena.bytes()).unwrap();
        (written, arena.output())
    }

    fn check(&self) {
        self.check_int8();
        self.check_int16();
    }

    fn check_int8(&self) {
        let [tokens, channels, ..] = self.shape;
        let mut source = Source::new(self.seed, self.fill);
        let map = source.map(tokens * channels);
        let mut mlp = self.mlp(&mut source);
        mlp.zero_point = (self.seed % 100) as i32 - 50;
        let naive = oracle::normed_mlp(&mlp, self.steps(), self.of_tokens, &map);
        let naive = support::bytes(&naive);
        let (bytes, stats) = (support::bytes(&map), Stats::of(&map));
        let residual = [&mlp.fc2.residual[..], &[]];
        self.compare(&naive, |layout| {
            let (written, output) = match layout {
                Layout::Rows => self.run::<Rows, Int8>(&mlp, residual, &bytes, &stats),
                Layout::Dsp => self.run::<Dsp, Int8>(&mlp, residual, &bytes, &stats),
                Layout::Helium => self.run::<Helium, Int8>(&mlp, residual, &bytes, &stats),
                Layout::DspPadded => self.run::<DspPadded, Int8>(&mlp, residual, &bytes, &stats),
                Layout::HeliumPadded => {
                    self.run::<HeliumPadded, Int8>(&mlp, residual, &bytes, &stats)
                }
            };
            support::written(written, &output)
        });
    }

    fn check_int16(&self) {
        let [tokens, channels, ..] = self.shape;
        let mut source = Source::new(self.seed, self.fill);
        let map: Vec<i16> = source.values(tokens * channels, i16::MIN.into(), i16::MAX.into());
        let mlp = self.mlp(&mut source);
        let residual = [
            source.values(channels, i32::MIN.into(), i32::MAX.into()),
            source.values(channels, -(1 << 24), 1 << 24),
        ];
        let naive = wide::normed_mlp(&mlp, self.steps(), self.of_tokens, &residual, &map);
        let to_bytes = |values: &[i16]| -> Vec<u8> {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        };
        let stats = Stats::of_int16(map.iter().copied());
        let (bytes, naive_bytes) = (to_bytes(&map), to_bytes(&naive));
        let residual = [&residual[0][..], &residual[1]];
        self.compare(&naive_bytes, |layout| {
            let (written, output) = match layout {
                Layout::Rows => self.run::<Rows, Int16>(&mlp, residual, &bytes, &stats),
                Layout::Dsp => self.run::<Dsp, Int16>(&mlp, residual, &bytes, &stats),
                Layout::Helium => self.run::<Helium, Int16>(&mlp, residual, &bytes, &stats),
                Layout::DspPadded => self.run::<DspPadded, Int16>(&mlp, residual, &bytes, &stats),
                Layout::HeliumPadded => {
                    self.run::<HeliumPadded, Int16>(&mlp, residual, &bytes, &stats)
                }
            };
            let sum: i64 = naive.iter().map(|&value| i64::from(value)).sum();
            assert_eq!(written.sum, sum, "{self:?}");
            output
        });
    }

    fn compare(&self, naive: &[u8], run: impl Fn(Layout) -> Vec<u8>) {
        let [_, channels, hidden, _] = self.shape;
        for layout in [
            Layout::Rows,
            Layout::Dsp,
            Layout::Helium,
            Layout::DspPadded,
            Layout::HeliumPadded,
        ] {
            if layout.fits(hidden, channels) && layout.fits(channels, hidden) {
                assert_eq!(run(layout), naive, "{layout:?} {self:?}");
            }
        }
    }
}

#[test]
fn edges() {
    for fill in FILLS {
        for (i, shape) in [
            [1, 1, 1, 1],
            [1, 4, 4, 2],
            [3, 5, 7, 2],
            [9, 16, 64, 4],
            [7, 24, 296, 8],
        ]
        .into_iter()
        .enumerate()
        {
            for of_tokens in [false, true] {
                Case {
                    shape,
                    of_tokens,
                    int4: [i % 2 == 0, i > 1],
                    full_range: i == 2,
                    fill,
                    seed: 31 + i as u64,
                }
                .check();
            }
        }
    }
}

proptest! {
    #[test]
    fn random(
        shape in (1usize..12, 1usize..10, 1usize..20, 1usize..6),
        flags in any::<[bool; 5]>(),
        fill in fills(),
        seed in any::<u64>(),
    ) {
        let [four, of_tokens, full_range, int4_fc1, int4_fc2] = flags;
        let times = if four { 4 } else { 1 };
        Case {
            shape: [shape.0, times * shape.1, times * shape.2, shape.3],
            of_tokens,
            int4: [int4_fc1, int4_fc2],
            full_range,
            fill,
            seed,
        }
        .check();
    }
}

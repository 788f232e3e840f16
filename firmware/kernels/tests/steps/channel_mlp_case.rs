//! The channel MLP.

use super::*;

#[derive(Debug, Clone)]
pub(crate) struct MlpCase {
    tokens: usize,
    pub(crate) channels: usize,
    pub(crate) hidden: usize,
    tile_tokens: usize,
    fill: Fill,
    full_range: bool,
    /// Whether `fc1` and `fc2` have weights of four bits.
    int4: [bool; 2],
    hidden_zero: i32,
    zero_point: i32,
    seed: u64,
}

impl MlpCase {
    pub(crate) fn data(&self) -> (Mlp, Vec<i8>) {
        let mut source = Source::new(self.seed, self.fill);
        let map = source.map(self.tokens * self.channels);
        let table: Vec<i8> = source.map(256);
        let mut fc1 = source.linear(self.hidden, self.channels, self.full_range);
        for bias in &mut fc1.bias {
            *bias /= 64;
        }
        let mut fc2 = source.linear(self.channels, self.hidden, self.full_range);
        narrow(&mut fc1.weights, self.int4[0]);
        narrow(&mut fc2.weights, self.int4[1]);
        let mlp = Mlp {
            channels: self.channels,
            epsilon: self.seed % 1_000_000,
            fc1,
            hidden_zero: self.hidden_zero,
            activation: table.try_into().unwrap(),
            fc2,
            zero_point: self.zero_point,
        };
        (mlp, map)
    }
}

impl Case for MlpCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mlp, map) = self.data();
        let mut scratch = ChannelMlp::scratch_size(self.channels, self.hidden, self.tile_tokens);
        scratch += unpacked_sizes(self.int4, self.channels, self.hidden);
        let mut arena = Arena::new(&map, scratch);
        let fc1 = Packed::new(K::LAYOUT, &mlp.fc1.weights, self.channels, self.int4[0]);
        let fc2 = Packed::new(K::LAYOUT, &mlp.fc2.weights, self.hidden, self.int4[1]);
        let step = ChannelMlp {
            map: arena.map,
            scratch: arena.scratch,
            channels: self.channels,
            hidden: self.hidden,
            tile_tokens: self.tile_tokens,
            norm: norm(map.len(), mlp.epsilon),
            shift: &[],
            fc1: NormedLinear {
                weights: fc1.weights(),
                row_sums: &oracle::row_sums(&mlp.fc1.weights, self.channels),
                bias: &mlp.fc1.bias,
                multiplier: &mlp.fc1.multiplier,
            },
            hidden_zero: self.hidden_zero,
            activation: &mlp.activation,
            fc2: ResidualLinear {
                weights: fc2.weights(),
                bias: &mlp.fc2.bias,
                residual: &mlp.fc2.residual,
                multiplier: &mlp.fc2.multiplier,
                offset: &[],
                zero_point: self.zero_point,
            },
        };
        let run = match self.int4 {
            [false, false] => channel_mlp::run::<K>,
            _ => channel_mlp::run_int4::<K>,
        };
        let stats = run(&step, &Stats::of(&map), arena.bytes())?;
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
        // The last are taken in several parts if their weights are unpacked.
        let shapes = [
            (1, 1, 1),
            (1, 4, 16),
            (2, 3, 5),
            (5, 7, 9),
            (9, 32, 128),
            (3, 48, 17),
            (4, 20, 36),
            (6, 24, 296),
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
                        int4: [false; 2],
                        hidden_zero: [0, 128, 255][tile_tokens % 3],
                        zero_point: [-128, 0, 127][tile_tokens % 3],
                        seed: i as u64,
                    });
                }
            }
        }
        let narrow = [[true, true], [true, false], [false, true]];
        for (case, int4) in cases.clone().into_iter().zip(narrow.into_iter().cycle()) {
            cases.push(Self { int4, ..case });
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        // Most shapes are of the kind that fits every layout.
        let width = |end: usize| prop_oneof![1 => 1..end, 3 => (1..end / 4).prop_map(|n| 4 * n)];
        let shape = (1usize..20, width(40), width(80), 1usize..=5);
        let zeros = (0i32..=255, -128i32..=127);
        let int4 = any::<[bool; 2]>();
        (shape, fills(), any::<bool>(), int4, zeros, any::<u64>())
            .prop_map(|(shape, fill, full_range, int4, zeros, seed)| Self {
                tokens: shape.0,
                channels: shape.1,
                hidden: shape.2,
                tile_tokens: shape.3,
                fill,
                full_range,
                int4,
                hidden_zero: zeros.0,
                zero_point: zeros.1,
                seed,
            })
            .boxed()
    }
}

/// Bytes for unpacking `fc1` and `fc2`.
fn unpacked_sizes(int4: [bool; 2], channels: usize, hidden: usize) -> usize {
    let sizes = [
        unpacked_size(hidden, channels),
        unpacked_size(channels, hidden),
    ];
    let sizes = int4.into_iter().zip(sizes);
    sizes
        .filter_map(|(int4, size)| int4.then_some(size))
        .max()
        .unwrap_or(0)
}

//! The token mixers.

use super::*;

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

/// The ways in which a pooling mixer subtracts from its pool.
pub(crate) const SUBTRACTED: [Subtracted; 2] = [Subtracted::Pooled, Subtracted::Nothing];

pub(crate) fn subtracted() -> impl Strategy<Value = Subtracted> {
    proptest::sample::select(&SUBTRACTED[..])
}

#[derive(Debug, Clone)]
pub(crate) struct PoolingCase(MixerCase);

#[derive(Debug, Clone)]
pub(crate) struct ScaledPoolingCase(MixerCase, Subtracted);

/// The mixer, and whether each token has a norm of its own.
#[derive(Debug, Clone)]
pub(crate) struct IdentityCase(MixerCase, bool);

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
            // Around what it is for all.
            residual: source.values(
                offsets,
                (i64::from(self.residual) << 12) - i64::from(offsets > 1) * (1 << 18),
                i64::from(self.residual) << 12,
            ),
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
            residual: mixer.residual[0],
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
        bytes(&oracle::pooling(&mixer, Subtracted::Pooled, &map))
    }

    fn edges() -> Vec<Self> {
        MixerCase::edges().into_iter().map(Self).collect()
    }

    fn any() -> BoxedStrategy<Self> {
        MixerCase::any().prop_map(Self).boxed()
    }
}

impl Case for ScaledPoolingCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mixer, map) = self.0.data(self.0.shape[2], 22);
        let [_, width, channels] = mixer.shape;
        let mut arena = Arena::new(&map, scaled_pooling::scratch_size(width, channels));
        let step = ScaledPooling {
            map: arena.map,
            scratch: arena.scratch,
            shape: mixer.shape,
            norm: norm(map.len(), mixer.epsilon),
            subtracted: self.1,
            factor: &mixer.factor,
            residual: &mixer.residual,
            offset: &mixer.offset,
        };
        let stats = scaled_pooling::run::<Int8>(&step, &Stats::of(&map), arena.bytes())?;
        Ok(written(stats, &arena.output()))
    }

    fn naive(&self) -> Vec<u8> {
        let (mixer, map) = self.0.data(self.0.shape[2], 22);
        bytes(&oracle::pooling(&mixer, self.1, &map))
    }

    fn edges() -> Vec<Self> {
        let cases = MixerCase::edges().into_iter();
        cases
            .flat_map(|case| SUBTRACTED.map(|subtracted| Self(case.clone(), subtracted)))
            .collect()
    }

    fn any() -> BoxedStrategy<Self> {
        (MixerCase::any(), subtracted())
            .prop_map(|(case, subtracted)| Self(case, subtracted))
            .boxed()
    }
}

impl Case for IdentityCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mixer, map) = self.0.data(self.0.shape[2], 20);
        let mut arena = Arena::new(&map, 0);
        let (scope, elements) = match self.1 {
            true => (NormScope::Token, mixer.shape[2]),
            false => (NormScope::Map, map.len()),
        };
        let step = Identity {
            map: arena.map,
            channels: mixer.factor.len(),
            scope,
            norm: norm(elements, mixer.epsilon),
            factor: &mixer.factor,
            offset: &mixer.offset,
            residual: &mixer.residual,
        };
        let stats = identity::run::<Int8>(&step, &Stats::of(&map), arena.bytes())?;
        Ok(written(stats, &arena.output()))
    }

    fn naive(&self) -> Vec<u8> {
        let (mixer, map) = self.0.data(self.0.shape[2], 20);
        bytes(&oracle::identity(&mixer, self.1, &map))
    }

    fn edges() -> Vec<Self> {
        let cases = MixerCase::edges().into_iter();
        cases
            .flat_map(|case| [false, true].map(|of_tokens| Self(case.clone(), of_tokens)))
            .collect()
    }

    fn any() -> BoxedStrategy<Self> {
        let cases = (MixerCase::any(), any::<bool>());
        cases
            .prop_map(|(case, of_tokens)| Self(case, of_tokens))
            .boxed()
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
        residual: vec![i32::MIN],
    };
    let map = [-128, 127];
    let mut arena = Arena::new(&map, 0);
    let step = Identity {
        map: arena.map,
        channels: 1,
        scope: NormScope::Map,
        norm: norm(2, 0),
        factor: &mixer.factor,
        offset: &mixer.offset,
        residual: &mixer.residual,
    };
    identity::run::<Int8>(&step, &Stats::of(&map), arena.bytes()).unwrap();
    assert_eq!(
        arena.output(),
        bytes(&oracle::identity(&mixer, false, &map))
    );
    assert_eq!(arena.output(), [127, 127]);
}

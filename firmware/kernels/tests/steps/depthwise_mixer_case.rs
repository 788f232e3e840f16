//! The depthwise mixer, on streams of both widths and behind norms of every kind.

use tadpool_kernels::depthwise::Depthwise;
use tadpool_kernels::depthwise_mixer::{self, DepthwiseMixer};

use super::*;
use crate::branch_cases::{Draw, by_columns, draws, edge_draws, kernel_normed};
use crate::oracle::depthwise::{self, Norm as Before};

#[derive(Debug, Clone)]
pub(crate) struct DepthwiseMixerCase {
    shape: [usize; 3],
    window: [usize; 2],
    norm: Kind,
    has_beta: bool,
    draw: Draw,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Folded,
    Written,
    None,
}

const KINDS: [Kind; 3] = [Kind::Folded, Kind::Written, Kind::None];

impl DepthwiseMixerCase {
    fn data(&self) -> (depthwise::DepthwiseMixer, Vec<i128>) {
        let ([height, width, channels], draw) = (self.shape, &self.draw);
        let source = &mut Source::new(draw.seed, draw.fill);
        let map = draw.map(source, height * width * channels);
        let window = self.window[0] * self.window[1];
        let zeros: Vec<i32> = source.values(2, -128, 127);
        let [factor, residual, offset] = match draw.full_range {
            true => [1 << 31; 3],
            false => [1 << 25, 1 << 25, 1 << 22],
        };
        let mixer = depthwise::DepthwiseMixer {
            shape: self.shape,
            window: self.window,
            norm: match self.norm {
                Kind::Folded => Before::Folded(draw.seed % 1_000_000),
                Kind::Written => Before::Written(draw.normed(source)),
                // On a stream of 16 bits it is zero.
                Kind::None if draw.wide => Before::None(0),
                Kind::None => Before::None(zeros[0] as i8),
            },
            shift: source.values(channels, 0, 8),
            weights: source.values(channels * window, -128, 127),
            bias: source.values(channels, -100_000, 100_000),
            multiplier: source.multipliers(channels, window, draw.full_range),
            zero: zeros[1],
            beta: (self.has_beta && !matches!(self.norm, Kind::None))
                .then(|| source.values(channels, -2000, 2000)),
            factor: source.values(channels, -factor, factor - 1),
            residual: source.values(channels, -residual, residual - 1),
            offset: source.values(channels, -offset, offset - 1),
        };
        (mixer, map)
    }
}

impl Case for DepthwiseMixerCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mixer, map) = self.data();
        let ([_, _, channels], draw) = (self.shape, &self.draw);
        let map_bytes = draw.bytes(&map);
        let has_borders = mixer.beta.is_some() || matches!(self.norm, Kind::Folded);
        let scratch = DepthwiseMixer::scratch_size(self.shape, self.window, has_borders);
        let mut arena = Arena::of_bytes(&map_bytes, scratch);
        let rounds = draw.wide && !matches!(self.norm, Kind::Written);
        let step = DepthwiseMixer {
            map: arena.map,
            scratch: arena.scratch,
            shape: self.shape,
            norm: match mixer.norm {
                Before::Folded(epsilon) => Some(norm(map.len(), epsilon)),
                Before::Written(_) | Before::None(_) => None,
            },
            normed: match &mixer.norm {
                Before::Written(normed) => Some(kernel_normed(normed, map.len(), channels)),
                Before::Folded(_) | Before::None(_) => None,
            },
            shift: if rounds { &mixer.shift } else { &[] },
            depthwise: Depthwise {
                window: self.window,
                weights: &by_columns(&mixer.weights, self.window),
                bias: &mixer.bias,
                multiplier: &mixer.multiplier,
                padding: match mixer.norm {
                    Before::None(zero_point) => zero_point,
                    Before::Folded(_) | Before::Written(_) => 0,
                },
                zero: mixer.zero,
            },
            beta: mixer.beta.as_deref().unwrap_or(&[]),
            factor: &mixer.factor,
            residual: &mixer.residual,
            offset: &mixer.offset,
        };
        let run = match draw.wide {
            true => depthwise_mixer::run::<Int16>,
            false => depthwise_mixer::run::<Int8>,
        };
        let stats = run(&step, &draw.stats(&map_bytes), arena.bytes())?;
        Ok(draw.written(stats, arena.output()))
    }

    fn naive(&self) -> Vec<u8> {
        let (mixer, map) = self.data();
        let output = depthwise::depthwise_mixer(&mixer, self.draw.width(), &map);
        self.draw.bytes(&output)
    }

    fn edges() -> Vec<Self> {
        let shapes = [
            ([1, 1, 1], [1, 1]),
            ([1, 1, 4], [7, 7]),
            ([2, 3, 3], [3, 3]),
            ([3, 2, 4], [7, 7]),
            ([9, 1, 2], [7, 5]),
            ([1, 9, 4], [5, 7]),
            ([8, 9, 8], [7, 7]),
            ([6, 7, 5], [3, 7]),
            ([4, 5, 4], [9, 3]),
            ([3, 6, 4], [3, 9]),
            ([2, 5, 20], [1, 7]),
            ([5, 4, 3], [7, 1]),
        ];
        let mut cases = Vec::new();
        for (shape, window) in shapes {
            for norm in KINDS {
                cases.extend(edge_draws().map(|draw| Self {
                    shape,
                    window,
                    norm,
                    has_beta: draw.seed % 3 != 1,
                    draw,
                }));
            }
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        let odd = || (0usize..5).prop_map(|n| 2 * n + 1);
        let sizes = [1usize..9, 1..12, 1..10];
        let norm = proptest::sample::select(&KINDS[..]);
        (sizes, (odd(), odd()), norm, any::<bool>(), draws())
            .prop_map(|(shape, window, norm, has_beta, draw)| Self {
                shape,
                window: window.into(),
                norm,
                has_beta,
                draw,
            })
            .boxed()
    }
}

/// A mixer whose parts are each a little off.
#[test]
fn a_depthwise_mixer_that_does_not_fit_is_a_fault() {
    let (shape, window) = ([2, 3, 1], [3, 1]);
    let map = [3; 6];
    let mut arena = Arena::new(&map, DepthwiseMixer::scratch_size(shape, window, true));
    let fits = DepthwiseMixer {
        map: arena.map,
        scratch: arena.scratch,
        shape,
        norm: Some(norm(6, 1)),
        normed: None,
        shift: &[],
        depthwise: Depthwise {
            window,
            weights: &[1, 2, 3, 0],
            bias: &[1],
            multiplier: &[1],
            padding: 0,
            zero: 0,
        },
        beta: &[1],
        factor: &[1],
        residual: &[1],
        offset: &[1],
    };
    let stats = Stats::of(&map);
    let mut run =
        |step: &DepthwiseMixer<'_>| depthwise_mixer::run::<Int8>(step, &stats, arena.bytes());
    assert!(run(&fits).is_ok());

    let mut step = fits;
    step.scratch.size -= 4;
    assert_eq!(run(&step), Err(Fault::Buffer));
    let geometry = |result: Result<Stats, Fault>| assert_eq!(result, Err(Fault::Geometry));
    let mut off = |change: &dyn Fn(&mut DepthwiseMixer<'_>)| {
        let mut step = fits;
        change(&mut step);
        geometry(run(&step));
    };
    off(&|step| step.shape = [3, 3, 1]);
    off(&|step| step.shape = [0, 3, 1]);
    off(&|step| step.map.size -= 1);
    off(&|step| step.depthwise.window = [2, 1]);
    off(&|step| step.depthwise.weights = &[1, 2, 3]);
    off(&|step| step.depthwise.bias = &[]);
    off(&|step| step.depthwise.multiplier = &[1, 1]);
    off(&|step| step.beta = &[1, 1]);
    off(&|step| step.factor = &[]);
    off(&|step| step.residual = &[1, 1]);
    off(&|step| step.offset = &[]);
    off(&|step| step.shift = &[8]);
    off(&|step| {
        step.normed = Some(Normed {
            scope: NormScope::Token,
            norm: norm(1, 1),
            multiplier: 4096,
        });
    });
}

//! The pooling mixer with wide windows, on streams of both widths and behind norms of every
//! kind.

use tadpool_kernels::wide_pooling::{self, WidePooling, scratch_size};

use super::*;
use crate::branch_cases::{Draw, draws, edge_draws, kernel_normed};
use crate::oracle::branches;

#[derive(Debug, Clone)]
pub(crate) struct WidePoolingCase {
    shape: [usize; 3],
    window: usize,
    norm: Kind,
    subtracted: Subtracted,
    draw: Draw,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Folded,
    Fixed,
    Written,
}

const KINDS: [Kind; 3] = [Kind::Folded, Kind::Fixed, Kind::Written];

impl WidePoolingCase {
    fn data(&self) -> (Mixer, branches::Normed, Vec<i128>) {
        let draw = &self.draw;
        let [_, _, channels] = self.shape;
        let source = &mut Source::new(draw.seed, draw.fill);
        let map = draw.map(source, self.shape.iter().product());
        let norm = draw.normed(source);
        let [factor, residual, offset] = match draw.full_range {
            true => [1 << 31; 3],
            false => [1 << 23, 1 << 25, 1 << 22],
        };
        let mixer = Mixer {
            shape: self.shape,
            epsilon: norm.epsilon,
            factor: source.values(channels, -factor, factor - 1),
            offset: source.values(channels, -offset, offset - 1),
            residual: source.values(channels, -residual, residual - 1),
        };
        (mixer, norm, map)
    }
}

impl Case for WidePoolingCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mixer, normed, map) = self.data();
        let ([_, width, channels], draw) = (self.shape, &self.draw);
        let map_bytes = draw.bytes(&map);
        let value_bytes = match draw.wide && self.norm != Kind::Written {
            true => 2,
            false => 1,
        };
        let scratch = scratch_size(self.window, width, channels, value_bytes);
        let mut arena = Arena::of_bytes(&map_bytes, scratch);
        let step = WidePooling {
            map: arena.map,
            scratch: arena.scratch,
            shape: self.shape,
            window: self.window,
            norm: match self.norm {
                Kind::Folded => Some(norm(map.len(), mixer.epsilon)),
                Kind::Fixed => Some(Norm::FIXED),
                Kind::Written => None,
            },
            normed: match self.norm {
                Kind::Written => Some(kernel_normed(&normed, map.len(), channels)),
                Kind::Folded | Kind::Fixed => None,
            },
            subtracted: self.subtracted,
            factor: &mixer.factor,
            residual: &mixer.residual,
            offset: &mixer.offset,
        };
        let run = match draw.wide {
            true => wide_pooling::run::<Int16>,
            false => wide_pooling::run::<Int8>,
        };
        let stats = match self.norm {
            Kind::Fixed => Stats::default(),
            Kind::Folded | Kind::Written => draw.stats(&map_bytes),
        };
        let stats = run(&step, &stats, arena.bytes())?;
        Ok(draw.written(stats, arena.output()))
    }

    fn naive(&self) -> Vec<u8> {
        let (mixer, norm, map) = self.data();
        let norm = (self.norm == Kind::Written).then_some(&norm);
        let (is_fixed, width) = (self.norm == Kind::Fixed, self.draw.width());
        let window = self.window;
        let output =
            branches::wide_pooling(&mixer, window, norm, is_fixed, self.subtracted, width, &map);
        self.draw.bytes(&output)
    }

    fn edges() -> Vec<Self> {
        let shapes = [
            [1, 1, 1],
            [1, 9, 3],
            [9, 1, 2],
            [2, 2, 4],
            [5, 5, 3],
            [8, 9, 5],
        ];
        let mut cases = Vec::new();
        for shape in shapes {
            for window in [1, 3, 5, 7] {
                for norm in KINDS {
                    for subtracted in SUBTRACTED {
                        cases.extend(edge_draws().map(|draw| Self {
                            shape,
                            window,
                            norm,
                            subtracted,
                            draw,
                        }));
                    }
                }
            }
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        let window = proptest::sample::select(&[1usize, 3, 5, 7][..]);
        let norm = proptest::sample::select(&KINDS[..]);
        (
            [1usize..12, 1..12, 1..8],
            window,
            norm,
            subtracted(),
            draws(),
        )
            .prop_map(|(shape, window, norm, subtracted, draw)| Self {
                shape,
                window,
                norm,
                subtracted,
                draw,
            })
            .boxed()
    }
}

/// A mixer whose parts are each a little off.
#[test]
fn a_wide_pooling_that_does_not_fit_is_a_fault() {
    let map = [3; 6];
    let mut arena = Arena::new(&map, scratch_size(5, 3, 1, 1));
    let fits = WidePooling {
        map: arena.map,
        scratch: arena.scratch,
        shape: [2, 3, 1],
        window: 5,
        norm: Some(norm(6, 1)),
        normed: None,
        subtracted: Subtracted::Pooled,
        factor: &[1],
        residual: &[1],
        offset: &[1],
    };
    let stats = Stats::of(&map);
    let mut run = |step: &WidePooling<'_>| wide_pooling::run::<Int8>(step, &stats, arena.bytes());
    assert!(run(&fits).is_ok());
    let mut step = fits;
    step.scratch.size -= 4;
    assert_eq!(run(&step), Err(Fault::Buffer));
    let mut off = |change: &dyn Fn(&mut WidePooling<'_>)| {
        let mut step = fits;
        change(&mut step);
        assert_eq!(run(&step), Err(Fault::Geometry));
    };
    off(&|step| step.shape = [3, 3, 1]);
    off(&|step| step.window = 4);
    off(&|step| step.window = 9);
    off(&|step| step.norm = None);
    off(&|step| step.factor = &[]);
    off(&|step| step.residual = &[1, 1]);
    off(&|step| step.offset = &[]);
}

//! The pooling mixer behind a norm of each token, on streams of both widths.

use tadpool_kernels::normed_pooling::{self, NormedPooling, scratch_size};

use super::*;
use crate::branch_cases::{Draw, draws, edge_draws, kernel_normed};
use crate::oracle::branches;

#[derive(Debug, Clone)]
pub(crate) struct NormedPoolingCase {
    shape: [usize; 3],
    subtracted: Subtracted,
    draw: Draw,
}

impl NormedPoolingCase {
    fn data(&self) -> (Mixer, branches::Normed, Vec<i128>) {
        let draw = &self.draw;
        let [_, _, channels] = self.shape;
        let source = &mut Source::new(draw.seed, draw.fill);
        let map = draw.map(source, self.shape.iter().product());
        let norm = draw.normed(source);
        let [factor, residual, offset] = match draw.full_range {
            true => [1 << 31; 3],
            false => [1 << 22, 1 << 25, 1 << 22],
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

impl Case for NormedPoolingCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (mixer, norm, map) = self.data();
        let ([_, width, channels], draw) = (self.shape, &self.draw);
        let map_bytes = draw.bytes(&map);
        let mut arena = Arena::of_bytes(&map_bytes, scratch_size(width, channels));
        let step = NormedPooling {
            map: arena.map,
            scratch: arena.scratch,
            shape: self.shape,
            normed: kernel_normed(&norm, map.len(), channels),
            subtracted: self.subtracted,
            factor: &mixer.factor,
            residual: &mixer.residual,
            offset: &mixer.offset,
        };
        let run = match draw.wide {
            true => normed_pooling::run::<Int16>,
            false => normed_pooling::run::<Int8>,
        };
        let stats = run(&step, &draw.stats(&map_bytes), arena.bytes())?;
        Ok(draw.written(stats, arena.output()))
    }

    fn naive(&self) -> Vec<u8> {
        let (mixer, norm, map) = self.data();
        let output =
            branches::normed_pooling(&mixer, &norm, self.subtracted, self.draw.width(), &map);
        self.draw.bytes(&output)
    }

    fn edges() -> Vec<Self> {
        let shapes = [
            [1, 1, 1],
            [1, 1, 4],
            [1, 5, 3],
            [5, 1, 6],
            [2, 2, 4],
            [3, 3, 7],
            [4, 6, 12],
            [9, 8, 33],
        ];
        let mut cases = Vec::new();
        for shape in shapes {
            for subtracted in SUBTRACTED {
                cases.extend(edge_draws().map(|draw| Self {
                    shape,
                    subtracted,
                    draw,
                }));
            }
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        ([1usize..12, 1..12, 1..14], subtracted(), draws())
            .prop_map(|(shape, subtracted, draw)| Self {
                shape,
                subtracted,
                draw,
            })
            .boxed()
    }
}

/// A mixer whose parts are each a little off.
#[test]
fn a_normed_pooling_that_does_not_fit_is_a_fault() {
    let shape = [2, 3, 1];
    let map = [3; 6];
    let mut arena = Arena::new(&map, scratch_size(3, 1));
    let fits = NormedPooling {
        map: arena.map,
        scratch: arena.scratch,
        shape,
        normed: Normed {
            scope: NormScope::Token,
            norm: norm(1, 1),
            multiplier: 4096,
        },
        subtracted: Subtracted::Pooled,
        factor: &[1],
        residual: &[1],
        offset: &[1],
    };
    let stats = Stats::of(&map);
    let mut run =
        |step: &NormedPooling<'_>| normed_pooling::run::<Int8>(step, &stats, arena.bytes());
    assert!(run(&fits).is_ok());

    let mut step = fits;
    step.scratch.size -= 4;
    assert_eq!(run(&step), Err(Fault::Buffer));
    let geometry = |result: Result<Stats, Fault>| assert_eq!(result, Err(Fault::Geometry));
    step = fits;
    step.shape = [3, 3, 1];
    geometry(run(&step));
    step = fits;
    step.shape = [0, 3, 1];
    geometry(run(&step));
    step = fits;
    step.map.size -= 1;
    geometry(run(&step));
    step = fits;
    step.offset = &[1, 1];
    geometry(run(&step));
    step = fits;
    step.factor = &[];
    geometry(run(&step));
}

//! Depthwise embeddings, activations and position embeddings, on streams of both widths.

use tadpool_kernels::activation::{self, Activation};
use tadpool_kernels::depthwise_embedding::{self, DepthwiseEmbedding, Reduction, scratch_size};
use tadpool_kernels::position_embedding::{self, PositionEmbedding};

use super::*;
use crate::branch_cases::{Draw, draws, edge_draws};
use crate::oracle::embeddings;

#[derive(Debug, Clone)]
pub(crate) struct DepthwiseEmbeddingCase {
    shape: [usize; 3],
    window: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    reduction: Reduction,
    /// Of the map that is written, where `draw` has that of the one that is read.
    writes_wide: bool,
    draw: Draw,
}

const REDUCTIONS: [Reduction; 3] = [Reduction::Sum, Reduction::Mean, Reduction::Maximum];

impl DepthwiseEmbeddingCase {
    fn output_shape(&self) -> [usize; 3] {
        let side = |axis: usize| {
            let padded = self.shape[axis] + 2 * self.padding[axis];
            padded.saturating_sub(self.window[axis]) / self.stride[axis] + 1
        };
        [side(0), side(1), self.shape[2]]
    }

    fn data(&self) -> (embeddings::DepthwiseEmbedding, Vec<i128>) {
        let ([height, width, channels], draw) = (self.shape, &self.draw);
        let source = &mut Source::new(draw.seed, draw.fill);
        let map = draw.map(source, height * width * channels);
        let places = self.window[0] * self.window[1];
        let (multipliers, offsets) = match self.reduction {
            Reduction::Sum => (channels, channels),
            Reduction::Mean => (places, 1),
            Reduction::Maximum => (1, 1),
        };
        let [multiplier, offset] = match draw.full_range {
            true => [1i64 << 31; 2],
            false => [(1 << 24) / places as i64, 1 << 22],
        };
        let zeros: Vec<i32> = source.values(1, -128, 127);
        let step = embeddings::DepthwiseEmbedding {
            input_shape: self.shape,
            output_shape: self.output_shape(),
            window: self.window,
            stride: self.stride,
            padding: self.padding,
            reduction: match self.reduction {
                Reduction::Sum => {
                    embeddings::Reduction::Sum(source.values(places * channels, -128, 127))
                }
                Reduction::Mean => embeddings::Reduction::Mean,
                Reduction::Maximum => embeddings::Reduction::Maximum,
            },
            zero_point: if draw.wide { 0 } else { zeros[0] },
            multiplier: source.values(multipliers, -multiplier, multiplier - 1),
            offset: source.values(offsets, -offset, offset - 1),
        };
        (step, map)
    }

    fn written(&self) -> Draw {
        let mut draw = self.draw.clone();
        draw.wide = self.writes_wide;
        draw
    }
}

impl Case for DepthwiseEmbeddingCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (step, map) = self.data();
        let map_bytes = self.draw.bytes(&map);
        let values: usize = step.output_shape.iter().product();
        let size = values * if self.writes_wide { 2 } else { 1 };
        let scratch = scratch_size(self.shape[2]).next_multiple_of(8);
        let mut arena = Arena::of_bytes(&map_bytes, scratch + size);
        let output = Buffer {
            offset: arena.scratch.offset + scratch,
            size,
        };
        arena.scratch.size = scratch;
        let step = DepthwiseEmbedding {
            input: arena.map,
            output,
            scratch: arena.scratch,
            input_shape: step.input_shape,
            output_shape: step.output_shape,
            window: step.window,
            stride: step.stride,
            padding: step.padding,
            reduction: self.reduction,
            weights: match &step.reduction {
                embeddings::Reduction::Sum(weights) => weights,
                _ => &[],
            },
            zero_point: step.zero_point,
            multiplier: &step.multiplier,
            offset: &step.offset,
        };
        let run = match (self.draw.wide, self.writes_wide) {
            (false, false) => depthwise_embedding::run::<Int8, Int8>,
            (false, true) => depthwise_embedding::run::<Int8, Int16>,
            (true, false) => depthwise_embedding::run::<Int16, Int8>,
            (true, true) => depthwise_embedding::run::<Int16, Int16>,
        };
        let stats = run(&step, arena.bytes())?;
        let written = arena.bytes()[output.offset..][..size].to_vec();
        Ok(self.written().written(stats, written))
    }

    fn naive(&self) -> Vec<u8> {
        let (step, map) = self.data();
        let widths = [self.draw.width(), self.written().width()];
        let output = embeddings::depthwise_embedding(&step, widths, &map);
        self.written().bytes(&output)
    }

    fn edges() -> Vec<Self> {
        let shapes = [
            ([1, 1, 1], [1, 1], [1, 1], [0, 0]),
            ([1, 1, 3], [3, 3], [2, 2], [1, 1]),
            ([6, 6, 4], [2, 2], [2, 2], [0, 0]),
            ([5, 7, 3], [3, 3], [2, 2], [1, 1]),
            ([9, 8, 5], [7, 5], [4, 3], [2, 2]),
            ([4, 5, 6], [3, 3], [1, 1], [1, 1]),
            // Windows that lie wholly in the padding.
            ([2, 2, 2], [2, 2], [1, 1], [3, 3]),
            ([16, 16, 1], [16, 16], [1, 1], [0, 0]),
        ];
        let mut cases = Vec::new();
        for (shape, window, stride, padding) in shapes {
            for reduction in REDUCTIONS {
                cases.extend(edge_draws().map(|draw| Self {
                    shape,
                    window,
                    stride,
                    padding,
                    reduction,
                    writes_wide: draw.seed % 2 == 1,
                    draw,
                }));
            }
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        let pair = |sizes: Range<usize>| [sizes.clone(), sizes];
        let window = (pair(1..6), pair(1..4), pair(0..3));
        let reduction = proptest::sample::select(&REDUCTIONS[..]);
        (
            [1usize..9, 1..9, 1..7],
            window,
            reduction,
            any::<bool>(),
            draws(),
        )
            .prop_filter("a window fits", |([height, width, _], window, ..)| {
                let ([rows, columns], _, [top, left]) = *window;
                rows <= height + 2 * top && columns <= width + 2 * left
            })
            .prop_map(|(shape, window, reduction, writes_wide, draw)| {
                let (window, stride, padding) = window;
                Self {
                    shape,
                    window,
                    stride,
                    padding,
                    reduction,
                    writes_wide,
                    draw,
                }
            })
            .boxed()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ActivationCase {
    values: usize,
    draw: Draw,
}

impl ActivationCase {
    fn data(&self) -> (Vec<i32>, Vec<i128>) {
        let source = &mut Source::new(self.draw.seed, self.draw.fill);
        let map = self.draw.map(source, self.values);
        let bound = match self.draw.full_range {
            true => 1 << 31,
            false => 1 << 23,
        };
        (source.values(257, -bound, bound - 1), map)
    }
}

impl Case for ActivationCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (table, map) = self.data();
        let mut arena = Arena::of_bytes(&self.draw.bytes(&map), 0);
        let step = Activation {
            map: arena.map,
            table: table.first_chunk().ok_or(Fault::Geometry)?,
        };
        let run = match self.draw.wide {
            true => activation::run::<Int16>,
            false => activation::run::<Int8>,
        };
        let stats = run(&step, arena.bytes())?;
        Ok(self.draw.written(stats, arena.output()))
    }

    fn naive(&self) -> Vec<u8> {
        let (table, map) = self.data();
        let output = embeddings::activation(&table, self.draw.width(), &map);
        self.draw.bytes(&output)
    }

    fn edges() -> Vec<Self> {
        let each = [1, 7, 600].into_iter();
        each.flat_map(|values| edge_draws().map(move |draw| Self { values, draw }))
            .collect()
    }

    fn any() -> BoxedStrategy<Self> {
        (1usize..300, draws())
            .prop_map(|(values, draw)| Self { values, draw })
            .boxed()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct PositionCase {
    tokens: usize,
    channels: usize,
    draw: Draw,
}

/// The constant map, and its factors; residual and offset; the map.
type Position = (Vec<i8>, Vec<i32>, [i32; 2], Vec<i128>);

impl PositionCase {
    fn data(&self) -> Position {
        let source = &mut Source::new(self.draw.seed, self.draw.fill);
        let values = self.tokens * self.channels;
        let map = self.draw.map(source, values);
        let bound = match self.draw.full_range {
            true => 1 << 31,
            false => 1 << 24,
        };
        let others: Vec<i32> = source.values(2, -bound, bound - 1);
        let factor = source.values(self.channels, -bound, bound - 1);
        (source.map(values), factor, [others[0], others[1]], map)
    }
}

impl Case for PositionCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (positions, factor, [residual, offset], map) = self.data();
        let mut arena = Arena::of_bytes(&self.draw.bytes(&map), 0);
        let step = PositionEmbedding {
            map: arena.map,
            positions: &positions,
            factor: &factor,
            residual,
            offset,
        };
        let run = match self.draw.wide {
            true => position_embedding::run::<Int16>,
            false => position_embedding::run::<Int8>,
        };
        let stats = run(&step, arena.bytes())?;
        Ok(self.draw.written(stats, arena.output()))
    }

    fn naive(&self) -> Vec<u8> {
        let (positions, factor, constants, map) = self.data();
        let width = self.draw.width();
        let output = embeddings::position_embedding(&positions, &factor, constants, width, &map);
        self.draw.bytes(&output)
    }

    fn edges() -> Vec<Self> {
        let shapes = [(1, 1), (4, 3), (9, 8)].into_iter();
        let each = shapes.flat_map(|(tokens, channels)| {
            edge_draws().map(move |draw| Self {
                tokens,
                channels,
                draw,
            })
        });
        each.collect()
    }

    fn any() -> BoxedStrategy<Self> {
        (1usize..20, 1usize..12, draws())
            .prop_map(|(tokens, channels, draw)| Self {
                tokens,
                channels,
                draw,
            })
            .boxed()
    }
}

/// Steps whose parts are each a little off.
#[test]
fn embeddings_that_do_not_fit_are_faults() {
    let map = [3; 8];
    let mut arena = Arena::new(&map, 16);
    let output = Buffer {
        offset: arena.scratch.offset + 8,
        size: 2,
    };
    let fits = DepthwiseEmbedding {
        input: arena.map,
        output,
        scratch: Buffer {
            size: 8,
            ..arena.scratch
        },
        input_shape: [2, 2, 2],
        output_shape: [1, 1, 2],
        window: [2, 2],
        stride: [2, 2],
        padding: [0, 0],
        reduction: Reduction::Sum,
        weights: &[1; 8],
        zero_point: 0,
        multiplier: &[1, 1],
        offset: &[1, 1],
    };
    let positions = PositionEmbedding {
        map: arena.map,
        positions: &[1; 8],
        factor: &[1; 2],
        residual: 1,
        offset: 1,
    };
    let activation = Activation {
        map: arena.map,
        table: &[0; 257],
    };
    let bytes = arena.bytes();
    assert!(position_embedding::run::<Int8>(&positions, bytes).is_ok());
    assert!(activation::run::<Int8>(&activation, bytes).is_ok());
    let mut run = |change: &dyn Fn(&mut DepthwiseEmbedding<'_>)| {
        let mut step = fits;
        change(&mut step);
        depthwise_embedding::run::<Int8, Int8>(&step, bytes)
    };
    assert!(run(&|_| {}).is_ok());
    assert_eq!(run(&|step| step.scratch.size = 4), Err(Fault::Buffer));
    let mut off = |change: &dyn Fn(&mut DepthwiseEmbedding<'_>)| {
        assert_eq!(run(change), Err(Fault::Geometry));
    };
    off(&|step| step.input_shape = [2, 3, 2]);
    off(&|step| step.output_shape = [1, 2, 1]);
    off(&|step| step.output.size = 1);
    off(&|step| step.window = [0, 2]);
    off(&|step| step.window = [17, 17]);
    off(&|step| step.zero_point = 128);
    off(&|step| step.weights = &[1; 7]);
    off(&|step| step.multiplier = &[1]);
    off(&|step| step.offset = &[1]);
    off(&|step| step.reduction = Reduction::Mean);

    let mut step = positions;
    step.positions = &[1; 6];
    let run = position_embedding::run::<Int8>;
    assert_eq!(run(&step, bytes), Err(Fault::Geometry));
    step = positions;
    step.factor = &[];
    assert_eq!(run(&step, bytes), Err(Fault::Geometry));
    let mut step = activation;
    step.map.size = 0;
    let run = activation::run::<Int8>;
    assert_eq!(run(&step, bytes), Err(Fault::Geometry));
}

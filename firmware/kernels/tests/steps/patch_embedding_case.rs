//! Patch embedding and downsampling.

use super::*;

#[derive(Debug, Clone)]
pub(crate) struct ConvolutionCase {
    input_shape: [usize; 3],
    outputs: usize,
    window: [usize; 2],
    stride: [usize; 2],
    /// Top, left, and what is added at the bottom and right.
    padding: [usize; 4],
    tile_tokens: usize,
    /// Output below the input, as close as it may be.
    in_place: bool,
    pixels: bool,
    fill: Fill,
    full_range: bool,
    int4: bool,
    zero_point: i32,
    seed: u64,
}

impl ConvolutionCase {
    fn data(&self) -> (Convolution, Vec<i8>) {
        let [height, width, channels] = self.input_shape;
        let [top, left, bottom, right] = self.padding;
        let outputs = |size, before, after, axis: usize| {
            let padded: usize = size + before + after;
            match padded.checked_sub(self.window[axis]) {
                Some(room) => room / self.stride[axis] + 1,
                None => 1,
            }
        };
        let mut source = Source::new(self.seed, self.fill);
        let input = source.map(height * width * channels);
        let inputs = self.window[0] * self.window[1] * channels;
        let pad = source.map(channels);
        let mut linear = source.linear(self.outputs, inputs, self.full_range);
        narrow(&mut linear.weights, self.int4);
        let conv = Convolution {
            input_shape: self.input_shape,
            output_shape: [
                outputs(height, top, bottom, 0),
                outputs(width, left, right, 1),
                self.outputs,
            ],
            window: self.window,
            stride: self.stride,
            padding: [top, left],
            pad,
            linear,
            zero_point: self.zero_point,
        };
        (conv, input)
    }
}

impl ConvolutionCase {
    /// The step that reads `input` and writes `output`.
    fn step<'a>(
        &'a self,
        conv: &'a Convolution,
        weights: &'a Packed,
        [input, output, scratch]: [Buffer; 3],
    ) -> PatchEmbedding<'a> {
        PatchEmbedding {
            input,
            output,
            scratch,
            input_shape: self.input_shape,
            output_shape: conv.output_shape,
            window: self.window,
            stride: self.stride,
            padding: conv.padding,
            tile_tokens: self.tile_tokens,
            flip: self.flip(),
            shift: &[],
            pad: &conv.pad,
            weights: weights.weights(),
            bias: &conv.linear.bias,
            multiplier: &conv.linear.multiplier,
            zero_point: self.zero_point,
        }
    }

    fn flip(&self) -> u8 {
        if self.pixels { 0x80 } else { 0 }
    }

    /// Values of a window.
    fn inputs(&self) -> usize {
        let [.., channels] = self.input_shape;
        self.window[0] * self.window[1] * channels
    }

    fn scratch_size(&self) -> usize {
        let (inputs, outputs) = (self.inputs(), self.outputs);
        let unpacked = if self.int4 {
            unpacked_size(outputs, inputs)
        } else {
            0
        };
        PatchEmbedding::scratch_size(inputs, outputs, self.tile_tokens) + unpacked
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
        let flip = self.flip();
        for (byte, &q) in map[distance..].iter_mut().zip(&input) {
            *byte = (q as u8 ^ flip) as i8;
        }
        let mut arena = Arena::new(&map, self.scratch_size());
        let output = Buffer {
            offset: 0,
            size: output_size,
        };
        let weights = Packed::new(K::LAYOUT, &conv.linear.weights, self.inputs(), self.int4);
        let input = Buffer {
            offset: distance,
            size: input.len(),
        };
        let step = self.step(&conv, &weights, [input, output, arena.scratch]);
        let run = match self.int4 {
            true => patch_embedding::run_mixed::<K, Int8, Int8>,
            false => patch_embedding::run::<K>,
        };
        let stats = run(&step, arena.bytes())?;
        Ok(written(stats, output.of(arena.bytes())?))
    }

    fn fits(&self, layout: Layout) -> bool {
        layout.fits(self.outputs, self.inputs())
    }

    fn naive(&self) -> Vec<u8> {
        let (conv, input) = self.data();
        bytes(&oracle::patch_embedding(&conv, &input))
    }

    fn edges() -> Vec<Self> {
        let plain = Self {
            input_shape: [8, 8, 3],
            outputs: 8,
            window: [3, 3],
            stride: [2, 2],
            padding: [1, 1, 1, 1],
            tile_tokens: 2,
            in_place: true,
            pixels: false,
            fill: Fill::Random,
            full_range: false,
            int4: false,
            zero_point: 3,
            seed: 7,
        };
        let mut cases = Vec::new();
        for window in 1..=7 {
            for stride in 1..=4 {
                for tile_tokens in 1..=5 {
                    cases.push(Self {
                        window: [window, window],
                        stride: [stride, stride],
                        padding: [window / 2; 4],
                        tile_tokens,
                        pixels: stride % 2 == 0,
                        int4: (stride + window) % 3 == 0,
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
                        int4: fill == Fill::Alternating,
                        zero_point,
                        ..plain.clone()
                    });
                }
            }
        }
        // Windows larger than the map, beside it altogether, and not square.
        for (window, padding) in [([7, 7], [3; 4]), ([2, 5], [4, 6, 4, 6]), ([7, 1], [0; 4])] {
            cases.push(Self {
                input_shape: [3, 2, 3],
                window,
                padding,
                ..plain.clone()
            });
        }
        // The stem and the downsampling of a CIFAR-10 PoolFormer.
        cases.push(Self {
            input_shape: [32, 32, 3],
            outputs: 32,
            window: [5, 5],
            padding: [2; 4],
            pixels: true,
            ..plain
        });
        for int4 in [false, true] {
            cases.push(Self {
                input_shape: [16, 16, 32],
                outputs: 64,
                int4,
                ..plain
            });
        }
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
        let flags = any::<[bool; 4]>();
        (shape, windows, flags, fills(), -128i32..=127, any::<u64>())
            .prop_map(|(shape, windows, flags, fill, zero_point, seed)| Self {
                input_shape: shape.0,
                outputs: shape.1,
                window: windows.0,
                stride: windows.1,
                padding: windows.2,
                tile_tokens: shape.2,
                in_place: flags[0],
                pixels: flags[1],
                full_range: flags[2],
                int4: flags[3],
                fill,
                zero_point,
                seed,
            })
            .boxed()
    }
}

/// The same with an image that is pushed in, a few bytes at a time.
#[derive(Debug, Clone)]
pub(crate) struct PushedCase {
    whole: ConvolutionCase,
    piece: usize,
}

impl Case for PushedCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let case = &self.whole;
        let (conv, input) = case.data();
        let [_, width, channels] = case.input_shape;
        let window = pushed_rows::window_size(case.window[0], width, channels);
        let output_size: usize = conv.output_shape.iter().product();
        let map = vec![0x33; output_size + window];
        let mut arena = Arena::new(&map, case.scratch_size());
        let output = Buffer {
            offset: 0,
            size: output_size,
        };
        let held = Buffer {
            offset: output_size,
            size: window,
        };
        let weights = &conv.linear.weights;
        let weights = Packed::new(K::LAYOUT, weights, case.inputs(), case.int4);
        let step = case.step(&conv, &weights, [held, output, arena.scratch]);
        let run = patch_embedding::run_mixed::<K, Int8, Int8>;
        let mut pushed = Pushed::new();
        let pixels: Vec<u8> = input.iter().map(|&q| q as u8 ^ case.flip()).collect();
        // One image after another, the first of them not whole.
        for pixels in [&pixels[..pixels.len() / 2], &pixels[..]] {
            pushed = Pushed::new();
            for piece in pixels.chunks(self.piece) {
                pushed_rows::push(&step, &mut pushed, piece, arena.bytes(), run)?;
            }
            let whole = pixels.len() == input.len();
            assert_eq!(pushed.clone().take(&step).is_ok(), whole);
        }
        let more = pushed_rows::push(&step, &mut pushed, &[1], arena.bytes(), run);
        assert_eq!(more, Err(Fault::Geometry));
        Ok(written(pushed.take(&step)?, output.of(arena.bytes())?))
    }

    fn fits(&self, layout: Layout) -> bool {
        self.whole.fits(layout)
    }

    fn naive(&self) -> Vec<u8> {
        self.whole.naive()
    }

    fn edges() -> Vec<Self> {
        let pieces = [1, 2, 7, 24, 500].into_iter().cycle();
        let cases = ConvolutionCase::edges().into_iter().zip(pieces);
        cases.map(|(whole, piece)| Self { whole, piece }).collect()
    }

    fn any() -> BoxedStrategy<Self> {
        (ConvolutionCase::any(), 1usize..100)
            .prop_map(|(whole, piece)| Self { whole, piece })
            .boxed()
    }
}

/// Windows so far apart that their places overflow: a fault or other bytes, but no panic.
#[test]
fn absurd_windows_do_not_overflow() {
    const ABSURD: [usize; 5] = [
        usize::MAX,
        usize::MAX / 2 + 1,
        usize::MAX / 3,
        1 << 33,
        1 << 16,
    ];
    for mut case in ConvolutionCase::edges().into_iter().step_by(7) {
        case.in_place = false;
        let (conv, input) = case.data();
        let output_size = conv.output_shape.iter().product();
        let [_, width, channels] = case.input_shape;
        let window = pushed_rows::window_size(case.window[0], width, channels);
        let weights = Packed::new(Layout::Rows, &conv.linear.weights, case.inputs(), case.int4);
        let map = vec![0x33; output_size + input.len().max(window)];
        let mut arena = Arena::new(&map, case.scratch_size());
        let scratch = arena.scratch;
        let buffer = |offset, size| Buffer { offset, size };
        let output = buffer(0, output_size);
        let whole = buffer(output_size, input.len());
        let good = case.step(&conv, &weights, [whole, output, scratch]);
        for absurd in ABSURD {
            for axis in 0..2 {
                for is_stride in [true, false] {
                    let mut step = good;
                    let field = if is_stride {
                        &mut step.stride
                    } else {
                        &mut step.padding
                    };
                    field[axis] = absurd;
                    let _ = patch_embedding::run_mixed::<Rows, Int8, Int8>(&step, arena.bytes());
                    step.input = buffer(output_size, window);
                    let run = patch_embedding::run_mixed::<Rows, Int8, Int8>;
                    let mut pushed = Pushed::new();
                    let pixels = vec![7; input.len()];
                    let _ = pushed_rows::push(&step, &mut pushed, &pixels, arena.bytes(), run);
                }
            }
        }
    }
}

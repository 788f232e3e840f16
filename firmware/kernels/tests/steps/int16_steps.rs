//! Every step kernel on a 16-bit stream.

use proptest::prelude::*;
use tadpool_kernels::channel_mlp::ChannelMlp;
use tadpool_kernels::head::Head;
use tadpool_kernels::identity::{self, Identity};
use tadpool_kernels::int16;
use tadpool_kernels::layout::{Dsp, DspPadded, Helium, HeliumPadded, Kernel, Layout, Rows};
use tadpool_kernels::linear::{NormedLinear, ResidualLinear};
use tadpool_kernels::norm::Stats;
use tadpool_kernels::normed::NormScope;
use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
use tadpool_kernels::pooling::{Pooling, Subtracted};
use tadpool_kernels::scaled_pooling::{self, ScaledPooling};
use tadpool_kernels::stream::{Int8, Int16, Stream};
use tadpool_kernels::weights::unpacked_size;
use tadpool_kernels::{Buffer, Fault, TrainedHead};

use crate::mixer_cases::SUBTRACTED;
use crate::oracle::{self, Classifier, Convolution, Mixer, Mlp, wide};
use crate::support::{self, Arena, FILLS, Fill, Packed, Source, fills, narrow, norm};
use crate::trained_head;

fn values(source: &mut Source, count: usize) -> Vec<i16> {
    source.values(count, i16::MIN.into(), i16::MAX.into())
}

fn bytes(values: &[i16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn stats(values: &[i16]) -> Stats {
    Stats {
        sum: values.iter().map(|&v| i64::from(v)).sum(),
        sum_of_squares: values.iter().map(|&v| i64::from(v).pow(2) as u64).sum(),
    }
}

/// The map that was written, after a check of the sums that were returned.
fn written(sums: Stats, output: &[u8]) -> Vec<i16> {
    let (pairs, rest) = output.as_chunks::<2>();
    assert!(rest.is_empty());
    let values: Vec<i16> = pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
    assert_eq!(sums, stats(&values));
    values
}

/// Sizes, how values are drawn, whether constants are of their full range, and a
/// seed.
type Draw = (Fill, bool, u64);

fn draws() -> impl Strategy<Value = Draw> {
    (fills(), any::<bool>(), any::<u64>())
}

fn mixer(shape: [usize; 3], offsets: usize, (fill, full_range, seed): Draw) -> (Mixer, Vec<i16>) {
    let mut source = Source::new(seed, fill);
    let map = values(&mut source, shape.iter().product());
    let top = if full_range {
        i64::from(i32::MAX)
    } else {
        1 << 22
    };
    let mixer = Mixer {
        shape,
        epsilon: seed % 1_000_000,
        factor: source.values(shape[2], -top - 1, top),
        offset: source.values(offsets, -(1 << 27), 1 << 27),
        residual: match full_range {
            true => source.values(offsets, -(1 << 23), (1 << 23) - 1),
            false => source.values(offsets, 60_000, 60_000),
        },
    };
    (mixer, map)
}

fn pooling(shape: [usize; 3], draw: Draw) {
    let (mixer, map) = mixer(shape, 1, draw);
    let mut arena = Arena::of_bytes(
        &bytes(&map),
        int16::pooling::scratch_size(shape[1], shape[2]),
    );
    let step = Pooling {
        map: arena.map,
        scratch: arena.scratch,
        shape,
        norm: norm(map.len(), mixer.epsilon),
        factor: &mixer.factor,
        residual: mixer.residual[0],
        offset: mixer.offset[0],
    };
    let sums = int16::pooling::run(&step, &stats(&map), arena.bytes()).unwrap();
    let expected = wide::pooling(&mixer, Subtracted::Pooled, &map);
    assert_eq!(written(sums, &arena.output()), expected);
}

fn scaled_pooling(shape: [usize; 3], draw: Draw) {
    let (mixer, map) = mixer(shape, shape[2], draw);
    let scratch = scaled_pooling::scratch_size(shape[1], shape[2]);
    for subtracted in SUBTRACTED {
        let mut arena = Arena::of_bytes(&bytes(&map), scratch);
        let step = ScaledPooling {
            map: arena.map,
            scratch: arena.scratch,
            shape,
            norm: norm(map.len(), mixer.epsilon),
            subtracted,
            factor: &mixer.factor,
            residual: &mixer.residual,
            offset: &mixer.offset,
        };
        let sums = scaled_pooling::run::<Int16>(&step, &stats(&map), arena.bytes()).unwrap();
        let expected = wide::pooling(&mixer, subtracted, &map);
        assert_eq!(written(sums, &arena.output()), expected, "{subtracted:?}");
    }
}

fn identity(tokens: usize, channels: usize, draw: Draw) {
    let (mixer, map) = mixer([1, tokens, channels], channels, draw);
    for (scope, elements) in [(NormScope::Map, map.len()), (NormScope::Token, channels)] {
        let mut arena = Arena::of_bytes(&bytes(&map), 0);
        let step = Identity {
            map: arena.map,
            channels,
            scope,
            norm: norm(elements, mixer.epsilon),
            factor: &mixer.factor,
            offset: &mixer.offset,
            residual: &mixer.residual,
        };
        let sums = identity::run::<Int16>(&step, &stats(&map), arena.bytes()).unwrap();
        let naive = wide::identity(&mixer, scope == NormScope::Token, &map);
        assert_eq!(written(sums, &arena.output()), naive);
    }
}

/// Tokens, channels, hidden channels, tokens of a tile.
type MlpShape = [usize; 4];

fn channel_mlp(shape: MlpShape, int4: [bool; 2], draw: Draw) {
    let ([tokens, channels, hidden, _], (fill, full_range, seed)) = (shape, draw);
    let mut source = Source::new(seed, fill);
    let map = values(&mut source, tokens * channels);
    let shift: Vec<u8> = source.values(channels, 0, 8);
    let activation: Vec<i8> = source.map(256);
    let mut fc1 = source.linear(hidden, channels, full_range);
    let mut fc2 = source.linear(channels, hidden, full_range);
    fc1.bias.iter_mut().for_each(|bias| *bias /= 64);
    narrow(&mut fc1.weights, int4[0]);
    narrow(&mut fc2.weights, int4[1]);
    let mlp = Mlp {
        channels,
        epsilon: seed % 1_000_000,
        fc1,
        hidden_zero: (seed % 256) as i32,
        activation: activation.try_into().unwrap(),
        fc2,
        zero_point: 0,
    };
    let residual = [
        source.values(channels, i32::MIN.into(), i32::MAX.into()),
        source.values(channels, -(1 << 24), 1 << 24),
    ];
    let naive = wide::channel_mlp(&mlp, &shift, &residual, &map);
    let run = |layout: Layout, run: RunMlp| {
        if layout.fits(hidden, channels) && layout.fits(channels, hidden) {
            assert_eq!(
                run(&mlp, &shift, &residual, &map, shape, int4),
                naive,
                "{layout:?}"
            );
        }
    };
    run(Layout::Rows, mlp_in::<Rows>);
    run(Layout::Dsp, mlp_in::<Dsp>);
    run(Layout::Helium, mlp_in::<Helium>);
    run(Layout::DspPadded, mlp_in::<DspPadded>);
    run(Layout::HeliumPadded, mlp_in::<HeliumPadded>);
}

type RunMlp = fn(&Mlp, &[u8], &[Vec<i32>; 2], &[i16], MlpShape, [bool; 2]) -> Vec<i16>;

fn mlp_in<K: Kernel>(
    mlp: &Mlp,
    shift: &[u8],
    [residual, offset]: &[Vec<i32>; 2],
    map: &[i16],
    [_, channels, hidden, tile_tokens]: MlpShape,
    int4: [bool; 2],
) -> Vec<i16> {
    let unpacked = unpacked_size(hidden, channels).max(unpacked_size(channels, hidden));
    let scratch = int16::channel_mlp::scratch_size(channels, hidden, tile_tokens) + unpacked;
    let mut arena = Arena::of_bytes(&bytes(map), scratch);
    let fc1 = Packed::new(K::LAYOUT, &mlp.fc1.weights, channels, int4[0]);
    let fc2 = Packed::new(K::LAYOUT, &mlp.fc2.weights, hidden, int4[1]);
    let step = ChannelMlp {
        map: arena.map,
        scratch: arena.scratch,
        channels,
        hidden,
        tile_tokens,
        norm: norm(map.len(), mlp.epsilon),
        shift,
        fc1: NormedLinear {
            weights: fc1.weights(),
            row_sums: &wide::row_sums(&mlp.fc1.weights, shift),
            bias: &mlp.fc1.bias,
            multiplier: &mlp.fc1.multiplier,
        },
        hidden_zero: mlp.hidden_zero,
        activation: &mlp.activation,
        fc2: ResidualLinear {
            weights: fc2.weights(),
            bias: &mlp.fc2.bias,
            residual,
            multiplier: &mlp.fc2.multiplier,
            offset,
            zero_point: 0,
        },
    };
    let sums = int16::channel_mlp::run::<K>(&step, &stats(map), arena.bytes()).unwrap();
    written(sums, &arena.output())
}

macro_rules! each_layout {
    ($run:ident, $function:ident, $input:ty, $output:ty) => {{
        $run(Layout::Rows, $function::<Rows, $input, $output>);
        $run(Layout::Dsp, $function::<Dsp, $input, $output>);
        $run(Layout::Helium, $function::<Helium, $input, $output>);
        $run(Layout::DspPadded, $function::<DspPadded, $input, $output>);
        $run(
            Layout::HeliumPadded,
            $function::<HeliumPadded, $input, $output>,
        );
    }};
}
/// Rows and columns of the map, channels, outputs, rows and columns of the
/// window, step, padding, tokens of a tile.
type Convolved = [usize; 7];

/// Widths of input and output, and whether weights have four bits.
fn patch_embedding(shape: Convolved, [wide_in, wide_out, int4]: [bool; 3], draw: Draw) {
    let [size, channels, outputs, window, stride, padding, _] = shape;
    let (fill, full_range, seed) = draw;
    let mut source = Source::new(seed, fill);
    let map = values(&mut source, size * size * channels);
    let side = (size + 2 * padding - window) / stride + 1;
    let shift: Vec<u8> = source.values(channels, 0, 8);
    let pad = source.map(channels);
    let mut linear = source.linear(outputs, window * window * channels, full_range);
    narrow(&mut linear.weights, int4);
    let conv = Convolution {
        input_shape: [size, size, channels],
        output_shape: [side, side, outputs],
        window: [window; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        pad,
        linear,
        zero_point: (seed % 256) as i32 - 128,
    };
    // A narrow map holds the values' upper halves.
    let (input, seen) = match wide_in {
        true => (bytes(&map), wide::rounded(&map, &shift)),
        false => {
            let narrow: Vec<i8> = map.iter().map(|&value| (value >> 8) as i8).collect();
            (narrow.iter().map(|&q| q as u8).collect(), narrow)
        }
    };
    let naive = match wide_out {
        true => bytes(&wide::patch_embedding(&conv, &seen)),
        false => support::bytes(&oracle::patch_embedding(&conv, &seen)),
    };
    let run = |layout: Layout, run: RunConvolution| {
        if layout.fits(outputs, window * window * channels) {
            let written = run(&conv, &shift, &input, shape, int4).unwrap();
            assert_eq!(written, naive, "{layout:?}");
        }
    };
    match (wide_in, wide_out) {
        (true, true) => each_layout!(run, convolution_in, Int16, Int16),
        (true, false) => each_layout!(run, convolution_in, Int16, Int8),
        (false, true) => each_layout!(run, convolution_in, Int8, Int16),
        (false, false) => each_layout!(run, convolution_in, Int8, Int8),
    }
}

type RunConvolution = fn(&Convolution, &[u8], &[u8], Convolved, bool) -> Result<Vec<u8>, Fault>;

fn convolution_in<K: Kernel, I: Stream, O: Stream>(
    conv: &Convolution,
    shift: &[u8],
    input: &[u8],
    [.., tile_tokens]: Convolved,
    int4: bool,
) -> Result<Vec<u8>, Fault> {
    let [.., outputs] = conv.output_shape;
    let inputs = conv.linear.weights.len() / outputs;
    let output_size = conv.output_shape.iter().product::<usize>() * O::BYTES;
    let scratch = PatchEmbedding::scratch_size(inputs, outputs, tile_tokens)
        + int16::sums_size(outputs, inputs)
        + unpacked_size(outputs, inputs);
    let offset = output_size.next_multiple_of(4);
    let mut map = vec![0x33; offset];
    map.extend_from_slice(input);
    let mut arena = Arena::of_bytes(&map, scratch);
    let weights = Packed::new(K::LAYOUT, &conv.linear.weights, inputs, int4);
    let output = Buffer {
        offset: 0,
        size: output_size,
    };
    let step = PatchEmbedding {
        input: Buffer {
            offset,
            size: input.len(),
        },
        output,
        scratch: arena.scratch,
        input_shape: conv.input_shape,
        output_shape: conv.output_shape,
        window: conv.window,
        stride: conv.stride,
        padding: conv.padding,
        tile_tokens,
        flip: 0,
        shift: if I::BYTES == 2 { shift } else { &[] },
        pad: &conv.pad,
        weights: weights.weights(),
        bias: &conv.linear.bias,
        multiplier: &conv.linear.multiplier,
        zero_point: conv.zero_point,
    };
    let sums = patch_embedding::run_mixed::<K, I, O>(&step, arena.bytes())?;
    let bytes = output.of(arena.bytes())?.to_vec();
    match O::BYTES {
        2 => drop(written(sums, &bytes)),
        _ => drop(support::written(sums, &bytes)),
    }
    Ok(bytes)
}

fn head(tokens: usize, channels: usize, int4: bool, normed: bool, draw: Draw) {
    let (fill, full_range, seed) = draw;
    let mut source = Source::new(seed, fill);
    let map = values(&mut source, tokens * channels);
    let classes = 1 + (seed % 5) as usize;
    let mut linear = source.linear(classes, channels, full_range);
    narrow(&mut linear.weights, int4);
    let classifier = Classifier {
        channels,
        epsilon: normed.then_some(seed % 1_000_000),
        map_zero: 0,
        linear,
    };
    let scratch = Head::scratch_size(channels);
    let mut arena = Arena::of_bytes(&bytes(&map), scratch + 4 * classes);
    arena.scratch.size = scratch;
    let output = Buffer {
        offset: arena.scratch.offset + scratch,
        size: 4 * classes,
    };
    let weights = Packed::new(Layout::Rows, &classifier.linear.weights, channels, int4);
    let step = Head {
        map: arena.map,
        output,
        scratch: arena.scratch,
        tokens,
        channels,
        norm: classifier.epsilon.map(|epsilon| norm(map.len(), epsilon)),
        zero_point: 0,
        weights: weights.weights(),
        row_sums: &oracle::row_sums(&classifier.linear.weights, channels),
        multiplier: &classifier.linear.multiplier,
        bias: &classifier.linear.bias,
    };
    int16::head::run(&step, &stats(&map), arena.bytes()).unwrap();
    let logits = wide::head(&classifier, &map);
    let logits: Vec<u8> = logits.into_iter().flat_map(i32::to_le_bytes).collect();
    assert_eq!(output.of(arena.bytes()).unwrap(), logits);
    // Multipliers of the full range are cut in the head, by how much its norm says.
    if !full_range {
        trained_head::check(TrainedHead::of_head(&step), arena.bytes(), &logits);
    }
}

/// Extremes of the values, of the constants and of the shapes.
#[test]
fn edges() {
    for fill in FILLS {
        for full_range in [false, true] {
            let draw = (fill, full_range, 77);
            for shape in [[1, 1, 1], [1, 4, 3], [5, 1, 4], [3, 3, 5], [16, 16, 32]] {
                pooling(shape, draw);
                scaled_pooling(shape, draw);
                identity(shape[0] * shape[1], shape[2], draw);
                head(
                    shape[0] * shape[1],
                    shape[2],
                    full_range,
                    shape[0] != 3,
                    draw,
                );
            }
            for (i, shape) in [[1, 1, 1, 1], [3, 5, 7, 2], [9, 16, 64, 4], [7, 24, 296, 8]]
                .into_iter()
                .enumerate()
            {
                channel_mlp(shape, [i % 2 == 0, i > 1], draw);
            }
            for flags in 0..8 {
                let flags = [flags & 1 > 0, flags & 2 > 0, flags & 4 > 0];
                patch_embedding([1, 1, 4, 1, 1, 0, 1], flags, draw);
                patch_embedding([7, 3, 5, 5, 2, 2, 3], flags, draw);
                patch_embedding([8, 8, 36, 3, 2, 1, 2], flags, draw);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_mixers(shape in [1usize..10, 1..10, 1..12], draw in draws()) {
        pooling(shape, draw);
        scaled_pooling(shape, draw);
        identity(shape[0] * shape[1], shape[2], draw);
    }

    #[test]
    fn random_mlps(
        shape in (1usize..12, 1usize..10, 1usize..20, 1usize..6),
        four in any::<bool>(),
        int4 in any::<[bool; 2]>(),
        draw in draws(),
    ) {
        let times = if four { 4 } else { 1 };
        channel_mlp([shape.0, times * shape.1, times * shape.2, shape.3], int4, draw);
    }

    #[test]
    fn random_patch_embeddings(
        shape in (5usize..9, 1usize..9, 1usize..9),
        windows in (1usize..6, 1usize..4, 0usize..3, 1usize..5),
        flags in any::<[bool; 3]>(),
        draw in draws(),
    ) {
        let window = [shape.0, shape.1, 4 * shape.2, windows.0, windows.1, windows.2, windows.3];
        patch_embedding(window, flags, draw);
    }

    #[test]
    fn random_heads(
        tokens in 1usize..60,
        channels in 1usize..60,
        flags in any::<[bool; 2]>(),
        draw in draws(),
    ) {
        head(tokens, channels, flags[0], flags[1], draw);
    }
}

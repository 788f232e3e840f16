//! Geometry that does not fit.

use tadpool_kernels::depthwise::Depthwise;
use tadpool_kernels::linear::PlainLinear;
use tadpool_kernels::normed::{NormScope, Normed};
use tadpool_kernels::normed_pooling::{self, NormedPooling};
use tadpool_kernels::random_mixing::{self, RandomMixing};
use tadpool_kernels::sep_conv::{self, SepConv};

use super::*;

/// Sizes that are right, a little off, and absurd.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0usize..70,
        1 => proptest::sample::select(&[usize::MAX, usize::MAX / 2 + 1, 1 << 33, 1 << 16][..]),
    ]
}

fn buffers() -> impl Strategy<Value = Buffer> {
    (sizes(), sizes()).prop_map(|(offset, size)| Buffer { offset, size })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn wrong_geometry_never_panics(
        buffers in [buffers(), buffers(), buffers()],
        dims in prop::array::uniform8(sizes()),
        more in prop::array::uniform8(sizes()),
        lengths in prop::array::uniform8(0usize..40),
        elements in any::<u32>(),
        normed in any::<bool>(),
    ) {
        let words = [-77i32; 40];
        let bytes = [0x81u8; 40];
        let ints = |i: usize| &words[..lengths[i]];
        let some = |i: usize| match i % 8 == usize::from(normed) {
            true => Weights::Int4(&bytes[..lengths[i]]),
            false => Weights::Int8(&bytes[..lengths[i]]),
        };
        let signed = vec![-9i8; lengths[3]];
        let shifts = vec![200; lengths[2]];
        let [map, scratch, output] = buffers;
        let norm = Norm { elements, epsilon: 3, about: None };
        let stats = Stats { sum: -300, sum_of_squares: 99_999 };
        let mut arena = Arena::new(&[5; 100], 28);
        let arena = arena.bytes();

        let mlp = ChannelMlp {
            map,
            scratch,
            channels: dims[0],
            hidden: dims[1],
            tile_tokens: dims[2],
            norm,
            shift: &[],
            fc1: NormedLinear {
                weights: some(0),
                row_sums: ints(1),
                bias: ints(2),
                multiplier: ints(3),
            },
            hidden_zero: elements as i32,
            activation: &[7; 256],
            fc2: ResidualLinear {
                weights: some(4),
                bias: ints(5),
                residual: ints(6),
                multiplier: ints(7),
                offset: &[],
                zero_point: i32::MAX,
            },
        };
        let _ = channel_mlp::run::<Rows>(&mlp, &stats, arena);
        let _ = channel_mlp::run_int4::<Rows>(&mlp, &stats, arena);
        let _ = channel_mlp::run_int4::<Dsp>(&mlp, &stats, arena);
        let _ = channel_mlp::run::<Dsp>(&mlp, &stats, arena);
        let _ = channel_mlp::run::<Helium>(&mlp, &stats, arena);

        let wide = ChannelMlp {
            shift: &shifts,
            fc2: ResidualLinear { offset: ints(0), ..mlp.fc2 },
            ..mlp
        };
        let _ = int16::channel_mlp::run::<Rows>(&wide, &stats, arena);
        let _ = int16::channel_mlp::run::<Dsp>(&wide, &stats, arena);
        let _ = int16::channel_mlp::run::<Helium>(&wide, &stats, arena);

        let attention = Attention {
            map,
            scratch,
            channels: dims[0],
            heads: dims[1],
            head_size: dims[2],
            tile_tokens: dims[3],
            norm: Normed {
                scope: if normed { NormScope::Map } else { NormScope::Token },
                norm,
                multiplier: i32::MAX,
            },
            qkv: PlainLinear {
                weights: some(4),
                bias: ints(5),
                multiplier: ints(6),
                zero: more[0] as i32,
            },
            exponent: i32::MAX,
            attended: more[1] as i32,
            projection: ResidualLinear { offset: ints(7), ..mlp.fc2 },
        };
        let _ = attention::run::<Rows, Int8>(&attention, &stats, arena);
        let _ = attention::run::<Dsp, Int8>(&attention, &stats, arena);
        let _ = attention::run::<Dsp, Int16>(&attention, &stats, arena);
        let _ = attention::run::<Helium, Int16>(&attention, &stats, arena);

        let embedding = PatchEmbedding {
            input: map,
            output,
            scratch,
            input_shape: [dims[0], dims[1], dims[2]],
            output_shape: [dims[3], dims[4], dims[5]],
            window: [dims[6], dims[7]],
            stride: [more[0], more[1]],
            padding: [more[2], more[3]],
            tile_tokens: more[4],
            flip: 0x80,
            shift: &shifts,
            pad: &signed,
            weights: some(4),
            bias: ints(5),
            multiplier: ints(6),
            zero_point: i32::MIN,
        };
        let _ = patch_embedding::run::<Rows>(&embedding, arena);
        let _ = patch_embedding::run_mixed::<Rows, Int16, Int8>(&embedding, arena);
        let _ = patch_embedding::run_mixed::<Rows, Int8, Int16>(&embedding, arena);
        let _ = patch_embedding::run_mixed::<Dsp, Int16, Int16>(&embedding, arena);
        let _ = patch_embedding::run::<Dsp>(&embedding, arena);
        let _ = patch_embedding::run::<Helium>(&embedding, arena);

        let mixer = Pooling {
            map,
            scratch,
            shape: [dims[0], dims[1], dims[2]],
            norm,
            factor: ints(0),
            residual: elements as i32,
            offset: i32::MAX,
        };
        let _ = pooling::run::<Rows>(&mixer, &stats, arena);
        let _ = pooling::run::<Dsp>(&mixer, &stats, arena);
        let _ = int16::pooling::run(&mixer, &stats, arena);

        let subtracted = if normed { Subtracted::Pooled } else { Subtracted::Nothing };
        let scaled = ScaledPooling {
            map,
            scratch,
            shape: mixer.shape,
            norm,
            subtracted,
            factor: ints(0),
            residual: ints(1),
            offset: ints(2),
        };
        let _ = scaled_pooling::run::<Int8>(&scaled, &stats, arena);
        let _ = scaled_pooling::run::<Int16>(&scaled, &stats, arena);

        let scope = if normed { NormScope::Map } else { NormScope::Token };
        let identity = Identity {
            map,
            channels: dims[0],
            scope,
            norm,
            factor: ints(0),
            offset: ints(1),
            residual: ints(2),
        };
        let _ = identity::run::<Int8>(&identity, &stats, arena);
        let _ = identity::run::<Int16>(&identity, &stats, arena);

        let normed_mlp = NormedMlp {
            map,
            scratch,
            channels: dims[0],
            hidden: dims[1],
            tile_tokens: dims[2],
            norm: Normed { scope, norm, multiplier: i32::MAX },
            fc1: PlainLinear {
                weights: some(0),
                bias: ints(2),
                multiplier: ints(3),
                zero: elements as i32,
            },
            activation: &[7; 256],
            fc2: ResidualLinear {
                offset: ints(1),
                ..mlp.fc2
            },
        };
        let _ = normed_mlp::run::<Rows, Int8>(&normed_mlp, &stats, arena);
        let _ = normed_mlp::run::<Dsp, Int16>(&normed_mlp, &stats, arena);
        let _ = normed_mlp::run::<Helium, Int8>(&normed_mlp, &stats, arena);

        let vector = wide_head::VectorNorm { norm, multiplier: i32::MAX };
        let place = match dims[4] % 3 {
            0 => wide_head::NormPlace::Map,
            1 => wide_head::NormPlace::Token,
            _ => wide_head::NormPlace::Mean,
        };
        let wide_linear = |first: usize| wide_head::WideLinear {
            weights: some(first),
            bias: ints(first + 1),
            multiplier: ints(first + 2),
        };
        let wide_head = wide_head::WideHead {
            map,
            output,
            scratch,
            tokens: dims[0],
            channels: dims[1],
            norm: normed.then_some(wide_head::MeanNorm { place, norm: vector }),
            hidden: (dims[5] % 2 == 0).then_some(wide_head::HeadHidden {
                fc1: wide_linear(0),
                activation: &[i32::MAX; 257],
                norm: Some(vector),
            }),
            linear: wide_linear(4),
        };
        let _ = wide_head::run::<Int8>(&wide_head, &stats, arena);
        let _ = wide_head::run::<Int16>(&wide_head, &stats, arena);

        let scope = if normed { NormScope::Map } else { NormScope::Token };
        let normed_values = Normed { scope, norm, multiplier: i32::MIN };
        let mixing = RandomMixing {
            map,
            scratch,
            tokens: dims[0],
            channels: dims[1],
            normed: normed_values,
            weights: some(4),
            multiplier: ints(0),
            constant: ints(1),
            beta: ints(2),
            factor: ints(3),
            residual: ints(5),
            offset: ints(6),
        };
        let _ = random_mixing::run::<Rows, Int8>(&mixing, &stats, arena);
        let _ = random_mixing::run::<Dsp, Int16>(&mixing, &stats, arena);
        let _ = random_mixing::run::<Helium, Int8>(&mixing, &stats, arena);

        let normed_pooling = NormedPooling {
            map,
            scratch,
            shape: mixer.shape,
            normed: normed_values,
            subtracted,
            factor: ints(0),
            residual: ints(1),
            offset: ints(2),
        };
        let _ = normed_pooling::run::<Int8>(&normed_pooling, &stats, arena);
        let _ = normed_pooling::run::<Int16>(&normed_pooling, &stats, arena);

        let conv = SepConv {
            map,
            scratch,
            shape: [dims[0], dims[1], dims[2]],
            hidden: dims[3],
            tile_tokens: dims[4],
            normed: normed_values,
            fc1: PlainLinear {
                weights: some(0),
                bias: ints(1),
                multiplier: ints(2),
                zero: i32::MIN,
            },
            act1: normed.then_some(&[7; 256]),
            depthwise: Depthwise {
                window: [dims[5], dims[6]],
                weights: &signed,
                bias: ints(3),
                multiplier: ints(4),
                padding: 5,
                zero: i32::MAX,
            },
            act2: None,
            fc2: ResidualLinear { offset: ints(0), ..mlp.fc2 },
        };
        let _ = sep_conv::run::<Rows, Int8>(&conv, &stats, arena);
        let _ = sep_conv::run::<Dsp, Int16>(&conv, &stats, arena);
        let _ = sep_conv::run::<Helium, Int8>(&conv, &stats, arena);

        let head = Head {
            map,
            output,
            scratch,
            tokens: dims[0],
            channels: dims[1],
            norm: normed.then_some(norm),
            zero_point: -128,
            weights: some(4),
            row_sums: ints(5),
            multiplier: ints(6),
            bias: ints(7),
        };
        let _ = head::run(&head, &stats, arena);
        let _ = head::run_int4(&head, &stats, arena);
        let _ = int16::head::run(&head, &stats, arena);
        let _ = head::logits::<3>(output, arena);
    }
}

#[test]
fn a_step_that_does_not_fit_is_a_fault() {
    let mut cases = MlpCase::edges().into_iter();
    let case = cases.find(|case| case.channels == 7).unwrap();
    let (mlp, map) = case.data();
    let scratch = ChannelMlp::scratch_size(case.channels, case.hidden, 1);
    let mut arena = Arena::new(&map, scratch);
    let (fc1, fc2) = (bytes(&mlp.fc1.weights), bytes(&mlp.fc2.weights));
    let sums = oracle::row_sums(&mlp.fc1.weights, case.channels);
    let fits = ChannelMlp {
        map: arena.map,
        scratch: arena.scratch,
        channels: case.channels,
        hidden: case.hidden,
        tile_tokens: 1,
        norm: norm(map.len(), 1),
        shift: &[],
        fc1: NormedLinear {
            weights: Weights::Int8(&fc1),
            row_sums: &sums,
            bias: &mlp.fc1.bias,
            multiplier: &mlp.fc1.multiplier,
        },
        hidden_zero: 0,
        activation: &mlp.activation,
        fc2: ResidualLinear {
            weights: Weights::Int8(&fc2),
            bias: &mlp.fc2.bias,
            residual: &mlp.fc2.residual,
            multiplier: &mlp.fc2.multiplier,
            offset: &[],
            zero_point: 0,
        },
    };
    let stats = Stats::of(&map);
    let run = |step: &ChannelMlp<'_>, arena: &mut Arena| {
        channel_mlp::run::<Rows>(step, &stats, arena.bytes())
    };
    assert!(run(&fits, &mut arena).is_ok());

    let mut step = fits;
    step.scratch.size -= 4;
    assert_eq!(run(&step, &mut arena), Err(Fault::Buffer));
    step = fits;
    step.scratch.offset += 1;
    step.scratch.size -= 1;
    assert!(run(&step, &mut arena).is_err());
    step = fits;
    step.map.size += 8 * 1024;
    assert_eq!(run(&step, &mut arena), Err(Fault::Buffer));
    step = fits;
    step.scratch.offset = 0;
    assert_eq!(run(&step, &mut arena), Err(Fault::Buffer));
    step = fits;
    step.map.size -= 1;
    assert_eq!(run(&step, &mut arena), Err(Fault::Geometry));
    step = fits;
    step.fc1.weights = Weights::Int8(&fc1[1..]);
    assert_eq!(run(&step, &mut arena), Err(Fault::Geometry));
    step = fits;
    step.fc1.weights = Weights::Int4(&fc1);
    assert_eq!(run(&step, &mut arena), Err(Fault::Geometry));
    step = fits;
    step.fc2.residual = &mlp.fc2.residual[1..];
    assert_eq!(run(&step, &mut arena), Err(Fault::Geometry));
}

/// A separable convolution whose parts are each a little off.
#[test]
fn a_separable_convolution_that_does_not_fit_is_a_fault() {
    let (shape, hidden, window) = ([2, 3, 1], 2, [3, 3]);
    let scratch = SepConv::scratch_size::<Int8>(shape, hidden, window, 1);
    let map = [3; 6];
    let mut arena = Arena::new(&map, scratch);
    let weights = [1u8; 2];
    let taps = [1i8; 24];
    let fits = SepConv {
        map: arena.map,
        scratch: arena.scratch,
        shape,
        hidden,
        tile_tokens: 1,
        normed: Normed {
            scope: NormScope::Map,
            norm: norm(6, 1),
            multiplier: 4096,
        },
        fc1: PlainLinear {
            weights: Weights::Int8(&weights),
            bias: &[0; 2],
            multiplier: &[1; 2],
            zero: 0,
        },
        act1: None,
        depthwise: Depthwise {
            window,
            weights: &taps,
            bias: &[0; 2],
            multiplier: &[1; 2],
            padding: 0,
            zero: 0,
        },
        act2: None,
        fc2: ResidualLinear {
            weights: Weights::Int8(&weights),
            bias: &[0],
            residual: &[1],
            multiplier: &[1],
            offset: &[],
            zero_point: 0,
        },
    };
    let stats = Stats::of(&map);
    let mut run = |step: &SepConv<'_>| sep_conv::run::<Rows, Int8>(step, &stats, arena.bytes());
    assert!(run(&fits).is_ok());
    let geometry = |result: Result<Stats, Fault>| assert_eq!(result, Err(Fault::Geometry));

    let mut step = fits;
    step.scratch.size -= 4;
    assert_eq!(run(&step), Err(Fault::Buffer));
    step = fits;
    step.depthwise.weights = &taps[1..];
    geometry(run(&step));
    step = fits;
    step.depthwise.window = [3, 2];
    geometry(run(&step));
    step = fits;
    step.depthwise.bias = &[0; 3];
    geometry(run(&step));
    step = fits;
    step.fc1.bias = &[0; 3];
    geometry(run(&step));
    step = fits;
    step.shape = [3, 3, 1];
    geometry(run(&step));
}

/// A random mixing whose parts are each a little off.
#[test]
fn a_random_mixing_that_does_not_fit_is_a_fault() {
    let tokens = 3;
    let scratch = RandomMixing::scratch_size(tokens, NormScope::Token);
    let map = [3; 6];
    let mut arena = Arena::new(&map, scratch);
    let weights = [1u8; 12];
    let fits = RandomMixing {
        map: arena.map,
        scratch: arena.scratch,
        tokens,
        channels: 2,
        normed: Normed {
            scope: NormScope::Token,
            norm: norm(2, 1),
            multiplier: 4096,
        },
        weights: Weights::Int8(&weights),
        multiplier: &[1; 3],
        constant: &[1; 3],
        beta: &[1; 2],
        factor: &[1; 2],
        residual: &[1; 2],
        offset: &[1; 2],
    };
    let stats = Stats::of(&map);
    let mut run =
        |step: &RandomMixing<'_>| random_mixing::run::<Rows, Int8>(step, &stats, arena.bytes());
    assert!(run(&fits).is_ok());
    let geometry = |result: Result<Stats, Fault>| assert_eq!(result, Err(Fault::Geometry));

    let mut step = fits;
    step.scratch.size = 64;
    assert_eq!(run(&step), Err(Fault::Buffer));
    step = fits;
    step.weights = Weights::Int8(&weights[3..]);
    geometry(run(&step));
    step = fits;
    step.beta = &[];
    geometry(run(&step));
    step = fits;
    step.multiplier = &[1; 4];
    geometry(run(&step));
    step = fits;
    step.channels = 3;
    geometry(run(&step));
    step = fits;
    step.offset = &[1];
    geometry(run(&step));
}

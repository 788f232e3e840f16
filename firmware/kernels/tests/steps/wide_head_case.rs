//! The head whose vector is kept in wide integers, on streams of either width.

use proptest::prelude::*;
use tadpool_kernels::layout::Layout;
use tadpool_kernels::norm::Stats;
use tadpool_kernels::stream::{Int8, Int16};
use tadpool_kernels::wide_head::{self, HeadHidden, MeanNorm, NormPlace, WideLinear};
use tadpool_kernels::{Buffer, TrainedHead};

use crate::oracle::heads::{Linear, Place, VectorNorm, WideHead, wide_head as naive};
use crate::support::{Arena, FILLS, Fill, Packed, Source, fills, narrow, norm};
use crate::trained_head;

/// Tokens, channels, hidden values or none, classes.
type Shape = [usize; 4];

fn linear(source: &mut Source, [outputs, inputs]: [usize; 2], int4: bool) -> Linear {
    let mut weights = source.values(outputs * inputs, -127, 127);
    narrow(&mut weights, int4);
    // So that no sum of products times its multiplier is beyond its bound.
    let top = (1i64 << 62) / (inputs as i64 * 127 * 32_768);
    let top = top.min(1 << 20);
    Linear {
        weights,
        bias: source.values(outputs, -100_000, 100_000),
        multiplier: source.values(outputs, -top, top),
    }
}

fn check(
    [tokens, channels, hidden, classes]: Shape,
    place: Option<Place>,
    [wide, int4, hidden_norm]: [bool; 3],
    (fill, seed): (Fill, u64),
) {
    let mut source = Source::new(seed, fill);
    let limit = if wide { 1 << 15 } else { 1 << 7 };
    let map: Vec<i32> = source.values(tokens * channels, -limit, limit - 1);
    let vector_norm = VectorNorm {
        epsilon: seed % 1_000_000,
        steps: 1000 << 12,
    };
    let first = if hidden > 0 { hidden } else { classes };
    let case = WideHead {
        channels,
        fraction: if wide { 8 } else { 0 },
        norm: place.map(|place| (place, vector_norm)),
        hidden: (hidden > 0).then(|| {
            let fc1 = linear(&mut source, [hidden, channels], int4);
            let activation = source.values(257, -32_767, 32_767);
            (fc1, activation, hidden_norm.then_some(vector_norm))
        }),
        linear: match hidden {
            0 => linear(&mut source, [first, channels], int4),
            _ => linear(&mut source, [classes, hidden], int4),
        },
    };
    let bytes: Vec<u8> = match wide {
        true => map.iter().flat_map(|&v| (v as i16).to_le_bytes()).collect(),
        false => map.iter().map(|&v| v as u8).collect(),
    };
    let scratch_size = wide_head::WideHead::scratch_size(channels, hidden);
    let mut arena = Arena::of_bytes(&bytes, scratch_size + 4 * classes);
    let scratch = Buffer {
        size: scratch_size,
        ..arena.scratch
    };
    let output = Buffer {
        offset: scratch.offset + scratch.size,
        size: 4 * classes,
    };
    let packed = |linear: &Linear, inputs| Packed::new(Layout::Rows, &linear.weights, inputs, int4);
    let fc1_weights = case.hidden.as_ref().map(|(fc1, ..)| packed(fc1, channels));
    let inputs = if hidden > 0 { hidden } else { channels };
    let weights = packed(&case.linear, inputs);
    let layer = |linear: &'_ Linear| (linear.bias.clone(), linear.multiplier.clone());
    let (bias, multiplier) = layer(&case.linear);
    let kernel_norm = |elements: usize| wide_head::VectorNorm {
        norm: norm(elements, vector_norm.epsilon),
        multiplier: vector_norm.steps,
    };
    let tables = case.hidden.as_ref().map(|(fc1, table, _)| {
        let (bias, multiplier) = layer(fc1);
        let table: [i32; 257] = table.clone().try_into().unwrap();
        (bias, multiplier, table)
    });
    let step = wide_head::WideHead {
        map: arena.map,
        output,
        scratch,
        tokens,
        channels,
        norm: place.map(|place| MeanNorm {
            place: match place {
                Place::Map => NormPlace::Map,
                Place::Token => NormPlace::Token,
                Place::Mean => NormPlace::Mean,
            },
            norm: kernel_norm(match place {
                Place::Map => map.len(),
                Place::Token | Place::Mean => channels,
            }),
        }),
        hidden: tables.as_ref().zip(fc1_weights.as_ref()).map(
            |((bias, multiplier, activation), weights)| HeadHidden {
                fc1: WideLinear {
                    weights: weights.weights(),
                    bias,
                    multiplier,
                },
                activation,
                norm: hidden_norm.then(|| kernel_norm(hidden)),
            },
        ),
        linear: WideLinear {
            weights: weights.weights(),
            bias: &bias,
            multiplier: &multiplier,
        },
    };
    let stats = Stats {
        sum: map.iter().map(|&v| i64::from(v)).sum(),
        sum_of_squares: map.iter().map(|&v| i64::from(v).pow(2) as u64).sum(),
    };
    match wide {
        true => wide_head::run::<Int16>(&step, &stats, arena.bytes()),
        false => wide_head::run::<Int8>(&step, &stats, arena.bytes()),
    }
    .unwrap();
    let map: Vec<i128> = map.iter().map(|&v| v.into()).collect();
    let logits = naive(&case, &map).into_iter().flat_map(i32::to_le_bytes);
    let found = output.of(arena.bytes()).unwrap();
    assert_eq!(found, logits.collect::<Vec<u8>>(), "{case:?}");
    let logits = found.to_vec();
    let head = TrainedHead::of_wide_head(&step);
    trained_head::check(head, arena.bytes(), &logits);
}

const PLACES: [Option<Place>; 4] = [
    None,
    Some(Place::Map),
    Some(Place::Token),
    Some(Place::Mean),
];

#[test]
fn edges() {
    for fill in FILLS {
        for place in PLACES {
            for flags in 0..8 {
                let flags = [flags & 1 > 0, flags & 2 > 0, flags & 4 > 0];
                for shape in [[1, 1, 0, 1], [1, 1, 1, 1], [49, 33, 0, 7], [7, 12, 36, 10]] {
                    check(shape, place, flags, (fill, 77));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn random(
        shape in (1usize..60, 1usize..40, 0usize..20, 1usize..8),
        place in proptest::sample::select(&PLACES[..]),
        flags in any::<[bool; 3]>(),
        draw in (fills(), any::<u64>()),
    ) {
        check([shape.0, shape.1, shape.2, shape.3], place, flags, draw);
    }
}

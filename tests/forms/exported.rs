//! Forms that exporters leave where nothing is folded or optimised before the export.

use super::{batch_norm, check_block, check_end, check_image, check_stem, imported};
use crate::support::proto::{int, ints};
use crate::support::written::{CHANNELS, CLASSES, HIDDEN, SIDE, SIZE, STYLES, Written, relu};
use tadpool_compiler::network::{Activation, Op};
use tract_onnx::pb::tensor_proto::DataType;

type Norm = fn(&mut Written, &str) -> String;

const NORMS: [(&str, Norm); 3] = [
    ("a norm of the map", Written::norm),
    ("batch norm", batch_norm),
    ("no norm", |_, x| x.to_owned()),
];

fn pool(w: &mut Written, x: &str, side: i64, counts: i64) -> String {
    let attributes = vec![
        ints("kernel_shape", &[side; 2]),
        ints("pads", &[side / 2; 4]),
        int("count_include_pad", counts),
    ];
    w.op("AveragePool", &[x], attributes)
}

fn depthwise(w: &mut Written, x: &str, side: usize) -> String {
    let weight = w.random(&[CHANNELS, 1, side, side], 0.0, 0.6);
    let attributes = vec![
        ints("pads", &[side as i64 / 2; 4]),
        int("group", CHANNELS as i64),
    ];
    w.op("Conv", &[x, &weight], attributes)
}

/// BatchNorm behind a pool leaves a factor and a term of each channel.
#[test]
fn pools_with_batch_norm_behind_them() {
    for (name, norm) in NORMS {
        for (side, subtracts) in [(3, true), (3, false), (7, true)] {
            check_stem(name, |w| {
                let x = w.stem("image");
                let n = norm(w, &x);
                let mut mixed = pool(w, &n, side, 0);
                if subtracts {
                    mixed = w.op("Sub", &[&mixed, &n], vec![]);
                }
                let mixed = batch_norm(w, &mixed);
                w.either("Add", &x, &mixed)
            });
        }
    }
}

/// `x + (pool(x) - x)` of a pool that counts its padding leaves nothing of `x`.
#[test]
fn a_counted_pool_in_place_of_the_map() {
    for subtracts in [false, true] {
        check_stem("no norm", |w| {
            let x = w.stem("image");
            let mut mixed = pool(w, &x, 3, 1);
            if subtracts {
                mixed = w.op("Sub", &[&mixed, &x], vec![]);
            }
            let x = w.either("Add", &x, &mixed);
            w.block(&x, Written::norm, relu)
        });
    }
}

/// Branches of one convolution each, as RepVGG and FastViT train them.
#[test]
fn a_sum_of_depthwise_convolutions() {
    for (name, norm) in NORMS {
        check_stem(name, |w| {
            let x = w.stem("image");
            let n = norm(w, &x);
            let wide = depthwise(w, &n, 5);
            let wide = batch_norm(w, &wide);
            let narrow = depthwise(w, &n, 1);
            let narrow = batch_norm(w, &narrow);
            let sum = w.either("Add", &wide, &narrow);
            let mixed = w.op("Sub", &[&sum, &n], vec![]);
            w.either("Add", &x, &mixed)
        });
    }
}

/// An activation that is written out reads what BatchNorm made of a linear layer twice.
#[test]
fn batch_norm_before_an_activation_that_is_written_out() {
    let scaled = |w: &mut Written, u: &str| {
        let shape = [1, HIDDEN, 1, 1];
        let (factor, term) = (w.random(&shape, 1.0, 0.5), w.random(&shape, 0.0, 0.5));
        let u = w.either("Mul", u, &factor);
        w.either("Add", &u, &term)
    };
    for imported in check_block("GELU", Written::norm, |w, u| {
        let u = scaled(w, u);
        let (root, one, half) = (
            w.number(std::f32::consts::SQRT_2),
            w.number(1.0),
            w.number(0.5),
        );
        let scaled = w.op("Div", &[&u, &root], vec![]);
        let erf = w.op("Erf", &[&scaled], vec![]);
        let raised = w.either("Add", &erf, &one);
        let product = w.either("Mul", &u, &raised);
        w.either("Mul", &product, &half)
    }) {
        let mut ops = imported.model.layers.iter().map(|layer| &layer.op);
        assert!(ops.any(|op| op.activation() == Some(Activation::Gelu)));
    }
    check_block("GELU by tanh", Written::norm, |w, u| {
        let u = scaled(w, u);
        let (three, cubic, one) = (w.number(3.0), w.number(0.044_715), w.number(1.0));
        let cube = w.op("Pow", &[&u, &three], vec![]);
        let part = w.either("Mul", &cube, &cubic);
        let sum = w.either("Add", &u, &part);
        let root = w.number(std::f32::consts::FRAC_2_PI.sqrt());
        let argument = w.either("Mul", &sum, &root);
        let tanh = w.op("Tanh", &[&argument], vec![]);
        let raised = w.either("Add", &tanh, &one);
        let half = w.number(0.5);
        let halved = w.either("Mul", &u, &half);
        w.either("Mul", &halved, &raised)
    });
}

#[test]
fn activations_that_are_written_out() {
    type Write = fn(&mut Written, &str) -> String;
    let leaky = Activation::LeakyRelu { slope: 0.125 };
    let cases: [(&str, Activation, Write); 9] = [
        ("ReLU by sign", Activation::Relu, |w, u| {
            let zero = w.number(0.0);
            let above = w.op("Greater", &[u, &zero], vec![]);
            w.op("Where", &[&above, u, &zero], vec![])
        }),
        (
            "ReLU as Max with a map of zeros",
            Activation::Relu,
            |w, u| {
                let zeros = w.tensor(&[1, HIDDEN, SIDE, SIDE], &[0.0; HIDDEN * SIDE * SIDE]);
                w.either("Max", u, &zeros)
            },
        ),
        ("LeakyReLU by sign", leaky, |w, u| {
            let (zero, slope) = (w.number(0.0), w.number(0.125));
            let below = w.op("LessOrEqual", &[u, &zero], vec![]);
            let scaled = w.either("Mul", u, &slope);
            w.op("Where", &[&below, &scaled, u], vec![])
        }),
        ("LeakyReLU as Max", leaky, |w, u| {
            let slope = w.number(0.125);
            let scaled = w.either("Mul", u, &slope);
            w.either("Max", u, &scaled)
        }),
        (
            "ReLU6 in two bounds",
            Activation::Clip {
                lowest: 0.0,
                highest: 6.0,
            },
            |w, u| {
                let u = w.op("Relu", &[u], vec![]);
                let six = w.number(6.0);
                w.op("Clip", &[&u, "", &six], vec![])
            },
        ),
        ("sigmoid by Exp", Activation::Sigmoid, |w, u| {
            let minus = w.op("Neg", &[u], vec![]);
            let power = w.op("Exp", &[&minus], vec![]);
            let one = w.number(1.0);
            let sum = w.either("Add", &power, &one);
            w.op("Div", &[&one, &sum], vec![])
        }),
        (
            "softplus as dynamo writes it",
            Activation::Softplus,
            |w, u| {
                let softplus = w.op("Softplus", &[u], vec![]);
                let bound = w.number(20.0);
                let above = w.op("Greater", &[u, &bound], vec![]);
                w.op("Where", &[&above, u, &softplus], vec![])
            },
        ),
        (
            "Hardswish by a clip to one",
            Activation::HardSwish,
            |w, u| {
                let (sixth, half) = (w.number(1.0 / 6.0), w.number(0.5));
                let (zero, one) = (w.number(0.0), w.number(1.0));
                let part = w.either("Mul", u, &sixth);
                let sum = w.either("Add", &part, &half);
                let gate = w.op("Clip", &[&sum, &zero, &one], vec![]);
                w.either("Mul", u, &gate)
            },
        ),
        ("SELU", Activation::Elu { alpha: 1.673_263_2 }, |w, u| {
            w.op("Selu", &[u], vec![])
        }),
    ];
    for (name, activation, write) in cases {
        for imported in check_block(name, Written::norm, write) {
            let mut ops = imported.model.layers.iter().map(|layer| &layer.op);
            let found = ops.find_map(|op| op.activation());
            assert_eq!(found, Some(activation), "{name}");
        }
    }
}

/// A norm by the unbiased variance, one whose weights are a map of equal values, and one
/// whose factor comes first.
#[test]
fn norms_in_other_hands() {
    check_block(
        "unbiased",
        |w, x| {
            let mean = w.reduce("ReduceMean", x, &[1]);
            let centred = w.op("Sub", &[x, &mean], vec![]);
            let square = w.op("Mul", &[&centred, &centred], vec![]);
            let variance = w.reduce("ReduceMean", &square, &[1]);
            let (count, less) = (w.number(CHANNELS as f32), w.number(CHANNELS as f32 - 1.0));
            let sum = w.either("Mul", &variance, &count);
            let variance = w.op("Div", &[&sum, &less], vec![]);
            let epsilon = w.number(1e-3);
            let raised = w.either("Add", &variance, &epsilon);
            let root = w.op("Sqrt", &[&raised], vec![]);
            let normed = w.op("Div", &[&centred, &root], vec![]);
            let gamma = w.random(&[CHANNELS, 1, 1], 1.0, 0.5);
            w.either("Mul", &normed, &gamma)
        },
        relu,
    );
    let sizes = [CHANNELS, SIDE, SIDE];
    let count = CHANNELS * SIDE * SIDE;
    for (seed, style) in [(17, false), (21, true)].into_iter().enumerate() {
        let mut w = Written::new(seed as u64 + 31, style);
        let x = w.stem("image");
        let norm = |w: &mut Written, x: &str| {
            let (gamma, beta) = (
                w.tensor(&sizes, &vec![1.5; count]),
                w.tensor(&sizes, &vec![0.25; count]),
            );
            w.op(
                "LayerNormalization",
                &[x, &gamma, &beta],
                vec![int("axis", 1)],
            )
        };
        let x = w.block(&x, norm, relu);
        let mean = w.mean(&x);
        let scores = w.scores(&mean, CHANNELS);
        super::check("all of the map at once", &w.file(&[&scores]));
    }
    check_block(
        "factor first",
        |w, x| {
            let square = w.op("Mul", &[x, x], vec![]);
            let mean = w.reduce("ReduceMean", &square, &[1, 2, 3]);
            let epsilon = w.number(1e-3);
            let raised = w.either("Add", &mean, &epsilon);
            let root = w.op("Sqrt", &[&raised], vec![]);
            let inverse = w.op("Reciprocal", &[&root], vec![]);
            let gamma = w.random(&[CHANNELS, 1, 1], 1.0, 0.5);
            let scaled = w.either("Mul", x, &gamma);
            w.either("Mul", &scaled, &inverse)
        },
        relu,
    );
}

/// Channels that are taken apart, prepared and put together again.
#[test]
fn an_image_in_planes() {
    let found = check_image("split, joined the other way", |w| {
        let parts: Vec<_> = (0..3)
            .map(|channel| {
                let [start, end, axis] =
                    [channel, channel + 1, 1].map(|place| w.integers(&[1], &[place]));
                let part = w.op("Slice", &["image", &start, &end, &axis], vec![]);
                let mean = w.number(0.25 + 0.125 * channel as f32);
                w.op("Sub", &[&part, &mean], vec![])
            })
            .collect();
        let [red, green, blue] = &parts[..] else {
            unreachable!("three channels")
        };
        w.op("Concat", &[blue, green, red], vec![int("axis", 1)])
    });
    for imported in found {
        assert_eq!(imported.input.offset, [-0.25, -0.375, -0.5]);
        assert!(imported.input.reorders);
    }
    let found = check_image("a factor a channel as a convolution", |w| {
        let weight = w.tensor(&[3, 1, 1, 1], &[2.0, -3.0, 4.0]);
        let bias = w.tensor(&[3], &[-1.0, 1.5, -2.0]);
        w.op("Conv", &["image", &weight, &bias], vec![int("group", 3)])
    });
    for imported in found {
        assert_eq!(imported.input.scale, [2.0, 3.0, 4.0]);
        assert_eq!(imported.input.offset, [-1.0, -1.5, -2.0]);
    }
    check_image("a list of indices of bytes, as dynamo writes it", |w| {
        w.image([1, SIZE, SIZE, 3], DataType::Uint8);
        let order = w.integers(&[3, 1], &[2, 1, 0]);
        let front = w.op("Transpose", &["image"], vec![ints("perm", &[3, 0, 1, 2])]);
        let listed = w.op("GatherND", &[&front, &order], vec![]);
        let back = w.op("Transpose", &[&listed], vec![ints("perm", &[1, 0, 2, 3])]);
        let real = w.op("Cast", &[&back], vec![int("to", 1)]);
        let white = w.number(255.0);
        w.op("Div", &[&real, &white], vec![])
    });
    check_image("kept between the ends of its range", |w| {
        let (zero, one, half) = (w.number(0.0), w.number(1.0), w.number(0.5));
        let kept = w.op("Clip", &["image", &zero, &one], vec![]);
        w.op("Sub", &[&kept, &half], vec![])
    });
}

/// A norm and an activation between the convolutions of a stem.
#[test]
fn stems_with_a_norm_before_an_activation() {
    check_stem("ReLU", |w| {
        let x = w.stem("image");
        let x = w.norm(&x);
        let x = relu(w, &x);
        w.conv(&x, [CHANNELS, CHANNELS, 3, 3], 1, 1)
    });
    check_stem("GELU by erf", |w| {
        let x = w.stem("image");
        let x = w.norm(&x);
        let (root, one, half) = (
            w.number(std::f32::consts::SQRT_2),
            w.number(1.0),
            w.number(0.5),
        );
        let scaled = w.op("Div", &[&x, &root], vec![]);
        let erf = w.op("Erf", &[&scaled], vec![]);
        let raised = w.either("Add", &erf, &one);
        let product = w.either("Mul", &x, &raised);
        let x = w.either("Mul", &product, &half);
        w.conv(&x, [CHANNELS, CHANNELS, 3, 3], 1, 1)
    });
}

#[test]
fn ends_without_a_mean_or_beyond_it() {
    check_end("flat map behind a norm of each token", |w, x| {
        let n = super::norms::root_mean_square(w, x, 0, &[1]);
        let flat = w.op("Flatten", &[&n], vec![]);
        vec![w.scores(&flat, CHANNELS * SIDE * SIDE)]
    });
    for imported in check_end("no head, a norm", |w, x| vec![w.norm(x)]) {
        let last = imported.model.layers.last().unwrap();
        assert!(matches!(last.op, Op::Norm(_)));
    }
    let found = check_end("of length one", |w, x| {
        let mean = w.mean(x);
        let scores = w.scores(&mean, CHANNELS);
        let length = w.reduce("ReduceL2", &scores, &[1]);
        let least = w.number(1e-12);
        let length = w.either("Max", &length, &least);
        vec![w.op("Div", &[&scores, &length], vec![])]
    });
    for imported in found {
        assert_eq!(imported.model.classes(), CLASSES);
        assert!(imported.notes[0].contains("length"), "{:?}", imported.notes);
    }
    check_end("a vector without a batch", |w, x| {
        let mean = w.op("GlobalAveragePool", &[x], vec![]);
        let axes = w.integers(&[3], &[0, 2, 3]);
        let vector = w.op("Squeeze", &[&mean, &axes], vec![]);
        let weight = w.random(&[CHANNELS, CLASSES], 0.0, 0.7);
        vec![w.op("MatMul", &[&vector, &weight], vec![])]
    });
}

/// What reads something that was refused is not refused for it.
#[test]
fn nothing_is_said_behind_a_refusal() {
    type Write = fn(&mut Written, &str) -> String;
    let cases: [Write; 2] = [
        |w, x| {
            let [start, end, axis, step] = [0, 99, 2, 2].map(|place| w.integers(&[1], &[place]));
            let part = w.op("Slice", &[x, &start, &end, &axis, &step], vec![]);
            w.op("Concat", &[&part, &part], vec![int("axis", 2)])
        },
        |w, x| {
            let absolute = w.op("Abs", &[x], vec![]);
            let floor = w.op("Floor", &[&absolute], vec![]);
            w.op("Ceil", &[&floor], vec![])
        },
    ];
    for write in cases {
        let mut w = Written::new(1, STYLES[1]);
        let x = w.stem("image");
        let x = write(&mut w, &x);
        let scores = w.rest(&x);
        let error = imported(&w.file(&[&scores])).unwrap_err();
        assert_eq!(error.lines().count(), 2, "{error}");
    }
}

//! Convolutions and pools between the image and the blocks.

use super::{batch_norm, check_end, check_stem, refused_stem};
use crate::support::proto::{float, int, ints, text};
use crate::support::written::{CHANNELS, SIDE, Written, relu};

#[test]
fn a_factor_or_a_term_behind_a_convolution() {
    check_stem("batch norm", |w| {
        let x = w.stem("image");
        batch_norm(w, &x)
    });
    check_stem("bias as a sum", |w| {
        let weight = w.random(&[CHANNELS, 3, 3, 3], 0.0, 0.4);
        let attributes = vec![ints("strides", &[2, 2]), ints("pads", &[1; 4])];
        let x = w.op("Conv", &["image", &weight], attributes);
        let bias = w.random(&[1, CHANNELS, 1, 1], 0.0, 0.3);
        w.either("Add", &x, &bias)
    });
    check_stem("factor and difference", |w| {
        let x = w.stem("image");
        let (factor, term) = (w.random(&[CHANNELS, 1, 1], 1.0, 0.5), w.number(0.25));
        let scaled = w.either("Mul", &x, &factor);
        w.op("Sub", &[&term, &scaled], vec![])
    });
}

#[test]
fn padding_of_its_own() {
    check_stem("before the stem", |w| {
        let pads = w.integers(&[8], &[0, 0, 1, 0, 0, 0, 1, 2]);
        let padded = w.op("Pad", &["image", &pads], vec![]);
        w.conv(&padded, [CHANNELS, 3, 3, 3], 2, 0)
    });
    check_stem("besides that of the stem", |w| {
        let pads = w.integers(&[8], &[0, 0, 1, 1, 0, 0, 1, 1]);
        let zero = w.number(0.0);
        let padded = w.op("Pad", &["image", &pads, &zero], vec![]);
        w.conv(&padded, [CHANNELS, 3, 5, 5], 2, 1)
    });
}

#[test]
fn pools_between_stages() {
    let further = |w: &mut Written, x: &str| {
        let mean = w.mean(x);
        w.scores(&mean, CHANNELS)
    };
    for with_convolution in [false, true] {
        check_end("pool", |w, x| {
            let attributes = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
            let mut x = w.op("AveragePool", &[x], attributes);
            if with_convolution {
                x = w.conv(&x, [CHANNELS, CHANNELS, 1, 1], 1, 0);
            }
            let x = w.block(&x, Written::norm, relu);
            vec![further(w, &x)]
        });
    }
}

/// ReLU and ReLU6, with BatchNorm before them, between the convolutions of a stem.
#[test]
fn stems_of_several_convolutions() {
    check_stem("ReLU, ReLU6", |w| {
        let x = w.conv("image", [4, 3, 3, 3], 1, 1);
        let x = relu(w, &x);
        let x = w.conv(&x, [CHANNELS, 4, 3, 3], 2, 1);
        let x = batch_norm(w, &x);
        let (zero, six) = (w.number(0.0), w.number(6.0));
        let x = w.op("Clip", &[&x, &zero, &six], vec![]);
        w.conv(&x, [CHANNELS, CHANNELS, 1, 1], 1, 0)
    });
}

type Write = fn(&mut Written, &str) -> String;

/// Activations behind a convolution, as one operator or written out.
#[test]
fn stems_with_other_activations() {
    let cases: [(&str, Write); 9] = [
        ("SiLU", |w, x| {
            let gate = w.op("Sigmoid", &[x], vec![]);
            w.either("Mul", x, &gate)
        }),
        ("Hardswish", |w, x| match w.opset {
            14.. => w.op("HardSwish", &[x], vec![]),
            _ => {
                let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
                let gate = w.op("HardSigmoid", &[x], attributes);
                w.either("Mul", x, &gate)
            }
        }),
        ("LeakyReLU", |w, x| {
            w.op("LeakyRelu", &[x], vec![float("alpha", 0.25)])
        }),
        ("sigmoid", |w, x| w.op("Sigmoid", &[x], vec![])),
        ("tanh", |w, x| w.op("Tanh", &[x], vec![])),
        ("GELU by erf", |w, x| {
            let (root, one) = (w.number(std::f32::consts::SQRT_2), w.number(1.0));
            let scaled = w.op("Div", &[x, &root], vec![]);
            let erf = w.op("Erf", &[&scaled], vec![]);
            let raised = w.either("Add", &erf, &one);
            let product = w.either("Mul", x, &raised);
            let half = w.number(0.5);
            w.either("Mul", &product, &half)
        }),
        ("GELU by erf, halved first", |w, x| {
            let (root, one) = (w.number(std::f32::consts::FRAC_1_SQRT_2), w.number(1.0));
            let scaled = w.either("Mul", x, &root);
            let erf = w.op("Erf", &[&scaled], vec![]);
            let raised = w.either("Add", &erf, &one);
            let half = w.number(0.5);
            let halved = w.either("Mul", x, &half);
            w.either("Mul", &halved, &raised)
        }),
        ("GELU", |w, x| match w.opset {
            20.. => w.op("Gelu", &[x], vec![text("approximate", "tanh")]),
            _ => w.op("Elu", &[x], vec![]),
        }),
        ("GELU by tanh", |w, x| {
            let (three, cubic, one) = (w.number(3.0), w.number(0.044_715), w.number(1.0));
            let cube = w.op("Pow", &[x, &three], vec![]);
            let scaled = w.either("Mul", &cube, &cubic);
            let sum = w.either("Add", x, &scaled);
            let root = w.number(std::f32::consts::FRAC_2_PI.sqrt());
            let argument = w.either("Mul", &sum, &root);
            let tanh = w.op("Tanh", &[&argument], vec![]);
            let raised = w.either("Add", &tanh, &one);
            let half = w.number(0.5);
            let halved = w.either("Mul", x, &half);
            w.either("Mul", &halved, &raised)
        }),
    ];
    for (name, activation) in cases {
        check_stem(name, |w| {
            let x = w.stem("image");
            let x = batch_norm(w, &x);
            activation(w, &x)
        });
        check_stem(name, |w| {
            let x = w.conv("image", [6, 3, 3, 3], 1, 1);
            let x = activation(w, &x);
            w.conv(&x, [CHANNELS, 6, 3, 3], 2, 1)
        });
    }
}

/// Max and average pools in a stem, as ResNet has one, and depthwise convolutions.
#[test]
fn stems_that_reduce_each_channel() {
    let pool = |attributes: &[(&str, &[i64])], counts: i64, op: &str| {
        let mut all: Vec<_> = attributes
            .iter()
            .map(|(name, values)| ints(name, values))
            .collect();
        if op == "AveragePool" {
            all.push(int("count_include_pad", counts));
        }
        all
    };
    for op in ["MaxPool", "AveragePool"] {
        for counts in [0, 1] {
            check_stem("3x3 with padding", |w| {
                let x = w.conv("image", [CHANNELS, 3, 3, 3], 1, 1);
                let x = relu(w, &x);
                let window: &[(_, &[i64])] = &[
                    ("kernel_shape", &[3, 3]),
                    ("strides", &[2, 2]),
                    ("pads", &[1; 4]),
                ];
                w.op(op, &[&x], pool(window, counts, op))
            });
        }
        check_stem("2x2, without a stride", |w| {
            let x = w.conv("image", [CHANNELS, 3, 3, 3], 2, 1);
            w.op(op, &[&x], pool(&[("kernel_shape", &[2, 2])], 0, op))
        });
        check_stem("behind a norm", |w| {
            let x = w.stem("image");
            let x = w.block(&x, Written::norm, relu);
            let x = w.norm(&x);
            let window: &[(_, &[i64])] = &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])];
            w.op(op, &[&x], pool(window, 0, op))
        });
    }
    for (stride, size, pad) in [(2, 3, 1), (1, 5, 2), (3, 2, 0)] {
        check_stem("depthwise", |w| {
            let x = w.conv("image", [CHANNELS, 3, 3, 3], 1, 1);
            let x = relu(w, &x);
            let weight = w.random(&[CHANNELS, 1, size, size], 0.0, 0.6);
            let attributes = vec![
                ints("strides", &[stride; 2]),
                ints("pads", &[pad; 4]),
                int("group", CHANNELS as i64),
            ];
            let x = w.op("Conv", &[&x, &weight], attributes);
            let x = batch_norm(w, &x);
            let six = w.number(6.0);
            let x = relu(w, &x);
            let x = w.either("Min", &x, &six);
            w.conv(&x, [CHANNELS, CHANNELS, 1, 1], 1, 0)
        });
    }
    check_stem("batch norm behind a pool", |w| {
        let x = w.conv("image", [CHANNELS, 3, 3, 3], 1, 1);
        let window: &[(_, &[i64])] = &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])];
        let x = w.op("MaxPool", &[&x], pool(window, 0, "MaxPool"));
        batch_norm(w, &x)
    });
}

/// A constant map, in each order of axes that broadcasting allows.
#[test]
fn position_embeddings() {
    let (channels, side) = (CHANNELS, SIDE);
    for shape in [
        vec![1, channels, side, side],
        vec![channels, side, side],
        vec![1, 1, side, side],
        vec![1, channels, 1, side],
    ] {
        check_stem("added to a map", |w| {
            let x = w.stem("image");
            let positions = w.random(&shape, 0.0, 1.0);
            w.either("Add", &x, &positions)
        });
    }
    check_stem("of rows, then of columns", |w| {
        let x = w.stem("image");
        let rows = w.random(&[1, channels, side, 1], 0.0, 1.0);
        let x = w.either("Add", &x, &rows);
        let columns = w.random(&[channels, 1, side], 0.0, 1.0);
        w.either("Add", &x, &columns)
    });
    check_stem("subtracted, behind a norm", |w| {
        let x = w.stem("image");
        let x = w.norm(&x);
        let positions = w.random(&[channels, side, side], 0.5, 1.0);
        w.op("Sub", &[&x, &positions], vec![])
    });
    check_stem("added to tokens", |w| {
        let x = w.stem("image");
        let flat = w.integers(&[3], &[1, channels as i64, -1]);
        let x = w.op("Reshape", &[&x, &flat], vec![]);
        let x = w.op("Transpose", &[&x], vec![ints("perm", &[0, 2, 1])]);
        let positions = w.random(&[1, side * side, channels], 0.0, 1.0);
        let x = w.either("Add", &x, &positions);
        let x = w.op("Transpose", &[&x], vec![ints("perm", &[0, 2, 1])]);
        let shape = [1, channels, side, side].map(|size| size as i64);
        let shape = w.integers(&[4], &shape);
        w.op("Reshape", &[&x, &shape], vec![])
    });
    check_end("in front of a further block", |w, x| {
        let positions = w.random(&[channels, side, side], 0.0, 1.0);
        let x = w.either("Add", x, &positions);
        let x = w.block(&x, Written::norm, relu);
        let mean = w.mean(&x);
        vec![w.scores(&mean, channels)]
    });
}

#[test]
fn stems_that_are_refused() {
    let cases: [(&str, Write); 3] = [
        ("reads the image itself", |w, _| {
            let attributes = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
            let x = w.op("MaxPool", &["image"], attributes);
            w.conv(&x, [CHANNELS, 3, 1, 1], 1, 0)
        }),
        ("max pools in a stem", |w, x| {
            let n = w.norm(x);
            let attributes = vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])];
            let pool = w.op("MaxPool", &[&n], attributes);
            w.either("Add", x, &pool)
        }),
        ("differs between tokens", |w, x| {
            let x = &w.block(x, Written::norm, relu);
            let n = w.norm(x);
            let positions = w.random(&[CHANNELS, SIDE, SIDE], 0.0, 1.0);
            let n = w.either("Add", &n, &positions);
            w.either("Add", x, &n)
        }),
    ];
    for (expected, write) in cases {
        let error = refused_stem(write);
        let lines: Vec<_> = error.lines().skip(1).collect();
        assert!(lines.len() == 1 && lines[0].contains(expected), "{error}");
    }
}

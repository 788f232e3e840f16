//! Norms, mixers and activations.

use super::{batch_norm, check_block, check_end, check_stem};
use crate::support::proto::{float, int, ints};
use crate::support::written::{CHANNELS, HIDDEN, SIDE, Written, relu};
use tadpool_compiler::network::{Activation, Norm, NormScope, Op};

/// A pooling mixer of which the padding counts is a convolution of each channel.
#[test]
fn pools_that_count_their_padding() {
    for kernel in [3, 5, 7] {
        for explicit in [false, true] {
            check_stem("pool", |w| {
                let x = w.stem("image");
                let n = w.norm(&x);
                let reach = kernel / 2;
                let mut attributes = vec![ints("kernel_shape", &[kernel; 2])];
                let pool = match explicit {
                    true => {
                        let pads = [0, 0, reach, reach, 0, 0, reach, reach];
                        let pads = w.integers(&[8], &pads);
                        let padded = w.op("Pad", &[&n, &pads], vec![]);
                        w.op("AveragePool", &[&padded], attributes)
                    }
                    false => {
                        attributes.extend([ints("pads", &[reach; 4]), int("count_include_pad", 1)]);
                        w.op("AveragePool", &[&n], attributes)
                    }
                };
                let mixed = match kernel {
                    5 => pool,
                    _ => w.op("Sub", &[&pool, &n], vec![]),
                };
                w.either("Add", &x, &mixed)
            });
        }
    }
}

#[test]
fn norms_that_are_multiplied_out() {
    let axes = [1, 2, 3];
    for form in 0..7 {
        check_block(
            &format!("norm of form {form}"),
            |w, x| {
                let mean = w.reduce("ReduceMean", x, &axes);
                let gamma = w.random(&[1, CHANNELS, 1, 1], 1.0, 0.5);
                let beta = w.random(&[1, CHANNELS, 1, 1], 0.0, 0.5);
                let variance = match form % 4 {
                    // E[x^2] - E[x]^2
                    0 => {
                        let square = w.op("Mul", &[x, x], vec![]);
                        let of_square = w.reduce("ReduceMean", &square, &axes);
                        let squared = w.op("Mul", &[&mean, &mean], vec![]);
                        w.op("Sub", &[&of_square, &squared], vec![])
                    }
                    // The same, not below zero, with whole numbers as exponents.
                    1 => {
                        let two = w.integers(&[], &[2]);
                        let square = w.op("Pow", &[x, &two], vec![]);
                        let of_square = w.reduce("ReduceMean", &square, &axes);
                        let squared = w.op("Pow", &[&mean, &two], vec![]);
                        let difference = w.op("Sub", &[&of_square, &squared], vec![]);
                        let zero = w.number(0.0);
                        w.either("Max", &difference, &zero)
                    }
                    2 => {
                        let centred = w.op("Sub", &[x, &mean], vec![]);
                        let two = w.integers(&[], &[2]);
                        let square = w.op("Pow", &[&centred, &two], vec![]);
                        let sum = w.reduce("ReduceSum", &square, &axes);
                        let count = w.number((CHANNELS * SIDE * SIDE) as f32);
                        w.op("Div", &[&sum, &count], vec![])
                    }
                    _ => {
                        let centred = w.op("Sub", &[x, &mean], vec![]);
                        let square = w.op("Mul", &[&centred, &centred], vec![]);
                        w.reduce("ReduceMean", &square, &axes)
                    }
                };
                let epsilon = w.number(1e-3);
                let raised = w.either("Add", &variance, &epsilon);
                let root = w.op("Sqrt", &[&raised], vec![]);
                let factor = match form % 2 {
                    0 => {
                        let inverse = w.op("Reciprocal", &[&root], vec![]);
                        w.either("Mul", &inverse, &gamma)
                    }
                    _ => w.op("Div", &[&gamma, &root], vec![]),
                };
                match form {
                    // x a + (b - m a)
                    0..=2 => {
                        let scaled = w.either("Mul", x, &factor);
                        let shift = w.either("Mul", &mean, &factor);
                        let rest = w.op("Sub", &[&beta, &shift], vec![]);
                        w.either("Add", &scaled, &rest)
                    }
                    // x a + (-m a + b)
                    3 => {
                        let scaled = w.either("Mul", x, &factor);
                        let negative = w.op("Neg", &[&mean], vec![]);
                        let shift = w.either("Mul", &negative, &factor);
                        let rest = w.either("Add", &shift, &beta);
                        w.either("Add", &scaled, &rest)
                    }
                    // x a - m a
                    4 => {
                        let scaled = w.either("Mul", x, &factor);
                        let shift = w.either("Mul", &mean, &factor);
                        w.op("Sub", &[&scaled, &shift], vec![])
                    }
                    // (x - m) a + b
                    _ => {
                        let centred = w.op("Sub", &[x, &mean], vec![]);
                        let scaled = w.either("Mul", &centred, &factor);
                        w.either("Add", &scaled, &beta)
                    }
                }
            },
            relu,
        );
    }
}

/// A mixer of a pool that does not count its padding, with wide windows.
#[test]
fn pools_of_wide_windows() {
    for kernel in [5, 7] {
        let mixer = |w: &mut Written, x: &str, n: &str| {
            let attributes = vec![
                ints("kernel_shape", &[kernel; 2]),
                ints("pads", &[kernel / 2; 4]),
            ];
            let pool = w.op("AveragePool", &[n], attributes);
            let mixed = w.op("Sub", &[&pool, n], vec![]);
            w.either("Add", x, &mixed)
        };
        check_stem("a norm of the map", |w| {
            let x = w.stem("image");
            let n = w.norm(&x);
            mixer(w, &x, &n)
        });
        check_stem("batch norm", |w| {
            let x = w.stem("image");
            let n = batch_norm(w, &x);
            mixer(w, &x, &n)
        });
        check_stem("no norm", |w| {
            let x = w.stem("image");
            mixer(w, &x, &x)
        });
        check_stem("a norm without mean", |w| {
            let x = w.stem("image");
            let n = root_mean_square(w, &x, 0, &[1]);
            mixer(w, &x, &n)
        });
    }
}

/// RMSNorm over `axes`, written out in one of several ways.
fn root_mean_square(w: &mut Written, x: &str, form: usize, axes: &[i64]) -> String {
    let square = match form % 3 {
        0 => w.op("Mul", &[x, x], vec![]),
        1 => {
            let two = w.number(2.0);
            w.op("Pow", &[x, &two], vec![])
        }
        _ => {
            let two = w.integers(&[], &[2]);
            w.op("Pow", &[x, &two], vec![])
        }
    };
    let mean = w.reduce("ReduceMean", &square, axes);
    let epsilon = w.number(1e-3);
    let raised = w.either("Add", &mean, &epsilon);
    let gamma = w.random(&[1, CHANNELS, 1, 1], 1.0, 0.5);
    match form {
        0 => {
            let root = w.op("Sqrt", &[&raised], vec![]);
            let n = w.op("Div", &[x, &root], vec![]);
            w.either("Mul", &n, &gamma)
        }
        1 => {
            let root = w.op("Sqrt", &[&raised], vec![]);
            let inverse = w.op("Reciprocal", &[&root], vec![]);
            let n = w.either("Mul", x, &inverse);
            w.either("Mul", &n, &gamma)
        }
        2 => {
            let root = w.op("Sqrt", &[&raised], vec![]);
            let one = w.number(1.0);
            let inverse = w.op("Div", &[&one, &root], vec![]);
            let factor = w.either("Mul", &inverse, &gamma);
            w.either("Mul", x, &factor)
        }
        _ => {
            let power = w.number(-0.5);
            let inverse = w.op("Pow", &[&raised, &power], vec![]);
            let n = w.either("Mul", &inverse, x);
            let n = w.either("Mul", &gamma, &n);
            let beta = w.random(&[CHANNELS, 1, 1], 0.0, 0.5);
            w.either("Add", &n, &beta)
        }
    }
}

#[test]
fn norms_without_a_mean() {
    for (axes, scope) in [(vec![1], NormScope::Token), (vec![1, 2, 3], NormScope::Map)] {
        for form in 0..4 {
            let name = format!("form {form} over {axes:?}");
            let norm = |w: &mut Written, x: &str| root_mean_square(w, x, form, &axes);
            for imported in check_block(&name, norm, relu) {
                let norms = imported
                    .model
                    .layers
                    .iter()
                    .filter_map(|layer| match &layer.op {
                        Op::Pooling(op) => Some(&op.norm),
                        Op::ChannelMlp(op) => Some(&op.norm),
                        _ => None,
                    });
                let found = norms.filter(|norm| norm.scope == scope && !norm.centred);
                assert_eq!(found.count(), 2, "{name}");
            }
        }
    }
    // Of values whose mean was taken off it is LayerNorm.
    let layer_norm = |w: &mut Written, x: &str| {
        let mean = w.reduce("ReduceMean", x, &[1]);
        let centred = w.op("Sub", &[x, &mean], vec![]);
        root_mean_square(w, &centred, 3, &[1])
    };
    for imported in check_block("centred", layer_norm, relu) {
        let is_centred = |op: &Op| matches!(op, Op::Pooling(op) if op.norm.centred);
        assert!(
            imported
                .model
                .layers
                .iter()
                .any(|layer| is_centred(&layer.op))
        );
    }
}

/// BatchNorm and RMSNorm before a separable convolution and an attention.
#[test]
fn other_norms_before_other_mixers() {
    type Normalise = fn(&mut Written, &str) -> String;
    let norms: [(&str, Normalise); 3] = [
        ("batch norm", batch_norm),
        ("RMS norm", |w, x| root_mean_square(w, x, 1, &[1])),
        ("no norm", |_, x| x.to_owned()),
    ];
    for (name, norm) in norms {
        check_stem(&format!("{name}, separable convolution"), |w| {
            let x = w.stem("image");
            let n = norm(w, &x);
            let u = w.conv(&n, [HIDDEN, CHANNELS, 1, 1], 1, 0);
            let h = relu(w, &u);
            let weight = w.random(&[HIDDEN, 1, 3, 3], 0.0, 0.6);
            let attributes = vec![ints("pads", &[1; 4]), int("group", HIDDEN as i64)];
            let mixed = w.op("Conv", &[&h, &weight], attributes);
            let y = w.conv(&mixed, [CHANNELS, HIDDEN, 1, 1], 1, 0);
            w.either("Add", &x, &y)
        });
        check_stem(&format!("{name}, attention"), |w| {
            let x = w.stem("image");
            let n = norm(w, &x);
            let mixed = attention(w, &n);
            w.either("Add", &x, &mixed)
        });
    }
}

/// One head of attention over the tokens of a map.
fn attention(w: &mut Written, n: &str) -> String {
    let channels = CHANNELS as i64;
    let flat = w.integers(&[3], &[1, channels, -1]);
    let tokens = w.op("Reshape", &[n, &flat], vec![]);
    let tokens = w.op("Transpose", &[&tokens], vec![ints("perm", &[0, 2, 1])]);
    let size = 1.0 / (CHANNELS as f32).sqrt();
    let [queries, keys, values] = [(); 3].map(|()| {
        let weight = w.random(&[CHANNELS, CHANNELS], 0.0, 2.0 * size);
        w.op("MatMul", &[&tokens, &weight], vec![])
    });
    let keys = w.op("Transpose", &[&keys], vec![ints("perm", &[0, 2, 1])]);
    let scores = w.op("MatMul", &[&queries, &keys], vec![]);
    let factor = w.number(size);
    let scores = w.either("Mul", &scores, &factor);
    let shares = w.op("Softmax", &[&scores], vec![int("axis", -1)]);
    let attended = w.op("MatMul", &[&shares, &values], vec![]);
    let weight = w.random(&[CHANNELS, CHANNELS], 0.0, 2.0 * size);
    let projected = w.op("MatMul", &[&attended, &weight], vec![]);
    let back = w.op("Transpose", &[&projected], vec![ints("perm", &[0, 2, 1])]);
    let side = SIDE as i64;
    let shape = w.integers(&[4], &[1, channels, side, side]);
    w.op("Reshape", &[&back, &shape], vec![])
}

#[test]
fn activations_of_every_kind() {
    type Write = fn(&mut Written, &str) -> String;
    let six = Activation::Clip {
        lowest: 0.0,
        highest: 6.0,
    };
    let cases: [(&str, Activation, Write); 15] = [
        ("ReLU as Clip", Activation::Relu, |w, u| {
            let zero = w.number(0.0);
            w.op("Clip", &[u, &zero], vec![])
        }),
        ("ReLU as Max", Activation::Relu, |w, u| {
            let zero = w.number(0.0);
            w.either("Max", u, &zero)
        }),
        ("ReLU6", six, |w, u| {
            let (zero, six) = (w.number(0.0), w.number(6.0));
            w.op("Clip", &[u, &zero, &six], vec![])
        }),
        ("ReLU6 in two steps", six, |w, u| {
            let (u, six) = (w.op("Relu", &[u], vec![]), w.number(6.0));
            w.either("Min", &u, &six)
        }),
        ("SiLU", Activation::Swish { alpha: 1.0 }, |w, u| {
            let gate = w.op("Sigmoid", &[u], vec![]);
            w.either("Mul", u, &gate)
        }),
        ("quick GELU", Activation::Swish { alpha: 1.702 }, |w, u| {
            let factor = w.number(1.702);
            let scaled = w.either("Mul", u, &factor);
            let gate = w.op("Sigmoid", &[&scaled], vec![]);
            w.either("Mul", u, &gate)
        }),
        ("Hardswish", Activation::HardSwish, |w, u| {
            let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
            let gate = w.op("HardSigmoid", &[u], attributes);
            w.either("Mul", u, &gate)
        }),
        (
            "Hardswish, divided at the end",
            Activation::HardSwish,
            |w, u| {
                let gate = shifted(w, u);
                let product = w.either("Mul", u, &gate);
                let six = w.number(6.0);
                w.op("Div", &[&product, &six], vec![])
            },
        ),
        ("Hardswish, divided first", Activation::HardSwish, |w, u| {
            let gate = shifted(w, u);
            let six = w.number(6.0);
            let gate = w.op("Div", &[&gate, &six], vec![]);
            w.either("Mul", u, &gate)
        }),
        (
            "LeakyReLU",
            Activation::LeakyRelu { slope: 0.125 },
            |w, u| w.op("LeakyRelu", &[u], vec![float("alpha", 0.125)]),
        ),
        (
            "PReLU of one slope",
            Activation::LeakyRelu { slope: 0.25 },
            |w, u| {
                let slope = w.tensor(&[1, 1, 1], &[0.25]);
                w.op("PRelu", &[u, &slope], vec![])
            },
        ),
        ("ELU", Activation::Elu { alpha: 1.0 }, |w, u| {
            w.op("Elu", &[u], vec![])
        }),
        ("sigmoid", Activation::Sigmoid, |w, u| {
            w.op("Sigmoid", &[u], vec![])
        }),
        ("tanh", Activation::Tanh, |w, u| w.op("Tanh", &[u], vec![])),
        ("Mish", Activation::Mish, |w, u| {
            let softplus = w.op("Softplus", &[u], vec![]);
            let gate = w.op("Tanh", &[&softplus], vec![]);
            w.either("Mul", u, &gate)
        }),
    ];
    for (name, activation, write) in cases {
        for imported in check_block(name, Written::norm, write) {
            let found = imported
                .model
                .layers
                .iter()
                .find_map(|layer| layer.op.activation());
            assert_eq!(found, Some(activation), "{name}");
        }
    }
}

/// `clip(u + 3, 0, 6)`.
fn shifted(w: &mut Written, u: &str) -> String {
    let (three, zero, six) = (w.number(3.0), w.number(0.0), w.number(6.0));
    let sum = w.either("Add", u, &three);
    w.op("Clip", &[&sum, &zero, &six], vec![])
}

/// Constants of a formula that were stored in half precision.
#[test]
fn constants_that_were_rounded() {
    check_block("GELU", Written::norm, |w, u| {
        let (root, one, half) = (w.number(1.414_062_5), w.number(1.0), w.number(0.5));
        let scaled = w.op("Div", &[u, &root], vec![]);
        let erf = w.op("Erf", &[&scaled], vec![]);
        let raised = w.either("Add", &erf, &one);
        let product = w.either("Mul", u, &raised);
        w.either("Mul", &product, &half)
    });
}

/// BatchNorm as the norm before a mixer and a channel MLP, and no norm at all.
#[test]
fn blocks_without_statistics() {
    for imported in check_block("batch norm", batch_norm, relu) {
        let is_fixed = |norm: &Norm| norm.scope == NormScope::Fixed;
        let fixed = imported
            .model
            .layers
            .iter()
            .filter(|layer| match &layer.op {
                Op::Pooling(op) => is_fixed(&op.norm),
                Op::ChannelMlp(op) => is_fixed(&op.norm),
                _ => false,
            });
        assert_eq!(fixed.count(), 2);
    }
    check_stem("no norm", |w| {
        let x = w.stem("image");
        w.mlp(&x, |_, x| x.to_owned(), relu)
    });
    check_end("batch norm before the mean", |w, x| {
        let n = batch_norm(w, x);
        let mean = w.mean(&n);
        vec![w.scores(&mean, CHANNELS)]
    });
    check_stem("pool of the map alone", |w| {
        let x = w.stem("image");
        let attributes = vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])];
        let pool = w.op("AveragePool", &[&x], attributes);
        w.either("Add", &x, &pool)
    });
    check_stem("batch norm before a depthwise convolution", |w| {
        let x = w.stem("image");
        let n = batch_norm(w, &x);
        let weight = w.random(&[CHANNELS, 1, 5, 3], 0.0, 0.4);
        let attributes = vec![ints("pads", &[2, 1, 2, 1]), int("group", CHANNELS as i64)];
        let mixed = w.op("Conv", &[&n, &weight], attributes);
        w.either("Add", &x, &mixed)
    });
}

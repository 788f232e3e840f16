//! Norms, mixers and activations.

use super::norms::root_mean_square;
use super::{batch_norm, check_block, check_end, check_stem};
use crate::support::proto::{float, int, ints};
use crate::support::written::{CHANNELS, Written, relu};
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

/// A mixer of a pool that does not count its padding, alone or less what is pooled.
#[test]
fn pools_that_do_not_count_their_padding() {
    let forms = [3, 5, 7].map(|kernel| [false, true].map(|alone| (kernel, alone)));
    for (kernel, alone) in forms.into_iter().flatten() {
        let mixer = |w: &mut Written, x: &str, n: &str| {
            let attributes = vec![
                ints("kernel_shape", &[kernel; 2]),
                ints("pads", &[kernel / 2; 4]),
            ];
            let mut mixed = w.op("AveragePool", &[n], attributes);
            if !alone {
                mixed = w.op("Sub", &[&mixed, n], vec![]);
            }
            if kernel != 5 {
                let scale = w.random(&[CHANNELS, 1, 1], 0.7, 0.4);
                mixed = w.either("Mul", &mixed, &scale);
            }
            if alone && kernel == 7 {
                let bias = w.random(&[CHANNELS, 1, 1], 0.7, 0.4);
                mixed = w.either("Add", &mixed, &bias);
            }
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

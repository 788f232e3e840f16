//! Norms that are written out, without a mean, or before other mixers than usual.

use super::{batch_norm, check_block, check_stem};
use crate::support::proto::{int, ints};
use crate::support::written::{CHANNELS, HIDDEN, SIDE, Written, relu};
use tadpool_compiler::network::{NormScope, Op};

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

/// RMSNorm over `axes`, written out in one of several ways.
pub(super) fn root_mean_square(w: &mut Written, x: &str, form: usize, axes: &[i64]) -> String {
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

//! Forms with a pair of `QuantizeLinear` and `DequantizeLinear` behind every step, as static
//! quantization writes them: a pair whose zero point is the lowest code is a ReLU, unless
//! values are not negative anyway.

use super::norms::root_mean_square;
use super::{batch_norm, check_block, check_image, check_stem};
use crate::support::proto::{float, int, ints};
use crate::support::written::{CHANNELS, Written, relu};
use tadpool_compiler::network::{Activation, Op};

/// A value rounded to codes of which 128 is zero.
fn signed(w: &mut Written, x: &str) -> String {
    w.rounded(x, 1.0 / 16.0, 128)
}

/// A value rounded to codes of which none is below zero.
fn unsigned(w: &mut Written, x: &str) -> String {
    w.rounded(x, 1.0 / 32.0, 0)
}

fn gate(w: &mut Written, u: &str) -> String {
    let gate = w.op("Sigmoid", &[u], vec![]);
    unsigned(w, &gate)
}

#[test]
fn gated_activations() {
    type Write = fn(&mut Written, &str) -> String;
    let cases: [(&str, Activation, Write); 4] = [
        ("Mish", Activation::Mish, |w, u| {
            let softplus = w.op("Softplus", &[u], vec![]);
            let softplus = unsigned(w, &softplus);
            let gate = w.op("Tanh", &[&softplus], vec![]);
            unsigned(w, &gate)
        }),
        ("SiLU", Activation::Swish { alpha: 1.0 }, gate),
        ("quick GELU", Activation::Swish { alpha: 1.702 }, |w, u| {
            let factor = w.number(1.702);
            let scaled = w.either("Mul", u, &factor);
            let scaled = signed(w, &scaled);
            gate(w, &scaled)
        }),
        ("Hardswish", Activation::HardSwish, |w, u| {
            let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
            let gate = w.op("HardSigmoid", &[u], attributes);
            unsigned(w, &gate)
        }),
    ];
    for (name, activation, gate) in cases {
        let found = check_block(name, Written::norm, |w, u| {
            let u = signed(w, u);
            let gate = gate(w, &u);
            let product = w.either("Mul", &u, &gate);
            signed(w, &product)
        });
        for imported in found {
            let mut ops = imported.model.layers.iter().map(|layer| &layer.op);
            let is_found = |op: &Op| match (op.activation(), activation) {
                (Some(Activation::Swish { alpha }), Activation::Swish { alpha: expected }) => {
                    (alpha - expected).abs() < 1e-5
                }
                (found, _) => found == Some(activation),
            };
            assert!(ops.any(is_found), "{name}");
            assert!(imported.qdq.is_some(), "{name}");
        }
    }
}

#[test]
fn norms_without_a_mean() {
    let norm = |w: &mut Written, x: &str| {
        let x = signed(w, x);
        let square = w.op("Mul", &[&x, &x], vec![]);
        let square = unsigned(w, &square);
        let mean = w.reduce("ReduceMean", &square, &[1]);
        let mean = unsigned(w, &mean);
        let epsilon = w.number(1e-3);
        let raised = w.either("Add", &mean, &epsilon);
        let raised = unsigned(w, &raised);
        let root = w.op("Sqrt", &[&raised], vec![]);
        let normed = w.op("Div", &[&x, &root], vec![]);
        let normed = signed(w, &normed);
        let gamma = w.random(&[CHANNELS, 1, 1], 1.0, 0.5);
        let scaled = w.either("Mul", &normed, &gamma);
        signed(w, &scaled)
    };
    let rounded = check_block("rounded", norm, relu);
    let plain = check_block("plain", |w, x| root_mean_square(w, x, 0, &[1]), relu);
    for (rounded, plain) in rounded.iter().zip(&plain) {
        let kinds = |imported: &tadpool_compiler::import::Imported| -> Vec<_> {
            let layers = imported.model.layers.iter();
            layers.map(|layer| layer.op.kind()).collect()
        };
        assert_eq!(kinds(rounded), kinds(plain));
    }
}

/// BatchNorm as the norm before a mixer and an MLP: only factors, which lie between two pairs.
#[test]
fn norms_without_statistics() {
    check_stem("batch norm", |w| {
        let x = w.stem("image");
        let x = signed(w, &x);
        let n = batch_norm(w, &x);
        let n = signed(w, &n);
        let attributes = vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])];
        let pool = w.op("AveragePool", &[&n], attributes);
        let pool = signed(w, &pool);
        let mixed = w.op("Sub", &[&pool, &n], vec![]);
        let mixed = signed(w, &mixed);
        let x = w.either("Add", &x, &mixed);
        let x = signed(w, &x);
        let norm = |w: &mut Written, x: &str| {
            let n = batch_norm(w, x);
            signed(w, &n)
        };
        w.mlp(&x, norm, relu)
    });
}

#[test]
fn images_that_the_file_normalises() {
    let found = check_image("multiply, add", |w| {
        let image = w.rounded("image", 1.0 / 255.0, 0);
        let factors = w.tensor(&[1, 3, 1, 1], &[4.0, 4.5, 5.0]);
        let terms = w.tensor(&[3, 1, 1], &[-2.0, -2.25, -2.5]);
        let scaled = w.either("Mul", &image, &factors);
        let scaled = w.rounded(&scaled, 5.0 / 255.0, 0);
        let centred = w.either("Add", &scaled, &terms);
        signed(w, &centred)
    });
    for imported in found {
        assert_eq!(imported.input.scale, [4.0, 4.5, 5.0]);
        assert_eq!(imported.input.offset, [-2.0, -2.25, -2.5]);
    }
}

/// Negative factors and another order of the channels, in front of a rounding.
#[test]
fn images_that_the_file_turns() {
    let found = check_image("a negative factor", |w| {
        let image = w.rounded("image", 1.0 / 255.0, 0);
        let factors = w.tensor(&[1, 3, 1, 1], &[-4.0, 4.5, -5.0]);
        let scaled = w.either("Mul", &image, &factors);
        signed(w, &scaled)
    });
    for imported in found {
        assert_eq!(imported.input.scale, [4.0, 4.5, 5.0]);
    }
    let found = check_image("the other order", |w| {
        let image = w.rounded("image", 1.0 / 255.0, 0);
        let order = w.integers(&[3], &[2, 1, 0]);
        let turned = w.op("Gather", &[&image, &order], vec![int("axis", 1)]);
        w.rounded(&turned, 1.0 / 255.0, 0)
    });
    assert!(found.iter().all(|imported| imported.input.reorders));
}

/// A stem with a max pool, and one with Mish, between roundings.
#[test]
fn stems_with_a_pool() {
    check_stem("max pool", |w| {
        let x = w.conv("image", [CHANNELS, 3, 3, 3], 1, 1);
        let x = relu(w, &x);
        let x = unsigned(w, &x);
        let window = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
        let x = w.op("MaxPool", &[&x], window);
        unsigned(w, &x)
    });
}

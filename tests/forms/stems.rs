//! Convolutions and pools between the image and the blocks.

use super::{batch_norm, check_end, check_stem};
use crate::support::proto::ints;
use crate::support::written::{CHANNELS, Written, relu};

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

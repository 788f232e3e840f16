//! Cross-layer equalisation: factors that bring the hidden channels of a channel
//! MLP to like sizes, so that one scale fits all of them.
//!
//! An activation of ReLU's kind lets a factor through: `relu(s x) = s relu(x)`, and
//! the square `s^2`. The factor goes into the rows of `fc1` and out of the columns
//! of `fc2`. Factors are powers of two, so that the float network stays what it was,
//! bit by bit. GELU lets none through.

use crate::calibrate::Calibration;
use crate::network::{Activation, ChannelMlp, MetaFormer, Op};

/// The largest factor, and the inverse of the smallest: `2^MOST`.
const MOST: f64 = 6.0;

/// The same network with equalised channel MLPs, for what calibration saw of it;
/// `None` if there is nothing to equalise.
pub fn equalise(network: &MetaFormer, calibration: &Calibration) -> Option<MetaFormer> {
    let mut equalised = network.clone();
    let mut changed = false;
    for (layer, seen) in equalised.layers.iter_mut().zip(&calibration.layers) {
        if let Op::ChannelMlp(op) = &mut layer.op {
            let factors = factors(op, &seen.hidden_channels);
            for (channel, factor) in factors.into_iter().enumerate() {
                if factor != 1.0 {
                    scale(op, channel, factor);
                    changed = true;
                }
            }
        }
    }
    changed.then_some(equalised)
}

/// The factor of each hidden channel before the activation: none if that
/// lets no factor through. `largest` holds the largest value of each there.
///
/// The activation's output and the column of `fc2` come to the same part of the
/// largest one of each.
fn factors(op: &ChannelMlp, largest: &[f32]) -> Vec<f32> {
    let power = match op.activation {
        Activation::Relu | Activation::LeakyRelu { .. } => 1,
        Activation::SquaredRelu | Activation::StarRelu { .. } => 2,
        _ => return Vec::new(),
    };
    let hidden = op.fc2.inputs;
    let logs: Vec<Option<f64>> = largest
        .iter()
        .enumerate()
        .take(hidden)
        .map(|(channel, &value)| {
            let column = op.fc2.weight.iter().skip(channel).step_by(hidden);
            let column = column.fold(0.0f32, |max, weight| max.max(weight.abs()));
            let ratio = f64::from(column) / f64::from(value).powi(power);
            // A channel that is always zero stays.
            (ratio.is_finite() && ratio > 0.0).then(|| ratio.log2() / 2.0)
        })
        .collect();
    let known = || logs.iter().flatten();
    let mean = known().sum::<f64>() / known().count().max(1) as f64;
    let factor = |log: &Option<f64>| {
        let log = log.map_or(0.0, |log| (log - mean) / f64::from(power));
        log.round().clamp(-MOST, MOST).exp2() as f32
    };
    logs.iter().map(factor).collect()
}

/// Draws `factor` through hidden channel `channel`.
fn scale(op: &mut ChannelMlp, channel: usize, factor: f32) {
    let inputs = op.fc1.inputs;
    let row = op.fc1.weight.iter_mut().skip(channel * inputs).take(inputs);
    row.for_each(|weight| *weight *= factor);
    if let Some(bias) = op.fc1.bias.get_mut(channel) {
        *bias *= factor;
    }
    let (through, constant) = match op.activation {
        Activation::StarRelu { bias, .. } => (factor * factor, bias),
        Activation::SquaredRelu => (factor * factor, 0.0),
        _ => (factor, 0.0),
    };
    let hidden = op.fc2.inputs.max(1);
    let column = op.fc2.weight.iter_mut().skip(channel).step_by(hidden);
    for (weight, bias) in column.zip(&mut op.fc2.bias) {
        let scaled = *weight / through;
        // What is added after the square must not be scaled.
        *bias += (*weight - scaled) * constant;
        *weight = scaled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Linear, Norm, NormScope, Residual};

    /// Two inputs, two hidden channels, of which the second is 64 times as large.
    fn uneven(activation: Activation) -> ChannelMlp {
        let linear = |weight: &[f32], bias: &[f32]| Linear {
            outputs: 2,
            inputs: 2,
            weight: weight.to_vec(),
            bias: bias.to_vec(),
        };
        ChannelMlp {
            norm: Norm {
                scope: NormScope::Map,
                centred: true,
                gamma: vec![1.0; 2],
                beta: vec![0.0; 2],
                epsilon: 1e-5,
            },
            fc1: linear(&[1.0, -0.5, 64.0, 32.0], &[0.25, 16.0]),
            activation,
            fc2: linear(&[1.0, 1.0, -1.0, 0.5], &[0.5, -0.5]),
            residual: Residual {
                layer_scale: vec![1.0; 2],
                res_scale: vec![1.0; 2],
            },
        }
    }

    /// Both layers by hand.
    fn apply(op: &ChannelMlp, x: [f32; 2]) -> (Vec<f32>, Vec<f32>) {
        let linear = |linear: &Linear, x: &[f32]| -> Vec<f32> {
            let rows = linear.weight.chunks(2).zip(&linear.bias);
            rows.map(|(row, bias)| row[0] * x[0] + row[1] * x[1] + bias)
                .collect()
        };
        let hidden = linear(&op.fc1, &x);
        let activated: Vec<f32> = hidden
            .iter()
            .map(|&value| op.activation.apply(f64::from(value)) as f32)
            .collect();
        (linear(&op.fc2, &activated), hidden)
    }

    #[test]
    fn the_float_network_stays_the_same() {
        let star = Activation::StarRelu {
            scale: 0.75,
            bias: -0.5,
        };
        for activation in [Activation::Relu, Activation::SquaredRelu, star] {
            let before = uneven(activation);
            let mut after = before.clone();
            let factors = factors(&before, &[1.5, 96.0]);
            assert!(factors[0] > 1.0 && factors[1] < 1.0, "{factors:?}");
            for (channel, factor) in factors.into_iter().enumerate() {
                scale(&mut after, channel, factor);
            }
            for x in [[1.0, 0.5], [-1.0, 2.0], [0.25, -3.0]] {
                let ((before, _), (after, _)) = (apply(&before, x), apply(&after, x));
                for (before, after) in before.iter().zip(&after) {
                    let near = (before - after).abs() <= 1e-5 * before.abs();
                    assert!(near, "{activation:?}: {before} {after}");
                }
            }
            let (_, hidden) = apply(&after, [1.0, 0.5]);
            assert!(hidden[1] / hidden[0] < 10.0, "{hidden:?}");
        }
    }

    #[test]
    fn nothing_goes_through_gelu_or_a_dead_channel() {
        assert!(factors(&uneven(Activation::Gelu), &[1.0, 64.0]).is_empty());
        let factors = factors(&uneven(Activation::Relu), &[0.0, 64.0]);
        assert_eq!(factors, [1.0, 1.0]);
    }
}

//! From the float network to integers: every step of every fixture stays close
//! to the float network.

mod support;

use support::integer::{Quantized, images, normalised, quantized};
use tadpool::float::{self, View};
use tadpool::program::{Arena, Program};
use tadpool::quant_model::{Quant, QuantOp};
use tadpool::schedule::ScheduleConfig;
use tadpool_kernels::Observer;

/// Real values of every step's output.
struct Outputs<'a> {
    quants: Vec<Quant>,
    program: &'a Program<'a>,
    steps: Vec<Vec<f64>>,
}

impl Observer for Outputs<'_> {
    fn step(&mut self, step: usize, output: &[u8]) {
        let quant = self.quants[step];
        let last = step + 1 == self.program.steps.len();
        let values = if last {
            let (words, _) = output.as_chunks::<4>();
            words
                .iter()
                .map(|&word| quant.real(i32::from_le_bytes(word)))
                .collect()
        } else {
            let bytes = output.iter();
            bytes
                .map(|&byte| quant.real(i32::from(byte as i8)))
                .collect()
        };
        self.steps.push(values);
    }
}

/// Signal over noise of each step, in decibels, over some images.
fn step_sqnr(quantized: &Quantized) -> Vec<(String, f64)> {
    let Quantized {
        network,
        model,
        schedule,
        memory,
    } = quantized;
    let program = tadpool::program::program(model, schedule, memory);
    let mut arena = Arena::default();
    let mut signal = vec![0.0; network.layers.len()];
    let mut noise = vec![0.0; network.layers.len()];
    for pixels in images(network, 12) {
        let mut outputs = Outputs {
            quants: model
                .layers
                .iter()
                .map(|layer| layer.output_quant)
                .collect(),
            program: &program,
            steps: Vec::new(),
        };
        program.infer(&pixels, &mut arena, &mut outputs).unwrap();
        float::run(network, &normalised(&pixels), |view| {
            if view.kind == View::Output {
                let integer = &outputs.steps[view.index];
                assert_eq!(integer.len(), view.values.len());
                for (integer, &real) in integer.iter().zip(view.values) {
                    signal[view.index] += f64::from(real).powi(2);
                    noise[view.index] += (integer - f64::from(real)).powi(2);
                }
            }
        });
    }
    let names = network.layers.iter().map(|layer| layer.name.clone());
    names
        .zip(signal.iter().zip(&noise))
        .map(|(name, (signal, noise))| (name, 10.0 * (signal / noise).log10()))
        .collect()
}

#[test]
fn every_step_of_every_fixture_stays_close_to_float() {
    for fixture in support::manifest().model {
        let quantized = quantized(&fixture, &ScheduleConfig::default());
        for (name, sqnr) in step_sqnr(&quantized) {
            assert!(
                sqnr > 25.0,
                "{}: step `{name}` has a signal over noise of {sqnr:.1} dB",
                fixture.file
            );
        }
    }
}

#[test]
fn weights_are_symmetric_and_tables_complete() {
    for fixture in support::manifest().model {
        for layer in quantized(&fixture, &ScheduleConfig::default()).model.layers {
            let matrices = match &layer.op {
                QuantOp::PatchEmbedding(op) => vec![&op.matrix],
                QuantOp::Attention(op) => vec![&op.qkv.matrix, &op.projection.matrix],
                QuantOp::ChannelMlp(op) => vec![&op.fc1, &op.fc2],
                QuantOp::Head(op) => vec![&op.matrix],
                QuantOp::Pooling(_) | QuantOp::Identity(_) => vec![],
            };
            for matrix in matrices {
                assert_eq!(matrix.weights.len(), matrix.outputs * matrix.inputs);
                assert!(matrix.weights.iter().all(|&weight| weight > i8::MIN));
                // Every row uses its scale, or is all zeros.
                for row in matrix.rows() {
                    let largest = row.iter().map(|weight| weight.unsigned_abs()).max();
                    assert!(
                        matches!(largest, Some(0 | 60..)),
                        "{}: {largest:?}",
                        layer.name
                    );
                }
            }
        }
    }
}

/// A tile's size changes the order of work, not one byte of any step.
#[test]
fn tile_size_changes_no_byte() {
    let manifest = support::manifest();
    let fixture = &manifest.model[0];
    let trace = |tile_tokens| {
        let Quantized {
            network,
            model,
            schedule,
            memory,
        } = quantized(
            fixture,
            &ScheduleConfig {
                tile_tokens,
                ..ScheduleConfig::default()
            },
        );
        let program = tadpool::program::program(&model, &schedule, &memory);
        let mut arena = Arena::default();
        images(&network, 3)
            .iter()
            .map(|pixels| {
                tadpool::runner::trace::Trace::simulate(&program, pixels, &mut arena).unwrap()
            })
            .collect::<Vec<_>>()
    };
    let two = trace(2);
    assert_ne!(two[0], two[1], "images differ, so must what they give");
    for tile_tokens in [1, 3, 4, 16] {
        assert_eq!(two, trace(tile_tokens), "tiles of {tile_tokens}");
    }
}

//! From the float network to integers: every step of every fixture stays close
//! to the float network.

use crate::support;
use crate::support::integer::{Quantized, images, quantized, step_sqnr};
use tadpool_compiler::place::program::Arena;
use tadpool_compiler::place::schedule::ScheduleConfig;

#[test]
fn every_step_of_every_fixture_stays_close_to_float() {
    for fixture in support::manifest().model {
        let quantized = quantized(&fixture, &ScheduleConfig::default());
        let sqnr = step_sqnr(&quantized.network, &quantized.model, &quantized.program());
        for (layer, sqnr) in quantized.network.layers.iter().zip(sqnr) {
            let name = &layer.name;
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
            for matrix in layer.op.matrices() {
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
        let program = tadpool_compiler::place::program::program(&model, &schedule, &memory);
        let mut arena = Arena::default();
        images(&network, 3)
            .iter()
            .map(|pixels| {
                tadpool_probe::trace::Trace::simulate(&program, pixels, &mut arena).unwrap()
            })
            .collect::<Vec<_>>()
    };
    let two = trace(2);
    assert_ne!(two[0], two[1], "images differ, so must what they give");
    for tile_tokens in [1, 3, 4, 16] {
        assert_eq!(two, trace(tile_tokens), "tiles of {tile_tokens}");
    }
}

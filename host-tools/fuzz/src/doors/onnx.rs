//! ONNX files: imported, and run by the float reference if they are networks.

use tadpool_compiler::import::onnx;
use tadpool_compiler::import::reference::{Reference, compare};
use tadpool_compiler::import::{import, import_with_qdq};

/// Networks that are run are no larger than this.
const MAX_MACS: u64 = 1 << 20;
/// One in so many networks is run by the reference, which takes long.
const RUN_ONE_IN: u32 = 32;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = super::files("host-tools/fuzz/seeds/onnx", ".onnx", 1 << 16);
    seeds.extend(super::files("tests/fixtures/onnx", ".onnx", 18_500));
    seeds
}

pub(super) fn check(bytes: &[u8]) {
    if let Err(error) = import_with_qdq(bytes, "network.onnx") {
        return super::check_error(&error);
    }
    let sum = bytes.iter().fold(0u32, |sum, &byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let Ok(model) = import(bytes, "network.onnx") else {
        panic!("a network that is imported once only");
    };
    let is_small = model.macs() <= MAX_MACS && model.input.elements() <= 1 << 14;
    if !is_small || !sum.is_multiple_of(RUN_ONE_IN) {
        return;
    }
    let live = onnx::live(bytes.to_vec()).expect("it was decoded before");
    match Reference::new(&live, model.input) {
        Ok(reference) => {
            let image = vec![0.25; model.input.elements()];
            if let Err(error) = compare(&model, &reference, [image], 1e-3) {
                super::check_error(&error);
            }
        }
        Err(error) => super::check_error(&error),
    }
}

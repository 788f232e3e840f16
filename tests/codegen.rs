//! The generated source.

use crate::support;
use crate::support::integer::{Quantized, quantized};
use tadpool_compiler::generate::{Description, Generated, generate};
use tadpool_compiler::place::program::program;
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_kernels::layout::Layout;

fn generated(file: &str, layout: Layout) -> Generated {
    let manifest = support::manifest();
    let fixture = manifest
        .model
        .iter()
        .find(|fixture| fixture.file == file)
        .unwrap();
    let Quantized {
        model,
        schedule,
        memory,
        ..
    } = quantized(fixture, &ScheduleConfig::default());
    let description = Description {
        name: "tiny".to_owned(),
        labels: (0..model.classes())
            .map(|class| format!("class {class}"))
            .collect(),
    };
    generate(&program(&model, &schedule, &memory), &description, layout)
}

#[test]
fn pooling_network() {
    insta::assert_snapshot!(generated("pool_script17.onnx", Layout::Dsp).model_rs);
}

#[test]
fn identity_network() {
    insta::assert_snapshot!(generated("identity_script17.onnx", Layout::Rows).model_rs);
}

#[test]
fn source_has_no_float_and_no_unsafe() {
    for layout in [Layout::Rows, Layout::Dsp, Layout::Helium] {
        let Generated {
            model_rs,
            tables_rs,
            ..
        } = generated("pool_script17.onnx", layout);
        for (name, source) in [("model.rs", model_rs), ("tables.rs", tables_rs)] {
            let file = syn::parse_file(&source).unwrap();
            assert!(!file.items.is_empty());
            for word in ["f32", "f64", "unsafe", "alloc"] {
                assert!(!source.contains(word), "{name} holds `{word}`");
            }
            assert!(!has_decimal_point(&source), "{name} holds a float literal");
        }
    }
}

/// A digit, a point and a digit; ranges and tuple fields have none.
fn has_decimal_point(source: &str) -> bool {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.into_iter().any(|line| {
        line.as_bytes()
            .windows(3)
            .any(|w| w[0].is_ascii_digit() && w[1] == b'.' && w[2].is_ascii_digit())
    })
}

#[test]
fn layouts_share_everything_but_the_order_of_weights() {
    let rows = generated("pool_script17.onnx", Layout::Rows);
    let dsp = generated("pool_script17.onnx", Layout::Dsp);
    assert_eq!(rows.tables_rs, dsp.tables_rs);
    assert_ne!(rows.weights, dsp.weights);
    assert_ne!(rows.hash, dsp.hash);
    let arena = |generated: &Generated| {
        let line = generated
            .model_rs
            .lines()
            .find(|line| line.contains("ARENA_BYTES: usize"));
        line.unwrap().to_owned()
    };
    assert_eq!(arena(&rows), arena(&dsp));
}

#[test]
fn crate_is_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let generated = generated("identity_script17.onnx", Layout::Rows);
    let description = Description {
        name: "tiny".to_owned(),
        labels: vec![],
    };
    generated
        .write_crate(folder.path(), &description, "{ path = \"../kernels\" }")
        .unwrap();
    let manifest = std::fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("tadpool-kernels = { path = \"../kernels\" }"));
    let weights = std::fs::read(folder.path().join("src/weights.bin")).unwrap();
    assert_eq!(weights, generated.weights);
    let names: Vec<_> = std::fs::read_dir(folder.path().join("src"))
        .unwrap()
        .collect();
    assert_eq!(
        names.len(),
        4,
        "lib.rs, model.rs, tables.rs, weights.bin and nothing else"
    );
}

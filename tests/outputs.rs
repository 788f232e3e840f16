//! Inputs and outputs in the arena: images row by row, maps for
//! whoever reads them after an inference, networks without a head.

use crate::support;
use crate::support::integer::{IMAGES, Quantized, images, place, quantize, quantized};
use crate::support::placed::assert_same_on;
use tadpool_compiler::given::model_toml::{Feed, Quantization, StreamChoice};
use tadpool_compiler::import::import_file;
use tadpool_compiler::network::MetaFormer;
use tadpool_compiler::place::program::{Arena, program};
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::quantize::precision::Precision;
use tadpool_compiler::quantize::quant_model::{QuantModel, QuantOutput};
use tadpool_kernels::Observer;
use tadpool_probe::trace::Trace;

const ROWS: ScheduleConfig = ScheduleConfig {
    tile_tokens: 2,
    feed: Feed::Rows,
};

fn traces(quantized: &Quantized) -> Vec<Trace> {
    let program = program(&quantized.model, &quantized.schedule, &quantized.memory);
    let mut arena = Arena::default();
    images(&quantized.network, 3)
        .iter()
        .map(|pixels| Trace::simulate(&program, pixels, &mut arena).unwrap())
        .collect()
}

/// An image that comes row by row changes no byte of any step, and has not to be in
/// the arena as a whole.
#[test]
fn rows_change_no_byte() {
    for fixture in support::manifest().model {
        let whole = quantized(&fixture, &ScheduleConfig::default());
        let rows = quantized(&fixture, &ROWS);
        assert_eq!(traces(&whole), traces(&rows), "{}", fixture.file);
        let image = rows.schedule.image.index();
        assert_eq!(
            rows.schedule.problem.buffers[image].size as usize,
            fixture.stem[0] * rows.network.input.width * rows.network.input.channels,
            "{}",
            fixture.file
        );
    }
}

/// An image of another size is refused in either form.
#[test]
fn an_image_of_another_size_is_a_fault() {
    let fixture = &support::manifest().model[0];
    for config in [ScheduleConfig::default(), ROWS] {
        let quantized = quantized(fixture, &config);
        let program = program(&quantized.model, &quantized.schedule, &quantized.memory);
        let pixels = &images(&quantized.network, 1)[0];
        for pixels in [&pixels[1..], &[&pixels[..], &[7]].concat()] {
            assert!(Trace::simulate(&program, pixels, &mut Arena::default()).is_err());
        }
    }
}

/// The bytes of every step.
#[derive(Default)]
struct Written(Vec<Vec<u8>>);

impl Observer for Written {
    fn step(&mut self, _step: usize, output: &[u8]) {
        self.0.push(output.to_vec());
    }
}

/// Outputs hold at the end what their step wrote, whatever came after it.
fn check_outputs(quantized: &Quantized) {
    let program = program(&quantized.model, &quantized.schedule, &quantized.memory);
    let mut arena = Arena::default();
    for pixels in images(&quantized.network, 2) {
        let mut written = Written::default();
        program.infer(&pixels, &mut arena, &mut written).unwrap();
        assert_eq!(program.outputs.len(), quantized.model.outputs.len());
        for (output, asked) in program.outputs.iter().zip(&quantized.model.outputs) {
            assert_eq!((output.name, output.step), (&asked.name[..], asked.layer));
            let left = program.output_bytes(output, &mut arena).unwrap();
            assert_eq!(left, written.0[output.step], "{}", output.name);
        }
    }
}

fn asking(model: &QuantModel, layers: &[usize]) -> QuantModel {
    let outputs = layers.iter().map(|&layer| QuantOutput {
        name: format!("map {layer}"),
        layer,
    });
    QuantModel {
        outputs: outputs.collect(),
        ..model.clone()
    }
}

#[test]
fn outputs_stay_until_the_end() {
    for fixture in support::manifest().model {
        let Quantized { network, model, .. } = quantized(&fixture, &ScheduleConfig::default());
        let maps = model.layers.len() - 1;
        let all: Vec<usize> = (0..maps).collect();
        for layers in [&all[..], &all[maps - 1..], &all[..1], &[0, maps / 2, 0]] {
            for config in [ScheduleConfig::default(), ROWS] {
                let model = asking(&model, layers);
                check_outputs(&place(network.clone(), model, &config));
            }
        }
    }
}

/// The map before the head may be overwritten by nothing, so keeping it costs nothing.
#[test]
fn an_output_that_nothing_overwrites_costs_no_memory() {
    let fixture = &support::manifest().model[0];
    let plain = quantized(fixture, &ScheduleConfig::default());
    let last = plain.model.layers.len() - 2;
    let model = asking(&plain.model, &[last]);
    let kept = place(plain.network.clone(), model, &ScheduleConfig::default());
    assert_eq!(kept.memory.arena_size, plain.memory.arena_size);
}

#[test]
fn a_network_without_a_head_ends_with_its_map() {
    for fixture in support::manifest().model {
        let mut network = import_file(&support::fixtures().join(&fixture.file))
            .unwrap()
            .model;
        network.layers.pop();
        for stream in [StreamChoice::Int8, StreamChoice::Int16] {
            check_headless(&fixture.file, &network, stream);
        }
    }
}

fn check_headless(file: &str, network: &MetaFormer, stream: StreamChoice) {
    let last = network.layers.len() - 1;
    let choice = Quantization {
        stream,
        ..Quantization::default()
    };
    let precision = Precision::chosen(network, &choice).unwrap();
    let model = quantize(network, &precision, IMAGES).unwrap();
    assert_eq!(model.classes(), 0);
    let quantized = place(
        network.clone(),
        asking(&model, &[last]),
        &ScheduleConfig::default(),
    );
    assert_eq!(quantized.schedule.logits, None);
    check_outputs(&quantized);
    let program = program(&quantized.model, &quantized.schedule, &quantized.memory);
    let mut arena = Arena::default();
    for pixels in images(&quantized.network, 2) {
        let logits = program.infer(&pixels, &mut arena, &mut ()).unwrap();
        assert!(logits.is_empty());
        let values = program.scores(&logits, &mut arena).unwrap();
        let image = support::integer::normalised(&pixels);
        let float = tadpool_compiler::network::float::run(&quantized.network, &image, |_| {});
        assert_eq!(values.len(), float.len());
        let signal: f64 = float.iter().map(|v| f64::from(*v).powi(2)).sum();
        let pairs = values.iter().zip(&float);
        let noise: f64 = pairs.map(|(a, b)| (a - f64::from(*b)).powi(2)).sum();
        assert!(signal > 300.0 * noise, "{file}: {signal} {noise}");
    }
}

#[test]
fn maps_are_named_by_stage_or_layer() {
    let fixture = &support::manifest().model[0];
    let model = import_file(&support::fixtures().join(&fixture.file))
        .unwrap()
        .model;
    let name = |name: &str| {
        model
            .map(name)
            .map(|layer| model.layers[layer].name.to_string())
    };
    assert_eq!(
        name("stage1.embedding").as_deref(),
        Some("stage1.embedding")
    );
    let last = format!("stage1.block{}.mlp", fixture.depths[0] - 1);
    assert_eq!(name("stage1"), Some(last));
    for unknown in ["head", "stage9", "stage", "", "stage1.", "embedding"] {
        assert_eq!(name(unknown), None, "{unknown}");
    }
    assert!(model.map_names().contains(&"stage1".to_owned()));
}

/// On cores of each kind of kernels, without a panic path while rows come.
#[test]
fn boards_take_rows_and_leave_maps() {
    let fixture = &support::manifest().model[0];
    let Quantized { network, model, .. } = quantized(fixture, &ROWS);
    let asked = asking(&model, &[0, model.layers.len() - 2]);
    let rows = place(network, asked, &ROWS);
    for board in support::CORES {
        assert_same_on(board, &rows);
    }
}

#[test]
fn boards_run_a_network_without_a_head() {
    let file = support::fixtures().join(&support::manifest().model[0].file);
    let mut network = import_file(&file).unwrap().model;
    network.layers.pop();
    let last = network.layers.len() - 1;
    let model = quantize(&network, &Precision::int8(&network), IMAGES).unwrap();
    let asked = asking(&model, &[last]);
    let quantized = place(network, asked, &ScheduleConfig::default());
    assert_same_on("qemu-mps2-an386", &quantized);
}

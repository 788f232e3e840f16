//! Networks written in Rust, taken through every stage and onto emulated boards.

use std::path::Path;
use std::time::Duration;

use tadpool::boards;
use tadpool::calibrate;
use tadpool::codegen::{Description, Generated, generate};
use tadpool::firmware::{self as firmware_images, Build, Interface, audit};
use tadpool::float::{self, View};
use tadpool::ir::{Linear, MetaFormer, Norm, NormScope, Residual};
use tadpool::memory::{self, MemoryPlan};
use tadpool::model_toml::RangeMethod;
use tadpool::precision::Precision;
use tadpool::program::{Arena, program};
use tadpool::quant_model::QuantModel;
use tadpool::quantize::{self, Pixels, QuantError, Rounding};
use tadpool::runner::probe::Options;
use tadpool::runner::trace::Trace;
use tadpool::runner::{self, Run};
use tadpool::schedule::{self, Schedule, ScheduleConfig};
use tadpool_kernels::Observer;
use tadpool_kernels::layout::Layout;

use super::Noise;
use super::integer::{MEAN, STD, images, normalised};

/// Weights that change the stream by about its own size.
pub(crate) struct Maker(pub(crate) Noise);

impl Maker {
    pub(crate) fn linear(&mut self, outputs: usize, inputs: usize) -> Linear {
        let size = (inputs as f32).sqrt().recip();
        let weight = self.0.values(outputs * inputs);
        Linear {
            outputs,
            inputs,
            weight: weight.into_iter().map(|value| size * value).collect(),
            bias: self.0.values(outputs),
        }
    }

    pub(crate) fn norm(&mut self, channels: usize) -> Norm {
        Norm {
            scope: NormScope::Map,
            gamma: self.0.values(channels),
            beta: self.0.values(channels),
            epsilon: 1e-5,
        }
    }

    pub(crate) fn residual(&mut self, channels: usize) -> Residual {
        let values = self.0.values(channels);
        Residual {
            layer_scale: values.into_iter().map(|value| 0.3 * value).collect(),
            res_scale: vec![1.0; channels],
        }
    }
}

/// Quantizes a network with ranges from random images.
pub(crate) fn quantize(
    network: &MetaFormer,
    precision: &Precision,
) -> Result<QuantModel, QuantError> {
    let images = images(network, 12);
    let load = |index: usize| Ok::<_, ()>(normalised(&images[index]));
    let ranges = calibrate::min_max(network, images.len(), load).unwrap();
    quantize::quantize(network, &ranges, &pixels(), precision)
}

/// The same with each matrix rounded for what it computes on these images, and its
/// bias corrected.
pub(crate) fn quantize_carefully(network: &MetaFormer, precision: &Precision) -> QuantModel {
    let images = images(network, 12);
    let load = |index: usize| Ok::<_, ()>(normalised(&images[index]));
    let seen = calibrate::observe(network, images.len(), load).unwrap();
    let ranges = seen.ranges(network, RangeMethod::MinMax, precision);
    let rounding = Rounding {
        outputs: Some(&seen),
        correction: Some(&seen),
    };
    quantize::quantize_rounded(network, &ranges, &pixels(), precision, rounding)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn pixels() -> Pixels {
    Pixels {
        mean: vec![MEAN; 3],
        std: vec![STD; 3],
        order: vec![0, 1, 2],
    }
}

pub(crate) struct Placed {
    pub(crate) model: QuantModel,
    pub(crate) schedule: Schedule,
    pub(crate) memory: MemoryPlan,
}

pub(crate) fn placed(network: &MetaFormer, precision: &Precision) -> Placed {
    let model = quantize(network, precision);
    place(model.unwrap_or_else(|error| panic!("{error}")))
}

pub(crate) fn place(model: QuantModel) -> Placed {
    let schedule = schedule::schedule(&model, &ScheduleConfig::default());
    let memory = memory::plan(&schedule).unwrap();
    Placed {
        model,
        schedule,
        memory,
    }
}

fn description() -> Description {
    Description {
        name: "mixed".to_owned(),
        labels: (0..5).map(|class| format!("class {class}")).collect(),
    }
}

pub(crate) fn generated(placed: &Placed, layout: Layout) -> Generated {
    let program = program(&placed.model, &placed.schedule, &placed.memory);
    generate(&program, &description(), layout)
}

/// Signal over noise of every step, in decibels.
pub(crate) fn step_sqnr(network: &MetaFormer, placed: &Placed) -> Vec<f64> {
    struct Outputs<'a>(&'a QuantModel, Vec<Vec<f64>>);
    impl Observer for Outputs<'_> {
        fn step(&mut self, step: usize, output: &[u8]) {
            self.1
                .push(self.0.layers[step].real_values(output).collect());
        }
    }
    let program = program(&placed.model, &placed.schedule, &placed.memory);
    let mut sums = vec![(0.0, 0.0); network.layers.len()];
    for pixels in images(network, 6) {
        let mut outputs = Outputs(&placed.model, Vec::new());
        program
            .infer(&pixels, &mut Arena::default(), &mut outputs)
            .unwrap();
        float::run(network, &normalised(&pixels), |view| {
            if view.kind == View::Output {
                let found = &outputs.1[view.index];
                assert_eq!(found.len(), view.values.len());
                for (found, &real) in found.iter().zip(view.values) {
                    sums[view.index].0 += f64::from(real).powi(2);
                    sums[view.index].1 += (found - f64::from(real)).powi(2);
                }
            }
        });
    }
    sums.iter()
        .map(|(signal, noise)| 10.0 * (signal / noise).log10())
        .collect()
}

/// Every step of a few inferences on an emulated board is as on the host; they allocate
/// nothing, have a bounded stack, and their mixers with matrices cannot panic.
pub(crate) fn assert_same_on(name: &str, network: &MetaFormer, placed: &Placed) {
    let program = program(&placed.model, &placed.schedule, &placed.memory);
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
    let kernels = firmware.join("kernels");
    let kernels = format!("{{ path = {:?} }}", kernels.display().to_string());
    let board = &boards::find(name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let generated = generated(placed, board.kernels.layout());
    generated
        .write_crate(folder.path(), &description(), &kernels)
        .unwrap();
    let build = Build {
        firmware: &firmware,
        board,
        model: Some(folder.path()),
        interface: Interface::Requests,
    };
    let audit = audit::inference(&build).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mixes = |chain: &&String| chain.contains("sep_conv") || chain.contains("random_mixing");
    let panics: Vec<_> = audit.panics.iter().filter(mixes).collect();
    let (heap, stack) = (&audit.heap, &audit.stack_bytes);
    assert!(panics.is_empty(), "{name}: {panics:?}");
    assert!(
        heap.is_empty() && stack.is_ok(),
        "{name}: {heap:?} {stack:?}"
    );
    let image = firmware_images::build(&build).unwrap_or_else(|error| panic!("{error}"));
    let run = Run {
        board,
        image: &image.path,
        model_hash: Some(generated.hash),
        timeout: Duration::from_secs(60),
    };
    let mut session = runner::start(&run, &Options::default(), &()).unwrap();
    for pixels in images(network, 3) {
        let host = Trace::simulate(&program, &pixels, &mut Arena::default()).unwrap();
        let found = session.infer(&pixels).unwrap();
        let checksums = found.steps.iter().map(|step| step.checksum);
        let steps = placed
            .model
            .layers
            .iter()
            .zip(checksums.zip(&host.checksums));
        for (layer, (found, expected)) in steps {
            assert_eq!(found, *expected, "{name}: {}", layer.name);
        }
        assert_eq!(found.steps.len(), host.checksums.len());
        assert_eq!(found.logits, host.logits, "{name}");
    }
}

//! Networks written in Rust, taken through every stage and onto emulated boards.

use std::path::Path;

use tadpool::boards;
use tadpool::calibrate;
use tadpool::codegen::{Description, Generated, generate};
use tadpool::firmware::{Build, Interface, audit};
use tadpool::ir::{Linear, MetaFormer, Norm, NormScope, Residual};
use tadpool::memory::{self, MemoryPlan};
use tadpool::model_toml::RangeMethod;
use tadpool::precision::Precision;
use tadpool::program::program;
use tadpool::quant_model::QuantModel;
use tadpool::quantize::{self, Pixels, QuantError, Rounding};
use tadpool::schedule::{self, Schedule, ScheduleConfig};
use tadpool_kernels::layout::Layout;

use super::Noise;
use super::emulated::assert_same_bytes;
use super::integer::{self, MEAN, STD, images, normalised};

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
    let program = program(&placed.model, &placed.schedule, &placed.memory);
    integer::step_sqnr(network, &placed.model, &program)
}

/// Every step of a few inferences on an emulated board is as on the host; they allocate
/// nothing, have a bounded stack, and cannot panic.
pub(crate) fn assert_same_on(name: &str, network: &MetaFormer, placed: &Placed) {
    let program = program(&placed.model, &placed.schedule, &placed.memory);
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
    let kernels = firmware.join("kernels");
    let kernels = format!("{{ path = {:?} }}", kernels.display().to_string());
    let board = &boards::find(name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    generated(placed, board.kernels.layout())
        .write_crate(folder.path(), &description(), &kernels)
        .unwrap();
    let build = Build {
        firmware: &firmware,
        board,
        model: Some(folder.path()),
        interface: Interface::Requests,
    };
    let audit = audit::inference(&build).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (panics, heap, stack) = (&audit.panics, &audit.heap, &audit.stack_bytes);
    assert!(
        panics.is_empty() && heap.is_empty() && stack.is_ok(),
        "{name}: {panics:?} {heap:?} {stack:?}"
    );
    assert_same_bytes(&program, name, &images(network, 3));
}

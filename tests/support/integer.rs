//! Fixtures as integer programs.

use std::path::Path;

use tadpool_compiler::calibrate;
use tadpool_compiler::import::import_file;
use tadpool_compiler::network::MetaFormer;
use tadpool_compiler::network::float::{self, View};
use tadpool_compiler::place::memory::{self, MemoryPlan};
use tadpool_compiler::place::program::{Arena, Program, program};
use tadpool_compiler::place::schedule::{self, Schedule, ScheduleConfig};
use tadpool_compiler::quantize::precision::Precision;
use tadpool_compiler::quantize::quant_model::QuantModel;
use tadpool_compiler::quantize::{self, Pixels, QuantError};
use tadpool_kernels::Observer;

use super::{Fixture, Noise, fixtures};

/// A fixture, taken through every stage.
pub(crate) struct Quantized {
    pub(crate) network: MetaFormer,
    pub(crate) model: QuantModel,
    pub(crate) schedule: Schedule,
    pub(crate) memory: MemoryPlan,
}

/// Normalisation of the random pixels that fixtures are run on.
pub(crate) const MEAN: f32 = 0.5;
pub(crate) const STD: f32 = 0.25;

/// Images that ranges come from.
pub(crate) const IMAGES: usize = 24;

/// Quantizes a fixture with ranges from random images.
pub(crate) fn quantized(fixture: &Fixture, config: &ScheduleConfig) -> Quantized {
    quantized_with(fixture, config, Precision::int8)
}

/// The same with the precision that `choose` picks.
pub(crate) fn quantized_with(
    fixture: &Fixture,
    config: &ScheduleConfig,
    choose: impl FnOnce(&MetaFormer) -> Precision,
) -> Quantized {
    quantized_file(&fixtures().join(&fixture.file), config, choose)
        .unwrap_or_else(|error| panic!("{}: {error}", fixture.file))
}

/// The same for any file, which may hold a network that cannot be quantized.
pub(crate) fn quantized_file(
    file: &Path,
    config: &ScheduleConfig,
    choose: impl FnOnce(&MetaFormer) -> Precision,
) -> Result<Quantized, QuantError> {
    quantized_network(import_file(file).unwrap().model, config, choose)
}

/// The same for a network.
pub(crate) fn quantized_network(
    network: MetaFormer,
    config: &ScheduleConfig,
    choose: impl FnOnce(&MetaFormer) -> Precision,
) -> Result<Quantized, QuantError> {
    let precision = choose(&network);
    let model = quantize(&network, &precision, IMAGES)?;
    Ok(place(network, model, config))
}

/// Quantizes a network with ranges from `count` random images.
pub(crate) fn quantize(
    network: &MetaFormer,
    precision: &Precision,
    count: usize,
) -> Result<QuantModel, QuantError> {
    let images = images(network, count);
    let load = |index: usize| Ok::<_, ()>(normalised(&images[index]));
    let ranges = calibrate::min_max(network, images.len(), load).unwrap();
    quantize::quantize(network, &ranges, &pixels(network), precision)
}

/// The normalisation of the random pixels.
pub(crate) fn pixels(network: &MetaFormer) -> Pixels {
    let channels = network.input.channels;
    Pixels {
        mean: vec![MEAN; channels],
        std: vec![STD; channels],
        order: (0..channels).collect(),
    }
}

/// Schedules and places a quantized network.
pub(crate) fn place(network: MetaFormer, model: QuantModel, config: &ScheduleConfig) -> Quantized {
    let schedule = schedule::schedule(&model, config);
    let memory = memory::plan(&schedule).unwrap();
    Quantized {
        network,
        model,
        schedule,
        memory,
    }
}

impl Quantized {
    /// The network as a program.
    pub(crate) fn program(&self) -> Program<'_> {
        program(&self.model, &self.schedule, &self.memory)
    }
}

/// The map that every step writes.
#[derive(Default)]
struct Outputs(Vec<Vec<u8>>);

impl Observer for Outputs {
    fn step(&mut self, _step: usize, output: &[u8]) {
        self.0.push(output.to_vec());
    }
}

/// Signal over noise of each step, in decibels, over some images.
pub(crate) fn step_sqnr(
    network: &MetaFormer,
    model: &QuantModel,
    program: &Program<'_>,
) -> Vec<f64> {
    let mut arena = Arena::default();
    let mut sums = vec![[0.0; 2]; network.layers.len()];
    for pixels in images(network, 12) {
        let mut outputs = Outputs::default();
        program.infer(&pixels, &mut arena, &mut outputs).unwrap();
        float::run(network, &normalised(&pixels), |view| {
            if view.kind == View::Output {
                let bytes = &outputs.0[view.index];
                let [signal, noise] = &mut sums[view.index];
                let mut count = 0;
                for (integer, &real) in model.layers[view.index].real_values(bytes).zip(view.values)
                {
                    *signal += f64::from(real).powi(2);
                    *noise += (integer - f64::from(real)).powi(2);
                    count += 1;
                }
                assert_eq!(count, view.values.len());
            }
        });
    }
    let decibels = |[signal, noise]: [f64; 2]| 10.0 * (signal / noise).log10();
    sums.into_iter().map(decibels).collect()
}

/// Random raw pixels.
pub(crate) fn images(network: &MetaFormer, count: usize) -> Vec<Vec<u8>> {
    let mut noise = Noise::new(23);
    (0..count)
        .map(|_| {
            let values = noise.values(network.input.elements());
            values
                .iter()
                .map(|value| (128.0 + 64.0 * value).clamp(0.0, 255.0) as u8)
                .collect()
        })
        .collect()
}

/// The network's input for raw pixels.
pub(crate) fn normalised(pixels: &[u8]) -> Vec<f32> {
    pixels
        .iter()
        .map(|&pixel| (f32::from(pixel) / 255.0 - MEAN) / STD)
        .collect()
}

//! Widening: which stages' residual streams get sixteen bits.
//!
//! Deep networks with a few large channels lose the small ones in a stream of
//! eight bits. Whether that matters shows in the output. If it does, stages are
//! widened from the first one on, until the noise is low enough behind every step;
//! then each is narrowed again that did not pay for its memory.

use super::sample::{ENOUGH_DB, Sample};
use crate::compile::{Calibrated, CompileError, Model};
use crate::given::model_toml::{RoundingMethod, StreamChoice};
use crate::network::{LayerName, StageName};
use crate::place::memory;
use crate::place::program;
use crate::place::schedule::{self, ScheduleConfig};
use crate::progress::Progress;
use crate::quantize::precision::{Choice, Precision, Widened};
use crate::quantize::quant_model::{Stream, WeightBits};

/// Decibels that a wide stage must bring to stay wide.
const WORTH_DB: f64 = 0.5;

/// Widens the stages of `base` that need it, if the description leaves that to the
/// tool; pinned stages stay as they are, and so does a network that was trained for
/// its own scales.
///
/// Measured with weights of eight bits, each rounded to the nearest: what narrower
/// ones lose, no stream brings back, and careful rounding takes long.
///
/// # Errors
/// An image cannot be read, or the network has no integer form.
pub fn choose(
    model: &Model,
    calibrated: &Calibrated,
    base: Precision,
    progress: &impl Progress,
) -> Result<Choice, CompileError> {
    let mut choice = Choice::from(base);
    let chosen = model.description.quantization.stream;
    if chosen != StreamChoice::Auto || model.qdq.is_some() {
        return Ok(choice);
    }
    let sample = Sample::new(model, calibrated)?;
    let measure = |precision: &Precision| {
        progress.go_on()?;
        let noise = Noise::measure(&sample, model, calibrated, precision);
        progress.advance();
        noise
    };
    let stages = stages(model, &choice.precision);
    progress.begin("measuring the stream", 2 * stages.len() + 1);
    let mut noise = measure(&choice.precision)?;
    if noise.output() < ENOUGH_DB {
        widen(model, &stages, &mut choice, &mut noise, measure)?;
        narrow(&mut choice, noise, measure)?;
    }
    progress.end();
    Ok(choice)
}

/// Widens stages until every step is above [`ENOUGH_DB`], or none is left.
fn widen(
    model: &Model,
    stages: &[StageName],
    choice: &mut Choice,
    noise: &mut Noise,
    measure: impl Fn(&Precision) -> Result<Noise, CompileError>,
) -> Result<(), CompileError> {
    loop {
        let is_free = |stage: &StageName| {
            let mut widened = choice.widened.iter();
            stages.contains(stage) && !widened.any(|widened| widened.stage == *stage)
        };
        // The output may be noisy though no step before it is.
        let first = || {
            let free = stages.iter().find(|stage| is_free(stage))?;
            let (step, sqnr) = noise.0.last().filter(|(_, sqnr)| *sqnr < ENOUGH_DB)?;
            Some((*free, *step, *sqnr))
        };
        let failing = noise.0.iter().find_map(|(step, sqnr)| {
            let stage = step.stage().filter(is_free)?;
            (*sqnr < ENOUGH_DB).then_some((stage, *step, *sqnr))
        });
        let Some((stage, step, sqnr_db)) = failing.or_else(first) else {
            return Ok(());
        };
        let widened = Widened {
            stage,
            layers: layers_of(model, stage),
            step,
            sqnr_db,
        };
        choice.precision.set_stream(&widened, Stream::Int16);
        choice.widened.push(widened);
        *noise = measure(&choice.precision)?;
    }
}

/// Narrows the stages that did not pay, the last one first.
fn narrow(
    choice: &mut Choice,
    mut noise: Noise,
    measure: impl Fn(&Precision) -> Result<Noise, CompileError>,
) -> Result<(), CompileError> {
    for index in (0..choice.widened.len()).rev() {
        let mut precision = choice.precision.clone();
        precision.set_stream(&choice.widened[index], Stream::Int8);
        let without = measure(&precision)?;
        if !noise.pays(&without) {
            choice.precision = precision;
            choice.widened.remove(index);
            noise = without;
        }
    }
    Ok(())
}

/// Signal to noise ratio behind every step, in decibels; infinite without noise.
#[derive(Debug, Clone)]
struct Noise(Vec<(LayerName, f64)>);

impl Noise {
    fn measure(
        sample: &Sample,
        model: &Model,
        calibrated: &Calibrated,
        precision: &Precision,
    ) -> Result<Self, CompileError> {
        let mut precision = precision.clone();
        for layer in &mut precision.layers {
            layer.weights = [WeightBits::Int8; 2];
        }
        let (_, quantized) =
            calibrated.quantize_with(model, &precision, RoundingMethod::Nearest)?;
        let schedule = schedule::schedule(&quantized, &ScheduleConfig::default());
        let memory = memory::plan(&schedule)?;
        let program = program::program(&quantized, &schedule, &memory);
        let sqnr = sample.sqnr(&model.network, &quantized, &program)?;
        let steps = model.network.layers.iter().zip(sqnr);
        Ok(Self(
            steps
                .map(|(layer, sqnr)| (layer.name, sqnr.unwrap_or(f64::INFINITY)))
                .collect(),
        ))
    }

    /// Of the network's output.
    fn output(&self) -> f64 {
        self.0.last().map_or(f64::INFINITY, |(_, sqnr)| *sqnr)
    }

    fn lowest(&self) -> f64 {
        self.0
            .iter()
            .map(|(_, sqnr)| *sqnr)
            .fold(f64::INFINITY, f64::min)
    }

    /// Whether this is worth more memory than `narrow`: a cleaner output where that is
    /// too noisy, or every step clean enough where one was not.
    fn pays(&self, narrow: &Self) -> bool {
        let better = |wide: f64, narrow: f64| wide.min(ENOUGH_DB) >= narrow + WORTH_DB;
        better(self.output(), narrow.output())
            || self.lowest() >= ENOUGH_DB && better(self.lowest(), narrow.lowest())
    }
}

/// Stages that are not wide yet and not pinned.
fn stages(model: &Model, precision: &Precision) -> Vec<StageName> {
    let pins = &model.description.quantization.pins;
    let (mut stages, mut cut_off): (Vec<StageName>, Vec<StageName>) = Default::default();
    for (layer, precision) in model.network.layers.iter().zip(&precision.layers) {
        let is_pinned = |stage: &StageName| pins.contains_key(&stage.to_string());
        let stage = layer.name.stage().filter(|stage| !is_pinned(stage));
        // A ReLU behind a convolution is the end of an int8 map's range.
        if layer.op.rectifier().is_some() {
            cut_off.extend(stage);
        }
        if precision.stream == Stream::Int8 && !stage.is_some_and(|s| stages.contains(&s)) {
            stages.extend(stage);
        }
    }
    stages.retain(|stage| !cut_off.contains(stage));
    stages
}

/// Numbers of a stage's layers.
fn layers_of(model: &Model, stage: StageName) -> Vec<usize> {
    let layers = model.network.layers.iter().enumerate();
    layers
        .filter(|(_, layer)| layer.name.stage() == Some(stage))
        .map(|(index, _)| index)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of a stage, and the head.
    fn noise(steps: &[f64], output: f64) -> Noise {
        let name = |block| LayerName::Mixer { stage: 1, block };
        let steps = steps.iter().enumerate().map(|(at, db)| (name(at), *db));
        Noise(steps.chain([(LayerName::Head, output)]).collect())
    }

    #[test]
    fn a_wide_stage_pays_by_its_output() {
        let narrow = noise(&[18.0, 16.0], 13.0);
        assert!(noise(&[18.0, 16.0], 21.0).pays(&narrow));
        assert!(!noise(&[30.0, 16.0], 13.2).pays(&narrow));
        assert!(!noise(&[40.0, 40.0], 12.0).pays(&noise(&[40.0, 40.0], 13.0)));
    }

    #[test]
    fn clean_steps_pay_only_if_all_are_clean() {
        let narrow = noise(&[18.0, 30.0], 26.0);
        assert!(noise(&[26.0, 30.0], 26.0).pays(&narrow));
        assert!(!noise(&[24.0, 30.0], 40.0).pays(&narrow));
        assert!(!noise(&[60.0, 60.0], 60.0).pays(&noise(&[25.0, 25.0], 25.0)));
    }
}

//! Widening: which stages' residual streams get sixteen bits.
//!
//! Deep networks with a few large channels lose the small ones in a stream of
//! eight bits. Whether that matters shows in the logits. If it does, stages are
//! widened from the first one on, until the noise is low enough behind every step.

use crate::compile::{Calibrated, CompileError, Model};
use crate::evaluate;
use crate::given::images;
use crate::given::model_toml::{RoundingMethod, StreamChoice};
use crate::network::StageName;
use crate::place::memory;
use crate::place::program;
use crate::place::schedule::{self, ScheduleConfig};
use crate::progress::Progress;
use crate::quantize::precision::{Choice, Precision, Widened};
use crate::quantize::quant_model::{Stream, WeightBits};

/// Signal to noise, in decibels, that the logits must have with a stream of eight
/// bits, and that every step must have once stages are widened.
pub const ENOUGH_DB: f64 = 25.0;

/// Images that noise is measured on, spread over those of calibration.
const IMAGES: usize = 8;

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
    let probe = Probe::new(model, calibrated)?;
    let stages = stages(model, &choice.precision);
    progress.begin("measuring the stream", stages.len() + 1);
    loop {
        let noise = probe.sqnr(model, calibrated, &choice.precision)?;
        progress.advance();
        let enough = |sqnr: &Option<f64>| sqnr.is_none_or(|db| db >= ENOUGH_DB);
        let logits = noise.last().copied().flatten();
        if choice.widened.is_empty() && enough(&logits) {
            break;
        }
        let is_free = |stage: &StageName| {
            let mut widened = choice.widened.iter();
            stages.contains(stage) && !widened.any(|widened| widened.stage == *stage)
        };
        let layers = model.network.layers.iter().zip(&noise);
        let failing = layers.clone().find_map(|(layer, sqnr)| {
            let stage = layer.name.stage().filter(is_free)?;
            (!enough(sqnr)).then_some((stage, layer.name, *sqnr))
        });
        // The logits may be noisy though no step before them is.
        let first = || {
            let free = stages.iter().find(|stage| is_free(stage))?;
            let head = layers
                .clone()
                .next_back()
                .filter(|(_, sqnr)| !enough(sqnr))?;
            Some((*free, head.0.name, *head.1))
        };
        let Some((stage, step, sqnr)) = failing.or_else(first) else {
            break;
        };
        let widened = Widened {
            stage,
            layers: layers_of(model, stage),
            step,
            sqnr_db: sqnr.unwrap_or(f64::INFINITY),
        };
        choice.precision.set_stream(&widened, Stream::Int16);
        choice.widened.push(widened);
    }
    progress.end();
    Ok(choice)
}

/// Stages that are not wide yet and not pinned.
fn stages(model: &Model, precision: &Precision) -> Vec<StageName> {
    let pins = &model.description.quantization.pins;
    let mut stages: Vec<StageName> = Vec::new();
    for (layer, precision) in model.network.layers.iter().zip(&precision.layers) {
        let is_pinned = |stage: &StageName| pins.contains_key(&stage.to_string());
        let stage = layer.name.stage().filter(|stage| !is_pinned(stage));
        if precision.stream == Stream::Int8 && !stage.is_some_and(|s| stages.contains(&s)) {
            stages.extend(stage);
        }
    }
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

/// Images as both networks read them.
struct Probe(Vec<(Vec<u8>, Vec<f32>)>);

impl Probe {
    fn new(model: &Model, calibrated: &Calibrated) -> Result<Self, CompileError> {
        let input = &model.description.input;
        let images = calibrated.spread(IMAGES).map(|file| {
            let pixels = images::load(&file.path, input)?;
            let normalised = images::normalise(&pixels, input);
            Ok((pixels, normalised))
        });
        Ok(Self(images.collect::<Result<_, CompileError>>()?))
    }

    /// Signal to noise behind every step.
    fn sqnr(
        &self,
        model: &Model,
        calibrated: &Calibrated,
        precision: &Precision,
    ) -> Result<Vec<Option<f64>>, CompileError> {
        let mut precision = precision.clone();
        for layer in &mut precision.layers {
            layer.weights = [WeightBits::Int8; 2];
        }
        let (_, quantized) =
            calibrated.quantize_with(model, &precision, RoundingMethod::Nearest)?;
        let schedule = schedule::schedule(&quantized, &ScheduleConfig::default());
        let memory = memory::plan(&schedule)?;
        let program = program::program(&quantized, &schedule, &memory);
        Ok(evaluate::sqnr(
            &model.network,
            &quantized,
            &program,
            &self.0,
        )?)
    }
}

//! Sensitivities: what it costs to keep each matrix in four bits.

use rayon::prelude::*;
use serde::Serialize;

use crate::compile::{Calibrated, CompileError, Model};
use crate::given::images::{self, ImageError};
use crate::network::float;
use crate::place::memory;
use crate::place::program::{self, Arena};
use crate::place::schedule::{self, ScheduleConfig};
use crate::progress::Progress;
use crate::quantize::precision::{Precision, matrix_names};
use crate::quantize::quant_model::WeightBits;

/// Most images that sensitivities are measured on.
const MAX_IMAGES: usize = 100;

/// The cost of keeping one matrix in four bits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The matrix, such as `stage1.block0.mlp.fc1`.
    pub name: String,
    /// Number of its layer.
    #[serde(skip)]
    pub layer: usize,
    /// Its place in [`LayerPrecision::weights`](crate::quantize::precision::LayerPrecision::weights).
    #[serde(skip)]
    pub slot: usize,
    /// Flash that is saved, about: half a byte a weight.
    pub saved_bytes: u64,
    /// Mean square by which it moves the logits away from the float network's,
    /// beyond what eight bits do, over the mean square of these.
    pub error: f64,
}

/// Float logits of some calibration images.
#[derive(Debug)]
pub struct Probe {
    pixels: Vec<Vec<u8>>,
    logits: Vec<Vec<f32>>,
}

impl Probe {
    /// Runs the float network on up to a hundred calibration images, spread over
    /// all of them.
    ///
    /// # Errors
    /// An image cannot be read.
    pub fn new(model: &Model, calibrated: &Calibrated) -> Result<Self, ImageError> {
        let input = &model.description.input;
        let files: Vec<_> = calibrated.spread(MAX_IMAGES).collect();
        let pixels = files
            .par_iter()
            .map(|file| file.load(input))
            .collect::<Result<Vec<_>, _>>()?;
        let logits = pixels
            .par_iter()
            .map(|pixels| float::run(&model.network, &images::normalise(pixels, input), |_| {}))
            .collect();
        Ok(Self { pixels, logits })
    }

    /// Mean square of the difference of integer and float logits, over that of the
    /// float logits.
    ///
    /// # Errors
    /// The network has no integer form in this precision.
    pub fn error(
        &self,
        model: &Model,
        calibrated: &Calibrated,
        precision: &Precision,
        config: &ScheduleConfig,
    ) -> Result<f64, CompileError> {
        let (_, quantized) = calibrated.quantize(model, precision)?;
        let schedule = schedule::schedule(&quantized, config);
        let memory = memory::plan(&schedule)?;
        let program = program::program(&quantized, &schedule, &memory);
        let squares: Vec<(f64, f64)> = self
            .pixels
            .par_iter()
            .zip(&self.logits)
            .map_init(Arena::default, |arena, (pixels, float)| {
                // The image has the size that the float network took.
                let integer = program.infer(pixels, arena, &mut ()).unwrap_or_default();
                let pairs = integer.iter().zip(float);
                pairs.fold((0.0, 0.0), |(noise, signal), (&integer, &float)| {
                    let (integer, float) = (f64::from(integer) / 65_536.0, f64::from(float));
                    (noise + (integer - float).powi(2), signal + float.powi(2))
                })
            })
            .collect();
        let noise: f64 = squares.iter().map(|(noise, _)| noise).sum();
        let signal: f64 = squares.iter().map(|(_, signal)| signal).sum();
        Ok(noise / signal.max(f64::MIN_POSITIVE))
    }
}

/// The cost of narrowing each matrix alone, for those that `base` keeps in
/// eight bits and that are neither in the first layer, nor in the last one, nor
/// pinned; in the order of execution.
///
/// # Errors
/// The network has no integer form in some precision.
pub fn sensitivities(
    model: &Model,
    calibrated: &Calibrated,
    probe: &Probe,
    base: &Precision,
    config: &ScheduleConfig,
    progress: &impl Progress,
) -> Result<Vec<Sensitivity>, CompileError> {
    let mut candidates = candidates(model, base);
    progress.begin("measuring sensitivities", candidates.len());
    let before = probe.error(model, calibrated, base, config)?;
    for candidate in &mut candidates {
        progress.go_on()?;
        let precision = narrowed(base, [&*candidate]);
        let error = probe.error(model, calibrated, &precision, config)?;
        candidate.error = (error - before).max(0.0);
        progress.advance();
    }
    progress.end();
    Ok(candidates)
}

/// Bytes that weights of four bits save in all matrices that may have them.
pub fn int4_saving_bytes(model: &Model, base: &Precision) -> u64 {
    let candidates = candidates(model, base);
    candidates.iter().map(|matrix| matrix.saved_bytes).sum()
}

/// The matrices that [`sensitivities`] measures, with no error yet.
fn candidates(model: &Model, base: &Precision) -> Vec<Sensitivity> {
    let network = &model.network;
    let pins = &model.description.quantization.pins;
    let last = network.layers.len().saturating_sub(1);
    let mut candidates = Vec::new();
    for (index, layer) in network.layers.iter().enumerate() {
        let matrices = layer.op.layer().matrices();
        let names = matrix_names(layer);
        for (slot, (name, matrix)) in names.into_iter().zip(&matrices).enumerate() {
            let free = !pins.contains_key(&name) && !pins.contains_key(&layer.name.to_string());
            let wide = base.layers[index].weights[slot] == WeightBits::Int8;
            if index != 0 && index != last && free && wide {
                candidates.push(Sensitivity {
                    name,
                    layer: index,
                    slot,
                    saved_bytes: matrix.weight.len() as u64 / 2,
                    error: 0.0,
                });
            }
        }
    }
    candidates
}

/// Those of `sensitivities` that save at least `bytes`, each the cheapest that was
/// left for what it saves; all of them if they do not save as much.
pub fn choose(sensitivities: &[Sensitivity], bytes: u64) -> Vec<&Sensitivity> {
    let mut order: Vec<&Sensitivity> = sensitivities.iter().collect();
    let price = |s: &Sensitivity| s.error / s.saved_bytes.max(1) as f64;
    order.sort_by(|a, b| price(a).total_cmp(&price(b)).then(a.layer.cmp(&b.layer)));
    let mut saved = 0;
    let mut chosen: Vec<&Sensitivity> = Vec::new();
    for candidate in order {
        if saved >= bytes {
            break;
        }
        saved += candidate.saved_bytes;
        chosen.push(candidate);
    }
    // The last one may have made earlier ones unnecessary: the dearest first.
    for at in (0..chosen.len()).rev() {
        if saved >= bytes + chosen[at].saved_bytes {
            saved -= chosen.remove(at).saved_bytes;
        }
    }
    chosen.sort_by_key(|chosen| (chosen.layer, chosen.slot));
    chosen
}

/// `base` with these matrices in four bits.
pub fn narrowed<'a>(
    base: &Precision,
    chosen: impl IntoIterator<Item = &'a Sensitivity>,
) -> Precision {
    let mut precision = base.clone();
    for chosen in chosen {
        precision.layers[chosen.layer].weights[chosen.slot] = WeightBits::Int4;
    }
    precision
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensitivity(layer: usize, saved_bytes: u64, error: f64) -> Sensitivity {
        Sensitivity {
            name: format!("layer{layer}"),
            layer,
            slot: 0,
            saved_bytes,
            error,
        }
    }

    #[test]
    fn the_cheapest_bytes_go_first() {
        let all = [
            sensitivity(0, 100, 1.0),
            sensitivity(1, 1000, 2.0),
            sensitivity(2, 400, 0.1),
        ];
        let layers = |bytes| -> Vec<usize> {
            choose(&all, bytes)
                .iter()
                .map(|chosen| chosen.layer)
                .collect()
        };
        assert!(layers(0).is_empty());
        assert_eq!(layers(400), [2]);
        // The large one alone is enough, so the cheaper one is given back.
        assert_eq!(layers(900), [1]);
        assert_eq!(layers(1400), [1, 2]);
        assert_eq!(layers(10_000), [0, 1, 2]);
    }
}

//! A calibrated model, which can be quantized in any precision.

use super::trained::confirm;
use super::{CompileConfig, CompileError, Compiled, Model};
use crate::calibrate::equalise::equalise;
use crate::calibrate::ranges::Ranges;
use crate::calibrate::{self, Calibration, Finding, LabelledPixels};
use crate::generate::Description;
use crate::given::images::{self, ImageError, ImageFile};
use crate::given::model_toml::{
    BiasCorrection, Channels, Equalisation, InputDescription, ModelDescription, RangeMethod,
    RoundingMethod,
};
use crate::import::reference::Comparison;
use crate::network::MetaFormer;
use crate::place::memory;
use crate::place::program;
use crate::place::schedule::{self, ScheduleConfig};
use crate::progress::Progress;
use crate::quantize::precision::{Choice, Precision};
use crate::quantize::quant_model::{QuantModel, QuantOutput};
use crate::quantize::{self, Pixels};

/// The statistics of a model over its calibration images: enough to quantize it in any
/// precision.
#[derive(Debug)]
pub struct Calibrated {
    /// How far the imported network is from tract, over the calibration images.
    pub comparison: Comparison,
    /// The network that is quantized: the model's, equalised if its description says
    /// so.
    pub network: MetaFormer,
    /// The images.
    pub images: Vec<ImageFile>,
    /// The float network's scores for them.
    pub calibration: Calibration,
    /// See [`CompileConfig::tolerance`].
    tolerance: f32,
}

/// Compares `model` with tract and runs it over the calibration images.
///
/// # Errors
/// There are no images, one cannot be read, or tract computes something else.
pub fn calibrate(
    model: &Model,
    config: &CompileConfig,
    progress: &impl Progress,
) -> Result<Calibrated, CompileError> {
    let images = calibration_images(&model.description, config)?;
    calibrate_on(model, images, config.tolerance, progress)
}

/// The same over images that were found or are in memory; see [`CompileConfig::tolerance`].
///
/// # Errors
/// One cannot be read, there are none, or tract computes something else.
pub fn calibrate_on(
    model: &Model,
    images: Vec<ImageFile>,
    tolerance: f32,
    progress: &impl Progress,
) -> Result<Calibrated, CompileError> {
    let description = &model.description;
    if images.is_empty() {
        return Err(CompileError::NoCalibration {
            model: description.onnx.clone(),
        });
    }
    let load = |image: &ImageFile| -> Result<Vec<f32>, CompileError> {
        progress.go_on()?;
        let pixels = image.load(&description.input)?;
        progress.advance();
        Ok(images::normalise(&pixels, &description.input))
    };

    // One run of the float network shows what its values are like, and is what tract
    // confirms.
    progress.begin("comparing with tract and calibrating", images.len());
    let compare = |number: usize, image: &[f32], scores: &[f32]| {
        let compared = model.reference.compare(number, image, scores, tolerance);
        compared.map_err(|source| CompileError::Reference {
            onnx: description.onnx.clone(),
            source,
        })
    };
    let mut network = model.network.clone();
    let load_number = |number: usize| load(&images[number]);
    let (mut calibration, compared) =
        calibrate::observe(&network, images.len(), load_number, compare)?;
    let comparison: Comparison = compared.into_iter().collect();
    progress.end();
    let equalisation = description.quantization.equalisation;
    if equalisation == Equalisation::On
        && model.qdq.is_none()
        && let Some(equalised) = equalise(&network, &calibration)
    {
        progress.begin("calibrating what was equalised", images.len());
        (calibration, _) =
            calibrate::observe(&equalised, images.len(), load_number, |_, _, _| Ok(()))?;
        network = equalised;
        progress.end();
    }
    Ok(Calibrated {
        comparison,
        network,
        images,
        calibration,
        tolerance,
    })
}

impl Calibrated {
    /// At most `most` of the calibration images, spread over all of them.
    pub(crate) fn spread(&self, most: usize) -> impl Iterator<Item = &ImageFile> {
        let every = self.images.len().div_ceil(most).max(1);
        self.images.iter().step_by(every)
    }

    /// Findings about the calibration images.
    ///
    /// # Errors
    /// An image cannot be read.
    pub fn findings(&self, model: &Model) -> Result<Vec<Finding>, ImageError> {
        let input = &model.description.input;
        let sample = self.spread(calibrate::MAX_IMAGES).map(|file| {
            Ok(LabelledPixels {
                pixels: file.load(input)?,
                label: file.label,
            })
        });
        let sample = sample.collect::<Result<Vec<_>, ImageError>>()?;
        let count = self.images.len();
        Ok(calibrate::findings(&model.network, input, &sample, count))
    }

    /// Quantizes the model with `precision`, by the methods that its description
    /// chooses; the ranges with it.
    ///
    /// # Errors
    /// The network has no integer form.
    pub fn quantize(
        &self,
        model: &Model,
        precision: &Precision,
    ) -> Result<(Ranges, QuantModel), CompileError> {
        self.quantize_with(model, precision, model.description.quantization.rounding)
    }

    /// The same with weights rounded by another method than the description's.
    ///
    /// # Errors
    /// The network has no integer form.
    pub fn quantize_with(
        &self,
        model: &Model,
        precision: &Precision,
        rounding: RoundingMethod,
    ) -> Result<(Ranges, QuantModel), CompileError> {
        let description = &model.description;
        let method = match model.qdq {
            Some(_) => RangeMethod::MinMax,
            None => description.quantization.ranges,
        };
        let mut ranges = self.calibration.ranges(&self.network, method, precision);
        if let Some(rounding) = &model.qdq {
            rounding.scales.apply(&mut ranges);
        }
        let precision = &self.calibration.with_shifts(&ranges, precision);
        let correction = description.quantization.bias_correction;
        let rounding = quantize::Rounding {
            outputs: (rounding == RoundingMethod::Output).then_some(&self.calibration),
            correction: (correction == BiasCorrection::On).then_some(&self.calibration),
        };
        let pixels = pixels(&description.input);
        let mut quantized =
            quantize::quantize_rounded(&self.network, &ranges, &pixels, precision, rounding)
                .map_err(|source| CompileError::Quantize {
                    onnx: description.onnx.clone(),
                    source,
                })?;
        quantized.outputs = outputs(model);
        Ok((ranges, quantized))
    }

    /// Quantizes the model with the chosen precision, schedules and places it.
    ///
    /// # Errors
    /// The network has no integer form, or its buffers no place.
    pub fn compile(
        &self,
        model: &Model,
        choice: impl Into<Choice>,
        config: &ScheduleConfig,
    ) -> Result<Compiled, CompileError> {
        let choice = choice.into();
        let (ranges, quantized) = self.quantize(model, &choice.precision)?;
        let schedule = schedule::schedule(&quantized, config);
        let memory = memory::plan(&schedule)?;
        // A file is only confirmed as it was trained, not with other bits.
        let trained = match &model.qdq {
            Some(rounding) if rounding.scales.precision(&model.network) == choice.precision => {
                let program = program::program(&quantized, &schedule, &memory);
                let trained = confirm(model, rounding, &program, &self.images, self.tolerance)?;
                Some(trained)
            }
            _ => None,
        };
        Ok(Compiled {
            comparison: self.comparison,
            ranges,
            trained,
            choice,
            quantized,
            schedule,
            memory,
            description: Description {
                name: model.description.name.clone(),
                labels: match (&model.description.labels[..], model.network.classes()) {
                    ([_, label], 1) => vec![label.clone()],
                    (labels, _) => labels.to_vec(),
                },
            },
        })
    }
}

fn calibration_images(
    description: &ModelDescription,
    config: &CompileConfig,
) -> Result<Vec<ImageFile>, CompileError> {
    let folder = config
        .calibration
        .as_ref()
        .or(description.calibration.as_ref())
        .ok_or_else(|| CompileError::NoCalibration {
            model: description.onnx.clone(),
        })?;
    Ok(images::list(folder, &description.labels)?)
}

/// The maps that the description asks for, and the last one of a network without a
/// head.
fn outputs(model: &Model) -> Vec<QuantOutput> {
    let network = &model.network;
    let asked = model.description.outputs.iter().filter_map(|name| {
        let layer = network.map(name)?;
        let name = name.clone();
        Some(QuantOutput { name, layer })
    });
    let mut outputs: Vec<_> = asked.collect();
    let last = network.layers.len().saturating_sub(1);
    if !network.has_head() && outputs.iter().all(|output| output.layer != last) {
        let name = "features".to_owned();
        outputs.push(QuantOutput { name, layer: last });
    }
    outputs
}

/// The description's normalisation, as the quantizer folds it.
fn pixels(input: &InputDescription) -> Pixels {
    let count = input.channels.count();
    Pixels {
        mean: input.mean.clone(),
        std: input.std.clone(),
        order: match input.channels {
            Channels::Bgr => (0..count).rev().collect(),
            Channels::Rgb | Channels::Gray | Channels::Rgba => (0..count).collect(),
        },
    }
}

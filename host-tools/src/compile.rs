//! The whole way from a model description to a placed, quantized network.

use std::path::{Path, PathBuf};

use tadpool_kernels::layout::Layout;

use crate::as_written::{self, ConfirmError, Confirmation};
use crate::calibrate::{self, Calibration, Finding, LabelledPixels};
use crate::codegen::{self, Description, Generated};
use crate::grids::Kept;
use crate::images::{self, ImageError, ImageFile};
use crate::import::{self, ImportError, Rounding};
use crate::ir::MetaFormer;
use crate::memory::{self, MemoryError, MemoryPlan};
use crate::model_toml::{
    self, Channels, DescriptionError, InputDescription, ModelDescription, RangeMethod,
    RoundingMethod,
};
use crate::precision::{Precision, PrecisionError};
use crate::program::{self, Program};
use crate::progress::Progress;
use crate::quant_model::QuantModel;
use crate::quantize::{self, Pixels, QuantError};
use crate::ranges::Ranges;
use crate::reference::{self, Comparison, Reference, ReferenceError};
use crate::schedule::{self, Schedule, ScheduleConfig};

/// A model as its files say, imported.
#[derive(Debug)]
pub struct Model {
    /// How its images and classes are read.
    pub description: ModelDescription,
    /// The float network.
    pub network: MetaFormer,
    /// What the file rounds its values to, if it was trained for integers.
    pub rounding: Option<Rounding>,
    /// The original file, run by tract.
    pub reference: Reference,
}

/// Choices of a compilation.
#[derive(Debug, Clone, PartialEq)]
pub struct CompileConfig {
    /// Folder of calibration images, instead of the description's.
    pub calibration: Option<PathBuf>,
    /// Largest difference between a logit of the imported network and tract's.
    pub tolerance: f32,
    /// Bits of each layer's weights and stream, instead of the description's.
    pub precision: Option<Precision>,
    /// Choices of the schedule.
    pub schedule: ScheduleConfig,
}

/// A network ready for simulation and code generation.
#[derive(Debug)]
pub struct Compiled {
    /// How far the imported network is from tract, over the calibration images.
    pub comparison: Comparison,
    /// What calibration measured, or what the network was trained with.
    pub ranges: Ranges,
    /// What became of the file's own grids, if it has any.
    pub trained: Option<Trained>,
    /// Bits of each layer.
    pub precision: Precision,
    /// The integer network.
    pub quantized: QuantModel,
    /// Its steps and buffers.
    pub schedule: Schedule,
    /// Where the buffers lie.
    pub memory: MemoryPlan,
    /// Name and labels for the generated source.
    pub description: Description,
}

/// What became of the grids that a network was trained for.
#[derive(Debug)]
pub struct Trained {
    /// Which of them the integer network has.
    pub kept: Kept,
    /// How it compares with the file as written.
    pub confirmation: Confirmation,
}

/// Why a model cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The description cannot be used.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The ONNX file cannot be used.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// An image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The import is not confirmed by tract.
    #[error("`{}`: {source}", onnx.display())]
    Reference {
        /// The ONNX file.
        onnx: PathBuf,
        /// What differs.
        source: ReferenceError,
    },
    /// The integer network is not what the file says.
    #[error("`{}`: {source}", onnx.display())]
    Confirm {
        /// The ONNX file.
        onnx: PathBuf,
        /// What differs.
        source: ConfirmError,
    },
    /// No calibration images were named.
    #[error(
        "`{}` names no calibration images: pass `--calibration FOLDER` (about 200 training \
         images), or set `data.calibration` in the model description",
        model.display()
    )]
    NoCalibration {
        /// The ONNX file.
        model: PathBuf,
    },
    /// The precision does not fit the network.
    #[error("`{}`: {source}", model.display())]
    Precision {
        /// The ONNX file.
        model: PathBuf,
        /// Which name, and why.
        source: PrecisionError,
    },
    /// The network has no integer form.
    #[error("`{}`: {source}", onnx.display())]
    Quantize {
        /// The ONNX file.
        onnx: PathBuf,
        /// Which layer, and why.
        source: QuantError,
    },
    /// The buffers have no place.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl Default for CompileConfig {
    fn default() -> Self {
        Self {
            calibration: None,
            tolerance: reference::DEFAULT_TOLERANCE,
            precision: None,
            schedule: ScheduleConfig::default(),
        }
    }
}

/// Reads and imports `path`: a model description if its name ends in `.toml`,
/// else a bare ONNX file.
///
/// # Errors
/// The description, the ONNX file or their combination cannot be used.
pub fn load(path: &Path) -> Result<Model, CompileError> {
    let described = match path.extension() {
        Some(extension) if extension == "toml" => Some(model_toml::read(path)?),
        _ => None,
    };
    let onnx = described
        .as_ref()
        .map_or(path, |description| &description.onnx)
        .to_owned();
    let imported = import::import_file(&onnx)?;
    let description = described
        .unwrap_or_else(|| ModelDescription::of_onnx(&onnx, &imported.model))
        .fit(&imported.model)?;
    let reference = Reference::new(&imported.bytes, imported.model.input)
        .map_err(|source| CompileError::Reference { onnx, source })?;
    Ok(Model {
        description,
        network: imported.model,
        rounding: imported.rounding,
        reference,
    })
}

/// What the calibration images show of a model: enough to quantize it in any
/// precision.
#[derive(Debug)]
pub struct Calibrated {
    /// How far the imported network is from tract, over the calibration images.
    pub comparison: Comparison,
    /// The images.
    pub images: Vec<ImageFile>,
    /// What the float network makes of them.
    pub calibration: Calibration,
    /// See [`CompileConfig::tolerance`].
    tolerance: f32,
}

/// Compares `model` with tract, calibrates, quantizes, schedules and places it.
///
/// # Errors
/// A [`CompileError`] of the first stage that fails.
pub fn compile(
    model: &Model,
    config: &CompileConfig,
    progress: &impl Progress,
) -> Result<Compiled, CompileError> {
    let precision = match &config.precision {
        Some(precision) => precision.clone(),
        None => precision(model)?,
    };
    calibrate(model, config, progress)?.compile(model, precision, &config.schedule)
}

/// The precision that the model was trained for, or that its description chooses.
///
/// # Errors
/// A pin does not fit the network.
pub fn precision(model: &Model) -> Result<Precision, CompileError> {
    let (network, choice) = (&model.network, &model.description.quantization);
    let chosen = match &model.rounding {
        Some(rounding) => rounding
            .grids
            .precision(network)
            .pinned(network, &choice.pins),
        None => Precision::chosen(network, choice),
    };
    chosen.map_err(|source| CompileError::Precision {
        model: model.description.onnx.clone(),
        source,
    })
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
    let description = &model.description;
    let images = calibration_images(description, config)?;
    let load = |image: &ImageFile| -> Result<Vec<f32>, ImageError> {
        let pixels = images::load(&image.path, &description.input)?;
        progress.advance();
        Ok(images::normalise(&pixels, &description.input))
    };

    progress.begin("comparing with tract", images.len());
    let inputs = images.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    let comparison =
        reference::compare(&model.network, &model.reference, &inputs, config.tolerance).map_err(
            |source| CompileError::Reference {
                onnx: description.onnx.clone(),
                source,
            },
        )?;
    progress.end();

    progress.begin("calibrating", images.len());
    let calibration =
        calibrate::observe(&model.network, images.len(), |index| load(&images[index]))?;
    progress.end();
    Ok(Calibrated {
        comparison,
        images,
        calibration,
        tolerance: config.tolerance,
    })
}

impl Calibrated {
    /// What is odd about the calibration images.
    ///
    /// # Errors
    /// An image cannot be read.
    pub fn findings(&self, model: &Model) -> Result<Vec<Finding>, ImageError> {
        let input = &model.description.input;
        let every = self.images.len().div_ceil(calibrate::MAX_IMAGES).max(1);
        let files = self.images.iter().step_by(every);
        let sample = files.map(|file| {
            Ok(LabelledPixels {
                pixels: images::load(&file.path, input)?,
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
        let description = &model.description;
        let method = match model.rounding {
            Some(_) => RangeMethod::MinMax,
            None => description.quantization.ranges,
        };
        let mut ranges = self.calibration.ranges(&model.network, method, precision);
        if let Some(rounding) = &model.rounding {
            rounding.grids.apply(&mut ranges);
        }
        let rounding = match description.quantization.rounding {
            RoundingMethod::Nearest => quantize::Rounding::Nearest,
            RoundingMethod::Output => quantize::Rounding::Output(&self.calibration),
        };
        let pixels = pixels(&description.input);
        let quantized =
            quantize::quantize_rounded(&model.network, &ranges, &pixels, precision, rounding)
                .map_err(|source| CompileError::Quantize {
                    onnx: description.onnx.clone(),
                    source,
                })?;
        Ok((ranges, quantized))
    }

    /// Quantizes the model with `precision`, schedules and places it.
    ///
    /// # Errors
    /// The network has no integer form, or its buffers no place.
    pub fn compile(
        &self,
        model: &Model,
        precision: Precision,
        config: &ScheduleConfig,
    ) -> Result<Compiled, CompileError> {
        let (ranges, quantized) = self.quantize(model, &precision)?;
        let schedule = schedule::schedule(&quantized, config);
        let memory = memory::plan(&schedule)?;
        // A file is only confirmed as it was trained, not with other bits.
        let trained = match &model.rounding {
            Some(rounding) if rounding.grids.precision(&model.network) == precision => {
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
            precision,
            quantized,
            schedule,
            memory,
            description: Description {
                name: model.description.name.clone(),
                labels: model.description.labels.clone(),
            },
        })
    }
}

impl Compiled {
    /// The steps with their constants and places.
    pub fn program(&self) -> Program<'_> {
        program::program(&self.quantized, &self.schedule, &self.memory)
    }

    /// The source of the generated crate, for kernels that read `layout`.
    pub fn generate(&self, layout: Layout) -> Generated {
        codegen::generate(&self.program(), &self.description, layout)
    }
}

/// Images on which a file with rounding is evaluated as it is written: slowly.
const CONFIRMED_IMAGES: usize = 4;

/// Compares the integer network with the file as written.
fn confirm(
    model: &Model,
    rounding: &Rounding,
    program: &Program<'_>,
    images: &[ImageFile],
    tolerance: f32,
) -> Result<Trained, CompileError> {
    let input = &model.description.input;
    let every = (images.len() / CONFIRMED_IMAGES).max(1);
    let inputs = images
        .iter()
        .step_by(every)
        .take(CONFIRMED_IMAGES)
        .map(|image| {
            let pixels = images::load(&image.path, input)?;
            Ok((images::normalise(&pixels, input), pixels))
        })
        .collect::<Result<Vec<_>, ImageError>>()?;
    let file = &rounding.as_written;
    let confirmation = as_written::confirm(file, &model.network, program, &inputs, tolerance)
        .map_err(|source| CompileError::Confirm {
            onnx: model.description.onnx.clone(),
            source,
        })?;
    Ok(Trained {
        kept: rounding.grids.kept(&model.network),
        confirmation,
    })
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

/// The description's normalisation, as the quantizer folds it.
fn pixels(input: &InputDescription) -> Pixels {
    let count = input.channels.count();
    Pixels {
        mean: input.mean.clone(),
        std: input.std.clone(),
        order: match input.channels {
            Channels::Bgr => (0..count).rev().collect(),
            Channels::Rgb | Channels::Gray => (0..count).collect(),
        },
    }
}

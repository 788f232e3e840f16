//! The whole way from a model description to a placed, quantized network.

mod calibrated;
mod files;
mod sample;
mod trained;
pub mod widen;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use tadpool_boards::{Board, KernelVariant};
use tadpool_input::text::shown;
use tadpool_kernels::Fault;

use crate::calibrate::ranges::Ranges;
use crate::generate::{self, Choices, Description, Generated};
use crate::given::images::ImageError;
use crate::given::model_toml::{DescriptionError, ModelDescription};
use crate::import::interpreter::ConfirmError;
use crate::import::reference::{self, Comparison, Reference, ReferenceError};
use crate::import::{self, ImportError, Qdq};
use crate::network::MetaFormer;
use crate::place::memory::{MemoryError, MemoryPlan};
use crate::place::program::{self, Program};
use crate::place::schedule::{Schedule, ScheduleConfig};
use crate::progress::{Progress, Stopped};
use crate::quantize::QuantError;
use crate::quantize::precision::{Choice, Precision, PrecisionError};
use crate::quantize::quant_model::QuantModel;

pub use calibrated::{Calibrated, calibrate, calibrate_on};
pub use files::{ModelFiles, files_read};
pub use sample::{ENOUGH_DB, Lowest, Quality};
pub use trained::Trained;

/// A model as its files say, imported.
#[derive(Debug, Clone)]
pub struct Model {
    /// How its images and classes are read.
    pub description: ModelDescription,
    /// The float network.
    pub network: MetaFormer,
    /// The file's own rounding, if it was trained for integers.
    pub qdq: Option<Qdq>,
    /// The original file, run by tract.
    pub reference: Reference,
    /// What was read.
    pub files: ModelFiles,
    /// Notes on the import, a sentence each.
    pub notes: Vec<String>,
}

/// Choices of a compilation.
#[derive(Debug, Clone, PartialEq)]
pub struct CompileConfig {
    /// Folder of calibration images, instead of the description's.
    pub calibration: Option<PathBuf>,
    /// Largest difference between a logit of the imported network and tract's, times the
    /// image's largest logit if that is above one.
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
    /// The ranges of calibration, or those that the network was trained with.
    pub ranges: Ranges,
    /// The use made of the file's own scales, if it has any.
    pub trained: Option<Trained>,
    /// Bits of each layer, and which stages got more than the description says.
    pub choice: Choice,
    /// The integer network.
    pub quantized: QuantModel,
    /// Its steps and buffers.
    pub schedule: Schedule,
    /// Where the buffers lie.
    pub memory: MemoryPlan,
    /// Name and labels for the generated source.
    pub description: Description,
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
        /// The field that differs.
        source: ReferenceError,
    },
    /// The integer network is not what the file says.
    #[error("`{}`: {source}", onnx.display())]
    Confirm {
        /// The ONNX file.
        onnx: PathBuf,
        /// The field that differs.
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
    /// A folder stands for its description, and has none.
    #[error("folder `{}` has no `model.toml`; {}", shown(folder), remedy(networks))]
    NoDescription {
        /// The folder.
        folder: PathBuf,
        /// The ONNX files in it.
        networks: Vec<PathBuf>,
    },
    /// The buffers have no place.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The integer network does not run.
    #[error("the integer network does not run: {0}")]
    Fault(#[from] Fault),
    /// Nobody wants the result any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
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

/// The file that somebody names by `path`: the `model.toml` in it if it is a folder.
pub fn file_of(path: &Path) -> Cow<'_, Path> {
    match path.is_dir() {
        true => Cow::Owned(path.join("model.toml")),
        false => Cow::Borrowed(path),
    }
}

/// The ONNX files in a folder, by name.
fn networks(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_network = |path: &PathBuf| path.extension().is_some_and(|end| end == "onnx");
    let mut networks: Vec<PathBuf> = paths.filter(is_network).collect();
    networks.sort();
    networks
}

/// The remedy for a folder without a description.
fn remedy(networks: &[PathBuf]) -> String {
    match networks {
        [] => "name a description, the folder of one, or an ONNX file".to_owned(),
        [network] => format!("`tadpool init {}` writes one", shown(network)),
        [first, ..] => format!(
            "`tadpool init` writes one for an ONNX file, of which it has {}, such as `{}`",
            networks.len(),
            shown(first)
        ),
    }
}

/// Reads and imports `path`: a model description if its name ends in `.toml`, the
/// `model.toml` in it if it is a folder, else a bare ONNX file.
///
/// # Errors
/// The description, the ONNX file or their combination cannot be used.
pub fn load(path: &Path) -> Result<Model, CompileError> {
    import(ModelFiles::read(path)?)
}

/// Imports a model whose files were read.
///
/// # Errors
/// The description, the ONNX file or their combination cannot be used.
pub fn import(files: ModelFiles) -> Result<Model, CompileError> {
    let described = files.described()?;
    let onnx = described
        .as_ref()
        .map_or(&files.path, |description| &description.onnx)
        .to_owned();
    let size = described
        .as_ref()
        .map(|description| [description.input.height, description.input.width]);
    let imported = import::import_read(files.onnx.clone(), &shown(&onnx), size)?;
    let description = described
        .unwrap_or_else(|| ModelDescription::of_onnx(&onnx, &imported.model))
        .fit(&imported.model)?
        .fed_as(&imported.input)?;
    let shape = imported.model.input;
    let reference = Reference::of(&imported.bytes, shape, imported.input)
        .map_err(|source| CompileError::Reference { onnx, source })?;
    Ok(Model {
        description,
        network: imported.model,
        qdq: imported.qdq,
        reference,
        files,
        notes: imported.notes,
    })
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
    let base = match &config.precision {
        Some(precision) => precision.clone(),
        None => precision(model)?,
    };
    let calibrated = calibrate(model, config, progress)?;
    let choice = match &config.precision {
        Some(_) => base.into(),
        None => widen::choose(model, &calibrated, base, progress)?,
    };
    calibrated.compile(model, choice, &config.schedule)
}

/// The precision that the model was trained for, or that its description chooses
/// before anything is measured.
///
/// # Errors
/// A pin does not fit the network.
pub fn precision(model: &Model) -> Result<Precision, CompileError> {
    let (network, choice) = (&model.network, &model.description.quantization);
    let chosen = match &model.qdq {
        Some(qdq) => qdq.scales.precision(network).pinned(network, &choice.pins),
        None => Precision::chosen(network, choice),
    };
    chosen.map_err(|source| CompileError::Precision {
        model: model.description.onnx.clone(),
        source,
    })
}

impl Compiled {
    /// The steps with their constants and places.
    pub fn program(&self) -> Program<'_> {
        program::program(&self.quantized, &self.schedule, &self.memory)
    }

    /// The source of the generated crate, for these kernels.
    pub fn generate(&self, kernels: KernelVariant) -> Generated {
        self.generate_with(generate::layout(kernels))
    }

    /// The same for a board: in slots, where it has them.
    pub fn generate_for(&self, board: &Board) -> Generated {
        self.generate_with(Choices {
            slots: board.layout.weight_slots,
            ..generate::layout(board.kernels).into()
        })
    }

    /// The same with other choices.
    pub fn generate_with(&self, choices: impl Into<Choices>) -> Generated {
        generate::generate(&self.program(), &self.description, choices)
    }
}

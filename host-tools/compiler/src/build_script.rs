//! Code generation from a build script, for applications that bring their own
//! firmware.
//!
//! ```no_run
//! // build.rs
//! use tadpool_compiler::KernelVariant;
//! use tadpool_compiler::build_script::Model;
//!
//! Model::new("faces.toml").module("faces").kernels(KernelVariant::Dsp).generate();
//! Model::new("gestures.toml").module("gestures").kernels(KernelVariant::Dsp).generate();
//! ```
//!
//! ```ignore
//! // src/main.rs
//! mod faces {
//!     include!(concat!(env!("OUT_DIR"), "/faces/model.rs"));
//! }
//! ```
//!
//! The application depends on `tadpool-kernels` with the feature of the same
//! name as the variant.
//!
//! Cargo builds a build script and all of its dependencies without optimisation, so that
//! this way compiles for minutes the first time and then takes as long again for a network.
//! `tadpool-build` has the same form, and asks the installed `tadpool`; where this one is
//! needed, `[profile.dev.build-override] opt-level = 2` makes networks fast and the first
//! build slow.

use std::path::{Path, PathBuf};

use tadpool_build::BuildError;
use tadpool_build::inputs::{self, Inputs};

use crate::compile::{self, CompileConfig, CompileError};
use crate::generate::{self, Choices};
use crate::given::model_toml::{Feed, Quantization};
use crate::output::OutputError;
use tadpool_boards::KernelVariant;
use tadpool_input::text::escaped_lines;

/// Why a build script cannot generate a model.
#[derive(Debug, thiserror::Error)]
pub enum BuildScriptError {
    /// Cargo did not say where generated files go.
    #[error("`OUT_DIR` is not set: call this from a build script")]
    NoOutputFolder,
    /// The model cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The list of inputs cannot be stored.
    #[error(transparent)]
    Remember(#[from] BuildError),
}

/// A model to be generated.
#[derive(Debug, Clone)]
#[must_use = "nothing is done before `generate`"]
pub struct Model {
    path: PathBuf,
    module: PathBuf,
    kernels: KernelVariant,
    section: Option<String>,
    feed: Option<Feed>,
    quantization: Option<Quantization>,
    config: CompileConfig,
}

impl Model {
    /// The model of a description or an ONNX file, relative to the package, for kernels
    /// that every core has, into `OUT_DIR/model`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            module: "model".into(),
            kernels: KernelVariant::Portable,
            section: None,
            feed: None,
            quantization: None,
            config: CompileConfig::default(),
        }
    }

    /// The kernels that its weights are packed for.
    pub fn kernels(mut self, kernels: KernelVariant) -> Self {
        self.kernels = kernels;
        self
    }

    /// The folder of `OUT_DIR` that its `model.rs` goes to, instead of `model`.
    pub fn module(mut self, name: &str) -> Self {
        self.module = name.into();
        self
    }

    /// The folder of images for the activation ranges, instead of the description's.
    pub fn calibration(mut self, images: impl AsRef<Path>) -> Self {
        self.config.calibration = Some(images.as_ref().to_owned());
        self
    }

    /// See [`CompileConfig::tolerance`].
    pub fn tolerance(mut self, tolerance: f32) -> Self {
        self.config.tolerance = tolerance;
        self
    }

    /// Tokens that a matrix product takes at a time, 1 to 64: more RAM, fewer loads.
    pub fn tile_tokens(mut self, tokens: usize) -> Self {
        self.config.schedule.tile_tokens = tokens.clamp(1, 64);
        self
    }

    /// How the firmware takes an image, instead of as the description says.
    pub fn feed(mut self, feed: Feed) -> Self {
        self.feed = Some(feed);
        self
    }

    /// How numbers become integers, instead of as the description says.
    pub fn quantization(mut self, quantization: Quantization) -> Self {
        self.quantization = Some(quantization);
        self
    }

    /// The linker's section for weights and tables.
    pub fn weights_section(mut self, name: &str) -> Self {
        self.section = Some(name.to_owned());
        self
    }

    /// Generates `OUT_DIR/MODULE/model.rs`, and tells cargo when to do it again.
    ///
    /// If that fails, it ends the build script with the text of a [`BuildScriptError`].
    pub fn generate(&self) {
        if let Err(error) = self.try_generate() {
            tadpool_build::fail(&escaped_lines(&error.to_string()));
        }
    }

    /// As [`Model::generate`], for build scripts that handle errors themselves.
    ///
    /// # Errors
    /// A [`BuildScriptError`].
    pub fn try_generate(&self) -> Result<(), BuildScriptError> {
        let output = std::env::var_os("OUT_DIR").ok_or(BuildScriptError::NoOutputFolder)?;
        let folder = Path::new(&output).join(&self.module);
        let mut inputs = Inputs::new(&folder);
        inputs.add_text(&[env!("CARGO_PKG_VERSION"), &format!("{self:?}")]);
        if let Ok(script) = std::env::current_exe() {
            // It holds the compiler.
            inputs.add_program(&script);
        }
        let unchanged = inputs.are_unchanged();
        let read = compile::files_read(&self.path, self.config.calibration.as_deref());
        read.iter().for_each(|path| inputs::watch(path));
        if unchanged {
            return Ok(());
        }
        inputs.forget()?;
        self.write(&folder)?;
        inputs.remember(read.into_iter())?;
        Ok(())
    }

    fn write(&self, folder: &Path) -> Result<(), BuildScriptError> {
        let mut model = compile::load(&self.path)?;
        let description = &mut model.description;
        description.input.feed = self.feed.unwrap_or(description.input.feed);
        if let Some(quantization) = &self.quantization {
            description.quantization = quantization.clone();
        }
        let mut config = self.config.clone();
        config.schedule.feed = description.input.feed;
        let compiled = compile::compile(&model, &config, &())?;
        let choices = Choices {
            layout: generate::layout(self.kernels),
            section: self.section.clone(),
            slots: false,
        };
        compiled.generate_with(choices).write_module(folder, &[])?;
        Ok(())
    }
}

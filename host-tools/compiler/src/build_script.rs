//! Code generation from a build script, for applications that bring their own
//! firmware.
//!
//! ```no_run
//! // build.rs
//! use tadpool_compiler::KernelVariant;
//!
//! tadpool_compiler::build_script::generate("model.toml", KernelVariant::Dsp);
//! ```
//!
//! ```ignore
//! // src/main.rs
//! #[allow(dead_code, unreachable_pub)]
//! mod model {
//!     include!(concat!(env!("OUT_DIR"), "/model.rs"));
//! }
//! ```
//!
//! The application depends on `tadpool-kernels` with the feature of the same
//! name as the variant.

use std::path::{Path, PathBuf};

use crate::compile::{self, CompileConfig, CompileError};
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
}

/// Compiles `model` (a model description or an ONNX file, relative to the
/// package) into `OUT_DIR`, and tells cargo when to do it again.
///
/// # Panics
/// With the text of a [`BuildScriptError`], which is how a build script fails.
pub fn generate(model: impl AsRef<Path>, kernels: KernelVariant) {
    if let Err(error) = try_generate(model.as_ref(), kernels) {
        panic!("tadpool: {}", escaped_lines(&error.to_string()));
    }
}

/// As [`generate`], for build scripts that handle errors themselves.
///
/// # Errors
/// A [`BuildScriptError`].
pub fn try_generate(model: &Path, kernels: KernelVariant) -> Result<(), BuildScriptError> {
    let folder = std::env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .ok_or(BuildScriptError::NoOutputFolder)?;
    watch(model);
    let loaded = compile::load(model)?;
    watch(&loaded.description.onnx);
    if let Some(images) = &loaded.description.calibration {
        watch(images);
    }
    let compiled = compile::compile(&loaded, &CompileConfig::default(), &())?;
    compiled.generate(kernels).write_module(&folder)?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "how a build script speaks to cargo")]
fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

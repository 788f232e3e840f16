//! From an ONNX file to the MetaFormer IR, and all that can go wrong with it.

use std::fmt::Write;
use std::path::Path;

use crate::fold::{FoldError, fold};
use crate::ir::MetaFormer;
use crate::onnx::{self, OnnxError};
use crate::recognise::{Unsupported, recognise};

/// An imported network and the bytes that it was read from.
#[derive(Debug)]
pub struct Imported {
    /// The recognised network.
    pub model: MetaFormer,
    /// The ONNX file, for the float reference.
    pub bytes: Vec<u8>,
}

/// Why a file could not be imported; `file` is the name given by the caller.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not an ONNX network that can be read.
    #[error("`{file}`: {source}")]
    Onnx {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: OnnxError,
    },
    /// The graph contradicts itself.
    #[error("`{file}`: {source}")]
    Fold {
        /// The file.
        file: String,
        /// The first contradiction.
        source: FoldError,
    },
    /// The network is not a supported MetaFormer.
    #[error("`{file}` is not a supported MetaFormer:{}", list(problems))]
    Unsupported {
        /// The file.
        file: String,
        /// Everything that is not supported, in execution order; never empty.
        problems: Vec<Unsupported>,
    },
}

/// Imports the file at `path`.
///
/// # Errors
/// See [`ImportError`].
pub fn import_file(path: &Path) -> Result<Imported, ImportError> {
    let file = path.display().to_string();
    let bytes = onnx::read_file(path).map_err(|source| ImportError::Onnx {
        file: file.clone(),
        source,
    })?;
    let model = import(&bytes, &file)?;
    Ok(Imported { model, bytes })
}

/// Imports an ONNX file's bytes; `file` names it in errors.
///
/// # Errors
/// See [`ImportError`].
pub fn import(bytes: &[u8], file: &str) -> Result<MetaFormer, ImportError> {
    let file = || file.to_owned();
    let graph = onnx::read(bytes).map_err(|source| ImportError::Onnx {
        file: file(),
        source,
    })?;
    let graph = fold(graph).map_err(|source| ImportError::Fold {
        file: file(),
        source,
    })?;
    recognise(&graph).map_err(|problems| ImportError::Unsupported {
        file: file(),
        problems,
    })
}

fn list(problems: &[Unsupported]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {problem}");
        text
    })
}

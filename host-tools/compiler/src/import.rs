//! From an ONNX file to the MetaFormer IR, and all that can go wrong with it.

pub mod onnx;

pub mod graph;

pub mod constant_folding;

pub mod recognise;

pub mod trained_scales;

pub mod reference;

pub mod interpreter;

use std::fmt::Write;
use std::path::Path;

use tadpool_input::text::shown;

use crate::import::constant_folding::{FoldError, fold};
use crate::import::interpreter::Interpreter;
use crate::import::onnx::OnnxError;
use crate::import::recognise::{Unsupported, recognise};
use crate::import::trained_scales::TrainedScales;
use crate::network::MetaFormer;

/// An imported network and the bytes that it was read from.
#[derive(Debug)]
pub struct Imported {
    /// The recognised network.
    pub model: MetaFormer,
    /// What the file rounds its values to, if it was trained for integers.
    pub qdq: Option<Qdq>,
    /// The ONNX file for the float reference, which rounds no feature maps and has no node
    /// that the output does not need.
    pub bytes: Vec<u8>,
}

/// What a file says of the integers that it was trained for.
#[derive(Debug)]
pub struct Qdq {
    /// The scales of the layers.
    pub scales: TrainedScales,
    /// The file's own graph, to confirm the integer network.
    pub interpreter: Interpreter,
}

/// A recognised network, and what its file rounds.
#[derive(Debug)]
pub struct WithQdq {
    /// The recognised network.
    pub model: MetaFormer,
    /// None if the file rounds nothing.
    pub qdq: Option<Qdq>,
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
    let file = shown(path);
    let bytes = onnx::read_file(path).map_err(|source| ImportError::Onnx {
        file: file.clone(),
        source,
    })?;
    let WithQdq { model, qdq } = import_with_qdq(&bytes, &file)?;
    let bytes = match qdq {
        Some(_) => onnx::without_qdq(&bytes).map_err(|source| ImportError::Onnx {
            file: file.clone(),
            source,
        })?,
        None => bytes,
    };
    let bytes = onnx::live(bytes).map_err(|source| ImportError::Onnx { file, source })?;
    Ok(Imported { model, qdq, bytes })
}

/// Imports an ONNX file's bytes without what it says of rounding; `file` names it
/// in errors.
///
/// # Errors
/// See [`ImportError`].
pub fn import(bytes: &[u8], file: &str) -> Result<MetaFormer, ImportError> {
    import_with_qdq(bytes, file).map(|imported| imported.model)
}

/// Imports an ONNX file's bytes; `file` names it in errors.
///
/// # Errors
/// See [`ImportError`].
pub fn import_with_qdq(bytes: &[u8], file: &str) -> Result<WithQdq, ImportError> {
    let file = || file.to_owned();
    let graph = onnx::read(bytes).map_err(|source| ImportError::Onnx {
        file: file(),
        source,
    })?;
    let graph = fold(graph).map_err(|source| ImportError::Fold {
        file: file(),
        source,
    })?;
    let (model, scales) = recognise(&graph).map_err(|problems| ImportError::Unsupported {
        file: file(),
        problems,
    })?;
    let input = model.input;
    let qdq = scales.map(|scales| Qdq {
        scales,
        interpreter: Interpreter::new(graph, input),
    });
    Ok(WithQdq { model, qdq })
}

fn list(problems: &[Unsupported]) -> String {
    problems.iter().fold(String::new(), |mut text, problem| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {problem}");
        text
    })
}

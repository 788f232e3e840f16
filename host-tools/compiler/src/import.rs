//! From an ONNX file to the MetaFormer IR, and all that can go wrong with it.

pub mod onnx;

pub mod graph;

pub mod constant_folding;

pub mod normalise;

pub mod recognise;

pub mod trained_scales;

pub mod reference;

pub mod interpreter;

mod forms;

use std::fmt::Write;
use std::path::Path;

use tadpool_input::InputError;
use tadpool_input::text::shown;

use crate::import::constant_folding::{FoldError, fold};
use crate::import::interpreter::Interpreter;
use crate::import::normalise::{FileInput, Normal, normalise};
use crate::import::onnx::OnnxError;
use crate::import::recognise::{Unsupported, recognise};
use crate::import::trained_scales::TrainedScales;
use crate::network::MetaFormer;
pub use forms::{Entry, Forms, forms};

/// An imported network and the bytes that it was read from.
#[derive(Debug)]
pub struct Imported {
    /// The recognised network.
    pub model: MetaFormer,
    /// The file's own rounding, if it was trained for integers.
    pub qdq: Option<Qdq>,
    /// The ONNX file for the float reference, which rounds no feature maps, ends with what
    /// [`model`](Self::model) ends with, and has no node that this does not need.
    pub bytes: Vec<u8>,
    /// How the file takes an image.
    pub input: FileInput,
    /// Sentences for people about what was left out or moved.
    pub notes: Vec<String>,
}

/// A file's own scales, which it was trained for.
#[derive(Debug, Clone)]
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
    /// Whether the file rounds anything that depends on the image.
    pub rounds: bool,
    /// How the file takes an image.
    pub input: FileInput,
    /// Name of the value that the network ends with, unless it is the file's only output.
    pub output: Option<String>,
    /// Sentences for people about what was left out or moved.
    pub notes: Vec<String>,
}

/// Why a file could not be imported; `file` is the name given by the caller.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be opened, or is none.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file is not an ONNX network that can be read.
    #[error("`{file}`: {source}")]
    Onnx {
        /// The file.
        file: String,
        /// The reason.
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
    import_file_of_size(path, None)
}

/// The same for a file whose image may have symbolic height and width, which become `size`.
///
/// # Errors
/// See [`ImportError`].
pub fn import_file_of_size(path: &Path, size: Option<[usize; 2]>) -> Result<Imported, ImportError> {
    import_read(read_file(path)?, &shown(path), size)
}

/// The bytes of the file at `path`, with weights that it keeps in other files of its folder.
///
/// # Errors
/// See [`ImportError`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, ImportError> {
    onnx::read_file(path).map_err(|source| match source {
        // It names the file itself.
        OnnxError::Input(source) => ImportError::Input(source),
        source => ImportError::Onnx {
            file: shown(path),
            source,
        },
    })
}

/// Imports a file that was read by [`read_file`], and is called `file` in errors; see
/// [`import_file_of_size`].
///
/// # Errors
/// See [`ImportError`].
pub fn import_read(
    bytes: Vec<u8>,
    file: &str,
    size: Option<[usize; 2]>,
) -> Result<Imported, ImportError> {
    let file = file.to_owned();
    let WithQdq {
        model,
        qdq,
        rounds,
        input,
        output,
        mut notes,
    } = import_of_size(&bytes, &file, size)?;
    if rounds {
        notes.push(
            "the file rounds its values to integers; what is called float is the network without \
             that rounding"
                .to_owned(),
        );
    }
    let (bytes, is_single) = for_reference(bytes, rounds, output.as_deref())
        .map_err(|source| ImportError::Onnx { file, source })?;
    if !is_single {
        notes.push("the file computes in another precision, here all is float32".to_owned());
    }
    Ok(Imported {
        model,
        qdq,
        bytes,
        input,
        notes,
    })
}

/// The file that the float reference runs, and whether it computed in single precision
/// before.
fn for_reference(
    mut bytes: Vec<u8>,
    rounds: bool,
    output: Option<&str>,
) -> Result<(Vec<u8>, bool), OnnxError> {
    if rounds {
        bytes = onnx::without_qdq(&bytes)?;
    }
    if let Some(output) = output {
        bytes = onnx::ending_with(&bytes, output)?;
    }
    let (bytes, is_single) = match onnx::in_single(&bytes)? {
        Some(single) => (single, false),
        None => (bytes, true),
    };
    Ok((onnx::live(bytes)?, is_single))
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
    import_of_size(bytes, file, None)
}

fn import_of_size(
    bytes: &[u8],
    file: &str,
    size: Option<[usize; 2]>,
) -> Result<WithQdq, ImportError> {
    let file = || file.to_owned();
    let graph = onnx::read(bytes, size).map_err(|source| ImportError::Onnx {
        file: file(),
        source,
    })?;
    let mut graph = fold(graph).map_err(|source| ImportError::Fold {
        file: file(),
        source,
    })?;
    let Normal {
        graph: normal,
        output,
        input,
        notes,
    } = normalise(&graph);
    let (model, scales) = recognise(&normal).map_err(|problems| ImportError::Unsupported {
        file: file(),
        problems,
    })?;
    let is_whole = output == graph.output && graph.others.is_empty();
    let name = (!is_whole).then(|| graph.value(output).name.clone());
    graph.output = output;
    // Even if only the image is rounded, which went with its pre-processing.
    let mut nodes = graph.nodes.iter();
    let rounds = scales.is_some() || nodes.any(|node| node.op == "DequantizeLinear");
    let qdq = scales.map(|scales| Qdq {
        scales,
        interpreter: Interpreter::new(graph, model.input, input.clone()),
    });
    Ok(WithQdq {
        model,
        qdq,
        rounds,
        input,
        output: name,
        notes,
    })
}

/// A line for each kind of problem, with the first node that has it.
fn list(problems: &[Unsupported]) -> String {
    let same = |a: &Unsupported, b: &Unsupported| {
        (&a.op, &a.what, &a.remedy) == (&b.op, &b.what, &b.remedy)
    };
    let mut text = String::new();
    for (index, problem) in problems.iter().enumerate() {
        if problems[..index]
            .iter()
            .any(|earlier| same(earlier, problem))
        {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {problem}");
        let others = problems[index + 1..]
            .iter()
            .filter(|later| same(later, problem));
        match others.count() {
            0 => {}
            others => {
                let _ = write!(text, " ({others} more like it)");
            }
        }
    }
    text
}

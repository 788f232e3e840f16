//! Errors as exceptions of Python, whose classes are in `tadpool/_errors.py`.

use std::io;

use pyo3::exceptions::PyRuntimeError;
use pyo3::{PyErr, import_exception};
use tadpool_compiler::check::CheckError;
use tadpool_compiler::compile::CompileError;
use tadpool_compiler::given::model_toml::DescriptionError;
use tadpool_compiler::import::ImportError;
use tadpool_input::InputError;
use tadpool_operations::OperationError;
use tadpool_probe::record::RecordError;

import_exception!(tadpool._errors, BoardError);
import_exception!(tadpool._errors, BudgetError);
import_exception!(tadpool._errors, BuildError);
import_exception!(tadpool._errors, ImageError);
import_exception!(tadpool._errors, MissingFileError);
import_exception!(tadpool._errors, ModelError);
import_exception!(tadpool._errors, QuantizationError);
import_exception!(tadpool._errors, RecordFileError);
import_exception!(tadpool._errors, UnsupportedModelError);

/// The exception for an operation without a result.
pub(crate) fn raised(error: &OperationError) -> PyErr {
    use OperationError as E;
    let text = error.to_string();
    match error {
        E::Compile(error) => compiling(error),
        E::Check(CheckError::Image(_)) | E::Image(_) => ImageError::new_err(text),
        E::Check(_) | E::Fault(_) | E::Reference(_) | E::Html(_) | E::Json(_) => {
            QuantizationError::new_err(text)
        }
        E::Fit(_) | E::TooSlow { .. } | E::NoClock { .. } => BudgetError::new_err(text),
        E::Firmware(_) | E::Read { .. } | E::Log(_) => BuildError::new_err(text),
        _ => BoardError::new_err(text),
    }
}

/// The exception for a model that cannot be compiled.
fn compiling(error: &CompileError) -> PyErr {
    use CompileError as E;
    let text = error.to_string();
    match error {
        E::Import(ImportError::Unsupported { problems, .. }) => {
            let problems: Vec<_> = problems
                .iter()
                .map(|it| {
                    (
                        it.node.clone(),
                        it.op.clone(),
                        it.what.clone(),
                        it.remedy.clone(),
                    )
                })
                .collect();
            UnsupportedModelError::new_err((text, problems))
        }
        E::Import(ImportError::Input(input)) | E::Description(DescriptionError::Input(input))
            if is_missing(input) =>
        {
            MissingFileError::new_err(text)
        }
        E::Description(_) | E::Import(_) | E::NoDescription { .. } => ModelError::new_err(text),
        E::Image(_) | E::NoCalibration { .. } => ImageError::new_err(text),
        _ => QuantizationError::new_err(text),
    }
}

/// The exception for a record that cannot be read or written.
pub(crate) fn recording(error: &RecordError) -> PyErr {
    match error {
        RecordError::Read(input) if is_missing(input) => {
            MissingFileError::new_err(error.to_string())
        }
        _ => RecordFileError::new_err(error.to_string()),
    }
}

/// The exception for a board that there is not.
pub(crate) fn finding(error: &tadpool_probe::FindError) -> PyErr {
    BoardError::new_err(error.to_string())
}

/// The exception for a picture that cannot be used.
pub(crate) fn picturing(error: &tadpool_compiler::given::images::ImageError) -> PyErr {
    ImageError::new_err(error.to_string())
}

/// The exception for what is a mistake of this package.
pub(crate) fn internal(problem: &str) -> PyErr {
    PyRuntimeError::new_err(format!(
        "tadpool failed: {problem}; this is a mistake in tadpool, please report it"
    ))
}

fn is_missing(error: &InputError) -> bool {
    matches!(error, InputError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

//! The image of a model for a board.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tadpool_compiler::budget;
use tadpool_operations::OperationError;
use tadpool_operations::board_image::{BoardImage, Reach};
use tadpool_operations::compile::Made;
use tadpool_operations::run::run;
use tadpool_probe::Options;

use crate::errors::raised;
use crate::pictures::{Picture, files};
use crate::quantized;
use crate::work::work;

/// The bytes that a limit such as `32K` names.
#[pyfunction]
pub(crate) fn budget_bytes(text: &str) -> PyResult<u64> {
    budget::bytes(text).map_err(|problem| PyValueError::new_err(format!("{text:?} {problem}")))
}

/// The image of a model for a board.
#[pyclass(frozen, module = "tadpool._tadpool")]
pub(crate) struct Image(pub(crate) Arc<Parts>);

/// What it is made of.
pub(crate) struct Parts {
    quantized: Arc<quantized::Parts>,
    compiled: tadpool_compiler::compile::Compiled,
    built: BoardImage,
    json: String,
    text: String,
    warnings: Vec<String>,
}

impl Parts {
    pub(crate) fn new(
        quantized: Arc<quantized::Parts>,
        made: Made,
    ) -> Result<Self, OperationError> {
        Ok(Self {
            quantized,
            json: serde_json::to_string(&made.report)?,
            text: made.report.to_string(),
            warnings: made.report.warnings(),
            built: BoardImage::of(made.board, made.image, &made.generated, &made.compiled),
            compiled: made.compiled,
        })
    }
}

#[pymethods]
impl Image {
    /// The report of the compilation as JSON.
    #[getter]
    fn json(&self) -> &str {
        &self.0.json
    }

    /// The same as the command prints it.
    #[getter]
    fn text(&self) -> &str {
        &self.0.text
    }

    /// Notes on the model, and on steps that are slow on the board.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.0.warnings.clone()
    }

    /// Name of the board.
    #[getter]
    fn board(&self) -> &str {
        &self.0.built.board.name
    }

    /// The ELF file.
    #[getter]
    fn path(&self) -> PathBuf {
        self.0.built.image.path.clone()
    }

    /// Has the board classify pictures; the record as JSON, and what the command prints.
    fn run(
        &self,
        py: Python<'_>,
        pictures: Vec<Picture>,
        probe: Option<String>,
        timeout_s: f64,
        listener: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(String, String)> {
        let parts = Arc::clone(&self.0);
        let pictures = files(pictures);
        let reach = Reach {
            options: Options {
                probe,
                ..Options::default()
            },
            timeout: Duration::from_secs_f64(timeout_s),
        };
        tadpool_probe::check(&parts.built.board, &reach.options)
            .map_err(|error| raised(&OperationError::Runner(error.into())))?;
        work(py, listener, move |watch| {
            let (model, compiled) = (&parts.quantized.model, &parts.compiled);
            let on = (&parts.built, &reach);
            let ran = run(model, compiled, on, &pictures, |_| {}, watch)?;
            let record = ran.record(model, compiled, &parts.built)?;
            Ok((serde_json::to_string(&record)?, ran.report.to_string()))
        })
    }
}

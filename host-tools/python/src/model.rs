//! A model that was loaded.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use tadpool_compiler::compile::{self, ModelFiles, widen};
use tadpool_compiler::given::model_toml::{Bits, Channels, Feed, Quantization};
use tadpool_compiler::place::schedule::ScheduleConfig;

use crate::pictures::{Picture, files};
use crate::quantized::{Parts, Quantized};
use crate::work::work;

/// A model that was loaded.
#[pyclass(frozen, module = "tadpool._tadpool")]
pub(crate) struct Model(Arc<compile::Model>);

/// Choices of [`Model::quantize`], by name.
type Named = Vec<(String, String)>;

#[pymethods]
impl Model {
    /// Reads a model description, the folder of one, or an ONNX file.
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let loaded = work(py, None, move |_| Ok(compile::load(&path)?))?;
        Ok(Self(Arc::new(loaded)))
    }

    /// Imports what `files` returned, or a description and an ONNX file of that form.
    #[staticmethod]
    fn of_files(
        py: Python<'_>,
        path: PathBuf,
        description: Option<String>,
        onnx: PyBackedBytes,
    ) -> PyResult<Self> {
        let files = ModelFiles {
            path,
            description,
            onnx: onnx.to_vec(),
        };
        let imported = work(py, None, move |_| Ok(compile::import(files)?))?;
        Ok(Self(Arc::new(imported)))
    }

    /// Path, description and ONNX file.
    fn files<'py>(&self, py: Python<'py>) -> (PathBuf, Option<String>, Bound<'py, PyBytes>) {
        let files = &self.0.files;
        let onnx = PyBytes::new(py, &files.onnx);
        (files.path.clone(), files.description.clone(), onnx)
    }

    #[getter]
    fn name(&self) -> &str {
        &self.0.description.name
    }

    #[getter]
    fn labels(&self) -> Vec<String> {
        self.0.description.labels.clone()
    }

    #[getter]
    fn has_head(&self) -> bool {
        self.0.network.has_head()
    }

    #[getter]
    fn board(&self) -> Option<&str> {
        self.0.description.board.as_deref()
    }

    #[getter]
    fn calibration(&self) -> Option<PathBuf> {
        self.0.description.calibration.clone()
    }

    #[getter]
    fn evaluation(&self) -> Option<PathBuf> {
        self.0.description.evaluation.clone()
    }

    #[getter]
    fn notes(&self) -> Vec<String> {
        self.0.notes.clone()
    }

    #[getter]
    fn macs(&self) -> u64 {
        self.0.network.macs()
    }

    /// Rows, columns and channels of an image.
    #[getter]
    fn input_shape(&self) -> (usize, usize, usize) {
        let shape = self.0.description.input.shape();
        (shape.height, shape.width, shape.channels)
    }

    /// Order of the channels, mean and standard deviation.
    #[getter]
    fn input(&self) -> (&str, Vec<f64>, Vec<f64>) {
        let input = &self.0.description.input;
        let order = match input.channels {
            Channels::Rgb => "rgb",
            Channels::Bgr => "bgr",
            Channels::Gray => "gray",
            Channels::Rgba => "rgba",
        };
        let exact = |values: &[f32]| values.iter().copied().map(as_written).collect();
        (order, exact(&input.mean), exact(&input.std))
    }

    /// Quantizes the model by what `pictures` show.
    #[expect(clippy::too_many_arguments, reason = "Python has them by name")]
    fn quantize(
        &self,
        py: Python<'_>,
        pictures: Vec<Picture>,
        choices: Named,
        pins: Named,
        tile_tokens: usize,
        tolerance: f32,
        listener: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Quantized> {
        let mut model = compile::Model::clone(&self.0);
        let description = &mut model.description;
        for (name, value) in choices {
            choose(
                &mut description.quantization,
                &mut description.input.feed,
                &name,
                &value,
            )
            .map_err(|problem| PyValueError::new_err(format!("{name}: {problem}")))?;
        }
        for (name, bits) in pins {
            let bits: Bits = bits
                .parse()
                .map_err(|problem| PyValueError::new_err(format!("pins[{name:?}]: {problem}")))?;
            description.quantization.pins.insert(name, bits);
        }
        let images = files(pictures);
        let parts = work(py, listener, move |watch| {
            let base = compile::precision(&model)?;
            let calibrated = compile::calibrate_on(&model, images, tolerance, watch)?;
            let choice = widen::choose(&model, &calibrated, base, watch)?;
            let schedule = ScheduleConfig {
                tile_tokens,
                feed: model.description.input.feed,
            };
            let compiled = calibrated.compile(&model, choice, &schedule)?;
            Parts::new(model, calibrated, compiled, schedule)
        })?;
        Ok(Quantized(Arc::new(parts)))
    }
}

/// Sets one choice by its name in the description.
fn choose(
    quantization: &mut Quantization,
    feed: &mut Feed,
    name: &str,
    value: &str,
) -> Result<(), String> {
    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(value: &str) -> Result<T, String> {
        value.parse().map_err(|problem: T::Err| problem.to_string())
    }
    match name {
        "ranges" => quantization.ranges = parsed(value)?,
        "rounding" => quantization.rounding = parsed(value)?,
        "bias_correction" => quantization.bias_correction = parsed(value)?,
        "equalisation" => quantization.equalisation = parsed(value)?,
        "weights" => quantization.weights = parsed(value)?,
        "stream" => quantization.stream = parsed(value)?,
        "feed" => *feed = parsed(value)?,
        _ => return Err("there is no such choice".to_owned()),
    }
    Ok(())
}

/// Names of the boards that are built in.
#[pyfunction]
pub(crate) fn boards() -> Vec<String> {
    tadpool_boards::names().map(str::to_owned).collect()
}

/// The shortest number that `value` is the nearest to: 0.1 as people write it.
fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(value.into())
}

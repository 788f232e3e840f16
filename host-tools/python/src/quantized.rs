//! A quantized model.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes};
use rayon::prelude::*;
use tadpool_boards::DEFAULT_BOARD;
use tadpool_compiler::KernelVariant;
use tadpool_compiler::budget::{Attempt, Budget};
use tadpool_compiler::check::CheckConfig;
use tadpool_compiler::compile::{Calibrated, Compiled, Model};
use tadpool_compiler::place::program::Arena;
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::progress::Progress as _;
use tadpool_operations::OperationError;
use tadpool_operations::check::{Images, check};
use tadpool_operations::compile::{Order, compile};
use tadpool_operations::notes::Notes;

use crate::errors::{finding, picturing, raised};
use crate::image::{Image, Parts as ImageParts};
use crate::pictures::{Picture, files};
use crate::work::work;

/// A quantized model.
#[pyclass(frozen, module = "tadpool._tadpool")]
pub(crate) struct Quantized(pub(crate) Arc<Parts>);

/// A picture that was read: its name, pixels and class.
type Read<'py> = (String, Bound<'py, PyBytes>, Option<usize>);

/// What it is made of.
pub(crate) struct Parts {
    pub(crate) model: Model,
    calibrated: Calibrated,
    pub(crate) compiled: Compiled,
    schedule: ScheduleConfig,
    notes: Vec<String>,
}

impl Parts {
    pub(crate) fn new(
        model: Model,
        calibrated: Calibrated,
        compiled: Compiled,
        schedule: ScheduleConfig,
    ) -> Result<Self, OperationError> {
        Ok(Self {
            notes: Notes::new(&model, &calibrated, &compiled)?.lines(),
            model,
            calibrated,
            compiled,
            schedule,
        })
    }
}

#[pymethods]
impl Quantized {
    /// What is worth knowing of it, a sentence each.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.0.notes.clone()
    }

    /// Bytes of the arena.
    #[getter]
    fn arena_bytes(&self) -> usize {
        self.0.compiled.memory.arena_size
    }

    /// Scores of an image: of its classes, or the values of the last map.
    #[getter]
    fn scores(&self) -> usize {
        let program = self.0.compiled.program();
        match program.logits {
            Some(logits) => logits.size / 4,
            None => program.outputs.last().map_or(0, |map| map.shape.elements()),
        }
    }

    /// Hash of the generated source and weights.
    fn hash(&self) -> u32 {
        self.0.compiled.generate(KernelVariant::Portable).hash
    }

    /// The calibration images, read: name, pixels and class.
    fn calibration<'py>(&self, py: Python<'py>) -> PyResult<Vec<Read<'py>>> {
        let input = &self.0.model.description.input;
        let images = self.0.calibrated.images.iter();
        images
            .map(|image| {
                let pixels = image.load(input).map_err(|error| picturing(&error))?;
                let name = image.path.display().to_string();
                Ok((name, PyBytes::new(py, &pixels), image.label))
            })
            .collect()
    }

    /// The scores of images that lie one behind the other in `pixels`, as float64.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        pixels: PyBackedBytes,
        listener: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyByteArray>> {
        let parts = Arc::clone(&self.0);
        let scores = work(py, listener, move |watch| {
            let size = parts.model.description.input.shape().elements();
            let program = parts.compiled.program();
            watch.begin("predicting", pixels.len() / size);
            let scores: Vec<Vec<f64>> = pixels
                .par_chunks_exact(size)
                .map_init(Arena::default, |arena, image| {
                    watch.go_on()?;
                    let logits = program.infer(image, arena, &mut ())?;
                    watch.advance();
                    Ok::<_, OperationError>(program.scores(&logits, arena)?)
                })
                .collect::<Result<_, _>>()?;
            let bytes = scores
                .iter()
                .flatten()
                .flat_map(|score| score.to_ne_bytes());
            Ok(bytes.collect::<Vec<u8>>())
        })?;
        Ok(PyByteArray::new(py, &scores))
    }

    /// The report of a comparison with the float network: JSON, text and page.
    fn check(
        &self,
        py: Python<'_>,
        pictures: Vec<Picture>,
        origin: PathBuf,
        hybrid_images: usize,
        shown: usize,
        listener: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(String, String, String, String)> {
        let parts = Arc::clone(&self.0);
        let images = files(pictures);
        let config = CheckConfig {
            hybrid_images,
            shown,
        };
        work(py, listener, move |watch| {
            let images = Images {
                images: &images,
                origin: &origin,
                every: 1,
            };
            let Parts {
                model,
                calibrated,
                compiled,
                ..
            } = &*parts;
            let report = check(model, calibrated, compiled, images, &config, watch)?;
            let json = serde_json::to_string(&report)?;
            let page = report.page(&model.description.input, None)?;
            let record = serde_json::to_string(&report.record(model, compiled)?)?;
            Ok((json, report.to_string(), page, record))
        })
    }

    /// Builds the image for a board by name or file: the model's or the default one if it is not
    /// named.
    fn compile(
        &self,
        py: Python<'_>,
        board: Option<&str>,
        flash_bytes: Option<u64>,
        ram_bytes: Option<u64>,
        latency_us: Option<u64>,
        listener: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Image> {
        let parts = Arc::clone(&self.0);
        let described = parts.model.description.board.as_deref();
        let name = board.or(described).unwrap_or(DEFAULT_BOARD);
        let board = tadpool_probe::find_board(name).map_err(|error| finding(&error))?;
        tadpool_image::check(&board, tadpool_image::Interface::Requests)
            .map_err(|error| raised(&error.into()))?;
        let made = work(py, listener, move |watch| {
            let order = Order {
                model: &parts.model,
                calibrated: &parts.calibrated,
                base: Attempt {
                    choice: parts.compiled.choice.clone(),
                    schedule: parts.schedule,
                },
                board,
                kernels: None,
                budget: Budget {
                    flash_bytes,
                    ram_bytes,
                    latency_us,
                },
            };
            ImageParts::new(Arc::clone(&parts), compile(order, watch)?)
        })?;
        Ok(Image(Arc::new(made)))
    }
}

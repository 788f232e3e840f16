//! Pictures as Python gives them: files, or pixels in memory.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use tadpool_compiler::given::images::{self, ImageFile};

use crate::errors::picturing;

/// A picture: its file or a name, its pixels if it is in memory, its class if that is known.
pub(crate) type Picture = (PathBuf, Option<PyBackedBytes>, Option<usize>);

/// The pictures for the compiler.
pub(crate) fn files(pictures: Vec<Picture>) -> Vec<ImageFile> {
    let file = |(path, pixels, label): Picture| match pixels {
        Some(pixels) => ImageFile::in_memory(&path.display().to_string(), &pixels[..], label),
        None => ImageFile::new(path, label),
    };
    pictures.into_iter().map(file).collect()
}

/// The pictures of a folder, in class folders if it has them, with the classes that `labels`
/// names.
#[pyfunction]
pub(crate) fn list_pictures(
    py: Python<'_>,
    folder: PathBuf,
    labels: Vec<String>,
) -> PyResult<Vec<(PathBuf, Option<usize>)>> {
    let found = py.detach(|| images::list(&folder, &labels));
    let found = found.map_err(|error| picturing(&error))?;
    Ok(found.into_iter().map(|it| (it.path, it.label)).collect())
}

#![doc = include_str!("../README.md")]

mod errors;
mod image;
mod model;
mod pictures;
mod quantized;
mod records;
mod work;

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;

/// What the package's Python is built on; `tadpool/_tadpool.pyi` describes it.
#[pymodule]
mod _tadpool {
    #[pymodule_export]
    use super::image::{Image, budget_bytes};
    #[pymodule_export]
    use super::model::{Model, boards};
    #[pymodule_export]
    use super::pictures::list_pictures;
    #[pymodule_export]
    use super::quantized::Quantized;
    #[pymodule_export]
    use super::records::{check_record, compare_records, read_record, write_record};
    #[pymodule_export]
    use super::run_command;
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Runs the command line, the first of which is the command's name; returns the exit status.
/// `program` is the file of this module.
#[pyfunction]
fn run_command(py: Python<'_>, arguments: Vec<OsString>, program: PathBuf) -> u8 {
    py.detach(|| tadpool::run(arguments, program))
}

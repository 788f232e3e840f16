//! Records, as JSON.

use std::path::PathBuf;

use pyo3::prelude::*;
use tadpool_operations::compare::Compared;
use tadpool_operations::record::summary;
use tadpool_probe::record::Record;
use tadpool_probe::record::compare::Tolerances;

use crate::errors::{internal, recording};

/// The record in a file: its JSON, and a summary.
#[pyfunction]
pub(crate) fn read_record(path: PathBuf) -> PyResult<String> {
    let record = Record::read(&path).map_err(|error| recording(&error))?;
    json(&record)
}

/// Writes a record, in place of an older one only once it is whole.
#[pyfunction]
pub(crate) fn write_record(json: &str, path: PathBuf) -> PyResult<()> {
    parsed(json, &path)?
        .write(&path)
        .map_err(|error| recording(&error))
}

/// Fails unless `json` is a record; its summary.
#[pyfunction]
pub(crate) fn check_record(json: &str) -> PyResult<String> {
    Ok(summary(&parsed(json, &PathBuf::from("record"))?))
}

/// The differences between two records, each behind a name: their JSON, and what the command
/// prints.
#[pyfunction]
pub(crate) fn compare_records(
    before: (PathBuf, String),
    after: (PathBuf, String),
    percent: f64,
    by_name: Vec<(String, f64)>,
) -> PyResult<(String, String)> {
    let one = parsed(&before.1, &before.0)?;
    let other = parsed(&after.1, &after.0)?;
    let tolerances = Tolerances { percent, by_name };
    let compared = Compared::of((before.0, &one), (after.0, &other), &tolerances, false);
    Ok((json(&compared)?, compared.to_string()))
}

fn parsed(json: &str, name: &std::path::Path) -> PyResult<Record> {
    Record::parse(json.as_bytes(), name).map_err(|error| recording(&error))
}

fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| internal(&error.to_string()))
}

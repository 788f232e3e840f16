//! Records: what a command found out, and everything that it depends on, in one file.
//!
//! A record is JSON, as `record/schema.json` describes. [`Record::conditions`] are what must
//! agree for figures to be comparable, [`Record::figures`] the numbers, and
//! [`Record::result`] all that the command says with `--json`. [`compare`] tells two of them
//! apart.

pub mod compare;
pub mod junit;
mod provenance;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tadpool_compiler::output::{self, OutputError};
use tadpool_input::{InputError, Kind as FileKind};

pub use provenance::{Provenance, Spread, caveat};

/// The JSON Schema of a record.
pub const SCHEMA: &str = include_str!("record/schema.json");
/// The name of the format, in every record.
const FORMAT: &str = "tadpool-record";
/// The version of the schema that is written, and the only one that is read.
const VERSION: u32 = 1;
/// The file of a record.
const FILE: FileKind = FileKind {
    name: "a record",
    max_bytes: 1 << 26,
};

/// The result of a command, with all that it depends on.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Record {
    /// `tadpool-record`.
    pub format: String,
    /// Of the schema.
    pub version: u32,
    /// The command, such as `bench`.
    pub command: String,
    /// The conditions of the figures, by name: versions, hashes, board, clock, caches.
    pub conditions: BTreeMap<String, String>,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The output of the command with `--json`.
    pub result: serde_json::Value,
}

/// A number that was found out.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Figure {
    /// Its name; a figure of a step is behind the step's: `stage1.block0.mlp/predicted cycles`.
    pub name: String,
    /// Where it is from.
    pub origin: Origin,
    /// Its value.
    pub value: f64,
    /// Its unit: `ms`, `cycles`, `bytes`, ...; empty for a share.
    pub unit: String,
    /// The better of two.
    pub better: Better,
    /// How far off it may be, in percent, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_percent: Option<f64>,
}

/// Where a figure is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A board's counter or an instrument.
    Measured,
    /// A model of the board.
    Predicted,
    /// The emulator: instructions, which are no latency.
    Counted,
    /// This computer: accuracy, bytes.
    Computed,
}

/// The better of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The lower one.
    Lower,
    /// The higher one.
    Higher,
}

/// A record that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] InputError),
    /// It is none.
    #[error("`{}` is no record: {problem}; `--record FILE` of bench, run, eval and check writes one", path.display())]
    NoRecord {
        /// The file.
        path: PathBuf,
        /// The reason, in words.
        problem: String,
    },
    /// It is of another version.
    #[error(
        "`{}` is a record of version {version}, and this tadpool reads version {VERSION}: record it \
         again", path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] OutputError),
}

impl Record {
    /// A record of what `command` found out.
    pub fn new(
        command: &str,
        conditions: BTreeMap<String, String>,
        figures: Vec<Figure>,
        result: serde_json::Value,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            command: command.to_owned(),
            conditions,
            figures,
            result,
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// A [`RecordError`] that names the file.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        Self::parse(&tadpool_input::read(path, FILE)?, path)
    }

    /// Reads the JSON of a record; `path` is where it was read from, or a name for it.
    ///
    /// # Errors
    /// A [`RecordError`] that names `path`.
    pub fn parse(json: &[u8], path: &Path) -> Result<Self, RecordError> {
        let no_record = |problem: String| RecordError::NoRecord {
            path: path.to_owned(),
            problem,
        };
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| no_record(error.to_string()))?;
        if value["format"] != FORMAT {
            return Err(no_record(format!("its `format` is not `{FORMAT}`")));
        }
        let version = value["version"].as_u64().unwrap_or(0);
        if version != u64::from(VERSION) {
            let path = path.to_owned();
            return Err(RecordError::Version { path, version });
        }
        let record: Self =
            serde_json::from_value(value).map_err(|error| no_record(error.to_string()))?;
        if let Some(figure) = record.figures.iter().find(|it| !it.value.is_finite()) {
            return Err(no_record(format!(
                "its figure `{}` is not finite",
                figure.name
            )));
        }
        let mut names: Vec<&str> = record.figures.iter().map(|it| &it.name[..]).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(no_record(format!("it has the figure `{}` twice", pair[0]))),
            None => Ok(record),
        }
    }

    /// Writes it, in place of an older file only once it is whole.
    ///
    /// # Errors
    /// A [`RecordError`] that names the file.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| RecordError::NoRecord {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        text.push(b'\n');
        Ok(output::write(path, &text)?)
    }

    /// The figure of a name.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// The condition of a name.
    pub fn condition(&self, name: &str) -> Option<&str> {
        self.conditions.get(name).map(String::as_str)
    }
}

impl Figure {
    /// A figure of which less is better.
    pub fn lower(name: impl Into<String>, origin: Origin, value: f64, unit: &str) -> Self {
        Self {
            name: name.into(),
            origin,
            value,
            unit: unit.to_owned(),
            better: Better::Lower,
            error_percent: None,
        }
    }

    /// A figure of which more is better.
    pub fn higher(name: impl Into<String>, origin: Origin, value: f64, unit: &str) -> Self {
        Self {
            better: Better::Higher,
            ..Self::lower(name, origin, value, unit)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Measured => "measured",
            Self::Predicted => "predicted",
            Self::Counted => "counted",
            Self::Computed => "computed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let conditions = BTreeMap::from([("board".to_owned(), "one".to_owned())]);
        let figure = Figure::lower("latency", Origin::Measured, 12.5, "ms");
        Record::new(
            "bench",
            conditions,
            vec![figure],
            serde_json::json!({"a": 1}),
        )
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        record().write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), record());
    }

    #[test]
    fn other_files_are_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Record::read(&path).unwrap_err().to_string()
        };
        assert!(refused("{").contains("is no record"));
        assert!(refused("[]").contains("`format` is not"));
        let mut other = serde_json::to_value(record()).unwrap();
        other["version"] = 7.into();
        assert!(refused(&other.to_string()).contains("of version 7"));
        let mut twice = record();
        twice.figures.extend(record().figures);
        let said = refused(&serde_json::to_string(&twice).unwrap());
        assert!(said.contains("`latency` twice"), "{said}");
        let infinite = serde_json::to_string(&record()).unwrap();
        let infinite = infinite.replace("12.5", "1e999");
        assert!(refused(&infinite).contains("is no record"), "{infinite}");

        let mut lacking = serde_json::to_value(record()).unwrap();
        lacking["figures"][0]["value"] = "fast".into();
        assert!(refused(&lacking.to_string()).contains("is no record"));
    }

    #[test]
    fn the_schema_names_every_field() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let names = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let mut record = record();
        record.figures[0].error_percent = Some(1.0);
        let value = serde_json::to_value(record).unwrap();
        assert_eq!(names(&schema["properties"]), names(&value));
        let figure = &schema["$defs"]["figure"];
        assert_eq!(names(&figure["properties"]), names(&value["figures"][0]));
        assert_eq!(schema["properties"]["version"]["const"], VERSION);
        assert_eq!(schema["properties"]["format"]["const"], FORMAT);
    }
}

//! The option that writes a record.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
pub(crate) use tadpool_operations::record::{
    Conditions, MEASURED, PREDICTED, of_prediction, origin, summary,
};
use tadpool_probe::record::{Figure, Record};

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Write a record to a file: figures, and all that they depend on, as JSON for `tadpool
    /// compare`, `tadpool energy` and `tadpool report`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl RecordArgs {
    /// The file that is written, if one is asked for.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.record.as_deref()
    }

    /// Writes a record of `command`, if one is asked for.
    pub(crate) fn write(
        &self,
        command: &str,
        conditions: impl FnOnce() -> anyhow::Result<Conditions>,
        figures: Vec<Figure>,
        result: &impl Serialize,
    ) -> anyhow::Result<()> {
        let Some(path) = &self.record else {
            return Ok(());
        };
        let conditions = conditions()?.into();
        let record = Record::new(command, conditions, figures, serde_json::to_value(result)?);
        Ok(record.write(path)?)
    }
}

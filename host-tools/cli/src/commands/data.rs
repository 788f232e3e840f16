//! The images that a command evaluates.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use tadpool_compiler::given::images::{self, ImageFile};
use tadpool_compiler::given::model_toml::ModelDescription;

/// Which images.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Images in class folders, instead of the description's evaluation set.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Take only every so many images, spread over the classes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) every: u32,
}

impl DataArgs {
    /// The images and their folder.
    pub(crate) fn list<'a>(
        &'a self,
        description: &'a ModelDescription,
    ) -> anyhow::Result<(&'a Path, Vec<ImageFile>)> {
        let folder = self
            .data
            .as_deref()
            .or(description.evaluation.as_deref())
            .context("the model description names no evaluation images: pass `--data FOLDER`")?;
        let images = images::list(folder, &description.labels)?
            .into_iter()
            .step_by(self.every as usize)
            .collect();
        Ok((folder, images))
    }
}

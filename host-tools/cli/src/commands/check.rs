//! `tadpool check`.

use std::path::PathBuf;

use clap::Args;
use tadpool_compiler::check::CheckConfig;
use tadpool_compiler::output;
use tadpool_operations::check::{CheckReport, Images, check};

use super::data::DataArgs;
use super::model::CompileArgs;
use super::named::Named;
use super::progress::Bars;
use super::record::RecordArgs;
use super::report::href;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Images on which each step is tried alone in integers.
    #[arg(long, value_name = "N", default_value_t = 64)]
    hybrid_images: usize,
    /// Most images to show on which float and integers disagree.
    #[arg(long, value_name = "N", default_value_t = 24)]
    shown: usize,
    /// Write the report as a page that a browser shows without any other file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Link the page that `tadpool bench --html` writes.
    #[arg(long, value_name = "FILE", requires = "html")]
    link: Option<PathBuf>,
    #[command(flatten)]
    record: RecordArgs,
}

impl CheckArgs {
    pub(crate) fn run(self) -> anyhow::Result<CheckReport> {
        let (model, calibrated, compiled) = self.model.compile_calibrated(&Named {
            data: Some(&self.data),
            files: [self.html.as_deref(), self.record.path()],
            ..Named::default()
        })?;
        let description = &model.description;
        let (folder, images) = self.data.list(description)?;
        let config = CheckConfig {
            hybrid_images: self.hybrid_images,
            shown: self.shown,
        };
        let images = Images {
            images: &images,
            origin: folder,
            every: self.data.every,
        };
        let bars = Bars::default();
        let mut report = check(&model, &calibrated, &compiled, images, &config, &bars)?;
        if let Some(path) = self.html {
            let link = self.link.as_deref().map(|to| href(&path, to)).transpose()?;
            let page = report.page(&description.input, link.as_deref())?;
            output::write(&path, page.as_bytes())?;
            report.html = Some(path);
        }
        if let Some(path) = self.record.path() {
            report.record(&model, &compiled)?.write(path)?;
        }
        Ok(report)
    }
}

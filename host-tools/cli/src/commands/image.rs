//! `tadpool image`.

use std::fmt;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use tadpool_compiler::given::images;
use tadpool_compiler::output;

use super::model::ModelArgs;
use super::report::grouped;

#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Pictures of the network's input size.
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// Where to write the bytes: rows of pixels, channels fastest, one picture after the
    /// other.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Written {
    file: PathBuf,
    pictures: usize,
    height: usize,
    width: usize,
    channels: usize,
    bytes: usize,
}

impl ImageArgs {
    pub(crate) fn run(self) -> anyhow::Result<Written> {
        if !self.force && self.output.exists() {
            bail!(
                "`{}` is there already: choose another file, or pass `--force`",
                self.output.display()
            );
        }
        let input = self.model.load()?.description.input;
        let mut bytes = Vec::new();
        for picture in &self.pictures {
            bytes.extend(images::load(picture, &input)?);
        }
        output::write(&self.output, &bytes)?;
        let shape = input.shape();
        Ok(Written {
            file: self.output,
            pictures: self.pictures.len(),
            height: shape.height,
            width: shape.width,
            channels: shape.channels,
            bytes: bytes.len(),
        })
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pictures,
            height,
            width,
            channels,
            ..
        } = self;
        let file = self.file.display();
        let bytes = grouped(self.bytes as u64);
        writeln!(
            f,
            "{file}: {bytes} bytes, {pictures} x {height} rows x {width} columns x {channels} \
             channels"
        )
    }
}

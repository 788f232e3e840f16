//! The MODEL argument and the options of every command that compiles one.

use std::path::PathBuf;

use clap::Args;
use tadpool::compile::{self, CompileConfig, Compiled, Model};
use tadpool::reference::DEFAULT_TOLERANCE;
use tadpool::schedule::ScheduleConfig;

use super::progress::Bars;

/// A model to be imported.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A model description (`model.toml`) or a bare ONNX file.
    #[arg(value_name = "MODEL")]
    path: PathBuf,
}

/// A model to be compiled.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Images for the activation ranges, instead of the description's.
    #[arg(long, value_name = "FOLDER")]
    calibration: Option<PathBuf>,
    /// Largest difference between an imported logit and tract's.
    #[arg(long, value_name = "LOGIT", default_value_t = DEFAULT_TOLERANCE)]
    tolerance: f32,
    /// Tokens that a matrix product takes at a time: more RAM, fewer loads.
    #[arg(long, value_name = "TOKENS", default_value_t = ScheduleConfig::default().tile_tokens,
          value_parser = tile_tokens)]
    tile_tokens: usize,
}

impl ModelArgs {
    pub(crate) fn load(&self) -> anyhow::Result<Model> {
        Ok(compile::load(&self.path)?)
    }
}

impl CompileArgs {
    pub(crate) fn compile(&self) -> anyhow::Result<(Model, Compiled)> {
        let model = self.model.load()?;
        let config = CompileConfig {
            calibration: self.calibration.clone(),
            tolerance: self.tolerance,
            precision: None,
            schedule: ScheduleConfig {
                tile_tokens: self.tile_tokens,
            },
        };
        let compiled = compile::compile(&model, &config, &Bars::default())?;
        Ok((model, compiled))
    }
}

fn tile_tokens(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(tokens @ 1..=64) => Ok(tokens),
        _ => Err("a tile has 1 to 64 tokens".to_owned()),
    }
}

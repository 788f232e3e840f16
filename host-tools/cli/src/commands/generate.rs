//! `tadpool generate`.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use tadpool_boards::KernelVariant;
use tadpool_compiler::compile::{Compiled, Model};
use tadpool_compiler::generate::{
    self, About, Choices, Golden, Package, check_folder, needs_workspace, readme,
};
use tadpool_compiler::given::images;
use tadpool_compiler::given::model_toml::is_crate_name;
use tadpool_compiler::output;
use tadpool_compiler::place::program::Arena;

use super::board::kernels_for;
use super::compile::kernel_variants;
use super::model::CompileArgs;
use super::report::grouped;

#[derive(Debug, Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    model: CompileArgs,
    /// Pack the weights for these kernels; `portable` runs on every core.
    #[arg(long, value_parser = kernel_variants(), default_value = "portable")]
    kernels: KernelVariant,
    /// Where to write the crate.
    #[arg(long, short, value_name = "FOLDER")]
    output: PathBuf,
    /// Name of the crate, instead of the model's.
    #[arg(long, value_name = "NAME", value_parser = crate_name)]
    crate_name: Option<String>,
    /// The folder of `tadpool-kernels` that the crate is to depend on.
    #[arg(long, value_name = "FOLDER")]
    kernels_path: Option<PathBuf>,
    /// The linker's section for weights and tables, such as `.qspi`.
    #[arg(long, value_name = "SECTION", value_parser = section)]
    weights_section: Option<String>,
    /// Add images of the calibration with their logits, to test a target with.
    #[arg(long, value_name = "IMAGES", default_value_t = 0)]
    golden: usize,
    /// Write no crate but its module `model.rs` (and `golden.rs`), for a build script.
    #[arg(long, conflicts_with_all = ["crate_name", "kernels_path"])]
    module: bool,
    /// Write the paths of all files that are read into this file, one a line.
    #[arg(long, value_name = "FILE")]
    list_read: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(crate) struct GenerateReport {
    model: String,
    crate_name: Option<String>,
    kernels: &'static str,
    folder: PathBuf,
    weights_bytes: usize,
    arena_bytes: usize,
    own_workspace: bool,
}

impl Generate {
    pub(crate) fn run(self) -> anyhow::Result<GenerateReport> {
        if let Some(list) = &self.list_read {
            let read = self.model.files_read();
            let lines = read.iter().map(|path| format!("{}\n", path.display()));
            output::write(list, lines.collect::<String>().as_bytes())?;
        }
        // What cannot be done is said before anything is computed.
        if !self.module {
            check_folder(&self.output)?;
            self.kernels_folder()?;
        }
        let (model, calibrated, compiled) = self.model.compile_calibrated()?;
        let name = match &self.crate_name {
            Some(name) => name.clone(),
            None => model.description.name.clone(),
        };
        if name.starts_with("tadpool-") && !self.module {
            bail!("`{name}` may be one of tadpool's own crates: pass another `--crate-name`");
        }
        let generated = compiled.generate_with(Choices {
            layout: generate::layout(self.kernels),
            section: self.weights_section.clone(),
            slots: false,
        });
        let mut own_workspace = false;
        let files = calibrated.images.iter().map(|image| image.path.as_path());
        let golden = self.golden(&model, &compiled, files)?;
        if self.module {
            generated.write_module(&self.output, &golden)?;
        } else {
            own_workspace = needs_workspace(&self.output);
            let kernels = self.kernels_folder()?;
            let about = About {
                crate_name: &name,
                kernels: self.kernels,
                section: self.weights_section.as_deref(),
                has_golden: !golden.is_empty(),
            };
            let package = Package {
                name: &name,
                description: &compiled.description,
                kernels: Package::dependency(self.kernels, &kernels),
                own_workspace,
                readme: Some(readme(&compiled.program(), &compiled.description, &about)),
                golden: &golden,
            };
            generated.write_package(&self.output, &package)?;
        }
        Ok(GenerateReport {
            model: model.description.name,
            crate_name: (!self.module).then_some(name),
            kernels: self.kernels.name(),
            folder: self.output,
            weights_bytes: generated.weights.len(),
            arena_bytes: compiled.memory.arena_size,
            own_workspace,
        })
    }

    /// Images to test with, spread over those of the calibration.
    fn golden<'p>(
        &self,
        model: &Model,
        compiled: &Compiled,
        files: impl ExactSizeIterator<Item = &'p Path>,
    ) -> anyhow::Result<Vec<Golden>> {
        if self.golden == 0 {
            return Ok(Vec::new());
        }
        let every = files.len().div_ceil(self.golden).max(1);
        let (program, mut arena) = (compiled.program(), Arena::default());
        let golden = files.step_by(every).map(|path| {
            let pixels = images::load(path, &model.description.input)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let golden = Golden::of(&program, &name, pixels, &mut arena);
            golden.with_context(|| path.display().to_string())
        });
        golden.collect()
    }

    /// Where the crate finds its kernels: in the folder that was asked for, or where
    /// [`kernels_for`] says.
    fn kernels_folder(&self) -> anyhow::Result<PathBuf> {
        let Some(folder) = &self.kernels_path else {
            return kernels_for(&self.output);
        };
        if !folder.join("Cargo.toml").is_file() {
            bail!(
                "`{}` is not the folder of tadpool-kernels: it has no Cargo.toml",
                folder.display()
            );
        }
        Ok(std::path::absolute(folder)?)
    }
}

fn crate_name(text: &str) -> Result<String, String> {
    match is_crate_name(text) {
        true => Ok(text.to_owned()),
        false => Err(
            "a crate's name has up to 64 lower case letters, digits, `-` and `_`, begins with a \
             letter and is no keyword"
                .to_owned(),
        ),
    }
}

fn section(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !text.is_empty() && text.chars().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("a section's name has letters, digits, `.`, `_` and `-`".to_owned()),
    }
}

impl fmt::Display for GenerateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match &self.crate_name {
            Some(name) => writeln!(f, "crate `{name}` with {} kernels: {folder}", self.kernels)?,
            None => writeln!(f, "module with {} kernels: {folder}", self.kernels)?,
        }
        let (weights, arena) = (self.weights_bytes as u64, self.arena_bytes as u64);
        writeln!(
            f,
            "weights {} bytes, arena {} bytes",
            grouped(weights),
            grouped(arena)
        )?;
        if self.own_workspace {
            writeln!(
                f,
                "note: a workspace above does not list it, so it has one of its own; to depend on \
                 it by its path from there, name it there and generate it again, or `exclude` it"
            )?;
        }
        Ok(())
    }
}

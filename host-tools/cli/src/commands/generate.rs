//! `tadpool generate`.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::Serialize;
use tadpool_boards::KernelVariant;
use tadpool_compiler::compile::{Calibrated, Compiled, Model};
use tadpool_compiler::generate::{
    self, About, Choices, Generated, Golden, Inventory, Package, check_folder, needs_workspace,
    readme,
};
use tadpool_compiler::given::images;
use tadpool_compiler::given::model_toml::is_crate_name;
use tadpool_compiler::output;
use tadpool_compiler::place::program::Arena;

use super::compile::kernel_variants;
use super::crate_kernels::KernelsFor;
use super::model::CompileArgs;
use super::named::Named;
use super::report::{Report, grouped};
use super::unchanged::{Made, Place};

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
    /// The folder of `tadpool-kernels` that the crate is to depend on, instead of one that is
    /// there already or its own copy.
    #[arg(long, value_name = "FOLDER")]
    kernels_path: Option<PathBuf>,
    /// The linker's section for weights and tables, such as `.qspi`.
    #[arg(long, value_name = "SECTION", value_parser = section)]
    weights_section: Option<String>,
    /// Add images of the calibration with their logits, to test a target with.
    #[arg(long, value_name = "IMAGES", default_value_t = 0)]
    golden: usize,
    /// Write over files of the crate that were edited since they were generated.
    #[arg(long)]
    force: bool,
    /// Write no crate but its module `model.rs` (and `golden.rs`), for a build script.
    #[arg(long, conflicts_with_all = ["crate_name", "kernels_path", "force"])]
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
    /// The folder of `tadpool-kernels`, as seen from the crate's.
    kernels_folder: Option<PathBuf>,
    folder: PathBuf,
    weights_bytes: usize,
    arena_bytes: usize,
    own_workspace: bool,
}

impl Generate {
    pub(crate) fn run(self) -> anyhow::Result<Box<dyn Report>> {
        if let Some(list) = &self.list_read {
            let read = self.model.files_read();
            let lines = read.iter().map(|path| format!("{}\n", path.display()));
            output::write(list, lines.collect::<String>().as_bytes())?;
        }
        if self.module {
            return Ok(Box::new(self.write_module()?));
        }
        // What cannot be done is said before anything is computed.
        check_folder(&self.output, self.force)?;
        let kernels = KernelsFor::find(&self.output, self.kernels_path.as_deref())?;
        let own_workspace = needs_workspace(&self.output);
        let place = || Place::of(&(&self, &kernels.folder, own_workspace), &self.model, None);
        let before = place();
        if let Some(kept) = before.as_ref().and_then(Place::read) {
            return Ok(Box::new(kept));
        }
        let (report, inventory) = self.write_crate(&kernels, own_workspace)?;
        // A file may have changed meanwhile.
        if let Some(place) = before.filter(|before| place().as_ref() == Some(before)) {
            let folder = std::path::absolute(&self.output)?;
            let made = Made {
                generated: Some((folder, inventory.text())),
                ..Made::default()
            };
            place.write(made, &report);
        }
        Ok(Box::new(report))
    }

    /// Writes the module that a build script includes.
    fn write_module(&self) -> anyhow::Result<GenerateReport> {
        output::check_folder(&self.output)?;
        let (model, calibrated, compiled) = self.model.compile_calibrated(&Named::default())?;
        let generated = self.generated(&compiled);
        let golden = self.golden(&model, &compiled, files(&calibrated))?;
        generated.write_module(&self.output, &golden)?;
        Ok(self.report(&model, &compiled, &generated))
    }

    /// Writes the crate, which finds its kernels as `kernels` says.
    fn write_crate(
        &self,
        kernels: &KernelsFor,
        own_workspace: bool,
    ) -> anyhow::Result<(GenerateReport, Inventory)> {
        let (model, calibrated, compiled) = self.model.compile_calibrated(&Named::default())?;
        let described = &model.description.name;
        let name = match &self.crate_name {
            Some(name) => name.clone(),
            None => crate_name(described).map_err(|error| {
                anyhow!("the crate cannot be named `{described}` as the model is: {error}")
            })?,
        };
        let generated = self.generated(&compiled);
        let golden = self.golden(&model, &compiled, files(&calibrated))?;
        let about = About {
            crate_name: &name,
            kernels: self.kernels,
            section: self.weights_section.as_deref(),
            has_golden: !golden.is_empty(),
        };
        let package = Package {
            name: &name,
            description: &compiled.description,
            kernels: Package::dependency(self.kernels, &kernels.folder),
            own_workspace,
            readme: Some(readme(&compiled.program(), &compiled.description, &about)),
            golden: &golden,
            kernel_files: kernels.files.clone(),
            is_forced: self.force,
        };
        let inventory = generated.write_package(&self.output, &package)?;
        let report = GenerateReport {
            crate_name: Some(name),
            kernels_folder: Some(kernels.folder.clone()),
            own_workspace,
            ..self.report(&model, &compiled, &generated)
        };
        Ok((report, inventory))
    }

    fn generated(&self, compiled: &Compiled) -> Generated {
        compiled.generate_with(Choices {
            layout: generate::layout(self.kernels),
            section: self.weights_section.clone(),
            slots: false,
        })
    }

    fn report(&self, model: &Model, compiled: &Compiled, generated: &Generated) -> GenerateReport {
        GenerateReport {
            model: model.description.name.clone(),
            crate_name: None,
            kernels: self.kernels.name(),
            kernels_folder: None,
            folder: self.output.clone(),
            weights_bytes: generated.weights.len(),
            arena_bytes: compiled.memory.arena_size,
            own_workspace: false,
        }
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
}

/// The files of the calibration.
fn files(calibrated: &Calibrated) -> impl ExactSizeIterator<Item = &Path> {
    let images = calibrated.images.iter();
    images.map(|image| image.path.as_path())
}

fn crate_name(text: &str) -> Result<String, String> {
    match is_crate_name(text) {
        true if text.starts_with("tadpool-") => {
            Err("it may be one of tadpool's own crates; pass another `--crate-name`".to_owned())
        }
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
        if let Some(kernels) = self
            .kernels_folder
            .as_ref()
            .filter(|it| it.starts_with(".."))
        {
            writeln!(
                f,
                "its kernels are those in `{}` as seen from there, of which a firmware has one \
                 copy: keep both folders together",
                kernels.display()
            )?;
        }
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

//! `tadpool compile`.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tadpool_boards::KernelVariant;
use tadpool_compiler::budget::{Attempt, Budget};
use tadpool_compiler::compile::Compiled;
use tadpool_compiler::generate::{Generated, Package, check_folder};
use tadpool_image::FirmwareImage;
use tadpool_operations::compile::{CompileReport, Order, compile};

use super::board::BoardArgs;
use super::crate_kernels::KernelsFor;
use super::model::CompileArgs;
use super::named::Named;
use super::progress::Bars;
use super::report::Report;
use super::unchanged::{Made, Place};

/// Takes the name of a kernel variant.
pub(super) fn kernel_variants() -> impl TypedValueParser<Value = KernelVariant> {
    PossibleValuesParser::new(KernelVariant::ALL.map(KernelVariant::name)).try_map(|name| {
        let mut all = KernelVariant::ALL.into_iter();
        all.find(|kernels| kernels.name() == name)
            .ok_or("no such kernels")
    })
}

#[derive(Debug, Args)]
pub(crate) struct Compile {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    board: BoardArgs,
    /// Write the generated crate into this folder.
    #[arg(long, short, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Write over files of a crate in that folder that were edited since.
    #[arg(long, requires = "output")]
    force: bool,
    /// Pack the weights for these kernels instead of the board's; `portable`
    /// runs on every board.
    #[arg(long, value_parser = kernel_variants())]
    kernels: Option<KernelVariant>,
    /// Give up speed and precision until the image takes no more than this: weights
    /// of four bits where they cost the least accuracy for what they save, and for
    /// RAM one token at a time. What is pinned stays. With `ms` the latency is predicted
    /// too, which executes an inference in the emulator, and more is a failure.
    #[arg(long, value_name = "flash=256K,ram=32K,ms=150")]
    budget: Option<Budget>,
}

impl Compile {
    /// Compiles, unless nothing changed since it was done before.
    pub(crate) fn run(self) -> anyhow::Result<Box<dyn Report>> {
        let place = match &self.output {
            None => self.place(),
            Some(_) => None,
        };
        if let Some(kept) = place.as_ref().and_then(Place::read) {
            return Ok(Box::new(kept));
        }
        let (report, image) = self.compile()?;
        // A file may have changed meanwhile.
        if let Some(place) = place.filter(|place| self.place().as_ref() == Some(place)) {
            let made = Made {
                image: Some(image.path),
                ..Made::default()
            };
            place.write(made, &report);
        }
        Ok(Box::new(report))
    }

    fn place(&self) -> Option<Place> {
        Place::of(self, &self.model, Some(&self.board))
    }

    fn compile(&self) -> anyhow::Result<(CompileReport, FirmwareImage)> {
        if let Some(folder) = &self.output {
            check_folder(folder, self.force)?;
        }
        let (model, calibrated) = self.model.calibrate(&Named {
            board: Some(&self.board),
            ..Named::default()
        })?;
        let order = Order {
            base: Attempt {
                choice: self.model.choose(&model, &calibrated)?,
                schedule: self.model.schedule(&model),
            },
            board: self.board.find(&model)?,
            model: &model,
            calibrated: &calibrated,
            kernels: self.kernels,
            budget: self.budget.unwrap_or_default(),
        };
        let mut made = compile(order, &Bars::default())?;
        if let Some(folder) = &self.output {
            self.write_crate(&made.generated, &made.compiled, folder)?;
        }
        made.report.crate_folder = self.output.clone();
        Ok((made.report, made.image))
    }

    fn write_crate(
        &self,
        generated: &Generated,
        compiled: &Compiled,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let kernels = KernelsFor::find(folder, None)?;
        let dependency = Package::dependency(KernelVariant::Portable, &kernels.folder);
        let package = Package {
            kernel_files: kernels.files,
            is_forced: self.force,
            ..Package::of_firmware(&compiled.description, &dependency)
        };
        generated.write_package(folder, &package)?;
        Ok(())
    }
}

//! Code generation: a program as the source of a `no_std` crate.
//!
//! Three files: `model.rs` (constants and `infer`, to be read), `tables.rs`
//! (biases, multipliers and activation tables) and `weights.bin`. They work as
//! a crate of their own ([`Generated::write_package`]) and, through `include!`,
//! in the output folder of somebody's build script
//! ([`Generated::write_module`]).

mod arena;
mod calls;
mod constants;
mod golden;
mod imports;
mod inventory;
mod model;
mod network;
mod package;
mod readme;
mod slow;
mod tables;
mod tokens;
mod workspace;

pub use golden::Golden;
pub use inventory::{INVENTORY, Inventory};
pub use package::{Package, PackageError, check_folder};
pub use readme::{About, readme};
pub use slow::{SlowStep, slow_steps};
pub use workspace::needs_workspace;

use std::path::Path;

use tadpool_boards::KernelVariant;
use tadpool_kernels::checksum::fnv1a;
use tadpool_kernels::layout::Layout;

use crate::output::{self, OutputError};
use crate::place::program::{Program, ProgramStep};

/// The description of the model in the generated source, besides its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Name of the network.
    pub name: String,
    /// One label a logit.
    pub labels: Vec<String>,
}

/// Generated files, in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Constants, steps and `infer`.
    pub model_rs: String,
    /// Tables of the steps.
    pub tables_rs: String,
    /// Weights of all layers.
    pub weights: Vec<u8>,
    /// The weights of each step that has any, in the order of the steps.
    pub step_weights: Vec<StepWeights>,
    /// RAM of one inference, the stack apart.
    pub arena_bytes: usize,
    /// `MODEL_HASH` of the generated source: tells models apart.
    pub hash: u32,
    /// Whether weights and tables have a section of their own.
    pub has_section: bool,
    /// Whether all constants are taken from one of two slots.
    pub has_slots: bool,
}

/// The weights of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepWeights {
    /// The static that holds them, in the generated source.
    pub name: String,
    /// Their bytes in memory.
    pub bytes: u64,
    /// Multiply-accumulates of the step in one inference.
    pub macs: u64,
}

/// Choices of the generated source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// How matrices are packed where they fit it; row-major elsewhere.
    pub layout: Layout,
    /// The linker's section for weights and tables, instead of the compiler's own for
    /// constants.
    pub section: Option<String>,
    /// Whether all constants are taken from one of two slots, which the firmware chooses; see
    /// [`tadpool_kernels::slots`].
    pub slots: bool,
}

impl From<Layout> for Choices {
    fn from(layout: Layout) -> Self {
        Self {
            layout,
            section: None,
            slots: false,
        }
    }
}

/// Generates the source for `program`.
pub fn generate(
    program: &Program<'_>,
    description: &Description,
    choices: impl Into<Choices>,
) -> Generated {
    let choices = choices.into();
    let mut tables = tables::Tables {
        section: choices.section.clone(),
        ..tables::Tables::default()
    };
    let body = model::generate(program, description, &choices, &mut tables);
    let tables_rs = format!("{HEADER}{}", tables.source);
    let hash = [body.as_bytes(), tables_rs.as_bytes(), &tables.weights].concat();
    let hash = fnv1a(&hash);
    let step_weights = |part: tables::Part| {
        let is_its = |step: &&ProgramStep<'_>| part.name == weights_name(step);
        StepWeights {
            macs: program
                .steps
                .iter()
                .find(is_its)
                .map_or(0, |step| step.macs),
            name: part.name,
            bytes: part.size as u64,
        }
    };
    Generated {
        model_rs: format!(
            "{HEADER}\n{body}\n/// Tells images of different models apart.\n\
             pub const MODEL_HASH: u32 = 0x{hash:08x};\n"
        ),
        tables_rs,
        weights: tables.weights,
        step_weights: tables.parts.into_iter().map(step_weights).collect(),
        arena_bytes: program.arena_size,
        hash,
        has_section: tables.section.is_some(),
        has_slots: choices.slots,
    }
}

/// The function of `tadpool_kernels` that runs a step, by its path there, and the layout of
/// the step's matrices, if the kernels want them in `layout` where they fit it.
pub fn function(
    program: &Program<'_>,
    step: &ProgramStep<'_>,
    layout: Layout,
) -> (&'static str, Layout) {
    let path = calls::function(program, step).path;
    (path, model::layout_of(step, layout))
}

/// The static that holds the weights of a step, if it has any: [`StepWeights::name`].
pub fn weights_name(step: &ProgramStep<'_>) -> String {
    tables::weights_name(&model::ident(step).to_string())
}

/// How kernels want their weights packed.
pub fn layout(kernels: KernelVariant) -> Layout {
    match kernels {
        KernelVariant::Portable => Layout::Rows,
        KernelVariant::Dsp | KernelVariant::DspM7 => Layout::Dsp,
        KernelVariant::Helium => Layout::Helium,
    }
}

const HEADER: &str = "// Generated by tadpool; do not edit.\n";

impl Generated {
    /// The files of the crate that the firmware's image is built with, `tadpool-model`, by
    /// their path in its folder.
    ///
    /// `kernels` is the dependency on `tadpool-kernels`, as the right-hand side
    /// of its line in `Cargo.toml`.
    pub fn crate_files(
        &self,
        description: &Description,
        kernels: &str,
    ) -> Vec<(&'static str, Vec<u8>)> {
        Package::of_firmware(description, kernels).sources(self)
    }

    /// Writes [`Self::crate_files`] into `folder`.
    ///
    /// # Errors
    /// A [`PackageError`]; files are replaced as a whole.
    pub fn write_crate(
        &self,
        folder: &Path,
        description: &Description,
        kernels: &str,
    ) -> Result<Inventory, PackageError> {
        self.write_package(folder, &Package::of_firmware(description, kernels))
    }

    /// Writes `model.rs`, `tables.rs` and `weights.bin` into `folder`, and `golden.rs` if
    /// there are images to test with.
    ///
    /// # Errors
    /// An [`OutputError`] that names the file; files are replaced as a whole.
    pub fn write_module(&self, folder: &Path, golden: &[Golden]) -> Result<(), OutputError> {
        output::create_folder(folder)?;
        for (name, bytes) in golden::files(golden) {
            output::write(&folder.join(name), &bytes)?;
        }
        output::write(&folder.join("weights.bin"), &self.weights)?;
        output::write(&folder.join("tables.rs"), self.tables_rs.as_bytes())?;
        output::write(&folder.join("model.rs"), self.model_rs.as_bytes())
    }
}

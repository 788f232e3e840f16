//! `tadpool new`.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use tadpool_boards::{Board, Boot, KernelVariant, Runner};
use tadpool_compiler::compile::{self, CompileConfig, Compiled, Model};
use tadpool_compiler::given::model_toml::is_crate_name;
use tadpool_compiler::import::reference::DEFAULT_TOLERANCE;
use tadpool_compiler::output;
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_image::sources::Carried;

use super::board::BoardArgs;
use super::init::toml_string;
use super::progress::Bars;
use super::report::grouped;

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../templates/application/", $file))
    };
}

/// Files of an application, with their places; `@word@` stands for a value.
const TEMPLATES: [(&str, &str); 7] = [
    ("Cargo.toml", template!("manifest.toml")),
    (".cargo/config.toml", template!("config.toml")),
    (".gitignore", template!("gitignore")),
    ("README.md", template!("README.md")),
    ("build.rs", template!("build.rs")),
    ("src/main.rs", template!("src/main.rs")),
    ("tests/golden.rs", template!("tests/golden.rs")),
];
const LIBRARY: &str = template!("src/lib.rs");
const END_EMULATED: &str = template!("src/end_emulated.rs");
const END_PROBE: &str = template!("src/end_probe.rs");
/// The versions that the templates were tried with.
const LOCK: &str = template!("lock.toml");
/// Bytes of pictures that the test carries at most, and pictures if they are small.
const GOLDEN_BYTES: usize = 1 << 16;
const MOST_GOLDEN: usize = 4;
/// About what the code of an application takes beside the weights.
const CODE_BYTES: u64 = 40 << 10;

/// Which application.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder to make, whose name is the application's.
    #[arg(value_name = "NAME")]
    folder: PathBuf,
    /// A model description, a folder with a `model.toml`, or a bare ONNX file.
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Images for the activation ranges, instead of the description's.
    #[arg(long, value_name = "FOLDER")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    board: BoardArgs,
}

#[derive(Debug, Serialize)]
pub(crate) struct NewReport {
    folder: PathBuf,
    name: String,
    model: String,
    board: String,
    weights_bytes: u64,
    arena_bytes: u64,
    runner: &'static str,
}

impl New {
    pub(crate) fn run(self) -> anyhow::Result<NewReport> {
        let name = name(&self.folder)?;
        check_new(&self.folder)?;
        let model = compile::load(&self.model)?;
        let board = self.board.find(&model)?;
        let compiled = self.compile(&model)?;
        let weights_bytes = compiled.generate(board.kernels).weights.len() as u64;
        let arena_bytes = compiled.memory.arena_size as u64;
        check_room(&board, weights_bytes, arena_bytes)?;
        let values = self.values(&name, &board, &model)?;
        let mut files: Vec<(PathBuf, Cow<'_, [u8]>)> = Vec::new();
        for (place, template) in TEMPLATES {
            let text = filled(template, &values);
            files.push((place.into(), Cow::Owned(text.into_bytes())));
        }
        let library = filled(LIBRARY, &values);
        files.push(("src/lib.rs".into(), Cow::Owned(library.into_bytes())));
        let map = board.memory_map().map_err(anyhow::Error::msg)?;
        files.push(("memory.x".into(), Cow::Owned(map.into_bytes())));
        files.push(("Cargo.lock".into(), Cow::Borrowed(LOCK.as_bytes())));
        for (folder, carried) in [("kernels", Carried::Kernels), ("build", Carried::Build)] {
            let folder = Path::new("tadpool").join(folder);
            let carried = carried.files().into_iter();
            files.extend(carried.map(|(file, bytes)| (folder.join(file), bytes)));
        }
        for (place, bytes) in files {
            let path = self.folder.join(place);
            output::create_folder(path.parent().unwrap_or(&self.folder))?;
            output::write(&path, &bytes)?;
        }
        Ok(NewReport {
            folder: self.folder,
            name,
            model: model.description.name,
            runner: match board.runner {
                Runner::Qemu(_) => "tadpool emulate",
                Runner::Probe(_) => "probe-rs",
            },
            board: board.name,
            weights_bytes,
            arena_bytes,
        })
    }

    /// Compiles the model, so that what cannot work is said now and not by the first build.
    fn compile(&self, model: &Model) -> anyhow::Result<Compiled> {
        let config = CompileConfig {
            calibration: self.calibration.clone(),
            tolerance: DEFAULT_TOLERANCE,
            precision: None,
            schedule: ScheduleConfig {
                feed: model.description.input.feed,
                ..ScheduleConfig::default()
            },
        };
        Ok(compile::compile(model, &config, &Bars::default())?)
    }

    /// The values of the words in the templates.
    fn values(
        &self,
        name: &str,
        board: &Board,
        model: &Model,
    ) -> anyhow::Result<Vec<(&'static str, String)>> {
        let is_emulated = matches!(board.runner, Runner::Qemu(_));
        let model_path = self.seen_from(&self.model)?;
        let mut arguments = String::new();
        if let Some(folder) = &self.calibration {
            let folder = self.seen_from(folder)?;
            arguments = format!("        .arg(\"--calibration\")\n        .arg({folder:?})\n");
        }
        let (boot, boot_dependency) = boot(board);
        let mut dependencies = match is_emulated {
            true => "defmt-semihosting = \"0.4\"\nsemihosting = \"0.1\"\n",
            false => {
                "defmt-rtt = \"1\"\npanic-probe = { version = \"1\", features = [\"print-defmt\"] }\n"
            }
        }
        .to_owned();
        dependencies += boot_dependency;
        if board.target.starts_with("thumbv6m") {
            // Without atomic exchange, `static_cell` takes a critical section.
            dependencies +=
                "portable-atomic = { version = \"1\", features = [\"critical-section\"] }\n";
        }
        let vectors = match board.target.starts_with("thumbv6m") {
            true => "\"0.7\"",
            // Wherever a boot ROM or a debugger left the vector table.
            false => "{ version = \"0.7\", features = [\"set-vtor\"] }",
        };
        let kernels = board.kernels.name();
        let features = match board.kernels {
            KernelVariant::Portable => "\"defmt\"".to_owned(),
            _ => format!("\"defmt\", {kernels:?}"),
        };
        let (log, end, place) = match is_emulated {
            true => (
                "use defmt_semihosting as _; // the log\nuse semihosting::process;\n",
                END_EMULATED,
                "in the emulator",
            ),
            false => (
                "use defmt_rtt as _; // the log\nuse panic_probe as _; // logs a panic\n",
                END_PROBE,
                "on the board, by probe-rs",
            ),
        };
        let input = &model.network.input;
        let pixels = input.height * input.width * input.channels;
        let golden = (GOLDEN_BYTES / pixels.max(1)).clamp(1, MOST_GOLDEN);
        Ok(vec![
            ("name", format!("{name:?}")),
            ("crate", name.replace('-', "_")),
            ("title", name.to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("network", model.description.name.clone()),
            ("board", board.name.clone()),
            ("chip", board.chip.clone()),
            ("target", board.target.clone()),
            ("where", place.to_owned()),
            ("runner", runner(board)?),
            ("model", format!("{model_path:?}")),
            ("model_path", model_path),
            ("kernels", kernels.to_owned()),
            ("features", features),
            ("cortex_m_rt", vectors.to_owned()),
            ("dependencies", dependencies),
            ("arguments", arguments),
            ("golden", golden.to_string()),
            ("log", log.to_owned()),
            ("boot", boot.to_owned()),
            ("end", end.to_owned()),
        ])
    }

    /// A path as the application's build script names it.
    fn seen_from(&self, path: &Path) -> anyhow::Result<String> {
        let (folder, path) = (
            std::path::absolute(&self.folder)?,
            std::path::absolute(path)?,
        );
        let relative = pathdiff::diff_paths(&path, folder).unwrap_or(path);
        let text = relative.to_str();
        let text = text.with_context(|| format!("`{}` is not Unicode", relative.display()))?;
        Ok(match std::path::MAIN_SEPARATOR {
            '\\' => text.replace('\\', "/"),
            _ => text.to_owned(),
        })
    }
}

/// The application's name, which is its folder's.
fn name(folder: &Path) -> anyhow::Result<String> {
    let name = folder.file_name().and_then(|name| name.to_str());
    match name {
        Some(name) if is_crate_name(name) && name != "tadpool" => Ok(name.to_owned()),
        _ => bail!(
            "`{}` cannot be the name of a package: up to 64 lower case letters, digits, `-` and \
             `_`, beginning with a letter, no keyword, nor `tadpool`",
            name.unwrap_or_default()
        ),
    }
}

/// Refuses a folder that has something in it.
fn check_new(folder: &Path) -> anyhow::Result<()> {
    let is_empty = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", folder.display()));
        }
    };
    if !is_empty {
        bail!(
            "`{}` is not empty, and nothing is written over; choose a new folder",
            folder.display()
        );
    }
    Ok(())
}

/// Refuses a board that has no room for the model.
fn check_room(board: &Board, weights_bytes: u64, arena_bytes: u64) -> anyhow::Result<()> {
    let flash_bytes = board.length(&board.layout.code, board.budget.flash_bytes);
    let ram_bytes = board.ram_bytes();
    let flash_needed = weights_bytes + CODE_BYTES;
    let ram_needed = arena_bytes + u64::from(board.layout.stack_bytes);
    for (memory, needed, available) in [
        ("flash", flash_needed, flash_bytes),
        ("RAM", ram_needed, ram_bytes),
    ] {
        if needed > available {
            bail!(
                "the application does not fit board `{}`: it needs about {} bytes of {memory}, \
                 and there are {}; `tadpool fit` says what would help",
                board.name,
                grouped(needed),
                grouped(available)
            );
        }
    }
    Ok(())
}

/// The line that tells cargo how to run a program on the board.
fn runner(board: &Board) -> anyhow::Result<String> {
    let line: Vec<String> = match &board.runner {
        Runner::Qemu(_) => {
            let board = match &board.file {
                Some(file) => std::path::absolute(file)?.display().to_string(),
                None => board.name.clone(),
            };
            ["tadpool", "emulate", "--board", &board]
                .map(str::to_owned)
                .into()
        }
        Runner::Probe(_) => ["probe-rs", "run", "--chip", &board.chip]
            .map(str::to_owned)
            .into(),
    };
    let words: Vec<String> = line.iter().map(|word| toml_string(word)).collect();
    Ok(format!("runner = [{}]", words.join(", ")))
}

/// The block beside the vector table that the chip's boot ROM reads, and what it needs.
fn boot(board: &Board) -> (&'static str, &'static str) {
    match board.layout.boot {
        None => ("", ""),
        Some(Boot::SecondStage) => (
            "
/// The code that the boot ROM runs first: sets up the serial flash.
#[unsafe(link_section = \".boot2\")]
#[used]
pub static SECOND_STAGE: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;
",
            "rp2040-boot2 = \"0.3\"\n",
        ),
        Some(Boot::ImageDefinition) => (
            "
/// Tells the boot ROM that this is a program for the Arm core, secure.
#[unsafe(link_section = \".start_block\")]
#[used]
pub static IMAGE_DEFINITION: [u32; 5] = [0xffff_ded3, 0x1021_0142, 0x0000_01ff, 0, 0xab12_3579];
",
            "",
        ),
    }
}

/// A template with the values in their places.
fn filled(template: &str, values: &[(&str, String)]) -> String {
    let mut text = template.to_owned();
    for (word, value) in values {
        text = text.replace(&format!("@{word}@"), value);
    }
    text
}

impl fmt::Display for NewReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        writeln!(
            f,
            "{folder}: runs {} on {}; weights {} bytes, arena {} bytes",
            self.model,
            self.board,
            grouped(self.weights_bytes),
            grouped(self.arena_bytes)
        )?;
        writeln!(
            f,
            "next: cd {folder}; cargo run; cargo test (both by `{}`)",
            self.runner
        )
    }
}

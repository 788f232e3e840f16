#![doc = include_str!("../README.md")]

pub mod elf;

mod thumb;

pub mod audit;

pub mod fit;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use elf::{ElfError, Sizes};
use tadpool_boards::Board;
use tadpool_compiler::output::{self, OutputError};

const PROGRAM: &str = "tadpool-firmware";
/// Lines of cargo's output that an error text quotes at most.
const QUOTED_LINES: usize = 20;

/// What to build.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// The folder `firmware` of tadpool's repository.
    pub firmware: &'a Path,
    /// Board to build for.
    pub board: &'a Board,
    /// Folder of the generated crate; the one in `firmware/model` if none.
    pub model: Option<&'a Path>,
    /// What the image answers.
    pub interface: Interface,
}

/// What an image answers, and through what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// This tool's requests, through the debug probe.
    #[default]
    Requests,
    /// The same, and faults on demand.
    SelfTests,
    /// MLPerf Tiny's commands, through the debug probe.
    Mlperf,
    /// MLPerf Tiny's commands, through the board's UART.
    MlperfUart,
}

impl Interface {
    /// The feature of the firmware that builds it.
    fn feature(self) -> Option<&'static str> {
        match self {
            Self::Requests => None,
            Self::SelfTests => Some("self-test"),
            Self::Mlperf => Some("mlperf"),
            Self::MlperfUart => Some("mlperf-uart"),
        }
    }
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The ELF file.
    pub path: PathBuf,
    /// What it takes of the board's memory.
    pub sizes: Sizes,
}

/// An image that could not be built.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// There is no compiler for the board's processor.
    #[error(
        "no Rust toolchain here can build for `{target}`; run `cargo xtask setup`, or \
         `rustup target add {target}`"
    )]
    NoToolchain {
        /// The target.
        target: String,
    },
    /// The board's start-up code sets up no UART.
    #[error(
        "board `{board}` has no [uart]; have MLPerf Tiny's commands go through RTT: `--mlperf rtt`"
    )]
    NoUart {
        /// Name of the board.
        board: String,
    },
    /// Cargo cannot be started.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is missing or is not what it should be.
    #[error("`{}`: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] OutputError),
    /// The image is larger than the board's memory or budget.
    #[error(
        "the image does not fit board `{board}`: its {memory} needs {overflow_bytes} bytes more; \
         `tadpool fit` says what would help"
    )]
    DoesNotFit {
        /// Name of the board.
        board: String,
        /// What is too small.
        memory: &'static str,
        /// Bytes that are missing.
        overflow_bytes: u64,
    },
    /// The compiler or the linker failed.
    #[error("cargo could not build the image:\n{output}")]
    Cargo {
        /// The end of its output.
        output: String,
    },
    /// The image is not what it should be.
    #[error(transparent)]
    Elf(#[from] ElfError),
}

/// Builds an image.
///
/// # Errors
/// A [`FirmwareError`]; [`FirmwareError::DoesNotFit`] if the board is too small.
pub fn build(build: &Build<'_>) -> Result<Image, FirmwareError> {
    let (path, bytes) = build_program(build, PROGRAM)?;
    let sizes = elf::sizes(&path, &bytes)?;
    Ok(Image { path, sizes })
}

/// What an image takes, whether the board has it or not.
///
/// # Errors
/// A [`FirmwareError`], but never [`FirmwareError::DoesNotFit`].
pub fn weigh(build: &Build<'_>) -> Result<Sizes, FirmwareError> {
    let (path, bytes) = build_limited(build, PROGRAM, Limits::None)?;
    Ok(elf::sizes(&path, &bytes)?)
}

/// Builds one program of the firmware; returns its path and its bytes.
pub(crate) fn build_program(
    build: &Build<'_>,
    program: &str,
) -> Result<(PathBuf, Vec<u8>), FirmwareError> {
    build_limited(build, program, Limits::Board)
}

/// How much memory the linker has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limits {
    /// What the board's file says.
    Board,
    /// More than any image takes. The image does not run.
    None,
}

fn build_limited(
    build: &Build<'_>,
    program: &str,
    limits: Limits,
) -> Result<(PathBuf, Vec<u8>), FirmwareError> {
    if build.interface == Interface::MlperfUart && build.board.uart.is_none() {
        return Err(FirmwareError::NoUart {
            board: build.board.name.clone(),
        });
    }
    let target_folder = build.firmware.join("target");
    // Cargo locks the folder too, but gives every board's program one name.
    let _lock = lock(&target_folder)?;
    let manifest = match build.model {
        Some(model) => stage(build.firmware, model, &target_folder)?,
        None => build.firmware.join("Cargo.toml"),
    };
    let bytes = read(&cargo_build(
        build,
        program,
        limits,
        &manifest,
        &target_folder,
    )?)?;
    // The next board or model of the same processor writes over it.
    let kind = match limits {
        Limits::Board => build.interface.feature().unwrap_or("requests"),
        Limits::None => "unlimited",
    };
    let folder = target_folder.join("images").join(program).join(kind);
    let path = folder.join(format!("{}.elf", build.board.name));
    output::create_folder(&folder)?;
    output::write(&path, &bytes)?;
    Ok((path, bytes))
}

/// Builds `program` and returns its path.
fn cargo_build(
    build: &Build<'_>,
    program: &str,
    limits: Limits,
    manifest: &Path,
    target_folder: &Path,
) -> Result<PathBuf, FirmwareError> {
    let target = &build.board.target;
    let toolchain =
        tadpool_toolchain::for_target(target).ok_or_else(|| FirmwareError::NoToolchain {
            target: target.clone(),
        })?;
    let board = match &build.board.file {
        Some(file) => absolute(file)?.into(),
        None => OsString::from(&build.board.name),
    };
    let mut command = toolchain.command("build", target);
    command
        .args(["--release", "--bin", program])
        .args([
            "--no-default-features",
            "--features",
            &build.board.features(),
        ])
        .args(
            build
                .interface
                .feature()
                .map(|name| format!("--features={name}")),
        )
        .arg("--manifest-path")
        .arg(absolute(manifest)?)
        .arg("--target-dir")
        .arg(absolute(target_folder)?)
        .env("TADPOOL_BOARD", board)
        // Flags for the host's processor are none for the board's.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .stdin(Stdio::null());
    match limits {
        Limits::Board => command.env_remove("TADPOOL_UNLIMITED"),
        Limits::None => command.env("TADPOOL_UNLIMITED", "1"),
    };
    let output = command.output().map_err(|source| FirmwareError::Start {
        program: toolchain.cargo.to_string_lossy().into_owned(),
        source,
    })?;
    if !output.status.success() {
        return Err(failure(
            build.board,
            &String::from_utf8_lossy(&output.stderr),
        ));
    }
    Ok(target_folder.join(target).join("release").join(program))
}

/// Writes a manifest that is the firmware's but for the model, and returns its
/// path.
///
/// Cargo cannot replace a dependency that is a path, so the manifest moves and
/// every path in it becomes absolute.
fn stage(firmware: &Path, model: &Path, target_folder: &Path) -> Result<PathBuf, FirmwareError> {
    let firmware = absolute(firmware)?;
    let model = absolute(model)?;
    if !model.join("Cargo.toml").is_file() {
        let problem = "is not the folder of a generated crate; it has no Cargo.toml".into();
        return Err(FirmwareError::File {
            path: model,
            problem,
        });
    }
    let path = firmware.join("Cargo.toml");
    let wrong = |problem: String| FirmwareError::File {
        path: path.clone(),
        problem,
    };
    let text = String::from_utf8(read(&path)?).map_err(|error| wrong(error.to_string()))?;
    let mut manifest: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    manifest.insert("workspace".into(), toml::Table::new().into());
    let in_firmware = |path: &str| firmware.join(path).to_string_lossy().into_owned();
    let mut replace = |table: &str, key: &str, path: String| {
        let entry = manifest.get_mut(table).and_then(|table| table.get_mut(key));
        let entry = entry.and_then(toml::Value::as_table_mut);
        let entry = entry.ok_or_else(|| wrong(format!("has no table {table}.{key}")))?;
        entry.insert("path".into(), path.into());
        Ok::<(), FirmwareError>(())
    };
    replace(
        "dependencies",
        "tadpool-model",
        model.to_string_lossy().into_owned(),
    )?;
    for dependency in ["tadpool-kernels", "tadpool-protocol"] {
        let folder = dependency.trim_start_matches("tadpool-");
        replace("dependencies", dependency, in_firmware(folder))?;
    }
    let boards = firmware.join("../host-tools/boards");
    let table = manifest.get_mut("build-dependencies");
    let entry = table.and_then(|table| table.get_mut("tadpool-boards"));
    let entry = entry.and_then(toml::Value::as_table_mut);
    let entry = entry.ok_or_else(|| wrong("has no build dependency tadpool-boards".into()))?;
    entry.insert("path".into(), boards.to_string_lossy().into_owned().into());
    if let Some(toml::Value::Array(programs)) = manifest.get_mut("bin") {
        for program in programs {
            if let Some(path) = program.get_mut("path") {
                *path = in_firmware(path.as_str().unwrap_or_default()).into();
            }
        }
    }
    let library = toml::Table::from_iter([("path".to_owned(), in_firmware("src/lib.rs").into())]);
    manifest.insert("lib".into(), library.into());
    if let Some(package) = manifest
        .get_mut("package")
        .and_then(toml::Value::as_table_mut)
    {
        package.insert("build".into(), in_firmware("build.rs").into());
    }

    let folder = absolute(target_folder)?.join("staged");
    output::create_folder(&folder)?;
    let staged = folder.join("Cargo.toml");
    output::write(&staged, manifest.to_string().as_bytes())?;
    output::write(
        &folder.join("Cargo.lock"),
        &read(&firmware.join("Cargo.lock"))?,
    )?;
    Ok(staged)
}

/// What the output of a failed build tells.
fn failure(board: &Board, output: &str) -> FirmwareError {
    // rust-lld: section '.text' will not fit in region 'FLASH': overflowed by 12 bytes
    let overflow = output.lines().find_map(|line| {
        let (_, rest) = line.split_once("will not fit in region '")?;
        let (region, rest) = rest.split_once("': overflowed by ")?;
        let bytes = rest.split(' ').next()?.parse().ok()?;
        Some((region.to_owned(), bytes))
    });
    match overflow {
        Some((region, overflow_bytes)) => FirmwareError::DoesNotFit {
            board: board.name.clone(),
            memory: match region.as_str() {
                "FLASH" => "flash",
                "WEIGHTS" => "memory for weights",
                _ => "RAM",
            },
            overflow_bytes,
        },
        None => {
            let lines: Vec<&str> = output.lines().collect();
            let start = lines.len().saturating_sub(QUOTED_LINES);
            FirmwareError::Cargo {
                output: lines[start..].join("\n"),
            }
        }
    }
}

/// Waits until no other process builds in `folder`; dropping the file allows it.
fn lock(folder: &Path) -> Result<File, FirmwareError> {
    output::create_folder(folder)?;
    let path = folder.join("images.lock");
    let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
    lock.map_err(|error| FirmwareError::File {
        path,
        problem: format!("cannot be locked: {error}"),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, FirmwareError> {
    std::fs::read(path).map_err(|error| FirmwareError::File {
        path: path.to_owned(),
        problem: format!("cannot be read: {error}"),
    })
}

fn absolute(path: &Path) -> Result<PathBuf, FirmwareError> {
    std::path::absolute(path).map_err(|error| FirmwareError::File {
        path: path.to_owned(),
        problem: format!("is no path: {error}"),
    })
}

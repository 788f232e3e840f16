#![doc = include_str!("../README.md")]

pub mod elf;

pub mod audit;

pub mod fit;

pub mod shapes;

pub mod hash;

pub mod seal;

pub mod slots;

pub mod weigh;

pub mod cache;

pub mod sources;

mod cargo;
mod placement;
mod stage;

use std::path::{Path, PathBuf};

use audit::{Audit, AuditError};
use elf::{ElfError, Sizes};
use tadpool_boards::Board;
use tadpool_compiler::generate::{Description, Generated};
use tadpool_compiler::output::{self, OutputError};
use tadpool_toolchain::Toolchain;

use cache::Cache;
use stage::Stage;

const PROGRAM: &str = "tadpool-firmware";

/// The image to build.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// Board to build for.
    pub board: &'a Board,
    /// The model; the CIFAR-10 PoolFormer that this crate carries if none.
    pub model: Option<Model<'a>>,
    /// The requests that the image answers.
    pub interface: Interface,
}

/// A model that was generated for a board's kernels.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// Its source.
    pub generated: &'a Generated,
    /// Its name and labels.
    pub description: &'a Description,
}

/// The requests that an image answers, and the link that it uses.
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
pub struct FirmwareImage {
    /// The ELF file.
    pub path: PathBuf,
    /// The bytes that it takes of the board's memory.
    pub sizes: Sizes,
    /// The findings of the audit, which passed. None of an image that has
    /// faults on demand.
    pub audit: Option<Audit>,
}

/// An image that could not be built.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// There is no compiler for the board's processor.
    #[error(
        "no Rust toolchain here can build for `{target}`: `rustup target add {target}`; `tadpool \
         doctor` lists what is missing"
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
    /// MLPerf Tiny reports times, and nobody knows the board's clock.
    #[error(
        "board `{board}` does not say how fast its clock is, and MLPerf Tiny reports times: set \
         `counter.frequency_hz` in its file"
    )]
    NoClock {
        /// Name of the board.
        board: String,
    },
    /// There is no place to build in.
    #[error("no folder for caches is known here; set {} to one", cache::VARIABLE)]
    NoCache,
    /// The image that was built holds another model.
    #[error(
        "the image `{}` holds a model with hash {found:08x}, expected {expected:08x}; remove the \
         folder `{}` and repeat the command",
        image.display(),
        folder.display()
    )]
    WrongModel {
        /// The image.
        image: PathBuf,
        /// The folder that it was built in.
        folder: PathBuf,
        /// Hash of the model in it.
        found: u32,
        /// Hash of the model that it was built for.
        expected: u32,
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
        /// The reason.
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
        /// The memory that is too small.
        memory: &'static str,
        /// Bytes that are missing.
        overflow_bytes: u64,
    },
    /// The crates that the firmware is built from are not here, and do not come.
    #[error(
        "the firmware's crates cannot be downloaded: {problem}; connect to the network once, \
         after which images are built without"
    )]
    Download {
        /// Cargo's reason.
        problem: String,
    },
    /// The compiler or the linker failed.
    #[error(
        "the image cannot be built: {problem}; all that was said is in `{}`, and `tadpool doctor` \
         looks for what is missing",
        log.display()
    )]
    Cargo {
        /// The first error.
        problem: String,
        /// A file with the whole output.
        log: PathBuf,
    },
    /// The image is not what it should be.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The image can do what it must not.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// Builds an image, and audits its machine code unless it has faults on demand.
///
/// # Errors
/// A [`FirmwareError`]; [`FirmwareError::DoesNotFit`] if the board is too small,
/// [`FirmwareError::Audit`] if the code can do what it must not.
pub fn build(build: &Build<'_>) -> Result<FirmwareImage, FirmwareError> {
    let (path, bytes) = build_limited(build, Limits::Board)?;
    let sizes = elf::sizes(&path, &bytes)?;
    let audit = match build.interface {
        Interface::SelfTests => None,
        _ => Some(audit::of_file(&path, &bytes)?),
    };
    if let Some(audit) = &audit {
        audit.check_on(build.board, &path)?;
    }
    Ok(FirmwareImage { path, sizes, audit })
}

/// The toolchain that builds images for a board, whatever the model; `interface` is what they
/// answer.
///
/// # Errors
/// A [`FirmwareError`] if there is none, or the board does not have what the interface needs.
pub fn check(board: &Board, interface: Interface) -> Result<Toolchain, FirmwareError> {
    let name = || board.name.clone();
    if interface == Interface::MlperfUart && board.uart.is_none() {
        return Err(FirmwareError::NoUart { board: name() });
    }
    let is_mlperf = matches!(interface, Interface::Mlperf | Interface::MlperfUart);
    if is_mlperf && board.counter.frequency_hz.is_none() {
        return Err(FirmwareError::NoClock { board: name() });
    }
    toolchain(board).ok_or_else(|| FirmwareError::NoToolchain {
        target: board.target.clone(),
    })
}

/// The toolchain that builds for a board, if there is one.
pub fn toolchain(board: &Board) -> Option<Toolchain> {
    toolchain_for(&board.target)
}

pub use tadpool_toolchain::for_target as toolchain_for;

/// How much memory the linker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limits {
    /// The value in the board's file.
    Board,
    /// More than any image takes. The image does not run, and a debugger finds nothing in it.
    None,
}

/// An image that is yet to be built, and where it is kept afterwards.
struct Order {
    toolchain: Toolchain,
    stage: Stage,
    cache: Cache,
    path: PathBuf,
}

impl Order {
    fn new(build: &Build<'_>, limits: Limits) -> Result<Self, FirmwareError> {
        let toolchain = check(build.board, build.interface)?;
        let cache = Cache::find()?;
        let stage = Stage::new(build, PROGRAM, limits, &toolchain)?;
        Ok(Self {
            path: cache.image(&stage.key, &build.board.name),
            toolchain,
            stage,
            cache,
        })
    }

    /// The image, if it is kept and whole.
    fn kept(&self) -> Option<Vec<u8>> {
        let bytes = std::fs::read(&self.path).ok()?;
        holds(&self.path, &bytes, &self.stage, self.cache.folder()).ok()?;
        Some(bytes)
    }
}

/// An image that was built before from the same files by the same toolchain.
pub(crate) fn kept(build: &Build<'_>, limits: Limits) -> Option<(PathBuf, Vec<u8>)> {
    let order = Order::new(build, limits).ok()?;
    let bytes = order.kept()?;
    Some((order.path, bytes))
}

/// Builds an image, unless it was built before from the same files by the same toolchain;
/// returns its path and its bytes.
pub(crate) fn build_limited(
    build: &Build<'_>,
    limits: Limits,
) -> Result<(PathBuf, Vec<u8>), FirmwareError> {
    let order = Order::new(build, limits)?;
    if let Some(bytes) = order.kept() {
        return Ok((order.path, bytes));
    }
    let Order {
        toolchain,
        stage,
        cache,
        path,
    } = &order;
    let folder = cache.build_folder(toolchain, &build.board.target)?;
    let _lock = cache::lock(&folder.join("lock"))?;
    // Another process may have built it meanwhile.
    if let Some(bytes) = order.kept() {
        return Ok((order.path, bytes));
    }
    let (staged, target_folder) = (folder.join("stage"), folder.join("target"));
    sources::sync(&staged, &stage.files).map_err(|error| cache::unwritable(&staged, &error))?;
    let built = cargo::build(
        stage,
        PROGRAM,
        build.board,
        toolchain,
        &staged,
        &target_folder,
    )?;
    let mut bytes = read(&built)?;
    seal::seal(&built, &mut bytes)?;
    holds(&built, &bytes, stage, &folder)?;
    if let Some(folder) = path.parent() {
        output::create_folder(folder)?;
    }
    output::write(path, &bytes)?;
    cache.prune();
    Ok((order.path, bytes))
}

/// Fails unless the image in `bytes`, from the file at `path`, holds the model that it was
/// built for; `folder` is where it was built.
fn holds(path: &Path, bytes: &[u8], stage: &Stage, folder: &Path) -> Result<(), FirmwareError> {
    let found = elf::model_hash(path, bytes)?;
    match stage.model_hash {
        Some(expected) if expected != found => Err(FirmwareError::WrongModel {
            image: path.to_owned(),
            folder: folder.to_owned(),
            found,
            expected,
        }),
        _ => Ok(()),
    }
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

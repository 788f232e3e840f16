#![doc = include_str!("../README.md")]

pub mod emulator;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Where Debian's packages `rustc-web` and `cargo-web` put their programs.
const DISTRIBUTION: [&str; 2] = ["/usr/bin/rustc", "/usr/bin/cargo"];

/// A cargo, and what it needs to build for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The program.
    pub cargo: OsString,
    /// Arguments after those of the build.
    pub arguments: Vec<String>,
    /// Environment.
    pub variables: Vec<(String, OsString)>,
    /// Version and host of the compiler, as `rustc -vV` prints them: the same source and
    /// flags give the same machine code where this is the same.
    pub version: String,
}

/// The toolchain that builds for `target`; none if `core` is not installed for
/// it in any way. Each target is looked for once in a process.
pub fn for_target(target: &str) -> Option<Toolchain> {
    static FOUND: Mutex<BTreeMap<String, Toolchain>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(toolchain) = found.get(target) {
        return Some(toolchain.clone());
    }
    let toolchain = installed(target).or_else(|| from_source(target))?;
    found.insert(target.to_owned(), toolchain.clone());
    Some(toolchain)
}

impl Toolchain {
    /// A call of cargo for `target`, to which its subcommand's own arguments are
    /// yet to be added.
    pub fn command(&self, subcommand: &str, target: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        command
            .args([subcommand, "--target", target])
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The cargo at hand, if its compiler has `target`.
///
/// The programs are named by their full paths: rustup's own choose a toolchain by the
/// folder that they are called in, and a build is called in another one.
fn installed(target: &str) -> Option<Toolchain> {
    let printed = rustc_prints(
        "rustc",
        &[
            "--print",
            "target-libdir",
            "--print",
            "sysroot",
            "--target",
            target,
        ],
    )?;
    let [libraries, sysroot] = printed.lines().collect::<Vec<_>>()[..] else {
        return None;
    };
    let has_core = std::fs::read_dir(libraries)
        .ok()?
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"));
    if !has_core {
        return None;
    }
    let program = |name: &str| {
        let path = Path::new(sysroot).join("bin").join(name);
        let path = path.with_extension(std::env::consts::EXE_EXTENSION);
        path.is_file().then_some(path)
    };
    let cargo = match program("cargo") {
        Some(cargo) => cargo.into(),
        None => std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
    };
    let rustc = program("rustc").map(|rustc| ("RUSTC".to_owned(), rustc.into()));
    // The linker that such targets have by default, whatever somebody's configuration says.
    let linker = (linker_variable(target), "rust-lld".into());
    Some(Toolchain {
        cargo,
        arguments: Vec::new(),
        variables: rustc.into_iter().chain([linker]).collect(),
        version: rustc_prints("rustc", &["-vV"])?,
    })
}

/// The distribution's cargo, if its compiler has the source of `core`.
fn from_source(target: &str) -> Option<Toolchain> {
    let [rustc, cargo] = DISTRIBUTION;
    let sysroot = rustc_prints(rustc, &["--print", "sysroot"])?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    if !source.is_dir() || !Path::new(cargo).is_file() {
        return None;
    }
    let linker = lld()?;
    Some(Toolchain {
        cargo: cargo.into(),
        arguments: vec!["-Zbuild-std=core".into()],
        variables: vec![
            ("RUSTC".into(), rustc.into()),
            // -Zbuild-std is not stable; the build uses nothing else that is not.
            ("RUSTC_BOOTSTRAP".into(), "1".into()),
            (linker_variable(target), linker.into()),
        ],
        version: rustc_prints(rustc, &["-vV"])?,
    })
}

/// The variable that names a target's linker to cargo.
fn linker_variable(target: &str) -> String {
    let target = target.to_uppercase().replace(['-', '.'], "_");
    format!("CARGO_TARGET_{target}_LINKER")
}

/// LLVM's linker: the one of the Rust toolchain at hand, or the distribution's.
fn lld() -> Option<PathBuf> {
    let of_rust = || {
        let version = rustc_prints("rustc", &["-vV"])?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))?;
        let sysroot = rustc_prints("rustc", &["--print", "sysroot"])?;
        let programs = Path::new(sysroot.trim()).join("lib/rustlib").join(host);
        Some(programs.join("bin/rust-lld"))
    };
    let candidates = of_rust()
        .into_iter()
        .chain([PathBuf::from("/usr/bin/ld.lld")]);
    candidates.into_iter().find(|path| path.is_file())
}

/// The output of `rustc`.
fn rustc_prints(rustc: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(rustc).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

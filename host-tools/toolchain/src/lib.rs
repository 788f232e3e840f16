#![doc = include_str!("../README.md")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

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
}

/// The toolchain that builds for `target`; none if `core` is not installed for
/// it in any way.
pub fn for_target(target: &str) -> Option<Toolchain> {
    installed(target).or_else(|| from_source(target))
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
fn installed(target: &str) -> Option<Toolchain> {
    let folder = rustc_says("rustc", &["--print", "target-libdir", "--target", target])?;
    let has_core = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"));
    has_core.then(|| Toolchain {
        // Set where cargo itself called, so that the same cargo is used.
        cargo: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        arguments: Vec::new(),
        variables: Vec::new(),
    })
}

/// The distribution's cargo, if its compiler has the source of `core`.
fn from_source(target: &str) -> Option<Toolchain> {
    let [rustc, cargo] = DISTRIBUTION;
    let source =
        rustc_says(rustc, &["--print", "sysroot"])?.join("lib/rustlib/src/rust/library/core");
    if !source.is_dir() || !Path::new(cargo).is_file() {
        return None;
    }
    let linker = format!(
        "CARGO_TARGET_{}_LINKER",
        target.to_uppercase().replace(['-', '.'], "_")
    );
    Some(Toolchain {
        cargo: cargo.into(),
        arguments: vec!["-Zbuild-std=core".into()],
        variables: vec![
            ("RUSTC".into(), rustc.into()),
            // -Zbuild-std is not stable; the build uses nothing else that is not.
            ("RUSTC_BOOTSTRAP".into(), "1".into()),
            (linker, lld()?.into()),
        ],
    })
}

/// LLVM's linker: the one of the Rust toolchain at hand, or the distribution's.
fn lld() -> Option<PathBuf> {
    let of_rust = || {
        let host = Command::new("rustc").arg("-vV").output().ok()?;
        let host = String::from_utf8(host.stdout).ok()?;
        let host = host
            .lines()
            .find_map(|line| line.strip_prefix("host: "))?
            .to_owned();
        let sysroot = rustc_says("rustc", &["--print", "sysroot"])?;
        Some(sysroot.join("lib/rustlib").join(host).join("bin/rust-lld"))
    };
    let candidates = of_rust()
        .into_iter()
        .chain([PathBuf::from("/usr/bin/ld.lld")]);
    candidates.into_iter().find(|path| path.is_file())
}

/// The path that `rustc` prints.
fn rustc_says(rustc: &str, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(rustc).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| PathBuf::from(text.trim()))
}

//! The plugin of QEMU that tells what is executed: built from its source when first needed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tadpool_toolchain::emulator::{QEMU, qemu};

/// The plugin's source, which this crate carries: path in its folder, and text.
const SOURCES: [(&str, &str); 6] = [
    ("README.md", include_str!("../plugin/README.md")),
    (ROOT, include_str!("../plugin/src/lib.rs")),
    (
        "src/arguments.rs",
        include_str!("../plugin/src/arguments.rs"),
    ),
    ("src/qemu.rs", include_str!("../plugin/src/qemu.rs")),
    ("src/recorder.rs", include_str!("../plugin/src/recorder.rs")),
    ("src/window.rs", include_str!("../plugin/src/window.rs")),
];
const ROOT: &str = "src/lib.rs";
const EDITION: &str = "2024";
/// The variable by which the source is told the version of QEMU's interface.
const INTERFACE: &str = "TADPOOL_QEMU_PLUGIN_VERSION";
/// Lines of the compiler's output that an error quotes.
const QUOTED_LINES: usize = 3;

/// A plugin that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// QEMU has no plugins on this system.
    #[error("executions are traced by a plugin of QEMU, which there is not on this system")]
    NoSystem,
    /// QEMU is not installed, or does not say its version.
    #[error("`{QEMU} --version` does not tell a version: {0}; install it, see `tadpool doctor`")]
    NoQemu(String),
    /// QEMU is older than its interface for plugins.
    #[error("QEMU {0} has no plugins; 4.2 or newer has")]
    Old(String),
    /// There is no compiler.
    #[error("`rustc` cannot be run, which builds the plugin of QEMU: {0}; see `tadpool doctor`")]
    NoCompiler(io::Error),
    /// The compiler failed.
    #[error("the plugin of QEMU cannot be built: {0}")]
    Build(String),
    /// A file cannot be written.
    #[error("`{}` cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The plugin for the QEMU at hand, in a folder below `cache`, where it is built if it is not
/// there.
///
/// # Errors
/// A [`PluginError`] if QEMU or the compiler is missing, or building fails.
pub fn plugin(cache: &Path) -> Result<PathBuf, PluginError> {
    if !cfg!(unix) {
        return Err(PluginError::NoSystem);
    }
    let interface = interface(&qemu_version()?)?;
    let compiler = output(Command::new("rustc").arg("-vV")).map_err(PluginError::NoCompiler)?;
    let mut key = Hash::default();
    for text in SOURCES.iter().flat_map(|(path, text)| [*path, *text]) {
        key.add(text);
    }
    key.add(interface);
    key.add(&compiler);
    let folder = cache.join("trace-plugin").join(key.finish());
    let library = folder.join(format!("libtadpool_trace{}", std::env::consts::DLL_SUFFIX));
    if !library.is_file() {
        build(&folder, interface, &library)?;
    }
    Ok(library)
}

/// Builds the plugin. Whoever else does so at the same time builds the same.
fn build(folder: &Path, interface: &str, library: &Path) -> Result<(), PluginError> {
    let write = |path: PathBuf, source| PluginError::Write { path, source };
    for (name, text) in SOURCES {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| write(parent.to_owned(), error))?;
        fs::write(&path, text).map_err(|error| write(path, error))?;
    }
    let part = folder.join(format!("part-{}", std::process::id()));
    let mut rustc = Command::new("rustc");
    rustc
        .current_dir(folder)
        .args(["--crate-name", "tadpool_trace", "--crate-type", "cdylib"])
        .args(["--edition", EDITION, "-Copt-level=3", "-Cstrip=debuginfo"])
        .arg(format!("-o{}", part.display()))
        .arg(ROOT)
        .env(INTERFACE, interface)
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null());
    if cfg!(target_vendor = "apple") {
        rustc.arg("-Clink-arg=-Wl,-undefined,dynamic_lookup");
    }
    let output = rustc.output().map_err(PluginError::NoCompiler)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let lines = text.lines().filter(|line| line.starts_with("error"));
        let quoted: Vec<_> = lines.take(QUOTED_LINES).collect();
        return Err(PluginError::Build(match quoted.is_empty() {
            true => format!("`rustc` ended with {}", output.status),
            false => quoted.join("; "),
        }));
    }
    // At once, so that nobody loads half of it.
    fs::rename(&part, library).map_err(|error| write(library.to_owned(), error))
}

/// The version of QEMU's interface that a QEMU of a version has; see `qemu-plugin.h` there.
fn interface(version: &str) -> Result<&'static str, PluginError> {
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    let version_of = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version_of {
        (0..4, _) | (4, 0..2) => Err(PluginError::Old(version.to_owned())),
        (4..9, _) => Ok("1"),
        (9, 0) => Ok("2"),
        (9, 1) => Ok("3"),
        _ => Ok("4"),
    }
}

/// Such as `7.2.22`.
fn qemu_version() -> Result<String, PluginError> {
    let text = output(qemu().arg("--version"));
    let text = text.map_err(|error| PluginError::NoQemu(error.to_string()))?;
    version_in(&text).ok_or_else(|| PluginError::NoQemu(text.lines().take(1).collect()))
}

fn version_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(" version ")?;
    let version: String = rest
        .chars()
        .take_while(|letter| letter.is_ascii_digit() || *letter == '.')
        .collect();
    (!version.is_empty()).then_some(version)
}

fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(io::Error::other(format!("it ended with {}", output.status))),
    }
}

/// FNV-1a of 64 bits, which tells sources apart that nobody chooses to confuse.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    fn add(&mut self, text: &str) {
        let length = (text.len() as u64).to_le_bytes();
        for byte in length.iter().chain(text.as_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_its_interface() {
        let of = |version: &str| interface(version).map_err(|error| error.to_string());
        for (version, expected) in [
            ("4.2.0", "1"),
            ("7.2.22", "1"),
            ("8.2.3", "1"),
            ("9.0.0", "2"),
            ("9.1", "3"),
            ("9.2.50", "4"),
            ("10.1.0", "4"),
        ] {
            assert_eq!(of(version), Ok(expected), "{version}");
        }
        assert!(
            of("4.1.0")
                .unwrap_err()
                .contains("QEMU 4.1.0 has no plugins")
        );
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright";
        assert_eq!(version_in(text).as_deref(), Some("7.2.22"));
        assert_eq!(version_in("emulator"), None);
    }
}

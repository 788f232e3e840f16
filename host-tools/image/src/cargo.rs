//! The call of cargo that builds an image, and what its failure tells.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tadpool_boards::Board;
use tadpool_compiler::output;
use tadpool_toolchain::Toolchain;

use super::FirmwareError;
use super::sources;
use super::stage::{SETTINGS, Stage};

/// The file beside cargo's own that has the output of a build that failed.
const LOG: &str = "failed.log";
/// Variables that change what cargo builds, or how; those that say where crates come from
/// are the user's.
const FOREIGN: [&str; 7] = [
    "CARGO_BUILD_",
    "CARGO_ENCODED_",
    "CARGO_INCREMENTAL",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "RUSTFLAGS",
];

/// Builds the program whose files are in `staged`, with cargo's own files in `target_folder`,
/// and returns where it is.
pub(crate) fn build(
    stage: &Stage,
    program: &str,
    board: &Board,
    toolchain: &Toolchain,
    staged: &Path,
    target_folder: &Path,
) -> Result<PathBuf, FirmwareError> {
    let target = &board.target;
    let mut command = toolchain.command("build", target);
    isolate(&mut command, toolchain, staged);
    command
        .args(&stage.arguments)
        .arg("--manifest-path")
        .arg(staged.join(sources::FIRMWARE).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target_folder)
        .envs(stage.variables.iter().map(|(name, value)| (name, value)))
        .env("TADPOOL_BOARD", Stage::board(staged))
        .stdin(Stdio::null());
    let output = command.output().map_err(|source| FirmwareError::Start {
        program: toolchain.cargo.to_string_lossy().into_owned(),
        source,
    })?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(failure(board, &errors, &target_folder.join(LOG)));
    }
    Ok(target_folder.join(target).join("release").join(program))
}

/// Keeps the user's flags, profiles and configuration away from the build of an image. What
/// `CARGO_HOME` says of registries, mirrors and proxies stays, for crates come through them.
fn isolate(command: &mut Command, toolchain: &Toolchain, staged: &Path) {
    let is_set = |name: &OsString| toolchain.variables.iter().any(|(set, _)| **set == **name);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if FOREIGN.iter().any(|foreign| text.starts_with(foreign)) && !is_set(&name) {
            command.env_remove(&name);
        }
    }
    // Cargo reads the configuration of the folder that it is called in and of those above.
    if let Some(root) = staged.ancestors().last() {
        command.current_dir(root);
    }
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(etcetera::home_dir().ok()?.join(".cargo")));
    // Flags that are given leave those of any configuration out. The places are left out of
    // the image, so that it is the same wherever it is built.
    let mut flags = format!("--remap-path-prefix={}=tadpool", staged.display());
    if let Some(home) = cargo_home {
        flags += &format!("\u{1f}--remap-path-prefix={}=cargo", home.display());
    }
    command
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .env_remove("DEFMT_LOG")
        .env_remove("TADPOOL_UNLIMITED")
        .env_remove("TADPOOL_COPIED_WEIGHTS")
        .arg("--config")
        .arg(staged.join(SETTINGS));
}

/// The cause of a failed build, from its output, which is kept in the file `log`.
fn failure(board: &Board, output: &str, log: &Path) -> FirmwareError {
    // rust-lld: section '.text' will not fit in region 'FLASH': overflowed by 12 bytes
    let overflow = output.lines().find_map(|line| {
        let (_, rest) = line.split_once("will not fit in region '")?;
        let (region, rest) = rest.split_once("': overflowed by ")?;
        let bytes = rest.split(' ').next()?.parse().ok()?;
        Some((region.to_owned(), bytes))
    });
    if let Some((region, overflow_bytes)) = overflow {
        return FirmwareError::DoesNotFit {
            board: board.name.clone(),
            memory: match region.as_str() {
                "FLASH" => "flash",
                "WEIGHTS" => "memory for weights",
                _ => "RAM",
            },
            overflow_bytes,
        };
    }
    let is_download = [
        "failed to download",
        "failed to fetch",
        "spurious network error",
    ]
    .iter()
    .any(|text| output.contains(text));
    let problem = first_error(output);
    match is_download {
        true => FirmwareError::Download { problem },
        false => match output::write(log, output.as_bytes()) {
            Ok(()) => FirmwareError::Cargo {
                problem,
                log: log.to_owned(),
            },
            Err(error) => error.into(),
        },
    }
}

/// The first error of cargo's or the compiler's output, in one line with its cause.
fn first_error(output: &str) -> String {
    let error = |line: &str| {
        let (head, text) = line.split_once(": ")?;
        (head == "error" || head.starts_with("error[")).then(|| text.to_owned())
    };
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    let first = lines.iter().find_map(|line| error(line));
    let cause = lines.iter().position(|line| *line == "Caused by:");
    let cause = cause.and_then(|at| lines[at + 1..].iter().find(|line| !line.is_empty()));
    match (first, cause) {
        (Some(first), Some(cause)) => format!("{first}: {cause}"),
        (Some(first), None) => first,
        _ => "cargo gave no reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_in_a_line() {
        let board = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(LOG);
        let said = |output: &str| failure(&board, output, &log).to_string();
        let download = "   Updating crates.io index\nerror: failed to download `a v1.0.0`\n\n\
                        Caused by:\n  Could not resolve host: index\n";
        assert_eq!(
            said(download),
            "the firmware's crates cannot be downloaded: failed to download `a v1.0.0`: Could \
             not resolve host: index; connect to the network once, after which images are built \
             without"
        );
        assert!(!log.exists());
        let compiler = "   Compiling a v1.0.0\nerror[E0425]: cannot find value `x`\n  --> a.rs:1:1\n\
                        error: could not compile `a`\n";
        let text = said(compiler);
        assert!(text.starts_with("the image cannot be built: cannot find value `x`; "));
        assert_eq!(text.lines().count(), 1);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), compiler);
        assert!(said("killed").contains("cargo gave no reason"));
        let full = "rust-lld: error: section '.text' will not fit in region 'FLASH': overflowed by 12 bytes";
        assert!(said(full).contains("its flash needs 12 bytes more"));
    }
}

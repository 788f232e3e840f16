//! Finds QEMU for Arm, and starts it so that it does not outlive this process.

pub mod owned;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program.
pub const QEMU: &str = "qemu-system-arm";
/// The folders of libraries within a tree that Debian's packages were unpacked to, each with
/// a folder an architecture.
const LIBRARIES: [&str; 2] = ["usr/lib", "lib"];

/// A call of QEMU, to which its arguments are yet to be added: the one on the PATH, or else
/// the one in [`unpacked`]. Without either it is a call that fails as any does of a program
/// that is not there.
pub fn qemu() -> Command {
    let unpacked = unpacked().filter(|_| !is_on_path());
    unpacked
        .and_then(|root| within(&root))
        .unwrap_or_else(|| Command::new(QEMU))
}

/// Whether there is a QEMU that runs.
pub fn has_qemu() -> bool {
    let status = qemu()
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// The folder to which `cargo xtask setup` unpacks Debian's packages of QEMU, where they
/// cannot be installed without another's removal; none if the user has no home.
///
/// It is `tadpool/qemu` in `XDG_DATA_HOME`, which is `~/.local/share` by default.
pub fn unpacked() -> Option<PathBuf> {
    let named = |variable| std::env::var_os(variable).filter(|folder| !folder.is_empty());
    let data = named("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(Path::new(&named("HOME")?).join(".local/share")));
    Some(data?.join("tadpool/qemu"))
}

/// A call of the QEMU that was unpacked to `root`, with its own libraries.
fn within(root: &Path) -> Option<Command> {
    let program = root.join("usr/bin").join(QEMU);
    if !program.is_file() {
        return None;
    }
    let folders = LIBRARIES.iter().flat_map(|folder| {
        let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten();
        entries.flatten().map(|entry| entry.path())
    });
    let libraries = std::env::join_paths(folders.filter(|path| path.is_dir())).ok()?;
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", appended(libraries));
    Some(command)
}

/// `libraries`, and behind them what the user has set.
fn appended(mut libraries: OsString) -> OsString {
    if let Some(set) = std::env::var_os("LD_LIBRARY_PATH").filter(|set| !set.is_empty()) {
        libraries.push(":");
        libraries.push(set);
    }
    libraries
}

/// Not run to find out: emulators are started often.
fn is_on_path() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = Path::new(QEMU).with_extension(std::env::consts::EXE_EXTENSION);
    std::env::split_paths(&path).any(|folder| folder.join(&program).is_file())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_unpacked_program_gets_its_own_libraries() {
        let root = std::env::temp_dir().join(format!("tadpool-qemu-{}", std::process::id()));
        assert!(within(&root).is_none());
        for folder in ["usr/bin", "usr/lib/some-linux-gnu", "lib/some-linux-gnu"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("usr/bin").join(QEMU), "").unwrap();
        let command = within(&root).unwrap();
        assert_eq!(command.get_program(), root.join("usr/bin").join(QEMU));
        let libraries = command
            .get_envs()
            .find(|(name, _)| *name == "LD_LIBRARY_PATH");
        let libraries = libraries.unwrap().1.unwrap().to_string_lossy().into_owned();
        for folder in ["usr/lib/some-linux-gnu", "lib/some-linux-gnu"] {
            let folder = root.join(folder).display().to_string();
            assert!(
                libraries.split(':').any(|path| path == folder),
                "{libraries}"
            );
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}

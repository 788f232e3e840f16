//! Output files: written to a temporary file and renamed, so that an
//! interrupted run leaves the old file or the new one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::Builder;

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`: {source}; check that the folder exists, is writable and has room", path.display())]
pub struct OutputError {
    path: PathBuf,
    source: std::io::Error,
}

/// Replaces the file at `path` as a whole.
///
/// # Errors
/// An [`OutputError`] that names the file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = Builder::new();
    // Temporary files are private by default; outputs follow the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
        .tempfile_in(folder)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        })
        .map_err(|source| error(path, source))
}

/// Creates a folder and those above it.
///
/// # Errors
/// An [`OutputError`] that names the folder.
pub fn create_folder(path: &Path) -> Result<(), OutputError> {
    std::fs::create_dir_all(path).map_err(|source| error(path, source))
}

fn error(path: &Path, source: std::io::Error) -> OutputError {
    OutputError {
        path: path.to_owned(),
        source,
    }
}

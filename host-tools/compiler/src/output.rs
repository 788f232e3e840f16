//! Output files: written to a temporary file in the same folder and renamed, so that an
//! interrupted run leaves the old file or the new one.
//!
//! Only regular files are replaced: writing to a device or through a link is never meant
//! to remove it.

use std::fs::FileType;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tadpool_input::text::shown;
use tempfile::Builder;

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file system refused.
    #[error(
        "cannot write `{}`: {source}; check that the folder exists, is writable and has room",
        shown(path)
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The file system's error.
        source: io::Error,
    },
    /// Something else than a file has this name.
    #[error(
        "cannot write `{}`: it is a {found}, and only files are replaced; choose another name",
        shown(path)
    )]
    NotAFile {
        /// The path that was named.
        path: PathBuf,
        /// The kind of the function.
        found: &'static str,
    },
}

/// Replaces the file at `path` as a whole.
///
/// # Errors
/// An [`OutputError`] that names the file; then what was there still is.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let failed = |source| OutputError::Write {
        path: path.to_owned(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => {
            return Err(OutputError::NotAFile {
                path: path.to_owned(),
                found: name_of(there.file_type()),
            });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
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
        .map_err(failed)
}

/// Creates a folder and those above it.
///
/// # Errors
/// An [`OutputError`] that names the folder.
pub fn create_folder(path: &Path) -> Result<(), OutputError> {
    std::fs::create_dir_all(path).map_err(|source| OutputError::Write {
        path: path.to_owned(),
        source,
    })
}

fn name_of(kind: FileType) -> &'static str {
    match () {
        () if kind.is_symlink() => "link",
        () if kind.is_dir() => "folder",
        () => "pipe or a device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for content in ["long content", "short"] {
            write(&path, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let nowhere = folder.path().join("no/file");
        assert!(matches!(
            write(&nowhere, b""),
            Err(OutputError::Write { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn nothing_but_files_is_replaced() {
        use std::os::unix::fs::{FileTypeExt as _, symlink};

        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("target"), "kept").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        symlink("/dev/full", at("device")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        assert!(made.unwrap().success());
        for name in ["folder", "link", "dangling", "device", "pipe"] {
            let error = write(&at(name), b"new").unwrap_err();
            assert!(matches!(error, OutputError::NotAFile { .. }), "{error}");
        }
        assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "kept");
        assert!(at("link").is_symlink() && !at("nothing").exists());
        let pipe = std::fs::metadata(at("pipe")).unwrap();
        assert!(pipe.file_type().is_fifo());
        assert!(write(Path::new("/dev/full"), b"new").is_err());
        assert!(!std::fs::metadata("/dev/full").unwrap().is_file());
    }
}

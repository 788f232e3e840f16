//! Output files: written to a temporary file in the same folder and renamed, so that an
//! interrupted run leaves the old file or the new one.
//!
//! Only regular files are replaced: writing to a device or through a link is never meant
//! to remove it.

use std::fs::FileType;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tadpool_input::text::shown;
use tempfile::{Builder, NamedTempFile};

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
    /// The folder that it is to be in is not there.
    #[error(
        "cannot write `{}`: there is no folder `{}`; make it, or choose another one",
        shown(path),
        shown(folder)
    )]
    NoFolder {
        /// The path that was named.
        path: PathBuf,
        /// The folder of that path.
        folder: PathBuf,
    },
    /// Something else than a file has this name.
    #[error(
        "cannot write `{}`: it is a {found}, and only files are replaced; choose another name",
        shown(path)
    )]
    NotAFile {
        /// The path that was named.
        path: PathBuf,
        /// The kind of file that is there.
        found: &'static str,
    },
    /// Something else than a folder has this name, or that of one above.
    #[error(
        "`{}` cannot be a folder: `{}` is a {found}",
        shown(path),
        shown(above)
    )]
    NotAFolder {
        /// The path that was named.
        path: PathBuf,
        /// Itself, or what is above it.
        above: PathBuf,
        /// The kind of file that is there.
        found: &'static str,
    },
}

/// Replaces the file at `path` as a whole.
///
/// # Errors
/// An [`OutputError`] that names the file; then what was there still is.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let folder = folder_of(path)?;
    temporary(path, folder, |mut file| {
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    })
}

/// Whether [`write()`] can write a file at `path`, as far as that can be told before there is
/// anything to write. It leaves nothing behind.
///
/// # Errors
/// As [`write()`].
pub fn check(path: &Path) -> Result<(), OutputError> {
    let folder = folder_of(path)?;
    temporary(path, folder, |_| Ok(()))
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

/// Whether files can be written into the folder at `path`, which may have to be created
/// before. It leaves nothing behind.
///
/// # Errors
/// As [`create_folder`]; also if something else has its name.
pub fn check_folder(path: &Path) -> Result<(), OutputError> {
    let here = Path::new(".");
    let above = path.ancestors().find(|above| above.exists());
    let above = above.filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(here);
    match std::fs::metadata(above) {
        Ok(there) if there.is_dir() => temporary(path, above, |_| Ok(())),
        Ok(there) => Err(OutputError::NotAFolder {
            path: path.to_owned(),
            above: above.to_owned(),
            found: name_of(there.file_type()),
        }),
        Err(source) => Err(OutputError::Write {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The folder of a file that can be written: there is one, and none or a file has its name.
fn folder_of(path: &Path) -> Result<&Path, OutputError> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => {
            return Err(OutputError::NotAFile {
                path: path.to_owned(),
                found: name_of(there.file_type()),
            });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(OutputError::Write {
                path: path.to_owned(),
                source,
            });
        }
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(OutputError::NoFolder {
            path: path.to_owned(),
            folder: folder.to_owned(),
        }),
    }
}

/// Does something with a new file in `folder`, which is removed unless it is kept; an error is
/// one of `path`.
fn temporary(
    path: &Path,
    folder: &Path,
    act: impl FnOnce(NamedTempFile) -> io::Result<()>,
) -> Result<(), OutputError> {
    let mut builder = Builder::new();
    // Temporary files are private by default; outputs follow the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
        .tempfile_in(folder)
        // Nobody asked for the name that it has meanwhile.
        .map_err(|error| io::Error::from(error.kind()))
        .and_then(act)
        .map_err(|source| OutputError::Write {
            path: path.to_owned(),
            source,
        })
}

fn name_of(kind: FileType) -> &'static str {
    match () {
        () if kind.is_symlink() => "link",
        () if kind.is_dir() => "folder",
        () if kind.is_file() => "file",
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
            Err(OutputError::NoFolder { .. })
        ));
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let folder = Builder::new().prefix("outputs").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "kept").unwrap();
        check(&at("file")).unwrap();
        check(&at("new")).unwrap();
        check_folder(folder.path()).unwrap();
        check_folder(&at("new/folder")).unwrap();
        let refused = [
            check(&at("no/file")),
            check(folder.path()),
            check(&at("file/below")),
            check_folder(&at("file")),
            check_folder(&at("file/below")),
        ];
        for result in refused {
            let text = result.unwrap_err().to_string();
            assert!(text.contains(&*folder.path().to_string_lossy()), "{text}");
            assert!(!text.contains(".tmp"), "{text}");
        }
        assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "kept");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
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

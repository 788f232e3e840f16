//! Regular files, opened without waiting and read within a limit.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::text::shown;

/// A kind of file, and how large one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// With its article, such as `a board file`.
    pub name: &'static str,
    /// Most bytes that are read.
    pub max_bytes: u64,
}

/// A file that was opened and found to be regular and small enough.
#[derive(Debug)]
pub struct RegularFile {
    /// The open file.
    pub file: File,
    /// Its size in bytes when it was opened.
    pub bytes: u64,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file system refused.
    #[error("cannot read `{}`: {source}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's error.
        source: io::Error,
    },
    /// A folder, a pipe, a device or a socket.
    #[error("`{}` is a {found}, not a file; give the path of {}", shown(path), kind.name)]
    NotAFile {
        /// The path that was named.
        path: PathBuf,
        /// The kind of the function.
        found: &'static str,
        /// The kind that it should be.
        kind: Kind,
    },
    /// More bytes than are accepted.
    #[error(
        "`{}` has {bytes} bytes, {} has at most {}; check that this is the file you mean",
        shown(path), kind.name, kind.max_bytes
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The kind that it should be.
        kind: Kind,
    },
    /// The text that Git keeps in the place of a file which Git LFS has not fetched.
    #[error(
        "`{}` is a Git LFS pointer, not {}; fetch the file itself with `git lfs pull`",
        shown(path), kind.name
    )]
    LfsPointer {
        /// The file.
        path: PathBuf,
        /// The kind that it should be.
        kind: Kind,
    },
    /// Bytes that are not UTF-8.
    #[error("`{}` is not text: byte {at} is not UTF-8; {} is saved as UTF-8", shown(path), kind.name)]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where the first such byte is.
        at: usize,
        /// The kind that it should be.
        kind: Kind,
    },
}

/// Opens the file at `path`, following links.
///
/// # Errors
/// It is no regular file, larger than its kind may be, or a pointer of Git LFS. A pipe without a writer and a device
/// are refused at once.
pub fn open(path: &Path, kind: Kind) -> Result<RegularFile, InputError> {
    let failed = |source| InputError::Read {
        path: path.to_owned(),
        source,
    };
    let refused = |of: FileType| InputError::NotAFile {
        path: path.to_owned(),
        found: name_of(of),
        kind,
    };
    // Opening a device can have effects, so it is looked at first; what takes its place in
    // between is found below.
    let named = std::fs::metadata(path).map_err(failed)?;
    if !named.is_file() {
        return Err(refused(named.file_type()));
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let mut file = options.open(path).map_err(failed)?;
    let opened = file.metadata().map_err(failed)?;
    if !opened.is_file() {
        return Err(refused(opened.file_type()));
    }
    let bytes = opened.len();
    if bytes > kind.max_bytes {
        return Err(InputError::TooLarge {
            path: path.to_owned(),
            bytes,
            kind,
        });
    }
    if is_lfs_pointer(&mut file, bytes).map_err(failed)? {
        return Err(InputError::LfsPointer {
            path: path.to_owned(),
            kind,
        });
    }
    Ok(RegularFile { file, bytes })
}

/// How a pointer of Git LFS begins, after its specification.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Most bytes of a pointer of Git LFS.
const MAX_LFS_POINTER_BYTES: u64 = 1024;

/// Whether a file holds a pointer of Git LFS; it is left at its beginning.
fn is_lfs_pointer(file: &mut File, bytes: u64) -> io::Result<bool> {
    if !(LFS_POINTER.len() as u64..MAX_LFS_POINTER_BYTES).contains(&bytes) {
        return Ok(false);
    }
    let mut beginning = Vec::with_capacity(LFS_POINTER.len());
    file.by_ref()
        .take(LFS_POINTER.len() as u64)
        .read_to_end(&mut beginning)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(beginning == LFS_POINTER)
}

/// The bytes of the file at `path`.
///
/// # Errors
/// See [`open`]; also if the file grows beyond the limit while it is read.
pub fn read(path: &Path, kind: Kind) -> Result<Vec<u8>, InputError> {
    let RegularFile { file, bytes } = open(path, kind)?;
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    file.take(kind.max_bytes.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|source| InputError::Read {
            path: path.to_owned(),
            source,
        })?;
    if content.len() as u64 > kind.max_bytes {
        return Err(InputError::TooLarge {
            path: path.to_owned(),
            bytes: content.len() as u64,
            kind,
        });
    }
    Ok(content)
}

/// The text of the file at `path`; a byte order mark is left out.
///
/// # Errors
/// See [`read`]; also if the bytes are not UTF-8.
pub fn read_text(path: &Path, kind: Kind) -> Result<String, InputError> {
    let text = String::from_utf8(read(path, kind)?).map_err(|error| InputError::NotText {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
        kind,
    })?;
    match text.strip_prefix('\u{feff}') {
        Some(rest) => Ok(rest.to_owned()),
        None => Ok(text),
    }
}

fn name_of(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "pipe";
        }
        if kind.is_socket() {
            return "socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "device";
        }
    }
    match kind.is_dir() {
        true => "folder",
        false => "special file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Kind = Kind {
        name: "a small file",
        max_bytes: 4,
    };

    #[test]
    fn files_are_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "\u{feff}a").unwrap();
        assert_eq!(read(&path, SMALL).unwrap(), "\u{feff}a".as_bytes());
        assert_eq!(read_text(&path, SMALL).unwrap(), "a");
        std::fs::write(&path, b"ab\xff").unwrap();
        let error = read_text(&path, SMALL).unwrap_err();
        assert!(matches!(error, InputError::NotText { at: 2, .. }));
        std::fs::write(&path, b"abcde").unwrap();
        let error = read(&path, SMALL).unwrap_err();
        assert!(matches!(error, InputError::TooLarge { bytes: 5, .. }));
        // A sparse file takes no room, and is not read either.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(
            read(&path, SMALL),
            Err(InputError::TooLarge { .. })
        ));
        let missing = folder.path().join("missing");
        assert!(matches!(
            read(&missing, SMALL),
            Err(InputError::Read { .. })
        ));
    }

    #[test]
    fn pointers_of_git_lfs_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let kind = Kind {
            max_bytes: 1 << 20,
            ..SMALL
        };
        let pointer = "version https://git-lfs.github.com/spec/v1\n\
                       oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n\
                       size 12345\n";
        std::fs::write(&path, pointer).unwrap();
        let error = read(&path, kind).unwrap_err();
        assert!(matches!(error, InputError::LfsPointer { .. }), "{error}");
        // The same far into a larger file, or a text that begins alike.
        for text in [
            pointer.repeat(20),
            "version 1 of a text, not of a pointer to one".to_owned(),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(read(&path, kind).unwrap(), text.as_bytes());
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_before_it_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for (path, expected) in [
            (&pipe, "pipe"),
            (&socket, "socket"),
            (&link, "device"),
            (&PathBuf::from("/dev/full"), "device"),
            (&folder.path().to_owned(), "folder"),
        ] {
            match read(path, SMALL) {
                Err(InputError::NotAFile { found, .. }) => assert_eq!(found, expected),
                other => panic!("{}: {other:?}", path.display()),
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_to_files_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "ab").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&link, SMALL).unwrap(), b"ab");
    }
}

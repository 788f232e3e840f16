//! Inputs of a generated module: files that cargo watches, and a checksum of their
//! bytes.
//!
//! Cargo goes by times, which a checkout or a copy changes without any byte changing; the
//! checksum says whether there is something to do.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

use crate::BuildError;

/// The file in the module's folder that remembers them: the checksum, then a path a line.
const FILE: &str = "inputs.txt";
/// The file that tells a module is there.
const MODULE: &str = "model.rs";
/// Folders below one that was read: images lie in it, or in folders of their classes.
const DEPTH: usize = 2;

/// The inputs of one module.
///
/// The checksum is the standard library's, which runs optimised in every profile and is
/// the same for one version of the compiler.
#[derive(Debug)]
pub struct Inputs {
    folder: PathBuf,
    hasher: DefaultHasher,
    /// Remembered, or told.
    files: Vec<PathBuf>,
}

impl Inputs {
    /// Those of the module in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            hasher: DefaultHasher::new(),
            files: Vec::new(),
        }
    }

    /// Adds options.
    pub fn add_text(&mut self, texts: &[&str]) {
        for text in texts {
            self.hasher.write(text.as_bytes());
            self.hasher.write_u8(0xff);
        }
    }

    /// Adds a program by its size and its time: it is large.
    pub fn add_program(&mut self, path: &Path) {
        let Ok(about) = std::fs::metadata(path) else {
            return;
        };
        self.hasher.write_u64(about.len());
        let since = about.modified().ok();
        let since = since.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        self.hasher.write_u128(since.unwrap_or_default().as_nanos());
    }

    /// Whether the module was made of the same bytes.
    pub fn are_unchanged(&mut self) -> bool {
        let remembered = std::fs::read_to_string(self.folder.join(FILE)).unwrap_or_default();
        let mut lines = remembered.lines();
        let Some(checksum) = lines.next() else {
            return false;
        };
        self.files = lines.map(PathBuf::from).collect();
        self.folder.join(MODULE).is_file() && self.checksum().is_ok_and(|found| found == checksum)
    }

    /// Forgets what the module was made of, before it is made anew.
    ///
    /// # Errors
    /// [`BuildError::File`] if the module's folder cannot be written.
    pub fn forget(&mut self) -> Result<(), BuildError> {
        self.files.clear();
        let path = self.folder.join(FILE);
        let made = std::fs::create_dir_all(&self.folder);
        let removed = made.and_then(|()| match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        removed.map_err(|source| BuildError::File { path, source })
    }

    /// Remembers the files and folders that the module was made of.
    ///
    /// # Errors
    /// [`BuildError::File`] if one cannot be read, or the list cannot be written.
    pub fn remember(&mut self, files: impl Iterator<Item = PathBuf>) -> Result<(), BuildError> {
        self.files = files.collect();
        let mut text = self
            .checksum()
            .map_err(|(path, source)| BuildError::File { path, source })?;
        for file in &self.files {
            text.push('\n');
            text.push_str(&file.to_string_lossy());
        }
        let path = self.folder.join(FILE);
        std::fs::write(&path, text).map_err(|source| BuildError::File { path, source })
    }

    /// Tells cargo to come again when one of them changes.
    pub fn watch(&self) {
        for file in &self.files {
            watch(file);
        }
    }

    /// Of all bytes, and of the names in folders.
    fn checksum(&self) -> Result<String, (PathBuf, io::Error)> {
        let mut hasher = self.hasher.clone();
        let mut left: Vec<_> = self
            .files
            .iter()
            .rev()
            .map(|path| (path.clone(), 0))
            .collect();
        while let Some((path, depth)) = left.pop() {
            let failed = |error| (path.clone(), error);
            hasher.write(path.as_os_str().as_encoded_bytes());
            if path.is_dir() && depth < DEPTH {
                let entries = std::fs::read_dir(&path).map_err(failed)?;
                let entries = entries.map(|entry| entry.map(|entry| entry.path()));
                let sorted = entries
                    .collect::<Result<BTreeSet<_>, _>>()
                    .map_err(failed)?;
                hasher.write_usize(sorted.len());
                left.extend(sorted.into_iter().rev().map(|path| (path, depth + 1)));
            } else if !path.is_dir() {
                let bytes = std::fs::read(&path).map_err(failed)?;
                hasher.write_usize(bytes.len());
                hasher.write(&bytes);
            }
        }
        Ok(format!("{:016x}", hasher.finish()))
    }
}

/// Tells cargo to come again when a file, or a file in a folder, changes.
#[expect(clippy::print_stdout, reason = "how a build script speaks to cargo")]
pub fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(folder: &Path, option: &str) -> Inputs {
        let mut inputs = Inputs::new(folder);
        inputs.add_text(&[option, "dsp"]);
        inputs
    }

    #[test]
    fn bytes_count_and_times_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let module = path("module");
        std::fs::create_dir_all(path("images/cat")).unwrap();
        std::fs::write(path("model.onnx"), "network").unwrap();
        std::fs::write(path("model.onnx.data"), "weights").unwrap();
        std::fs::write(path("images/cat/1.jpg"), "picture").unwrap();

        assert!(!inputs(&module, "a").are_unchanged());
        let mut made = inputs(&module, "a");
        made.forget().unwrap();
        std::fs::write(module.join(MODULE), "source").unwrap();
        let files = ["model.onnx", "model.onnx.data", "images"].map(path);
        made.remember(files.into_iter()).unwrap();
        assert!(inputs(&module, "a").are_unchanged());
        assert!(!inputs(&module, "b").are_unchanged());

        // Written again, with another time.
        std::fs::write(path("model.onnx.data"), "weights").unwrap();
        assert!(inputs(&module, "a").are_unchanged());
        let changes: [(&str, &str); 3] = [
            ("model.onnx.data", "Weights"),
            ("images/cat/1.jpg", "Picture"),
            ("images/cat/2.jpg", "another"),
        ];
        for (name, text) in changes {
            let old = std::fs::read(path(name)).ok();
            std::fs::write(path(name), text).unwrap();
            assert!(!inputs(&module, "a").are_unchanged(), "{name}");
            match old {
                Some(old) => std::fs::write(path(name), old).unwrap(),
                None => std::fs::remove_file(path(name)).unwrap(),
            }
            assert!(inputs(&module, "a").are_unchanged(), "{name}");
        }
        std::fs::rename(path("images/cat/1.jpg"), path("images/cat/3.jpg")).unwrap();
        assert!(!inputs(&module, "a").are_unchanged());
        std::fs::rename(path("images/cat/3.jpg"), path("images/cat/1.jpg")).unwrap();
        std::fs::remove_file(module.join(MODULE)).unwrap();
        assert!(!inputs(&module, "a").are_unchanged());
    }
}

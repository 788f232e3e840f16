//! The folder in which images are built and kept, between runs of the tool.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use etcetera::base_strategy::{BaseStrategy as _, choose_native_strategy};
use sha2::{Digest as _, Sha256};
use tadpool_toolchain::Toolchain;

use super::sources::{self, Files};
use super::{FirmwareError, PROGRAM, absolute};

/// The variable that names the folder.
pub const VARIABLE: &str = "TADPOOL_CACHE";
/// Where cargo's own files go, if the user says so.
const TARGET_VARIABLE: &str = "CARGO_TARGET_DIR";
/// Images that are kept, and their bytes; older ones go when others are built.
const KEPT: Kept = Kept {
    images: 200,
    bytes: 1 << 30,
    // Somebody may be about to flash it.
    time: Duration::from_secs(60 * 60),
};

/// Limits of what is kept.
#[derive(Debug, Clone, Copy)]
struct Kept {
    images: usize,
    bytes: u64,
    /// An image is kept at least so long, whatever there is.
    time: Duration,
}

/// The folder of images, and of what they are built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The folder that `TADPOOL_CACHE` names, or else one in the platform's folder for
    /// caches.
    ///
    /// # Errors
    /// [`FirmwareError::NoCache`] if the platform has none.
    pub fn find() -> Result<Self, FirmwareError> {
        let named = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty());
        let folder = match named {
            Some(folder) => PathBuf::from(folder),
            None => choose_native_strategy()
                .map_err(|_| FirmwareError::NoCache)?
                .cache_dir()
                .join("tadpool"),
        };
        Ok(Self {
            folder: absolute(&folder)?,
        })
    }

    /// The folder; it may not be there yet.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder with the crates that this one carries, laid out as in the repository, for
    /// crates that depend on them and are to be built without a registry: the kernels are
    /// in `firmware/kernels`.
    ///
    /// # Errors
    /// A [`FirmwareError`] if it cannot be written.
    pub fn sources(&self) -> Result<PathBuf, FirmwareError> {
        let files = sources::files();
        let mut key = Key::default();
        key.add_files(&files);
        let folder = self.folder.join("sources").join(key.finish());
        let _lock = lock(&folder.with_extension("lock"))?;
        sources::sync(&folder, &files).map_err(|error| unwritable(&folder, &error))?;
        Ok(folder)
    }

    /// The file of the image with this key, for a board of this name.
    pub(crate) fn image(&self, key: &str, board: &str) -> PathBuf {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let mut name: String = board.chars().filter(|&c| is_plain(c)).collect();
        name.insert_str(0, if name.starts_with('.') { "_" } else { "" });
        let folder = self.folder.join("images").join(key);
        folder.join(if name.is_empty() { PROGRAM } else { &name }.to_owned() + ".elf")
    }

    /// The folder in which `toolchain` builds for `target`. Cargo finds there what it has
    /// built before, so there is one for all images.
    pub(crate) fn build_folder(
        &self,
        toolchain: &Toolchain,
        target: &str,
    ) -> Result<PathBuf, FirmwareError> {
        let mut key = Key::default();
        key.add(&toolchain.version);
        let name = format!("{target}-{}", &key.finish()[..8]);
        let root = match std::env::var_os(TARGET_VARIABLE).filter(|folder| !folder.is_empty()) {
            Some(folder) => absolute(Path::new(&folder))?.join("tadpool"),
            None => self.folder.join("build"),
        };
        Ok(root.join(name))
    }

    /// Removes the oldest images, where there are more of them or more bytes than are kept.
    pub(crate) fn prune(&self) {
        self.prune_to(KEPT);
    }

    fn prune_to(&self, kept: Kept) {
        let Ok(entries) = fs::read_dir(self.folder.join("images")) else {
            return;
        };
        let mut images: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        images.sort();
        let (mut count, mut bytes) = (0, 0);
        for (time, folder) in images.iter().rev() {
            count += 1;
            bytes += length(folder);
            let is_much = count > kept.images || bytes > kept.bytes;
            if is_much && time.elapsed().is_ok_and(|age| age >= kept.time) {
                // Somebody else may have removed it.
                fs::remove_dir_all(folder).ok();
            }
        }
    }
}

/// Bytes of the files in a folder.
fn length(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let lengths = entries.filter_map(|entry| entry.metadata().ok());
    lengths.map(|about| about.len()).sum()
}

/// A name for what depends on parts, different where one of them is.
#[derive(Debug, Clone, Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds a part.
    pub fn add(&mut self, part: &(impl AsRef<[u8]> + ?Sized)) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Adds files, their names included.
    pub(crate) fn add_files(&mut self, files: &Files) {
        for (name, bytes) in files {
            self.add(name.to_string_lossy().as_ref());
            self.add(bytes);
        }
    }

    /// The name: 32 hexadecimal digits of the parts' SHA-256.
    pub fn finish(self) -> String {
        let hash = self.0.finalize();
        hash[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Waits until no other process holds the lock at `path`; dropping the file lets go of it.
pub(crate) fn lock(path: &Path) -> Result<File, FirmwareError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    let lock = File::create(path).and_then(|file| file.lock().map(|()| file));
    lock.map_err(|error| unwritable(path, &error))
}

pub(crate) fn unwritable(path: &Path, error: &io::Error) -> FirmwareError {
    FirmwareError::File {
        path: path.to_owned(),
        problem: format!(
            "cannot be written: {error}; set {VARIABLE} to a folder that can be, with room for \
             about 500 MB"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_images_go_by_number_and_by_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache {
            folder: folder.path().to_owned(),
        };
        let images = folder.path().join("images");
        for age in 0..6 {
            let image = images.join(format!("{age}"));
            fs::create_dir_all(&image).unwrap();
            fs::write(image.join("board.elf"), [0; 100]).unwrap();
            let time = SystemTime::now() - Duration::from_secs(60 * (age + 1));
            File::open(&image).unwrap().set_modified(time).unwrap();
        }
        let left = |images: usize, bytes, minutes: u64| {
            cache.prune_to(Kept {
                images,
                bytes,
                time: Duration::from_secs(60 * minutes),
            });
            let names = fs::read_dir(folder.path().join("images")).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names.concat()
        };
        assert_eq!(left(6, 600, 0), "012345");
        assert_eq!(left(5, 600, 0), "01234");
        assert_eq!(left(5, 350, 0), "012");
        // Nothing that may be in use.
        assert_eq!(left(1, 1, 60), "012");
        assert_eq!(left(1, 1000, 2), "0");
    }
}

//! The inventory of a generated crate: what its files were when they were written. By it a file
//! that somebody has edited since is told from one that may be written over.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use tadpool_input::Kind;
use tadpool_kernels::checksum::fnv1a;

use super::package::{MARK, PackageError};

/// The file's name in the crate's folder.
pub const INVENTORY: &str = "tadpool-generated.txt";

const KIND: Kind = Kind {
    name: "the inventory of a generated crate",
    max_bytes: 1 << 22,
};

/// Of each file by its path in the folder, with `/`: length and FNV-1a. Two of one file while
/// it is being written, for it is the old one or the new one then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory(BTreeMap<String, Vec<(usize, u32)>>);

impl Inventory {
    /// That of files with these contents.
    pub(super) fn of(files: &[(PathBuf, Vec<u8>)]) -> Self {
        let entry = |(path, bytes): &(PathBuf, Vec<u8>)| (name(path), vec![of_bytes(bytes)]);
        Self(files.iter().map(entry).collect())
    }

    /// The one in `folder`, if there is one.
    ///
    /// # Errors
    /// [`PackageError::Inventory`] if it cannot be read, or is none.
    pub fn read(folder: &Path) -> Result<Option<Self>, PackageError> {
        let path = folder.join(INVENTORY);
        if !path.exists() {
            return Ok(None);
        }
        let wrong = |problem: String| PackageError::Inventory {
            path: path.clone(),
            problem,
        };
        let text = tadpool_input::read_text(&path, KIND);
        let text = text.map_err(|error| wrong(error.to_string()))?;
        let mut inventory = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let entry = parse(line).ok_or_else(|| {
                wrong(format!(
                    "`{}` is not the length, the checksum and the path of a file",
                    line.escape_debug()
                ))
            })?;
            let (path, sum) = entry;
            inventory.0.entry(path).or_default().push(sum);
        }
        Ok(Some(inventory))
    }

    /// The same with the entries of another one too.
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (path, sums) in &other.0 {
            let all = self.0.entry(path.clone()).or_default();
            all.extend(sums);
            all.sort_unstable();
            all.dedup();
        }
        self
    }

    /// Whether it has a file of this path.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.0.contains_key(&name(path))
    }

    /// The first of its files in `folder` that is another than it was; one that is missing is
    /// not.
    pub fn edited(&self, folder: &Path) -> Option<PathBuf> {
        let files = self.0.iter().map(|(path, sums)| (folder.join(path), sums));
        let mut there = files.filter(|(path, _)| path.exists());
        let is_other = |path: &Path, sums: &[(usize, u32)]| {
            std::fs::read(path).map_or(true, |bytes| !sums.contains(&of_bytes(&bytes)))
        };
        let edited = there.find(|(path, sums)| is_other(path, sums));
        edited.map(|(path, _)| path)
    }

    /// Whether all of its files are in `folder`, as they were.
    pub fn is_kept(&self, folder: &Path) -> bool {
        let mut paths = self.0.keys().map(|path| folder.join(path));
        paths.all(|path| path.is_file()) && self.edited(folder).is_none()
    }

    /// The text of its file.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# {MARK}: length, checksum and path of each file of this folder that it wrote,\n\
             # by which it knows one that was edited. Keep this file with the others.\n"
        );
        for (path, sums) in &self.0 {
            for (length, checksum) in sums {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{length} {checksum:08x} {path}");
            }
        }
        text
    }
}

fn of_bytes(bytes: &[u8]) -> (usize, u32) {
    (bytes.len(), fnv1a(bytes))
}

fn name(path: &Path) -> String {
    let parts = path.components().map(|part| part.as_os_str());
    let parts = parts.map(|part| part.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

/// The entry of a line, whose path does not lead out of the folder.
fn parse(line: &str) -> Option<(String, (usize, u32))> {
    let mut parts = line.splitn(3, ' ');
    let length = parts.next()?.parse().ok()?;
    let checksum = u32::from_str_radix(parts.next()?, 16).ok()?;
    let path = parts.next().filter(|path| !path.is_empty())?;
    let mut components = Path::new(path).components();
    let is_within = components.all(|part| matches!(part, Component::Normal(_)));
    is_within.then(|| (path.to_owned(), (length, checksum)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let files = [("a", "1"), ("b/c", "2")];
        let files = files.map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()));
        let inventory = Inventory::of(&files);
        assert_eq!(inventory.edited(folder.path()), None);
        assert!(!inventory.is_kept(folder.path()), "all are missing");
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for (path, bytes) in &files {
            std::fs::write(folder.path().join(path), bytes).unwrap();
        }
        assert!(inventory.is_kept(folder.path()));
        std::fs::write(folder.path().join(INVENTORY), inventory.text()).unwrap();
        assert_eq!(
            Inventory::read(folder.path()).unwrap(),
            Some(inventory.clone())
        );

        std::fs::write(folder.path().join("b/c"), "3").unwrap();
        assert_eq!(
            inventory.edited(folder.path()),
            Some(folder.path().join("b/c"))
        );
        let new = Inventory::of(&[(PathBuf::from("b/c"), b"3".to_vec())]);
        assert!(inventory.and(&new).is_kept(folder.path()));
    }

    #[test]
    fn a_broken_record_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for line in [
            "x",
            "1 2",
            "1 zz a",
            "-1 00 a",
            "1 00 ../a",
            "1 00 /etc/passwd",
            "1 00 ",
        ] {
            std::fs::write(folder.path().join(INVENTORY), line).unwrap();
            let error = Inventory::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(INVENTORY), "{error}");
        }
    }
}

//! Where a generated crate finds the kernels that it calls: so that it can be built on another
//! machine, from a copy or a repository, without this tool.
//!
//! Cargo takes one copy of a crate for one firmware. So crates beside each other, and those in an
//! application that `tadpool new` made, share one; the first has it in its folder.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::bail;
use tadpool_image::sources::Carried;

/// The kernels' folder in that of a generated crate.
const WITHIN: &str = "tadpool-kernels";
/// Where they are in this repository, and in an application that `tadpool new` made.
const ABOVE: [&str; 2] = ["firmware/kernels", "tadpool/kernels"];
const MANIFEST: &str = "Cargo.toml";

/// The kernels for one crate.
#[derive(Debug)]
pub(crate) struct KernelsFor {
    /// Their folder as the crate's manifest names it.
    pub(crate) folder: PathBuf,
    /// Their files by their path in the crate's folder, if they lie in it.
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
}

impl KernelsFor {
    /// Those in the folder `named`, or else those that are there for a crate in `folder`: of the
    /// repository, of an application that it is within, of a crate beside it; or else its own.
    pub(crate) fn find(folder: &Path, named: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(named) = named {
            if !named.join(MANIFEST).is_file() {
                bail!(
                    "`{}` is not the folder of tadpool-kernels: it has no {MANIFEST}",
                    named.display()
                );
            }
            let seen = match named.is_absolute() {
                true => named.to_owned(),
                false => seen_from(folder, named)?,
            };
            return Ok(Self::at(seen));
        }
        let carried = Carried::Kernels.files();
        let manifest = carried.get(Path::new(MANIFEST));
        // Of this version, whatever else may have been edited.
        let is_carried = |kernels: &Path| {
            let there = std::fs::read(kernels.join(MANIFEST)).ok();
            there.is_some_and(|there| manifest.is_some_and(|carried| **carried == *there))
        };
        let absolute = std::path::absolute(folder)?;
        let above = absolute.ancestors().skip(1);
        let [repository, application] = ABOVE;
        let mut shared = above.flat_map(|above| {
            let repository = above.join(repository);
            let repository = repository.join(MANIFEST).is_file().then_some(repository);
            let application = above.join(application);
            let application = is_carried(&application).then_some(application);
            [repository, application].into_iter().flatten()
        });
        if let Some(shared) = shared.next() {
            return Ok(Self::at(seen_from(folder, &shared)?));
        }
        if !absolute.join(WITHIN).is_dir()
            && let Some(beside) = beside(&absolute, &is_carried)
        {
            return Ok(Self::at(Path::new("..").join(beside).join(WITHIN)));
        }
        let within = Path::new(WITHIN);
        let files = carried.into_iter().map(|(path, bytes)| {
            let bytes = Cow::into_owned(bytes);
            (within.join(path), bytes)
        });
        Ok(Self {
            folder: within.to_owned(),
            files: files.collect(),
        })
    }

    fn at(folder: PathBuf) -> Self {
        Self {
            folder,
            files: Vec::new(),
        }
    }
}

/// The name of the first folder beside `folder` that has kernels in it.
fn beside(folder: &Path, is_carried: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder.parent()?).ok()?.flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    folders.sort();
    let mut others = folders.iter().filter(|path| *path != folder);
    let found = others.find(|path| is_carried(&path.join(WITHIN)))?;
    found.file_name().map(PathBuf::from)
}

/// `path` as seen from `folder`, which need not be there yet.
fn seen_from(folder: &Path, path: &Path) -> std::io::Result<PathBuf> {
    // Through links the way up is another than the way down was.
    let folder = real(&std::path::absolute(folder)?);
    let path = std::path::absolute(path)?.canonicalize()?;
    Ok(pathdiff::diff_paths(&path, folder).unwrap_or(path))
}

/// An absolute path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(kernels: &KernelsFor, folder: &Path) {
        for (path, bytes) in &kernels.files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    #[test]
    fn crates_beside_each_other_share_one_copy() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let first = KernelsFor::find(&at("nets/a"), None).unwrap();
        assert_eq!(first.folder, Path::new(WITHIN));
        assert!(first.files.len() > 20);
        write(&first, &at("nets/a"));
        let second = KernelsFor::find(&at("nets/b"), None).unwrap();
        assert_eq!(second.folder, Path::new("../a/tadpool-kernels"));
        assert!(second.files.is_empty());
        // Again, and the copy stays its own.
        let again = KernelsFor::find(&at("nets/a"), None).unwrap();
        assert_eq!((again.folder, again.files), (first.folder, first.files));
        // One of another version is nobody's.
        std::fs::write(at("nets/a/tadpool-kernels/Cargo.toml"), "other").unwrap();
        let third = KernelsFor::find(&at("nets/c"), None).unwrap();
        assert_eq!(third.folder, Path::new(WITHIN));
    }

    #[test]
    fn a_folder_that_is_named_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert!(KernelsFor::find(&root, Some(&root.join("none"))).is_err());
        std::fs::create_dir_all(root.join("k")).unwrap();
        std::fs::write(root.join("k").join(MANIFEST), "").unwrap();
        let named = KernelsFor::find(&root.join("new/c"), Some(&root.join("k"))).unwrap();
        assert_eq!(named.folder, root.join("k"));
        let seen = seen_from(&root.join("new/c"), &root.join("k")).unwrap();
        assert_eq!(seen, Path::new("../../k"));
    }
}

//! Lists the firmware's sources, so that all of them are built in.
//!
//! In the repository `sources` holds links to them; `cargo package` puts the files
//! themselves in their places. Manifests have other names there, since cargo leaves out of
//! a package what it takes for another one.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const SOURCES: &str = "sources";
/// Names in `sources`, and the files' own.
const RENAMED: [(&str, &str); 3] = [
    ("manifest.toml", "Cargo.toml"),
    ("workspace.toml", "Cargo.toml"),
    ("lock.toml", "Cargo.lock"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(SOURCES);
    println!("cargo::rerun-if-changed={SOURCES}");
    if !folder.join("firmware/src").is_dir() {
        let problem = "is no link to the firmware's sources; clone the repository with \
                       `git clone -c core.symlinks=true`";
        return Err(format!("`{}` {problem}", folder.join("firmware/src").display()).into());
    }
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    files.sort();
    let mut source = String::from("&[\n");
    for file in &files {
        let mut name = file
            .strip_prefix(&folder)?
            .to_str()
            .ok_or("a file's name is not Unicode")?
            .replace('\\', "/");
        for (here, own) in RENAMED {
            let stem = name.strip_suffix(here).map(str::to_owned);
            name = stem.map_or(name, |stem| stem + own);
        }
        source += &format!("({name:?}, include_bytes!({file:?}).as_slice()),\n");
    }
    source += "]\n";
    fs::write(Path::new(&env::var("OUT_DIR")?).join("sources.rs"), source)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        // Follows links, which a file's type does not.
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

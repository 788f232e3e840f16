//! Lists the board files and the notes beside them, so that every one of them is built in.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const BOARDS: &str = "boards";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(BOARDS);
    println!("cargo::rerun-if-changed={BOARDS}");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut source = String::from("&[\n");
    for file in files {
        if file.extension().is_none_or(|end| end != "toml") {
            continue;
        }
        let name = file.file_stem().ok_or("a board file has no name")?;
        let notes = file.with_extension("md");
        let notes = match notes.exists() {
            true => format!("include_str!({notes:?})"),
            false => "\"\"".to_owned(),
        };
        source += &format!("({name:?}, include_str!({file:?}), {notes}),\n");
    }
    source += "]\n";
    fs::write(Path::new(&env::var("OUT_DIR")?).join("boards.rs"), source)?;
    Ok(())
}

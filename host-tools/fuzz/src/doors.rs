//! The doors, a file each.

mod board;
mod elf;
mod labels;
mod model_toml;
mod onnx;
mod picture;
mod planner;
mod program;
mod protocol;
mod slots;
mod trace;

use std::path::{Path, PathBuf};

use tadpool_input::text::escaped_lines;

/// Where input comes in.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// Its name on the command line.
    pub name: &'static str,
    /// Input to begin with, some of it good.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Takes any input.
    ///
    /// # Panics
    /// If what follows from the input is wrong.
    pub check: fn(&[u8]),
}

/// All doors.
pub fn doors() -> [Door; 12] {
    [
        Door {
            name: "onnx",
            seeds: onnx::seeds,
            check: onnx::check,
        },
        Door {
            name: "model-toml",
            seeds: model_toml::seeds,
            check: model_toml::check,
        },
        Door {
            name: "labels",
            seeds: labels::seeds,
            check: labels::check,
        },
        Door {
            name: "board",
            seeds: board::seeds,
            check: board::check,
        },
        Door {
            name: "picture",
            seeds: picture::seeds,
            check: picture::check,
        },
        Door {
            name: "planner-csv",
            seeds: planner::seeds,
            check: memory_planner::fuzzing::check_csv,
        },
        Door {
            name: "planner",
            seeds: planner::problem_seeds,
            check: memory_planner::fuzzing::check,
        },
        Door {
            name: "protocol",
            seeds: protocol::seeds,
            check: protocol::check,
        },
        Door {
            name: "elf",
            seeds: elf::seeds,
            check: elf::check,
        },
        Door {
            name: "program",
            seeds: program::seeds,
            check: program::check,
        },
        Door {
            name: "trace",
            seeds: trace::seeds,
            check: trace::check,
        },
        Door {
            name: "slots",
            seeds: slots::seeds,
            check: slots::check,
        },
    ]
}

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files of a folder of the workspace whose names end so and that are no larger than
/// `max_bytes`, in the order of their names.
fn files(folder: &str, end: &str, max_bytes: u64) -> Vec<Vec<u8>> {
    let folder = root().join(folder);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(end))
        .filter(|path| path.metadata().is_ok_and(|file| file.len() <= max_bytes))
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.into_iter().map(read).collect()
}

/// Checks an error as a person sees it: words, and nothing that acts on a terminal once it
/// is printed.
fn check_error(error: &dyn std::error::Error) {
    let text = error.to_string();
    assert!(!text.trim().is_empty(), "an error without words");
    let shown = escaped_lines(&text);
    let is_plain = |c: char| c == '\n' || !c.is_control();
    assert!(shown.chars().all(is_plain), "{shown:?}");
    assert!(text.len() < 1 << 16, "an error of {} bytes", text.len());
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::mutate::Mutator;

    /// About a second for each door, the same inputs everywhere but for their number.
    #[test]
    fn every_door_stands_for_a_second() {
        for door in doors() {
            let seeds = (door.seeds)();
            assert!(!seeds.is_empty(), "{}", door.name);
            seeds.iter().for_each(|seed| (door.check)(seed));
            let mut mutator = Mutator::new(seeds, 1);
            let end = Instant::now() + Duration::from_secs(1);
            while Instant::now() < end {
                (door.check)(mutator.next_input());
            }
        }
    }
}

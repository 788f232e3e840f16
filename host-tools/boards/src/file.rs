//! Board files: found by name, read and checked.

use std::path::{Path, PathBuf};

use tadpool_input::text::shown;
use tadpool_input::{InputError, Kind};

use super::{Board, values};

const BOARD: Kind = Kind {
    name: "a board file",
    max_bytes: 1 << 20,
};

/// Letters of a name that is compared with others; boards' have less.
const MOST_LETTERS: usize = 64;

/// Boards of this version of the tool, by name, with their files and the notes beside those;
/// the build script lists the folder.
const BUILT_IN: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// A board that is not known or whose file is wrong.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// No built-in board has this name.
    #[error(
        "no board is named `{name}`{like}; there are {known}, or give the path of a board file \
         (`.toml`)",
        like = nearest(name).map_or_else(String::new, |like| format!(", perhaps `{like}`")),
        known = names().collect::<Vec<_>>().join(", ")
    )]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file is not TOML, or a field is missing, unknown or of a wrong type.
    #[error("`{}` is not a board file: {source}", shown(path))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A field's value cannot be.
    #[error("`{}`: {field} = {value} {problem}", shown(path))]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, as `table.field`.
        field: String,
        /// Its value.
        value: String,
        /// The reason.
        problem: String,
    },
}

/// Names of the built-in boards.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, ..)| *name)
}

/// The built-in board whose name is most like `name`, if any is much like it: a part of one, or
/// a few letters away.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    if name.chars().count() > MOST_LETTERS {
        return None;
    }
    let plain = |text: &str| text.replace(['-', '_', ' '], "");
    let is_part = |board: &&str| name.len() >= 3 && plain(board).contains(&plain(&name));
    let most = name.chars().count() / 3;
    let near = names().map(|board| (distance(&name, board), board)).min();
    let near = near.filter(|(letters, _)| *letters <= most);
    near.map(|(_, board)| board)
        .or_else(|| names().find(is_part))
}

/// Letters that are to be changed, put in or left out to make one text of the other
/// (Levenshtein's distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, &wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != wanted);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

/// The board named `board`, or the one in the file `board` if that ends in
/// `.toml`.
///
/// # Errors
/// A [`BoardError`] that names the board or the file and the field.
pub fn find(board: &str) -> Result<Board, BoardError> {
    if Path::new(board)
        .extension()
        .is_some_and(|end| end == "toml")
    {
        return load(Path::new(board));
    }
    match BUILT_IN.iter().find(|(name, ..)| *name == board) {
        Some((name, text, _)) => parse(Path::new(&format!("{name}.toml")), text),
        None => Err(BoardError::Unknown {
            name: board.to_owned(),
        }),
    }
}

/// Notes on a board's first start, from the file beside its own (`my.md` beside `my.toml`): its
/// jumpers and debug probe, and what to read if it does not start. Empty if there is none.
///
/// # Errors
/// A [`BoardError`] if the file is there and cannot be read.
pub fn notes(board: &Board) -> Result<String, BoardError> {
    match &board.file {
        Some(file) => match file.with_extension("md") {
            notes if notes.exists() => read(&notes),
            _ => Ok(String::new()),
        },
        None => {
            let built_in = BUILT_IN.iter().find(|(name, ..)| *name == board.name);
            Ok(built_in.map_or("", |(.., notes)| notes).to_owned())
        }
    }
}

/// The board in a file.
///
/// # Errors
/// A [`BoardError`] that names the file and the field.
pub fn load(path: &Path) -> Result<Board, BoardError> {
    let board = parse(path, &read(path)?)?;
    Ok(Board {
        file: Some(path.to_owned()),
        ..board
    })
}

/// The board that `text`, from the file at `path`, describes.
///
/// # Errors
/// A [`BoardError`] that names the file and the field.
pub fn parse(path: &Path, text: &str) -> Result<Board, BoardError> {
    let board: Board = toml::from_str(text).map_err(|source| BoardError::Parse {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    check(path, &board)?;
    Ok(board)
}

/// Whether `board`, which is said to be of the file at `path`, can be.
///
/// # Errors
/// A [`BoardError`] that names the file and the field.
pub fn check(path: &Path, board: &Board) -> Result<(), BoardError> {
    values::check(board).map_err(|(field, value, problem)| BoardError::Field {
        path: path.to_owned(),
        field: field.to_owned(),
        value,
        problem,
    })
}

/// The text of the file at `path`.
///
/// # Errors
/// A [`BoardError`] if it cannot be read.
pub fn read(path: &Path) -> Result<String, BoardError> {
    Ok(tadpool_input::read_text(path, BOARD)?)
}

/// A board file that describes `board`.
///
/// # Errors
/// A text that says which value no board file can have.
pub fn text(board: &Board) -> Result<String, String> {
    toml::to_string(board).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{DEFAULT_BOARD, Runner};
    use super::*;

    const AN386: &str = include_str!("../boards/qemu-mps2-an386.toml");

    #[test]
    fn a_name_that_is_almost_right_is_told() {
        for (name, expected) in [
            ("nrf52840dk", Some("nrf52840-dk")),
            ("NUCLEO-L4R5ZI", Some("nucleo-l4r5zi")),
            ("nucleo_h743zi", Some("nucleo-h743zi")),
            ("f746", Some("stm32f746g-disco")),
            ("qemu-mps2-an387", Some("qemu-mps2-an385")),
            ("pi", None),
            ("esp32", None),
            ("", None),
            (&"n".repeat(100), None),
        ] {
            assert_eq!(nearest(name), expected, "{name}");
        }
        let error = find("nrf52840dk").unwrap_err().to_string();
        assert!(error.contains("perhaps `nrf52840-dk`"), "{error}");
    }

    #[test]
    fn every_board_file_is_right() {
        assert!(names().any(|name| name == DEFAULT_BOARD));
        for name in names() {
            let board = find(name).unwrap();
            assert_eq!(board.name, name);
            let again = parse(Path::new(name), &text(&board).unwrap()).unwrap();
            assert_eq!(again, board);
            let Some(clock) = &board.clock else {
                assert!(
                    matches!(board.runner, Runner::Qemu(_)),
                    "{name} has no clock"
                );
                continue;
            };
            // The counters of the chips count the core's clock.
            assert_eq!(Some(clock.core_hz), board.counter.frequency_hz, "{name}");
        }
    }

    #[test]
    fn every_board_with_a_probe_has_notes() {
        for name in names() {
            let board = find(name).unwrap();
            let notes = notes(&board).unwrap();
            let sections: Vec<&str> = notes
                .lines()
                .filter_map(|line| line.strip_prefix("## "))
                .collect();
            match board.runner {
                Runner::Qemu(_) => assert!(sections.is_empty(), "{name}"),
                Runner::Probe(_) => assert_eq!(
                    sections,
                    ["Jumpers and cables", "Debug probe", "If it does not start"],
                    "{name}"
                ),
            }
        }
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        let error = |text: &str| parse(Path::new("my.toml"), text).unwrap_err().to_string();
        let text = AN386.replace("stack_bytes = 16384", "stack_bytes = 12");
        let problem = "is not a multiple of 8 between 0 and the RAM's length";
        assert_eq!(
            error(&text),
            format!("`my.toml`: layout.stack_bytes = 12 {problem}")
        );
        let text = AN386.replace("ram = \"ssram23\"", "ram = \"dram\"");
        assert_eq!(
            error(&text),
            "`my.toml`: layout.ram = `dram` is not the name of a [memory]"
        );
        let text = AN386.replace("address = 0x4000_4000\n", "");
        assert_eq!(
            error(&text),
            "`my.toml`: uart.address = none is missing, and no HAL knows where the registers are"
        );
        let text = AN386.replace("icount_shift = 6", "icount_shift = \"6\"");
        let error = error(&text);
        assert!(
            error.starts_with("`my.toml` is not a board file: "),
            "{error}"
        );
        assert!(error.contains("icount_shift"), "{error}");
        let error = find("nucleo").unwrap_err().to_string();
        assert!(error.contains("no board is named `nucleo`"), "{error}");
        assert!(error.contains(DEFAULT_BOARD), "{error}");
    }
}

//! Text for people: standard output and standard error, with nothing in it that acts
//! on a terminal, and readers that may leave before the end.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use tadpool_input::text::{escaped_json, escaped_lines};

/// An error as JSON.
#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
}

/// Prints a command's result, a table for people or JSON in one line; whether that
/// worked and it `is_success`.
pub(crate) fn result(text: &str, json: bool, is_success: bool) -> bool {
    let shown = match json {
        true => escaped_json(text),
        false => escaped_lines(text),
    };
    let mut output = io::stdout().lock();
    let written = output
        .write_all(shown.as_bytes())
        .and_then(|()| output.flush());
    match written {
        Ok(()) => is_success,
        // Whoever read had enough, such as `head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => is_success,
        Err(error) => {
            note(&format!("error: cannot write the result: {error}"));
            false
        }
    }
}

/// Prints a line of what is going on to standard output, if anyone still reads it.
pub(crate) fn line(line: &str) {
    let mut output = io::stdout().lock();
    // There is no place left to say that this failed.
    let _ = writeln!(output, "{}", escaped_lines(line)).and_then(|()| output.flush());
}

/// Prints why a command failed: as JSON where its result would stand as JSON, else to
/// standard error. Never a success.
pub(crate) fn failure(message: &str, json: bool) -> bool {
    let failure = Failure { error: message };
    match serde_json::to_string(&failure) {
        Ok(line) if json => result(&format!("{line}\n"), true, false),
        _ => {
            note(&format!("error: {message}"));
            false
        }
    }
}

/// Prints a line to standard error, if anyone still reads it.
pub(crate) fn note(line: &str) {
    // There is no place left to say that this failed.
    let _ = writeln!(io::stderr().lock(), "{}", escaped_lines(line));
}

//! The `tadpool` command as a function, for programs that carry it, such as the Python package.

mod commands;
mod print;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser as _;
use clap::error::ErrorKind;

/// Runs the command line `arguments`, the first of which is the command's name; returns the exit
/// status.
///
/// Results go to standard output, all else to standard error. `program` is the file that this
/// code lies in: what an earlier build kept is not taken for a result of this one.
pub fn run(arguments: impl IntoIterator<Item = OsString>, program: PathBuf) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    commands::set_program(program);
    let command = match commands::Cli::try_parse_from(&arguments) {
        Ok(command) => command,
        Err(error) => return usage(&error, &arguments),
    };
    u8::from(!succeeds(command))
}

/// Runs a command and prints its report; whether it is a success.
fn succeeds(command: commands::Cli) -> bool {
    let json = command.json;
    let report = match command.run() {
        Ok(report) => report,
        Err(error) => return print::failure(&message(&error), json),
    };
    let is_success = report.is_success();
    match json {
        true => match report.json() {
            Ok(text) => print::result(&format!("{text}\n"), true, is_success),
            Err(error) => print::failure(&error.to_string(), true),
        },
        false => print::result(&report.to_string(), false, is_success),
    }
}

/// clap's message for a line that it does not take, or the help that was asked for.
fn usage(error: &clap::Error, arguments: &[OsString]) -> u8 {
    let is_asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    if wants_json && !is_asked_for {
        let text = error.to_string();
        print::failure(text.trim().trim_start_matches("error: "), true);
    } else {
        // Nobody may be left to read it.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).unwrap_or(1)
}

/// The error and its causes, without those that an error already quotes.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_causes_are_not_repeated() {
        let cause = anyhow::anyhow!("no such file");
        let quoting = cause.context("cannot read `a`: no such file");
        let outer = quoting.context("`model.toml`");
        assert_eq!(
            message(&outer),
            "`model.toml`: cannot read `a`: no such file"
        );
    }
}

//! The `tadpool` command.

mod commands;
mod print;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

fn main() -> ExitCode {
    let command = match commands::Cli::try_parse() {
        Ok(command) => command,
        Err(error) => return usage(&error),
    };
    let json = command.json;
    let report = match command.run() {
        Ok(report) => report,
        Err(error) => return print::failure(&message(&error), json),
    };
    let status = report.status();
    match json {
        true => match report.json() {
            Ok(text) => print::result(&format!("{text}\n"), true, status),
            Err(error) => print::failure(&error.to_string(), true),
        },
        false => print::result(&report.to_string(), false, status),
    }
}

/// clap's message for a line that it does not take, or the help that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let is_asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if wants_json && !is_asked_for {
        let text = error.to_string();
        print::failure(text.trim().trim_start_matches("error: "), true);
    } else {
        // Nobody may be left to read it.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
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

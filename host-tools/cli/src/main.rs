//! The `tadpool` command.

#![expect(clippy::print_stdout, reason = "a command prints")]

mod commands;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let command = commands::Cli::parse();
    let json = command.json;
    match command.run() {
        Ok(report) if json => match report.json() {
            Ok(text) => {
                println!("{text}");
                report.status()
            }
            Err(error) => failure(&anyhow::Error::from(error)),
        },
        Ok(report) => {
            print!("{report}");
            report.status()
        }
        Err(error) => failure(&error),
    }
}

fn failure(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", message(error));
    ExitCode::FAILURE
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

//! `tadpool completions` and `tadpool man`.

use std::fmt;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde::Serialize;

use super::Cli;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that they are for.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {}

/// A file for another program.
#[derive(Debug, Serialize)]
pub(crate) struct Text {
    text: String,
}

impl Completions {
    pub(crate) fn run(self) -> Text {
        let mut bytes = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tadpool", &mut bytes);
        Text::of(&bytes)
    }
}

impl Man {
    /// The page of the command, and the pages of its subcommands after it.
    pub(crate) fn run(self) -> anyhow::Result<Text> {
        let mut command = Cli::command();
        command.build();
        let mut bytes = Vec::new();
        clap_mangen::Man::new(command.clone()).render(&mut bytes)?;
        for subcommand in command
            .get_subcommands()
            .filter(|one| one.get_name() != "help")
        {
            clap_mangen::Man::new(subcommand.clone()).render_synopsis_section(&mut bytes)?;
            clap_mangen::Man::new(subcommand.clone()).render_description_section(&mut bytes)?;
            clap_mangen::Man::new(subcommand.clone()).render_options_section(&mut bytes)?;
        }
        Ok(Text::of(&bytes))
    }
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        Self {
            text: String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

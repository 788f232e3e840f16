//! `tadpool logs`.

use std::fmt;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tadpool_probe::START_TIME;
use tadpool_probe::connect;
use tadpool_probe::logs::LogLine;
use tadpool_probe::session::Transport as _;

use super::board::{self, BoardArgs, ProbeArgs};
use super::model::CompileArgs;
use super::named::Named;
use crate::print;

/// Looks at the log are so far apart.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    probe: ProbeArgs,
    /// How long to listen.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    seconds: u64,
    /// Start the firmware anew instead of listening to the one that runs.
    #[arg(long)]
    reset: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct LogReport {
    lines: Vec<LogLine>,
}

impl Logs {
    pub(crate) fn run(self) -> anyhow::Result<LogReport> {
        let (model, compiled) = self.model.compile(&Named {
            board: Some(&self.board),
            probe: Some(&self.probe.options()),
            ..Named::default()
        })?;
        let built = self.board.build(&model, &compiled)?;
        let table = built.log_table()?;
        // An emulator has nothing that runs.
        let mut link = if built.is_emulated() {
            let (connection, _) = board::flash(&built, &self.probe)?;
            connection.run(&built.image.path, START_TIME)?
        } else {
            let connection = connect(&built.board, &self.probe.options())?;
            match self.reset {
                true => connection.run(&built.image.path, START_TIME)?,
                false => connection.join(&built.image.path)?,
            }
        };
        let mut decoder = table.decoder();
        let mut lines = Vec::new();
        let end = Instant::now() + Duration::from_secs(self.seconds);
        while Instant::now() < end {
            for line in decoder.decode(&link.take_log()) {
                print::note(&line.to_string());
                lines.push(line);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(LogReport { lines })
    }
}

impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} lines", self.lines.len())
    }
}

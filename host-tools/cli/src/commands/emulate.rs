//! `tadpool emulate`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use tadpool_boards::{DEFAULT_BOARD, Runner};
use tadpool_probe::logs::{LogDecoder, LogTable};
use tadpool_probe::qemu::{self, Ended};

use super::report::Report;
use super::user_program;
use crate::print;

/// Which program, and where.
#[derive(Debug, Args)]
pub(crate) struct Emulate {
    /// The ELF file.
    #[arg(value_name = "PROGRAM")]
    program: PathBuf,
    /// An emulated board by name (see `tadpool boards`) or a board file.
    #[arg(long, value_name = "BOARD", default_value = DEFAULT_BOARD)]
    board: String,
    /// End the program after so long; it counts as failed.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// The output of a program, and how it ended.
#[derive(Debug)]
pub(crate) struct Emulated(Outcome);

#[derive(Debug, Serialize)]
struct Outcome {
    board: String,
    success: bool,
    /// Lines that it logged; empty if they were printed as they came.
    lines: Vec<String>,
}

impl Emulate {
    pub(crate) fn run(self, json: bool) -> anyhow::Result<Emulated> {
        let board = tadpool_probe::find_board(&self.board)?;
        let shown = self.program.display();
        if !matches!(board.runner, Runner::Qemu(_)) {
            bail!(
                "board `{}` is not emulated; `tadpool boards` lists the boards, of which those \
                 named `qemu-` are",
                board.name
            );
        }
        let bytes = user_program::read_for(&self.program, &board)?;
        // One without messages may print text.
        let table = LogTable::of(&self.program, &bytes).ok();
        let mut decoder = table.as_ref().map(LogTable::decoder);
        let (mut text, mut lines) = (Vec::new(), Vec::new());
        let time = self.timeout.map(Duration::from_secs);
        let ended = qemu::run_program(&board, &self.program, time, |piece| {
            for line in said(decoder.as_mut(), &mut text, piece) {
                match json {
                    true => lines.push(line),
                    false => print::line(&line),
                }
            }
        })?;
        match ended {
            Ended::Success | Ended::Failure => {}
            Ended::Broken(reason) => bail!("the emulator ended: {reason}"),
            Ended::Late => bail!(
                "`{shown}` did not end within {} s; it ends the emulator by semihosting",
                self.timeout.unwrap_or_default()
            ),
        }
        Ok(Emulated(Outcome {
            board: board.name,
            success: ended == Ended::Success,
            lines,
        }))
    }
}

/// The lines that are complete with `piece`: of defmt, or else of text, whose beginning of
/// the next line is kept in `text`.
fn said(decoder: Option<&mut LogDecoder<'_>>, text: &mut Vec<u8>, piece: &[u8]) -> Vec<String> {
    if let Some(decoder) = decoder {
        let lines = decoder.decode(piece).into_iter();
        return lines
            .map(|line| line.to_string().trim_start().to_owned())
            .collect();
    }
    text.extend_from_slice(piece);
    let mut lines = Vec::new();
    while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
        let line: Vec<u8> = text.drain(..=end).collect();
        lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
    }
    lines
}

impl Report for Emulated {
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.0)
    }

    fn is_success(&self) -> bool {
        self.0.success
    }
}

impl fmt::Display for Emulated {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

//! `tadpool flash`.

use std::fmt;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tadpool_image::Interface;
use tadpool_probe::START_TIME;

use super::board::{BoardArgs, ProbeArgs};
use super::model::CompileArgs;
use super::named::Named;
use super::report::grouped;

#[derive(Debug, Args)]
pub(crate) struct Flash {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    probe: ProbeArgs,
    /// Flash an image that answers MLPerf Tiny's commands instead of this tool's:
    /// through RTT, which needs the debug probe, or through the board's UART.
    #[arg(long, value_name = "THROUGH")]
    mlperf: Option<Through>,
}

/// The link for MLPerf Tiny's commands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Through {
    Rtt,
    Uart,
}

impl Through {
    /// What an image answers that answers tadpool's requests, or MLPerf's through this.
    pub(crate) fn interface(through: Option<Self>) -> Interface {
        match through {
            None => Interface::Requests,
            Some(Self::Rtt) => Interface::Mlperf,
            Some(Self::Uart) => Interface::MlperfUart,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct FlashReport {
    model: String,
    board: String,
    chip: String,
    bytes: u64,
    seconds: f64,
}

impl Flash {
    pub(crate) fn run(self) -> anyhow::Result<FlashReport> {
        let interface = Through::interface(self.mlperf);
        let (model, compiled) = self.model.compile(&Named {
            board: Some(&self.board),
            interface,
            probe: Some(&self.probe.options()),
            ..Named::default()
        })?;
        let built = self.board.build_with(interface, &model, &compiled)?;
        let (connection, flashed) = built.flash(&self.probe)?;
        // The board runs the image when it is next looked for.
        connection.run(&built.image.path, START_TIME)?;
        Ok(FlashReport {
            model: model.description.name,
            board: built.board.name.clone(),
            chip: built.board.chip,
            bytes: flashed.bytes,
            seconds: flashed.time.unwrap_or_default().as_secs_f64(),
        })
    }
}

impl fmt::Display for FlashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib_per_second = self.bytes as f64 / 1024.0 / self.seconds.max(1e-9);
        writeln!(
            f,
            "{} is in the flash of {} ({}) and runs: {} bytes, written and read back in {:.1} s \
             ({kib_per_second:.0} KiB/s)",
            self.model,
            self.board,
            self.chip,
            grouped(self.bytes),
            self.seconds,
        )
    }
}

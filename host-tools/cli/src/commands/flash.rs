//! `tadpool flash`.

use std::fmt;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tadpool_image::Interface;
use tadpool_image::slots::Update;
use tadpool_probe::{START_TIME, connect};

use super::board::{BoardArgs, BoardImage, ProbeArgs};
use super::model::CompileArgs;
use super::named::Named;
use super::progress::Bars;
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
    /// Write the weights only, beside the firmware that is there, on a board with
    /// `layout.weight_slots`: into the slot that is not in use. The layers must be those that
    /// the firmware was built for.
    #[arg(long, conflicts_with = "roll_back")]
    weights_only: bool,
    /// Return to the weights before the last `--weights-only`: erases those in use.
    #[arg(long)]
    roll_back: bool,
}

/// The link for MLPerf Tiny's commands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Through {
    Rtt,
    Uart,
}

impl Through {
    /// The interface of an image: tadpool's requests, or MLPerf's commands through this.
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
    /// Of a board whose weights have slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<WeightsReport>,
}

/// The weights that a board takes from one of its slots.
#[derive(Debug, Serialize)]
struct WeightsReport {
    done: WeightsDone,
    /// Index of the slot.
    slot: usize,
    /// Number of the update.
    update: u32,
    model_hash: String,
    /// The state of the other slot.
    other: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum WeightsDone {
    Written,
    RolledBack,
}

impl Flash {
    pub(crate) fn run(self) -> anyhow::Result<FlashReport> {
        let interface = Through::interface(self.mlperf);
        let needs_slots = match (self.weights_only, self.roll_back) {
            (false, false) => None,
            (true, _) => Some("--weights-only"),
            (false, true) => Some("--roll-back"),
        };
        let (model, compiled) = self.model.compile(&Named {
            board: Some(&self.board),
            interface,
            needs_slots,
            probe: Some(&self.probe.options()),
            ..Named::default()
        })?;
        let built = self.board.build_with(interface, &model, &compiled)?;
        if needs_slots.is_some() {
            return self.flash_weights(&model.description.name, &built);
        }
        let (connection, flashed) = built.flash(&self.probe)?;
        // The board runs the image when it is next looked for.
        connection.run(&built.image.path, START_TIME)?;
        Ok(FlashReport {
            model: model.description.name,
            board: built.board.name.clone(),
            chip: built.board.chip,
            bytes: flashed.bytes,
            seconds: flashed.time.unwrap_or_default().as_secs_f64(),
            weights: None,
        })
    }

    /// Writes the weights alone, or returns to those before.
    fn flash_weights(self, model: &str, built: &BoardImage) -> anyhow::Result<FlashReport> {
        let (board, path) = (&built.board, &built.image.path);
        let update = Update::of(path, &built.bytes()?, board)?;
        let mut connection = connect(board, &self.probe.options())?;
        let (done, slots, flashed) = match self.roll_back {
            true => {
                let slots = connection.roll_back_weights(board, path, &update)?;
                (WeightsDone::RolledBack, slots, None)
            }
            false => {
                let bars = Bars::default();
                let (slots, flashed) = connection.update_weights(board, path, &update, &bars)?;
                (WeightsDone::Written, slots, Some(flashed))
            }
        };
        let (Some(slot), Some(header)) = (slots.used, slots.header()) else {
            bail!("the weights were written and are not whole: repeat the command");
        };
        connection.run(path, START_TIME)?;
        let other = match &slots.found[1 - slot] {
            Ok(header) => format!("update {}, model {:08x}", header.update, header.model_hash),
            Err(problem) => problem.to_string(),
        };
        let time = flashed.and_then(|flashed| flashed.time);
        Ok(FlashReport {
            model: model.to_owned(),
            board: board.name.clone(),
            chip: board.chip.clone(),
            bytes: flashed.map_or(0, |flashed| flashed.bytes),
            seconds: time.unwrap_or_default().as_secs_f64(),
            weights: Some(WeightsReport {
                done,
                slot,
                update: header.update,
                model_hash: format!("{:08x}", header.model_hash),
                other,
            }),
        })
    }
}

impl fmt::Display for FlashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib_per_second = self.bytes as f64 / 1024.0 / self.seconds.max(1e-9);
        if let Some(weights) = &self.weights {
            let WeightsReport {
                done,
                slot,
                update,
                model_hash,
                other,
            } = weights;
            match done {
                WeightsDone::Written => writeln!(
                    f,
                    "the weights of {} are in slot {slot} of {} ({}) and run: {} bytes, written \
                     and read back in {:.1} s ({kib_per_second:.0} KiB/s)",
                    self.model,
                    self.board,
                    self.chip,
                    grouped(self.bytes),
                    self.seconds,
                )?,
                WeightsDone::RolledBack => writeln!(
                    f,
                    "{} ({}) runs the weights in slot {slot} again",
                    self.board, self.chip
                )?,
            }
            writeln!(
                f,
                "slot {slot}: update {update}, model {model_hash}, in use"
            )?;
            return writeln!(f, "slot {}: {other}", 1 - slot);
        }
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

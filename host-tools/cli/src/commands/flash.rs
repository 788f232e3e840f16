//! `tadpool flash`.

use std::fmt;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tadpool_image::Interface;
use tadpool_image::slots::Update;
use tadpool_operations::board_image::BoardImage;
use tadpool_probe::{START_TIME, connect};

use super::board::{self, BoardArgs, ProbeArgs};
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
        let (connection, flashed) = board::flash(&built, &self.probe)?;
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use clap::Parser;
    use tadpool_probe::qemu::Emulator;
    use tempfile::TempDir;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flash: Flash,
    }

    /// A board with slots in its RAM, of which the virtual probe makes flash.
    const BOARD: &str = "
[memory.slots]
origin = 0x2100_0000
length = 0x0004_0000

[layout]
weight_slots = true
";

    /// A small network, and the board.
    fn project() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let repository = repository.canonicalize().unwrap();
        let onnx = repository.join("tests/fixtures/onnx/pool_stem7_conv_head.onnx");
        fs::copy(onnx, folder.path().join("model.onnx")).unwrap();
        let bird = repository.join("models/cifar10/calibration/bird");
        fs::create_dir_all(folder.path().join("calibration/bird")).unwrap();
        for picture in fs::read_dir(bird).unwrap().take(6) {
            let picture = picture.unwrap();
            let target = folder.path().join("calibration/bird");
            fs::copy(picture.path(), target.join(picture.file_name())).unwrap();
        }
        let labels = "[\"airplane\", \"automobile\", \"bird\", \"cat\", \"deer\"]";
        write(
            "model.toml",
            &format!(
                "name = \"small\"\nonnx = \"model.onnx\"\n\n[input]\nheight = 32\nwidth = 32\n\
                 channels = \"rgb\"\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n\n[data]\n\
                 labels = {labels}\ncalibration = \"calibration\"\nevaluation = \"calibration\"\n"
            ),
        );
        let path = repository.join("host-tools/boards/boards/qemu-mps2-an386.toml");
        let board = fs::read_to_string(path).unwrap();
        let board = board
            .replace("\n[layout]\n", BOARD)
            .replace("weights = \"ssram1\"", "weights = \"slots\"");
        write("board.toml", &board);
        folder
    }

    #[test]
    fn weights_are_written_alone_and_taken_back() {
        let project = project();
        let path = |name: &str| project.path().join(name).display().to_string();
        let (model, board) = (path("model.toml"), path("board.toml"));
        let emulator = Emulator::start(&tadpool_probe::find_board(&board).unwrap()).unwrap();
        let probe = emulator.selector();
        let flash = |rest: &[&str]| {
            let line = ["flash", &model, "--board", &board, "--probe", &probe];
            Line::try_parse_from(line.iter().chain(rest))
                .unwrap()
                .flash
                .run()
        };
        let refused = |rest: &[&str], expected: &str| {
            let error = flash(rest).err().unwrap().to_string();
            assert!(error.contains(expected), "{rest:?}: {error}");
        };
        refused(&["--weights-only"], "the board has another firmware");
        let all = flash(&[]).unwrap();
        assert!(all.weights.is_none());
        refused(&["--roll-back"], "there are no weights to return to");

        let said = flash(&["--weights-only"]).unwrap();
        let weights = said.weights.as_ref().unwrap();
        assert_eq!((weights.slot, weights.update), (1, 2));
        assert!(weights.other.starts_with("update 1, model "), "{said}");
        assert!(0 < said.bytes && said.bytes < all.bytes, "{said}");
        assert!(
            said.to_string()
                .contains("are in slot 1 of qemu-mps2-an386"),
            "{said}"
        );

        let said = flash(&["--roll-back"]).unwrap();
        let weights = said.weights.as_ref().unwrap();
        assert_eq!((weights.slot, weights.update), (0, 1));
        assert_eq!(weights.other, "empty");
        assert!(
            said.to_string()
                .contains("runs the weights in slot 0 again"),
            "{said}"
        );
        refused(
            &["--roll-back"],
            "there are no weights to return to: slot 0 is update 1, slot 1 is empty",
        );
        let said = flash(&["--weights-only"]).unwrap();
        assert_eq!(said.weights.unwrap().update, 2);
    }
}

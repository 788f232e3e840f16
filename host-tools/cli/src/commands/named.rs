//! The arguments of a command beside its model. They are looked at before the model is compiled,
//! which takes seconds: a picture that is none, a board that nobody knows or a folder that
//! cannot be written is said at once.

use std::path::{Path, PathBuf};

use anyhow::bail;
use tadpool_boards::{Board, Runner};
use tadpool_compiler::compile::Model;
use tadpool_compiler::given::images::{self, ImageFile};
use tadpool_compiler::output;
use tadpool_image::Interface;
use tadpool_input::text::shown;
use tadpool_probe::{Options, UNKNOWN_ARMV8M};

use super::board::BoardArgs;
use super::data::DataArgs;
use super::user_program;
use crate::print;

/// All that a command line names beside its model; nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named<'a> {
    /// The board that an image is built for.
    pub(crate) board: Option<&'a BoardArgs>,
    /// The interface through which the image answers.
    pub(crate) interface: Interface,
    /// The way to that board, if it is reached.
    pub(crate) probe: Option<&'a Options>,
    /// The option that needs slots for weights on it.
    pub(crate) needs_slots: Option<&'a str>,
    /// A firmware of the user's own for it, which answers by `tadpool-link`.
    pub(crate) firmware: Option<&'a Path>,
    /// Pictures of the network's input size.
    pub(crate) pictures: &'a [PathBuf],
    /// Pictures to evaluate.
    pub(crate) data: Option<&'a DataArgs>,
    /// Whether their classes have to be known, and the network's scores be of classes.
    pub(crate) has_classes: bool,
    /// Files that are written.
    pub(crate) files: [Option<&'a Path>; 2],
}

impl Named<'_> {
    /// Fails with what is wrong with any of it, or missing.
    pub(crate) fn check(&self, model: &Model) -> anyhow::Result<()> {
        for file in self.files.into_iter().flatten() {
            output::check(file)?;
        }
        if let Some(board) = self.board {
            self.check_board(&board.find(model)?)?;
        }
        for picture in self.pictures {
            images::load(picture, &model.description.input)?;
        }
        self.check_data(model)
    }

    fn check_board(&self, board: &Board) -> anyhow::Result<()> {
        if board.file.is_none() && board.core == UNKNOWN_ARMV8M {
            print::note(&format!(
                "whether the core of {chip} has the DSP extension is not known, so it gets the \
                 `{}` kernels; if it has, pass as `--board` a file with `chip = \"{chip}\"`, \
                 `startup = \"cortex-m\"` and `kernels = \"dsp\"`",
                board.kernels.name(),
                chip = board.chip,
            ));
        }
        if let Some(option) = self.needs_slots {
            let is_running = self.probe.is_some_and(|options| options.probe.is_some());
            check_slots(board, option, is_running)?;
        }
        if let Some(firmware) = self.firmware {
            user_program::check_firmware(firmware, board)?;
        } else {
            tadpool_image::check(board, self.interface)?;
        }
        if let Some(options) = self.probe {
            tadpool_probe::check(board, options)?;
        }
        Ok(())
    }

    fn check_data(&self, model: &Model) -> anyhow::Result<()> {
        let description = &model.description;
        if self.has_classes && !model.network.has_head() {
            bail!(
                "`{}` has no classifier; `tadpool check` measures how far its map is from the \
                 float network's",
                shown(&description.onnx)
            );
        }
        let Some(data) = self.data else {
            return Ok(());
        };
        let (_, images) = data.list(description)?;
        match self.has_classes {
            true => check_classes(&images),
            false => Ok(()),
        }
    }
}

/// Fails unless the class of each image is known.
pub(crate) fn check_classes(images: &[ImageFile]) -> anyhow::Result<()> {
    if let Some(image) = images.iter().find(|image| image.label.is_none()) {
        bail!(
            "`{}` lies in no folder of one class, so its class is not known",
            shown(&image.path)
        );
    }
    Ok(())
}

/// Fails unless the weights on `board` lie in slots of its flash, which `option` needs. An
/// emulated board has nothing there, unless it runs already.
fn check_slots(board: &Board, option: &str, is_running: bool) -> anyhow::Result<()> {
    if board.slots().is_none() {
        bail!(
            "board `{}` has no slots for weights, which `{option}` needs: set \
             `layout.weight_slots` in a file of it (see host-tools/boards/README.md)",
            board.name
        );
    }
    if matches!(board.runner, Runner::Qemu(_)) && !is_running {
        bail!(
            "board `{}` is emulated and keeps nothing from one command to the next, so \
             `{option}` finds no firmware there",
            board.name
        );
    }
    Ok(())
}

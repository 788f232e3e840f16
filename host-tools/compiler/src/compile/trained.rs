//! Networks that were trained for integers: what became of their scales.

use std::fmt;

use serde::Serialize;

use super::{CompileError, Model};
use crate::given::images::{self, ImageError, ImageFile};
use crate::import::Qdq;
use crate::import::interpreter::{self, Confirmation};
use crate::import::trained_scales::Kept;
use crate::place::program::Program;

/// The use made of the scales that a network was trained for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trained {
    /// Which of them the integer network has.
    pub kept: Kept,
    /// How it compares with the file as written.
    pub confirmation: Confirmation,
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kept {
            maps,
            calibrated,
            exact,
            matrices,
            rounded_anew,
        } = &self.kept;
        write!(
            f,
            "trained for integers: {maps} maps and {matrices} matrices keep the file's steps"
        )?;
        if *exact > 0 {
            write!(f, ", {exact} rounded values are kept exact")?;
        }
        if !calibrated.is_empty() {
            write!(f, "; ranges from calibration: {}", calibrated.join(", "))?;
        }
        if !rounded_anew.is_empty() {
            write!(f, "; weights rounded anew: {}", rounded_anew.join(", "))?;
        }
        let Confirmation {
            images,
            scores,
            rounding,
            difference,
        } = self.confirmation;
        write!(
            f,
            "; on {images} images the scores are {difference:.3} from the file as written, whose \
             own rounding moves them by {rounding:.3} of {scores:.3} (root mean squares)"
        )
    }
}

/// Images on which a file with rounding is evaluated as it is written: slowly.
const CONFIRMED_IMAGES: usize = 4;

/// Compares the integer network with the file as written.
pub(super) fn confirm(
    model: &Model,
    rounding: &Qdq,
    program: &Program<'_>,
    images: &[ImageFile],
    tolerance: f32,
) -> Result<Trained, CompileError> {
    let input = &model.description.input;
    let every = (images.len() / CONFIRMED_IMAGES).max(1);
    let inputs = images
        .iter()
        .step_by(every)
        .take(CONFIRMED_IMAGES)
        .map(|image| {
            let pixels = image.load(input)?;
            Ok((images::normalise(&pixels, input), pixels))
        })
        .collect::<Result<Vec<_>, ImageError>>()?;
    let file = &rounding.interpreter;
    let confirmation = interpreter::confirm(file, &model.network, program, &inputs, tolerance)
        .map_err(|source| CompileError::Confirm {
            onnx: model.description.onnx.clone(),
            source,
        })?;
    Ok(Trained {
        kept: rounding.scales.kept(&model.network),
        confirmation,
    })
}

//! Classifies what a camera sees: frames in through `embedded-hal`'s traits,
//! labels out of the generated crate.
//!
//! Nothing here knows a board; the programs in `src/bin` do.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

mod async_camera;
mod scale;
mod simulated;
mod spi_camera;

pub use async_camera::AsyncSpiCamera;
pub use simulated::SimulatedCamera;
pub use spi_camera::SpiCamera;

use tadpool_kernels::Fault;
use tadpool_model::{Arena, CLASSES, INPUT_BYTES, Logit, infer};

/// Rows of pixels, channels fastest, as the model takes them.
pub type Frame = [u8; INPUT_BYTES];

/// Where frames come from.
pub trait FrameSource {
    /// Errors of the application.
    type Error;

    /// Takes a picture into `frame`.
    fn take(&mut self, frame: &mut Frame) -> Result<(), Self::Error>;
}

/// The model's prediction for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prediction {
    /// The class with the largest logit.
    pub label: &'static str,
    /// All logits.
    pub logits: [Logit; CLASSES],
}

/// Why there is no prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem<E> {
    /// The camera's.
    Camera(E),
    /// The model's; a broken build.
    Model(Fault),
}

/// Takes a picture straight into the arena, without a copy, and classifies it.
///
/// # Errors
/// A [`Problem`] of the camera or the model.
pub fn classify_next<S: FrameSource>(
    source: &mut S,
    arena: &mut Arena,
) -> Result<Prediction, Problem<S::Error>> {
    source.take(arena.input_mut()).map_err(Problem::Camera)?;
    predict(arena).map_err(Problem::Model)
}

/// Classifies a frame that was taken before.
///
/// # Errors
/// A [`Fault`] of the model.
pub fn classify(frame: &Frame, arena: &mut Arena) -> Result<Prediction, Fault> {
    *arena.input_mut() = *frame;
    predict(arena)
}

fn predict(arena: &mut Arena) -> Result<Prediction, Fault> {
    let prediction = infer(arena)?;
    let label = prediction.label().unwrap_or("");
    let logits = prediction.logits().try_into();
    let logits = logits.map_err(|_| Fault::Geometry)?;
    Ok(Prediction { label, logits })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The line that the emulated board must print too.
    const EXPECTED: &str = include_str!("../expected.txt");

    fn lines(predictions: impl Iterator<Item = Prediction>) -> String {
        predictions.fold(String::new(), |mut text, Prediction { label, logits }| {
            writeln!(text, "{label} {logits:?}").unwrap();
            text
        })
    }

    #[test]
    fn frames_are_classified() {
        let mut arena = Box::new(Arena::new());
        let mut camera = SpiCamera::new(SimulatedCamera::new());
        let predictions = (0..4).map(|_| classify_next(&mut camera, &mut arena).unwrap());
        let found = lines(predictions);
        assert_eq!(found, EXPECTED, "expected.txt should be:\n{found}");
    }

    #[test]
    fn a_camera_that_never_answers_is_given_up() {
        let mut arena = Box::new(Arena::new());
        let mut camera = SpiCamera::new(SimulatedCamera::broken());
        let error = classify_next(&mut camera, &mut arena).unwrap_err();
        assert!(
            matches!(error, Problem::Camera(spi_camera::CameraError::NoFrame)),
            "{error:?}"
        );
    }
}

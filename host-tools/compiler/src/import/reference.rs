//! The float reference: the original ONNX file, run by tract.
//!
//! The only place that runs tract. It shares nothing with the importer but the
//! file's bytes, so a pattern that was recognised wrongly shows as a difference.
//!
//! Files may be of a kind on which tract panics or never returns. It runs on watched
//! threads, so that either is an error like any other.

mod watched;

use std::sync::Arc;
use std::time::Duration;

use tract_core::prelude::*;
use tract_onnx::prelude::{Framework, InferenceFact, InferenceModelExt};

use watched::{Stopped, watched};

use crate::evaluate::predicted;
use crate::import::graph::Element;
use crate::import::normalise::FileInput;
use crate::network::float;
use crate::network::{MetaFormer, Shape};

/// Largest difference of a score that is accepted by default; see [`compare`].
pub const DEFAULT_TOLERANCE: f32 = 1e-3;

/// Longest time to load a file, and longer by a second for each [`LOAD_BYTES`] of it; even
/// unoptimised builds of tract take a small part of it.
const LOAD_TIME: Duration = Duration::from_secs(60);
const LOAD_BYTES: u64 = 1 << 20;
/// Longest time to run one image.
const RUN_TIME: Duration = Duration::from_secs(120);

/// Why the reference does not confirm the import.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// tract cannot run the file.
    #[error("the float reference cannot {action}: {message}")]
    Tract {
        /// The operation that failed.
        action: &'static str,
        /// tract's error.
        message: String,
    },
    /// tract does not come to an end.
    #[error(
        "the float reference did not {action} within {seconds} s: the file has a form on which \
         tract hangs; export it anew, or simplify it with onnx-simplifier"
    )]
    Hang {
        /// The operation that failed.
        action: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// An image of another size than the network's.
    #[error("an image has {found} values, the network's input {shape} has {expected}")]
    ImageSize {
        /// Size of the input.
        shape: Shape,
        /// Its number of values.
        expected: usize,
        /// The image's number of values.
        found: usize,
    },
    /// The outputs have different lengths.
    #[error("the imported network has {imported} scores, the float reference {reference}")]
    Classes {
        /// Scores of the imported network.
        imported: usize,
        /// Scores of the reference.
        reference: usize,
    },
    /// The outputs differ.
    #[error(
        "score {class} of image {image} is {imported} after import and {reference} in the float \
         reference: they differ by {difference:.3e}, {allowed:.3e} is allowed"
    )]
    Difference {
        /// Index of the image.
        image: usize,
        /// Index of the score.
        class: usize,
        /// Score of the imported network.
        imported: f32,
        /// Score of the reference.
        reference: f32,
        /// Absolute difference, not a number if one of them is not.
        difference: f32,
        /// The largest difference that is allowed.
        allowed: f32,
    },
}

/// The original network, ready to run.
#[derive(Clone)]
pub struct Reference {
    plan: Arc<TypedSimplePlan>,
    input: Shape,
    file: FileInput,
}

/// How far the imported network is from the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Images compared.
    pub images: usize,
    /// Largest absolute difference of a score.
    pub max_abs_diff: f32,
    /// Mean absolute difference of a score.
    pub mean_abs_diff: f32,
    /// Images for which both name the same class.
    pub same_top1: usize,
}

impl Reference {
    /// Prepares the ONNX file `bytes`, whose input is an image of shape `input`.
    ///
    /// # Errors
    /// tract cannot load the file, or does not come to an end.
    pub fn new(bytes: &[u8], input: Shape) -> Result<Self, ReferenceError> {
        Self::of(bytes, input, FileInput::plain(input.channels))
    }

    /// The same for a file that takes images as `file` says.
    ///
    /// # Errors
    /// See [`Reference::new`].
    pub fn of(bytes: &[u8], input: Shape, file: FileInput) -> Result<Self, ReferenceError> {
        let element = match file.element {
            Element::Float => f32::datum_type(),
            Element::Byte => u8::datum_type(),
        };
        let sizes = file.shape(input, file.batch);
        let bytes = bytes.to_vec();
        let deadline = LOAD_TIME + Duration::from_secs(bytes.len() as u64 / LOAD_BYTES);
        let plan = guarded("load the file", deadline, move || {
            let fact = InferenceFact::dt_shape(element, sizes);
            tract_onnx::onnx()
                .with_ignore_value_info(true)
                .with_ignore_output_shapes(true)
                .model_for_read(&mut &bytes[..])?
                .with_input_fact(0, fact)?
                .into_optimized()?
                .into_runnable()
        })?;
        Ok(Self { plan, input, file })
    }

    /// The scores of one normalised image, `height x width x channels`; of a network
    /// without a head the feature map, in the same order.
    ///
    /// # Errors
    /// The image has another size, or tract fails.
    pub fn run(&self, image: &[f32]) -> Result<Vec<f32>, ReferenceError> {
        if image.len() != self.input.elements() {
            return Err(ReferenceError::ImageSize {
                shape: self.input,
                expected: self.input.elements(),
                found: image.len(),
            });
        }
        let batch = self.file.batch;
        let values = self.file.of_image(image).repeat(batch);
        let sizes = self.file.shape(self.input, batch);
        let is_bytes = self.file.element == Element::Byte;
        let plan = Arc::clone(&self.plan);
        guarded("run an image", RUN_TIME, move || {
            let tensor = match is_bytes {
                false => Tensor::from_shape(&sizes, &values)?,
                true => {
                    let bytes: Vec<u8> = values.iter().map(|&value| value as u8).collect();
                    Tensor::from_shape(&sizes, &bytes)?
                }
            };
            let outputs = plan.run(tvec!(tensor.into()))?;
            let values = outputs[0]
                .cast_to::<f32>()?
                .try_as_plain_ram()?
                .as_slice::<f32>()?
                .to_vec();
            // All images of a batch are the same one.
            let values = values[..values.len() / batch.max(1)].to_vec();
            Ok(match outputs[0].shape() {
                &[_, channels, height, width] => channels_last(&values, channels, height * width),
                _ => values,
            })
        })
    }
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reference")
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}

/// Compares the imported network with the reference on normalised images.
///
/// # Errors
/// A score that differs by more than `tolerance` or, in an image with scores above one,
/// by more than `tolerance` of the largest, since that is what floats can hold; or one
/// that is not a number. The first one is named. See also [`Reference::run`].
pub fn compare<I: AsRef<[f32]>>(
    model: &MetaFormer,
    reference: &Reference,
    images: impl IntoIterator<Item = I>,
    tolerance: f32,
) -> Result<Comparison, ReferenceError> {
    let images = images.into_iter().enumerate();
    let compared = images.map(|(number, image)| {
        let scores = float::run(model, image.as_ref(), |_| {});
        reference.compare(number, image.as_ref(), &scores, tolerance)
    });
    compared.collect()
}

/// How far the scores of one image are from the reference's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Compared {
    scores: u64,
    max_abs_diff: f32,
    total_abs_diff: f64,
    same_top1: bool,
}

impl Reference {
    /// Compares the imported network's scores of one image, number `image`.
    ///
    /// # Errors
    /// As [`compare`].
    pub fn compare(
        &self,
        image: usize,
        values: &[f32],
        scores: &[f32],
        tolerance: f32,
    ) -> Result<Compared, ReferenceError> {
        let expected = self.run(values)?;
        if scores.len() != expected.len() {
            return Err(ReferenceError::Classes {
                imported: scores.len(),
                reference: expected.len(),
            });
        }
        let mut compared = Compared {
            scores: scores.len() as u64,
            same_top1: predicted(scores) == predicted(&expected),
            ..Compared::default()
        };
        let allowed = allowed(&expected, tolerance);
        for (class, (&imported, &reference)) in scores.iter().zip(&expected).enumerate() {
            let difference = (imported - reference).abs();
            // A difference that is not a number is refused too.
            if !matches!(difference.partial_cmp(&allowed), Some(o) if o.is_le()) {
                return Err(ReferenceError::Difference {
                    image,
                    class,
                    imported,
                    reference,
                    difference,
                    allowed,
                });
            }
            compared.max_abs_diff = compared.max_abs_diff.max(difference);
            compared.total_abs_diff += f64::from(difference);
        }
        Ok(compared)
    }
}

impl FromIterator<Compared> for Comparison {
    fn from_iter<I: IntoIterator<Item = Compared>>(images: I) -> Self {
        let images: Vec<Compared> = images.into_iter().collect();
        let largest = images.iter().map(|image| image.max_abs_diff);
        let total: f64 = images.iter().map(|image| image.total_abs_diff).sum();
        let scores: u64 = images.iter().map(|image| image.scores).sum();
        Self {
            images: images.len(),
            max_abs_diff: largest.fold(0.0, f32::max),
            mean_abs_diff: (total / scores.max(1) as f64) as f32,
            same_top1: images.iter().filter(|image| image.same_top1).count(),
        }
    }
}

/// The difference that finite scores may have: `tolerance`, or as much of the largest if that is
/// above one.
pub(crate) fn allowed(scores: &[f32], tolerance: f32) -> f32 {
    let sizes = scores.iter().map(|score| score.abs());
    tolerance * sizes.filter(|size| size.is_finite()).fold(1.0, f32::max)
}

/// From `channels x tokens` to `tokens x channels`.
fn channels_last(planes: &[f32], channels: usize, tokens: usize) -> Vec<f32> {
    (0..tokens)
        .flat_map(|token| (0..channels).map(move |c| planes[c * tokens + token]))
        .collect()
}

/// Calls tract, whose panics and hangs on unusual files become errors.
fn guarded<T: Send + 'static>(
    action: &'static str,
    deadline: Duration,
    call: impl FnOnce() -> TractResult<T> + Send + 'static,
) -> Result<T, ReferenceError> {
    let failed = |message| ReferenceError::Tract { action, message };
    match watched(deadline, call) {
        Ok(result) => result.map_err(|error| failed(format!("{error:#}"))),
        Err(Stopped::Panicked(message) | Stopped::NoThread(message)) => Err(failed(message)),
        Err(Stopped::Late) => Err(ReferenceError::Hang {
            action,
            seconds: deadline.as_secs(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_scores_may_differ_by_more() {
        assert_eq!(allowed(&[0.5, -0.25], 0.25), 0.25);
        assert_eq!(allowed(&[2.0, -900.0], 0.25), 225.0);
        assert_eq!(allowed(&[2.0, f32::INFINITY, f32::NAN], 0.25), 0.5);
    }
}

//! Check: what quantization does to a network, step by step and in the end.
//!
//! Every image goes through the float network and the integer one; what each step
//! writes is compared. A few images also go through hybrids, in which one step
//! alone is computed with integers: that shows which step the difference comes
//! from. Images are taken in parts of a fixed size, so neither the result nor the
//! memory depends on the number of threads or of images.

mod interval;
mod total;

use rayon::prelude::*;
use serde::Serialize;
use tadpool_kernels::Fault;
use tadpool_kernels::norm::Stats;

use crate::compile::{Compiled, Model};
use crate::evaluate::StepError;
use crate::evaluate::step_error::{Stored, Sums, Written};
use crate::given::images::{self, ImageError, ImageFile};
use crate::network::float::{self, View};
use crate::place::program::{Arena, Program};
use crate::progress::{Progress, Stopped};
pub use interval::{Difference, Share};

use total::{HybridSums, Total};

/// Images that one thread takes at a time, and of which a sum is made.
const PART: usize = 16;
/// Parts that are in memory together.
const PARTS: usize = 32;

/// Choices of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckConfig {
    /// Images for the hybrids, which cost about as much as ten others each.
    pub hybrid_images: usize,
    /// Most images to show on which the networks disagree.
    pub shown: usize,
}

/// Why a check cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// An image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The integer network does not run.
    #[error("the integer network does not run: {0}")]
    Fault(#[from] Fault),
    /// Nobody wants the result any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The effect of quantization on a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Name of the model.
    pub model: String,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Steps in execution order.
    pub steps: Vec<StepCheck>,
    /// Root mean square of the float network's logits.
    pub logits: f64,
    /// Root mean square of how far the integer network's logits are from them.
    pub logit_error: f64,
    /// Images of the hybrids.
    pub hybrid_images: usize,
    /// Number of images.
    pub images: usize,
    /// Share of images with the same prediction; none if the network has no head.
    pub agreement: Option<Share>,
    /// How often predictions are right, if every image has a label.
    pub accuracy: Option<Accuracy>,
    /// Images with another prediction, those first of which the float network was
    /// surest.
    pub disagreements: Vec<Disagreement>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepCheck {
    /// Place in the network.
    pub name: String,
    /// The function that is computed.
    pub kind: &'static str,
    /// How far what it writes is from the float network.
    #[serde(flatten)]
    pub error: StepError,
    /// The signal to noise ratio of the logits if this step alone is computed with integers, on
    /// an input rounded as this step reads it.
    pub alone: Alone,
}

/// The logits of the float network with one step in integers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Alone {
    /// Root mean square of how far the logits move.
    pub logit_error: f64,
    /// Signal to noise of the logits; none if they do not move.
    pub logit_sqnr_db: Option<f64>,
    /// Images whose prediction changes; none if the network has no head.
    pub changed: Option<usize>,
}

/// How often predictions are right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Of the float network.
    pub float: Share,
    /// Of the integer network.
    pub integer: Share,
    /// Between the two, image by image.
    pub difference: Difference,
}

/// An image on which the networks disagree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disagreement {
    /// The file.
    pub image: String,
    /// Its class, if it has one.
    pub label: Option<usize>,
    /// The float network's class.
    pub float: usize,
    /// The integer network's class.
    pub integer: usize,
    /// How far the float network's largest logit is above the integer network's
    /// choice; of a single score, how far from zero.
    pub margin: f64,
    /// Raw pixels, for the picture.
    #[serde(skip)]
    pub pixels: Vec<u8>,
}

/// Runs `images` through both networks.
///
/// # Errors
/// See [`CheckError`].
pub fn check(
    model: &Model,
    compiled: &Compiled,
    images: &[ImageFile],
    config: &CheckConfig,
    progress: &impl Progress,
) -> Result<Check, CheckError> {
    let both = Both {
        model,
        program: compiled.program(),
        stored: compiled.quantized.layers.iter().map(Stored::new).collect(),
    };
    let layers = &model.network.layers;
    progress.begin("float and integers", images.len());
    let mut total = Total::new(layers.len());
    for window in images.chunks(PART * PARTS) {
        let parts = window
            .par_chunks(PART)
            .map(|part| both.part(part, config.shown, progress))
            .collect::<Result<Vec<_>, _>>()?;
        for part in parts {
            total.add(part, config.shown);
        }
    }
    progress.end();

    let every = images.len().div_ceil(config.hybrid_images.max(1)).max(1);
    let chosen: Vec<&ImageFile> = images.iter().step_by(every).collect();
    progress.begin("one step in integers", chosen.len());
    let mut hybrids = vec![HybridSums::default(); layers.len()];
    for window in chosen.chunks(PARTS) {
        let parts = window
            .par_iter()
            .map(|image| {
                progress.go_on()?;
                let sums = both.hybrids(image)?;
                progress.advance();
                Ok(sums)
            })
            .collect::<Result<Vec<_>, CheckError>>()?;
        for part in parts {
            hybrids
                .iter_mut()
                .zip(&part)
                .for_each(|(sums, part)| sums.add(part));
        }
    }
    progress.end();

    let predicts = model.network.has_head();
    let steps = layers
        .iter()
        .zip(total.steps.iter().zip(&both.stored))
        .zip(&hybrids)
        .map(|((layer, (sums, stored)), hybrid)| StepCheck {
            name: layer.name.to_string(),
            kind: layer.op.kind(),
            error: sums.error(*stored),
            alone: hybrid.alone(predicts),
        });
    Ok(Check {
        model: model.description.name.clone(),
        labels: model.description.labels.clone(),
        steps: steps.collect(),
        logits: total.logits.root(total.logits.signal),
        logit_error: total.logits.root(total.logits.noise),
        hybrid_images: chosen.len(),
        images: total.images,
        agreement: predicts.then(|| Share::new(total.same, total.images)),
        accuracy: total.accuracy(),
        disagreements: total.disagreements,
    })
}

/// Both networks, ready to run.
struct Both<'a> {
    model: &'a Model,
    program: Program<'a>,
    stored: Vec<Stored>,
}

impl Both<'_> {
    fn part(
        &self,
        images: &[ImageFile],
        shown: usize,
        progress: &impl Progress,
    ) -> Result<Total, CheckError> {
        let mut total = Total::new(self.stored.len());
        let mut arena = Arena::default();
        for image in images {
            progress.go_on()?;
            let pixels = image.load(&self.model.description.input)?;
            let mut written = Written::default();
            self.program.infer(&pixels, &mut arena, &mut written)?;
            let normalised = images::normalise(&pixels, &self.model.description.input);
            let mut integer = Vec::new();
            let float = float::run(&self.model.network, &normalised, |view| {
                if view.kind == View::Output {
                    let stored = self.stored[view.index];
                    integer = stored.values(&written.0[view.index]);
                    total.steps[view.index].add(&Sums::of(stored, view.values, &integer));
                }
            });
            total.logits.count(&float, &integer);
            total.images += 1;
            if self.model.network.has_head() {
                total.predictions(image, &float, &integer, pixels);
            }
            progress.advance();
        }
        total.keep(shown);
        Ok(total)
    }

    /// The logits of an image with each step in integers in turn.
    fn hybrids(&self, image: &ImageFile) -> Result<Vec<HybridSums>, CheckError> {
        let network = &self.model.network;
        let input = &self.model.description.input;
        let pixels = image.load(input)?;
        let mut maps = Vec::with_capacity(network.layers.len());
        let logits = float::run(network, &images::normalise(&pixels, input), |view| {
            if view.kind == View::Output {
                maps.push(view.values.to_vec());
            }
        });
        let mut arena = Arena::default();
        let mut all = Vec::with_capacity(maps.len());
        for step in 0..maps.len() {
            let (map, stats) = match step.checked_sub(1) {
                Some(before) => {
                    let map = self.stored[before].bytes(&maps[before]);
                    let stats = self.stored[before].stats(&map);
                    (map, stats)
                }
                // The first step takes no sums.
                None => (pixels.clone(), Stats::default()),
            };
            let output = self.program.step(step, &map, &stats, &mut arena)?;
            let values = self.stored[step].values(output);
            let hybrid = float::resume(network, step + 1, values, |_| {});
            let mut sums = HybridSums::default();
            sums.count(&logits, &hybrid);
            all.push(sums);
        }
        Ok(all)
    }
}

//! Sums over images, and what becomes of them.

use super::interval::{Difference, Share};
use super::{Accuracy, Alone, Disagreement};
use crate::evaluate::predicted;
use crate::evaluate::step_error::{Sums, decibels};
use crate::given::images::ImageFile;

/// Sums over some images.
#[derive(Default)]
pub(super) struct Total {
    pub(super) images: usize,
    pub(super) labelled: usize,
    pub(super) same: usize,
    /// Images that the float network, the integer network, each alone has right.
    pub(super) right: [usize; 4],
    pub(super) steps: Vec<Sums>,
    pub(super) logits: HybridSums,
    pub(super) disagreements: Vec<Disagreement>,
}

impl Total {
    pub(super) fn new(steps: usize) -> Self {
        Self {
            steps: vec![Sums::default(); steps],
            ..Self::default()
        }
    }

    pub(super) fn predictions(
        &mut self,
        image: &ImageFile,
        float_logits: &[f32],
        integer_logits: &[f32],
        pixels: Vec<u8>,
    ) {
        let (float, integer) = (predicted(float_logits), predicted(integer_logits));
        self.same += usize::from(float == integer);
        if let Some(label) = image.label {
            self.labelled += 1;
            let right = [float == label, integer == label];
            let counts = [
                right[0],
                right[1],
                right[0] && !right[1],
                right[1] && !right[0],
            ];
            for (total, right) in self.right.iter_mut().zip(counts) {
                *total += usize::from(right);
            }
        }
        if float != integer {
            self.disagreements.push(Disagreement {
                image: image.path.display().to_string(),
                label: image.label,
                float,
                integer,
                margin: match float_logits {
                    // Which class a single score names depends on its sign.
                    [score] => f64::from(score.abs()),
                    _ => f64::from(float_logits[float] - float_logits[integer]),
                },
                pixels,
            });
        }
    }

    pub(super) fn add(&mut self, other: Self, shown: usize) {
        self.images += other.images;
        self.labelled += other.labelled;
        self.same += other.same;
        self.right
            .iter_mut()
            .zip(other.right)
            .for_each(|(a, b)| *a += b);
        self.steps
            .iter_mut()
            .zip(&other.steps)
            .for_each(|(a, b)| a.add(b));
        self.logits.add(&other.logits);
        self.disagreements.extend(other.disagreements);
        self.keep(shown);
    }

    /// Drops all but the `shown` images of which the float network was surest.
    pub(super) fn keep(&mut self, shown: usize) {
        self.disagreements.sort_by(|a, b| {
            let margins = b.margin.total_cmp(&a.margin);
            margins.then_with(|| a.image.cmp(&b.image))
        });
        self.disagreements.truncate(shown);
    }

    pub(super) fn accuracy(&self) -> Option<Accuracy> {
        let [float, integer, only_float, only_integer] = self.right;
        (self.labelled == self.images).then(|| Accuracy {
            float: Share::new(float, self.images),
            integer: Share::new(integer, self.images),
            difference: Difference::new(only_float, only_integer, self.images),
        })
    }
}

/// How far logits are from those of the float network.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HybridSums {
    values: u64,
    pub(super) signal: f64,
    pub(super) noise: f64,
    changed: usize,
}

impl HybridSums {
    pub(super) fn count(&mut self, float: &[f32], other: &[f32]) {
        for (&float, &other) in float.iter().zip(other) {
            self.values += 1;
            self.signal += f64::from(float).powi(2);
            self.noise += f64::from(float - other).powi(2);
        }
        self.changed += usize::from(predicted(float) != predicted(other));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.values += other.values;
        self.signal += other.signal;
        self.noise += other.noise;
        self.changed += other.changed;
    }

    /// Root of the mean of a sum of squares.
    pub(super) fn root(&self, sum: f64) -> f64 {
        (sum / (self.values as f64).max(1.0)).sqrt()
    }

    pub(super) fn alone(&self, predicts: bool) -> Alone {
        Alone {
            logit_error: self.root(self.noise),
            logit_sqnr_db: decibels(self.signal, self.noise),
            changed: predicts.then_some(self.changed),
        }
    }
}

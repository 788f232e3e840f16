//! Plays images to a learner.

use std::fmt;

use serde::Serialize;
use tadpool_compiler::evaluate::agreement;
use tadpool_kernels::{Logit, TrainedHead};
use tadpool_learn::{ClassState, Learner, Memory, Options, entry_bytes};

use super::images::{Example, trained_top1};
use super::{LeftOut, Point, Start};
use crate::commands::report::grouped;

/// What heads are learned with.
pub(super) struct Player<'a> {
    pub(super) trained: TrainedHead<'a>,
    pub(super) options: Options,
    pub(super) replay_bytes: usize,
    /// Images that accuracies are measured with.
    pub(super) evaluated: &'a [Example],
}

/// RAM of a learner on the board, in bytes, without its pointers and counters.
#[derive(Debug, Serialize)]
pub(super) struct Ram {
    weights: usize,
    classes: usize,
    replay: usize,
    /// Of one image, where the application keeps them.
    features: usize,
    replayed_images: usize,
}

impl fmt::Display for Ram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.weights + self.classes + self.replay + self.features;
        let bytes = |bytes: usize| grouped(bytes as u64);
        write!(
            f,
            "RAM: {} bytes: {} for weights, {} for classes, {} to learn {} images again, {} for \
             the features of an image",
            bytes(all),
            bytes(self.weights),
            bytes(self.classes),
            bytes(self.replay),
            self.replayed_images,
            bytes(self.features),
        )
    }
}

/// A head and the classes that it has, by the numbers of their labels.
struct Played<'m> {
    learner: Learner<'m>,
    classes: Vec<usize>,
}

impl Player<'_> {
    pub(super) fn ram(&self) -> Ram {
        let (features, classes) = (self.trained.features(), self.trained.classes());
        Ram {
            weights: size_of::<i32>() * features * classes,
            classes: (size_of::<ClassState>() + size_of::<Logit>()) * classes,
            replay: self.replay_bytes,
            features: size_of::<i16>() * features,
            replayed_images: self.replay_bytes / entry_bytes(features),
        }
    }

    /// Learns a stream of images; the accuracy on the way, and the checksum at its end.
    pub(super) fn play(
        &self,
        stream: &[&Example],
        start: Start,
    ) -> anyhow::Result<(Vec<Point>, u32)> {
        self.with_learner(start, |mut played| {
            let mut curve = Vec::new();
            for (number, example) in stream.iter().enumerate() {
                if number > 0 && is_shown(number) {
                    curve.push(played.point(number, self.evaluated)?);
                }
                played.learn(example)?;
            }
            curve.push(played.point(stream.len(), self.evaluated)?);
            Ok((curve, played.learner.checksum()))
        })
    }

    /// Learns `others`, and then `new` images of `class`.
    pub(super) fn leave_out(
        &self,
        class: usize,
        label: &str,
        others: &[&Example],
        new: &[&Example],
    ) -> anyhow::Result<LeftOut> {
        let is_new = |example: &&Example| example.class == class;
        let (own, other): (Vec<_>, Vec<_>) = self.evaluated.iter().partition(is_new);
        self.with_learner(Start::Empty, |mut played| {
            for example in others {
                played.learn(example)?;
            }
            let others_before = played.top1(&other)?;
            for example in new {
                played.learn(example)?;
            }
            Ok(LeftOut {
                class: label.to_owned(),
                images: new.len(),
                top1: played.top1(&own)?,
                others_before,
                others_after: played.top1(&other)?,
                trained_top1: trained_top1(own.iter().copied()),
                checksum: played.learner.checksum(),
            })
        })
    }

    fn with_learner<T>(
        &self,
        start: Start,
        play: impl FnOnce(Played<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (features, classes) = (self.trained.features(), self.trained.classes());
        let memory = Memory {
            weights: &mut vec![0; features * classes],
            classes: &mut vec![ClassState::NEW; classes],
            logits: &mut vec![Logit::from_q16(0); classes],
            replay: &mut vec![0; self.replay_bytes],
        };
        play(match start {
            Start::Empty => Played {
                learner: Learner::empty(features, memory, self.options)?,
                classes: Vec::new(),
            },
            Start::Trained => Played {
                learner: Learner::trained(&self.trained, memory, self.options)?,
                classes: (0..classes).collect(),
            },
        })
    }
}

impl Played<'_> {
    /// Learns an image, of a class that may be new.
    fn learn(&mut self, example: &Example) -> anyhow::Result<()> {
        let known = self
            .classes
            .iter()
            .position(|&class| class == example.class);
        let number = match known {
            Some(number) => number,
            None => {
                self.classes.push(example.class);
                self.learner.add_class()?
            }
        };
        self.learner.learn(&example.features, number)?;
        Ok(())
    }

    fn point(&mut self, images: usize, evaluated: &[Example]) -> anyhow::Result<Point> {
        let evaluated: Vec<&Example> = evaluated.iter().collect();
        let top1 = self.top1(&evaluated)?;
        Ok(Point { images, top1 })
    }

    fn top1(&mut self, examples: &[&Example]) -> anyhow::Result<f64> {
        let mut predicted = Vec::with_capacity(examples.len());
        for example in examples {
            let top = self.learner.predict(&example.features)?.top();
            let class = top.and_then(|top| self.classes.get(top.index));
            predicted.push(class.copied().unwrap_or(usize::MAX));
        }
        let known: Vec<usize> = examples.iter().map(|example| example.class).collect();
        Ok(agreement(&known, &predicted))
    }
}

/// Whether the accuracy after so many images is shown: after 1, 2, 5, 10, 20, 50, ...
fn is_shown(mut images: usize) -> bool {
    while images.is_multiple_of(10) {
        images /= 10;
    }
    matches!(images, 1 | 2 | 5)
}

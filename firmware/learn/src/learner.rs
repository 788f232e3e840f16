//! What an application sees of a head that learns.

use core::fmt;

use tadpool_kernels::checksum::crc32_on;
use tadpool_kernels::{Logit, Prediction, TrainedHead};

use crate::error::{LearnError, SetupError};
use crate::head::Head;
use crate::random::Random;
use crate::replay::Replay;

/// Most classes: an entry of the replay has two bytes for its own.
const MOST_CLASSES: usize = 1 << 16;

/// The RAM of a learner.
#[derive(Debug)]
pub struct Memory<'m> {
    /// As many as features times `classes`.
    pub weights: &'m mut [i32],
    /// One for each class that there may be.
    pub classes: &'m mut [ClassState],
    /// As many as `classes`.
    pub logits: &'m mut [Logit],
    /// Images to be learned again, [`entry_bytes`](crate::entry_bytes) each; none is fine.
    pub replay: &'m mut [u8],
}

/// What a learner keeps of a class beside its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassState {
    pub(crate) bias: i64,
    pub(crate) learned: u32,
    pub(crate) replayed: u32,
}

impl ClassState {
    /// Of a class of which nothing is known.
    pub const NEW: Self = Self {
        bias: 0,
        learned: 0,
        replayed: 0,
    };

    /// The bias in 2^30ths of a logit's unit.
    pub const fn bias(&self) -> i64 {
        self.bias
    }

    /// Images of the class that were learned, without repeats.
    pub const fn learned(&self) -> u32 {
        self.learned
    }

    /// Images of the class that are in the replay.
    pub const fn replayed(&self) -> u32 {
        self.replayed
    }
}

/// How it is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How far an image moves the weights, in 65536ths: one whole would change the logits of
    /// the same image by as much as its probabilities were off. Images of the replay move them
    /// by a quarter of it, since each of those comes many times.
    pub rate: u16,
    /// Images of the replay that are learned again with each new one.
    pub replays: u8,
    /// Draws them.
    pub seed: u32,
}

impl Default for Options {
    /// A rate of 0.15, and four images again.
    fn default() -> Self {
        Self {
            rate: 9830,
            replays: 4,
            seed: 1,
        }
    }
}

/// A head that learns: the last linear layer of a network, in RAM.
pub struct Learner<'m> {
    pub(crate) head: Head<'m>,
    pub(crate) replay: Replay<'m>,
    options: Options,
    random: Random,
}

impl<'m> Learner<'m> {
    /// A head without classes, for so many features.
    ///
    /// # Errors
    /// A [`SetupError`] if there are none, or the slices of `memory` do not belong together.
    pub fn empty(
        features: usize,
        memory: Memory<'m>,
        options: Options,
    ) -> Result<Self, SetupError> {
        check(features, &memory)?;
        Ok(Self {
            head: Head {
                weights: memory.weights,
                states: memory.classes,
                logits: memory.logits,
                features,
                classes: 0,
            },
            replay: Replay::new(memory.replay, features),
            options,
            random: Random::new(options.seed),
        })
    }

    /// The head that a network was trained with, and room for more classes.
    ///
    /// # Errors
    /// As [`Self::empty`], and [`SetupError::TrainedClasses`] if there is no room for its own.
    pub fn trained(
        trained: &TrainedHead<'_>,
        memory: Memory<'m>,
        options: Options,
    ) -> Result<Self, SetupError> {
        let mut learner = Self::empty(trained.features(), memory, options)?;
        for class in 0..trained.classes() {
            if learner.head.add_class().is_none() {
                return Err(SetupError::TrainedClasses {
                    trained: trained.classes(),
                    most: class,
                });
            }
            learner.head.copy_row(trained, class);
        }
        Ok(learner)
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.head.features
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.head.classes
    }

    /// Images that can be learned again.
    pub fn replayed(&self) -> usize {
        self.replay.used()
    }

    /// A new class, and its number, which is that of the classes before. It has no weights yet,
    /// and so the logit 0 for every image.
    ///
    /// # Errors
    /// [`LearnError::Full`] if there is no room for it.
    pub fn add_class(&mut self) -> Result<usize, LearnError> {
        let classes = self.head.classes;
        self.head.add_class().ok_or(LearnError::Full { classes })
    }

    /// Forgets all classes and images.
    pub fn reset(&mut self) {
        self.head.classes = 0;
        self.replay.clear();
        self.random = Random::new(self.options.seed);
    }

    /// What the head says to an image with these features. Its classes have no labels here.
    ///
    /// # Errors
    /// [`LearnError::Features`] if there are not as many as the learner has.
    pub fn predict(&mut self, features: &[i16]) -> Result<Prediction<'_>, LearnError> {
        self.check(features)?;
        Ok(self.head.run(features.iter().copied()))
    }

    /// Learns that an image with these features is of `class`, and then some images of the
    /// replay once more. Returns the class that the image was taken for before.
    ///
    /// # Errors
    /// A [`LearnError`] if there are not as many features as the learner has, or no such class.
    pub fn learn(&mut self, features: &[i16], class: usize) -> Result<usize, LearnError> {
        self.check(features)?;
        let classes = self.head.classes;
        let given = class;
        let row = self.head.rows_mut().nth(class);
        let (_, state) = row.ok_or(LearnError::Class { given, classes })?;
        state.learned = state.learned.saturating_add(1);
        let rate = self.options.rate;
        let taken_for = self.head.descend(features.iter().copied(), class, rate);
        for _ in 0..self.options.replays {
            if let Some(entry) = self.replay.any(&mut self.random) {
                self.head.descend(entry.features(), entry.class, rate >> 2);
            }
        }
        let states = &mut *self.head.states;
        self.replay.offer(features, class, states, &mut self.random);
        Ok(taken_for.unwrap_or(class))
    }

    /// CRC-32 of all weights and biases, to compare learners on different cores.
    pub fn checksum(&self) -> u32 {
        let of_row = |crc, (weights, state): (&[i32], &ClassState)| {
            let crc = crc32_on(crc, &state.bias.to_le_bytes());
            let add = |crc, weight: &i32| crc32_on(crc, &weight.to_le_bytes());
            weights.iter().fold(crc, add)
        };
        self.head.rows().fold(0, of_row)
    }

    fn check(&self, features: &[i16]) -> Result<(), LearnError> {
        let (given, needed) = (features.len(), self.head.features);
        match given == needed {
            true => Ok(()),
            false => Err(LearnError::Features { given, needed }),
        }
    }
}

impl fmt::Debug for Learner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Learner")
            .field("features", &self.features())
            .field("classes", &self.classes())
            .field("replayed", &self.replayed())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn check(features: usize, memory: &Memory<'_>) -> Result<(), SetupError> {
    let most = memory.classes.len();
    if features == 0 {
        return Err(SetupError::NoFeatures);
    }
    if most == 0 {
        return Err(SetupError::NoClasses);
    }
    if most > MOST_CLASSES {
        return Err(SetupError::TooManyClasses {
            given: most,
            most: MOST_CLASSES,
        });
    }
    let weights = features.saturating_mul(most);
    for (field, given, needed) in [
        ("weights", memory.weights.len(), weights),
        ("logits", memory.logits.len(), most),
    ] {
        if given != needed {
            return Err(SetupError::Memory {
                field,
                given,
                needed,
            });
        }
    }
    Ok(())
}

//! Learns to tell made-up pictures apart that the network was not trained with, adds a class
//! later, and keeps the head in flash.
//!
//! Nothing here knows a board; `main.rs` does. On the host the same code gives the same bytes.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

mod flash;
mod pictures;

pub use flash::RamFlash;
pub use pictures::Pictures;

use tadpool_kernels::{Fault, Logit, Network};
use tadpool_learn::{
    ClassState, LearnError, Learner, LoadError, Memory, Options, SaveError, SetupError, Slots,
    entry_bytes,
};
use tadpool_model::{Arena, FEATURES, Model};

/// Kinds of pictures, each a class.
pub const KINDS: usize = 4;
/// Pictures of each kind that are learned, and that are looked at afterwards.
const LEARNED: u32 = 8;
const LOOKED_AT: u32 = 4;
/// Room for ten pictures that are learned again.
const REPLAY_BYTES: usize = 10 * entry_bytes(FEATURES);
/// Where heads are kept.
const SLOTS: Slots = Slots {
    start: 0,
    slot_bytes: flash::SLOT_BYTES,
};

/// All RAM of a learner with so many classes, but its pointers and counters.
#[derive(Debug)]
pub struct Storage<const CLASSES: usize> {
    weights: [[i32; FEATURES]; CLASSES],
    classes: [ClassState; CLASSES],
    logits: [Logit; CLASSES],
    replay: [u8; REPLAY_BYTES],
}

impl<const CLASSES: usize> Storage<CLASSES> {
    /// Zeros, for a `static`.
    pub const fn new() -> Self {
        Self {
            weights: [[0; FEATURES]; CLASSES],
            classes: [ClassState::NEW; CLASSES],
            logits: [Logit::from_q16(0); CLASSES],
            replay: [0; REPLAY_BYTES],
        }
    }

    /// As what a learner takes.
    pub fn memory(&mut self) -> Memory<'_> {
        Memory {
            weights: self.weights.as_flattened_mut(),
            classes: &mut self.classes,
            logits: &mut self.logits,
            replay: &mut self.replay,
        }
    }
}

impl<const CLASSES: usize> Default for Storage<CLASSES> {
    fn default() -> Self {
        Self::new()
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Pictures that are taken for what they are, of so many, with all classes but the last.
    pub right: [u32; 2],
    /// The same, after the last class was learned too.
    pub right_with_new: [u32; 2],
    /// The same of the head that was loaded from flash.
    pub right_loaded: [u32; 2],
    /// CRC-32 of the learned head.
    pub checksum: u32,
    /// CRC-32 of the head that was loaded.
    pub loaded: u32,
}

/// Why it came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Of the network; a broken build.
    Network(Fault),
    /// The storage is for another network.
    Setup(SetupError),
    /// A broken build, for the pictures' classes are the learner's.
    Learn(LearnError),
    /// The head is not saved.
    Save(SaveError<flash::OutOfBounds>),
    /// The head is not loaded.
    Load(LoadError<flash::OutOfBounds>),
}

/// Learns all kinds but the last, then the last, saves the head, and loads it again.
///
/// # Errors
/// A [`Problem`].
pub fn play(
    arena: &mut Arena,
    storage: &mut Storage<KINDS>,
    flash: &mut RamFlash,
) -> Result<Outcome, Problem> {
    let memory = storage.memory();
    let learner = Learner::empty(FEATURES, memory, Options::default());
    let mut learner = learner.map_err(Problem::Setup)?;
    let mut pictures = Pictures::new();
    let old = KINDS - 1;
    for _ in 0..old {
        learner.add_class().map_err(Problem::Learn)?;
    }
    for _ in 0..LEARNED {
        for kind in 0..old {
            learn(arena, &mut learner, &mut pictures, kind)?;
        }
    }
    let right = look(arena, &mut learner, old)?;
    let new = learner.add_class().map_err(Problem::Learn)?;
    for _ in 0..LEARNED {
        learn(arena, &mut learner, &mut pictures, new)?;
    }
    let right_with_new = look(arena, &mut learner, KINDS)?;
    let checksum = learner.checksum();
    let network = Model::model_hash();
    let saved = learner.save(flash, SLOTS, network);
    saved.map_err(Problem::Save)?;
    learner.reset();
    let loaded = learner.load(flash, SLOTS, network);
    loaded.map_err(Problem::Load)?;
    Ok(Outcome {
        right,
        right_with_new,
        right_loaded: look(arena, &mut learner, KINDS)?,
        checksum,
        loaded: learner.checksum(),
    })
}

/// The features of a picture of a kind.
///
/// # Errors
/// A [`Problem`] of the network.
pub fn features(
    arena: &mut Arena,
    pictures: &mut Pictures,
    kind: usize,
) -> Result<[i16; FEATURES], Problem> {
    let mut features = [0; FEATURES];
    pictures.draw(kind, arena.input_mut());
    let read = arena.infer().map(|_| ());
    let read = read.and_then(|()| arena.features(&mut features));
    read.map_err(Problem::Network)?;
    Ok(features)
}

fn learn(
    arena: &mut Arena,
    learner: &mut Learner<'_>,
    pictures: &mut Pictures,
    kind: usize,
) -> Result<(), Problem> {
    let features = features(arena, pictures, kind)?;
    learner.learn(&features, kind).map_err(Problem::Learn)?;
    Ok(())
}

/// How many pictures of the first kinds are taken for what they are, and how many there are.
fn look(arena: &mut Arena, learner: &mut Learner<'_>, kinds: usize) -> Result<[u32; 2], Problem> {
    let mut pictures = Pictures::others();
    let [mut right, mut all] = [0; 2];
    for _ in 0..LOOKED_AT {
        for kind in 0..kinds {
            let features = features(arena, &mut pictures, kind)?;
            let prediction = learner.predict(&features).map_err(Problem::Learn)?;
            right += u32::from(prediction.top().is_some_and(|top| top.index == kind));
            all += 1;
        }
    }
    Ok([right, all])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the emulated board must say too.
    const EXPECTED: &str = include_str!("../expected.txt");

    #[test]
    fn the_host_says_what_the_board_says() {
        let mut arena = Box::new(Arena::new());
        let mut storage = Storage::new();
        let outcome = play(&mut arena, &mut storage, &mut RamFlash::new()).unwrap();
        let Outcome {
            right: [old, of_old],
            right_with_new: [with_new, of_all],
            right_loaded,
            checksum,
            loaded,
        } = outcome;
        assert_eq!(right_loaded, [with_new, of_all]);
        assert_eq!(loaded, checksum);
        assert!(old * 10 >= of_old * 9 && with_new * 4 >= of_all * 3);
        let said = format!(
            "right of {of_old}: {old}\nright of {of_all}, with a new class: {with_new}\n\
             right of {of_all}, loaded: {with_new}\nchecksum: {checksum}\nloaded: {loaded}\n"
        );
        assert_eq!(said, EXPECTED, "expected.txt should be:\n{said}");
    }
}

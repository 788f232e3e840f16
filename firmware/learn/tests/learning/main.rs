//! A learner against oracles: of integers, exactly; of floating point, nearly.

mod oracle;
mod replay;
mod steps;

use tadpool_kernels::Logit;
use tadpool_learn::{ClassState, Learner, Memory, Options, SetupError};

/// The RAM of a learner, on the heap.
pub(crate) struct Ram {
    pub(crate) weights: Vec<i32>,
    pub(crate) classes: Vec<ClassState>,
    logits: Vec<Logit>,
    pub(crate) replay: Vec<u8>,
}

impl Ram {
    pub(crate) fn new(features: usize, classes: usize, replay: usize) -> Self {
        Self {
            // What it holds before is of no account.
            weights: vec![i32::MIN; features * classes],
            classes: vec![ClassState::NEW; classes],
            logits: vec![Logit::from_q16(i32::MAX); classes],
            replay: vec![0xa5; replay],
        }
    }

    pub(crate) fn memory(&mut self) -> Memory<'_> {
        Memory {
            weights: &mut self.weights,
            classes: &mut self.classes,
            logits: &mut self.logits,
            replay: &mut self.replay,
        }
    }

    /// A learner with all classes that there is room for.
    pub(crate) fn learner(&mut self, features: usize, options: Options) -> Learner<'_> {
        let classes = self.classes.len();
        let mut learner = Learner::empty(features, self.memory(), options).unwrap();
        for number in 0..classes {
            assert_eq!(learner.add_class(), Ok(number));
        }
        learner
    }
}

/// Numbers that are spread well. Source: S. Vigna's SplitMix64.
pub(crate) struct Source(pub(crate) u64);

impl Source {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Features of at most `limit` in size.
    pub(crate) fn features(&mut self, count: usize, limit: i16) -> Vec<i16> {
        let span = 2 * u64::from(limit.unsigned_abs()) + 1;
        let mut one = || (self.next() % span) as i64 - i64::from(limit);
        (0..count).map(|_| one() as i16).collect()
    }
}

#[test]
fn memory_that_does_not_belong_together_is_refused() {
    let refusal = |features, weights, classes: usize, logits| {
        let mut ram = Ram::new(1, 1, 0);
        ram.weights = vec![0; weights];
        ram.classes = vec![ClassState::NEW; classes];
        ram.logits = vec![Logit::from_q16(0); logits];
        Learner::empty(features, ram.memory(), Options::default()).unwrap_err()
    };
    assert_eq!(refusal(0, 0, 2, 2), SetupError::NoFeatures);
    assert_eq!(refusal(4, 0, 0, 0), SetupError::NoClasses);
    let (field, given, needed) = ("weights", 7, 8);
    assert_eq!(
        refusal(4, 7, 2, 2),
        SetupError::Memory {
            field,
            given,
            needed
        }
    );
    assert_eq!(
        refusal(4, 8, 2, 3).to_string(),
        "the memory's `logits` has 3 values, not 2"
    );
    let (given, most) = (65_537, 65_536);
    assert_eq!(
        refusal(1, given, given, given),
        SetupError::TooManyClasses { given, most }
    );
}

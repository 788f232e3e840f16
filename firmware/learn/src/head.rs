//! The head in RAM: logits, and gradient descent, in integers.
//!
//! ```text
//! logit  = bias + sum of weight * feature
//! error  = softmax(logits) - (1 for the image's class, 0 for others)
//! weight = weight - rate / (1 + |features|^2) * error * feature
//! ```
//!
//! The division by the features' length makes the same rate right for the features of any
//! network (normalised least mean squares). Source: S. Haykin, "Adaptive Filter Theory",
//! chapter on the NLMS algorithm; the error is that of the cross entropy instead.
//!
//! A weight has 32 bits. Logits are computed with the upper 16; the lower 16 collect what of
//! the steps is too small for those, so that no rounding is lost (error feedback).

use tadpool_kernels::{Logit, Prediction, TrainedHead};

use crate::learner::ClassState;

/// Bits that a product of a weight's upper half and a feature has more than a logit.
const PRODUCT_SHIFT: u32 = TrainedHead::WEIGHT_FRACTION - 16 + TrainedHead::FRACTION - 16;
/// Bits that a bias has more than a logit: those of a slope for a feature of one unit.
const BIAS_SHIFT: u32 = 14;

/// Weights and biases of all classes that there are and may be.
pub(crate) struct Head<'m> {
    pub(crate) weights: &'m mut [i32],
    pub(crate) states: &'m mut [ClassState],
    pub(crate) logits: &'m mut [Logit],
    /// Values of a row of `weights`, not zero.
    pub(crate) features: usize,
    /// Classes that there are.
    pub(crate) classes: usize,
}

impl Head<'_> {
    /// Weights and state of each class.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&[i32], &ClassState)> {
        let rows = self.weights.chunks_exact(self.features.max(1));
        rows.zip(self.states.iter()).take(self.classes)
    }

    /// The same, to be changed.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = (&mut [i32], &mut ClassState)> {
        let rows = self.weights.chunks_exact_mut(self.features.max(1));
        rows.zip(self.states.iter_mut()).take(self.classes)
    }

    /// A new class without weights; none if there is no room.
    pub(crate) fn add_class(&mut self) -> Option<usize> {
        let number = self.classes;
        if number >= self.states.len() {
            return None;
        }
        self.classes = number.saturating_add(1);
        let (weights, state) = self.rows_mut().nth(number)?;
        weights.fill(0);
        *state = ClassState::NEW;
        Some(number)
    }

    /// Takes row number `class` of the trained head.
    pub(crate) fn copy_row(&mut self, trained: &TrainedHead<'_>, class: usize) {
        let Some((weights, state)) = self.rows_mut().nth(class) else {
            return;
        };
        for (feature, weight) in weights.iter_mut().enumerate() {
            *weight = trained.weight(class, feature).unwrap_or(0);
        }
        let bias = trained.bias(class).unwrap_or(0);
        state.bias = i64::from(bias) << BIAS_SHIFT;
    }

    /// What the head says to an image.
    pub(crate) fn run(&mut self, features: impl Iterator<Item = i16> + Clone) -> Prediction<'_> {
        let rows = self.weights.chunks_exact(self.features.max(1));
        let rows = rows.zip(self.states.iter()).take(self.classes);
        for ((weights, state), place) in rows.zip(self.logits.iter_mut()) {
            *place = logit(weights, state, features.clone());
        }
        self.prediction()
    }

    /// What it said to the image before.
    fn prediction(&self) -> Prediction<'_> {
        Prediction::new(self.logits.get(..self.classes).unwrap_or_default(), &[])
    }

    /// Takes a step so that an image is rather taken for `class`; what it was taken for.
    pub(crate) fn descend(
        &mut self,
        features: impl Iterator<Item = i16> + Clone,
        class: usize,
        rate: u16,
    ) -> Option<usize> {
        let taken_for = self.run(features.clone()).top().map(|top| top.index);
        let pace = Pace::new(rate, features.clone());
        let logits = self.logits.get(..self.classes).unwrap_or_default();
        let probabilities = Prediction::new(logits, &[]).probabilities();
        let rows = self.weights.chunks_exact_mut(self.features.max(1));
        let rows = rows.zip(self.states.iter_mut()).enumerate();
        for ((number, (weights, state)), probability) in rows.zip(probabilities) {
            let right = if number == class { 1 << 16 } else { 0 };
            // Probabilities are at most 2^16.
            let error = (probability.to_q16() as i32).wrapping_sub(right);
            step(weights, state, features.clone(), pace.slope(error));
        }
        taken_for
    }
}

/// The logit of a row.
fn logit(weights: &[i32], state: &ClassState, features: impl Iterator<Item = i16>) -> Logit {
    let products = weights
        .iter()
        .zip(features)
        .map(|(&weight, feature)| i64::from((weight >> 16) as i16).wrapping_mul(feature.into()));
    let sum = products.fold(0i64, i64::wrapping_add);
    let half = 1 << (PRODUCT_SHIFT - 1);
    let sum = sum.wrapping_add(half) >> PRODUCT_SHIFT;
    let logit = sum.saturating_add(state.bias >> BIAS_SHIFT);
    Logit::from_q16(logit.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
}

/// Moves a row along `slope`, which is what a weight moves by for a feature of 4096 steps, and
/// a bias.
fn step(
    weights: &mut [i32],
    state: &mut ClassState,
    features: impl Iterator<Item = i16>,
    slope: i32,
) {
    if slope == 0 {
        return;
    }
    for (weight, feature) in weights.iter_mut().zip(features) {
        let by = i64::from(slope).wrapping_mul(feature.into());
        *weight = weight.saturating_add((by.wrapping_add(1 << 11) >> 12) as i32);
    }
    state.bias = state.bias.saturating_add(slope.into());
}

/// The size of a step for an image: `rate / (1 + |features|^2)`, Q22.
#[derive(Debug, Clone, Copy)]
struct Pace(u32);

impl Pace {
    /// For a rate of so many 65536ths.
    fn new(rate: u16, features: impl Iterator<Item = i16>) -> Self {
        let square = |feature: i16| u64::from(feature.unsigned_abs()).pow(2);
        let squares = features.map(square).fold(0u64, u64::saturating_add);
        // One plus the squares, Q8; those are Q20.
        let divisor = (squares >> 12).saturating_add(1 << 8);
        let divisor = u32::try_from(divisor).unwrap_or(u32::MAX);
        Self((u32::from(rate) << 14).checked_div(divisor).unwrap_or(0))
    }

    /// The slope of a class whose probability is `error` 65536ths too large.
    fn slope(self, error: i32) -> i32 {
        // At most 2^22 times 2^16.
        let slope = i64::from(self.0).wrapping_mul(error.into());
        (slope.wrapping_neg() >> 8) as i32
    }
}

//! Predictions.

use super::Network;
use super::logit::{Logit, Probability, weight};
use crate::arch::cast;
use crate::arena::Fault;

/// A network's prediction for an image; it lies in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a prediction is what an inference is for"]
pub struct Prediction<'a> {
    logits: &'a [Logit],
    labels: &'static [&'static str],
}

/// One class of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Class {
    /// Its place among the logits.
    pub index: usize,
    /// Its name.
    pub label: &'static str,
    /// Its score.
    pub logit: Logit,
}

/// An image with the logits that the host gives for it, to test a target with.
///
/// ```ignore
/// for golden in &GOLDEN {
///     arena.put_pixels(0, golden.pixels)?;
///     assert_eq!(arena.infer()?.logits(), golden.logits, "{}", golden.name);
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Golden {
    /// Where the image is from.
    pub name: &'static str,
    /// Its pixels: rows, channels fastest.
    pub pixels: &'static [u8],
    /// All logits.
    pub logits: &'static [Logit],
}

impl<'a> Prediction<'a> {
    pub(super) fn of<N: Network>(arena: &'a [u8]) -> Result<Self, Fault> {
        let logits = match N::LOGITS {
            Some(logits) => cast::logits(cast::i32s(logits.of(arena)?)?),
            None => &[],
        };
        Ok(Self {
            logits,
            labels: N::LABELS,
        })
    }

    /// A prediction of a network with these labels, one a logit.
    pub const fn new(logits: &'a [Logit], labels: &'static [&'static str]) -> Self {
        Self { logits, labels }
    }

    /// All logits, in the order of the labels; none of a network without a head.
    pub const fn logits(&self) -> &'a [Logit] {
        self.logits
    }

    /// All classes, in order.
    pub fn classes(&self) -> impl Iterator<Item = Class> + Clone + 'a {
        let labels = self.labels.iter().copied().chain(core::iter::repeat(""));
        let classes = self.logits.iter().zip(labels).enumerate();
        classes.map(|(index, (&logit, label))| Class {
            index,
            label,
            logit,
        })
    }

    /// The class with the largest logit, the first of equals; none of a network without
    /// classes.
    pub fn top(&self) -> Option<Class> {
        self.classes()
            .reduce(|best, class| match class.logit > best.logit {
                true => class,
                false => best,
            })
    }

    /// Its label.
    pub fn label(&self) -> Option<&'static str> {
        self.top().map(|class| class.label)
    }

    /// The `K` classes with the largest logits, the largest first and the first of equals
    /// before others; none where the network has fewer.
    pub fn top_k<const K: usize>(&self) -> [Option<Class>; K] {
        let mut top: [Option<Class>; K] = [None; K];
        for class in self.classes() {
            let mut next = Some(class);
            for place in &mut top {
                let goes_before = match (&next, &*place) {
                    (Some(class), Some(other)) => class.logit > other.logit,
                    (Some(_), None) => true,
                    (None, _) => false,
                };
                if goes_before {
                    core::mem::swap(place, &mut next);
                }
            }
        }
        top
    }

    /// The probability of each class by the softmax, in order, within a part in 10 000.
    pub fn probabilities(&self) -> impl Iterator<Item = Probability> + Clone + 'a {
        let largest = self.logits.iter().max().copied().unwrap_or_default();
        let weigh = move |logit: &Logit| {
            // The difference of two 32-bit values fits 32 bits without a sign.
            weight(largest.to_q16().wrapping_sub(logit.to_q16()) as u32)
        };
        // Weights have fifteen bits: there may be 2^17 classes.
        let sum = self.logits.iter().map(weigh).fold(0, u32::wrapping_add);
        let logits = self.logits.iter();
        logits.map(move |logit| Probability::of(weigh(logit), sum))
    }

    /// The score of a network with one; [`Logit::sigmoid`] is its probability.
    pub fn score(&self) -> Option<Logit> {
        match self.logits {
            &[score] => Some(score),
            _ => None,
        }
    }

    /// Whether a network with one score gives at least this; `false` of other networks.
    pub fn reaches(&self, threshold: Logit) -> bool {
        self.score().is_some_and(|score| score >= threshold)
    }

    /// Whether a network with one score gives at least this probability; `false` of other
    /// networks.
    pub fn is_likely(&self, threshold: Probability) -> bool {
        self.score()
            .is_some_and(|score| score.sigmoid() >= threshold)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const LABELS: &[&str] = &["cat", "dog", "newt", "frog"];

    fn logits(q16: &[i32]) -> Vec<Logit> {
        q16.iter().copied().map(Logit::from_q16).collect()
    }

    #[test]
    fn the_first_of_equals_is_top() {
        let logits = logits(&[3, 7, -1, 7]);
        let prediction = Prediction::new(&logits, LABELS);
        assert_eq!(prediction.label(), Some("dog"));
        let top = prediction
            .top_k::<3>()
            .map(|class| class.map(|class| class.index));
        assert_eq!(top, [Some(1), Some(3), Some(0)]);
        let top = prediction
            .top_k::<6>()
            .map(|class| class.map(|class| class.label));
        let expected = [
            Some("dog"),
            Some("frog"),
            Some("cat"),
            Some("newt"),
            None,
            None,
        ];
        assert_eq!(top, expected);
    }

    #[test]
    fn a_network_without_classes_says_nothing() {
        let prediction = Prediction::new(&[], &[]);
        assert_eq!((prediction.top(), prediction.score()), (None, None));
        assert_eq!(prediction.top_k::<2>(), [None; 2]);
        assert_eq!(prediction.probabilities().count(), 0);
        assert!(!prediction.reaches(Logit::from_q16(i32::MIN)));
    }

    #[test]
    fn probabilities_are_those_of_real_numbers() {
        let cases: [&[i32]; 5] = [
            &[0],
            &[0, 0, 0, 0],
            &[100_000, 50_000, -20_000, 99_999],
            &[i32::MIN, i32::MAX],
            &[-700_000, 300_000, 310_000],
        ];
        for q16 in cases {
            let real = q16.iter().map(|&logit| f64::from(logit) / 65_536.0);
            let largest = real.clone().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = real.map(|logit| (logit - largest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let logits = logits(q16);
            let found = Prediction::new(&logits, LABELS).probabilities();
            for (found, weight) in found.zip(weights) {
                let found = f64::from(found.to_q16()) / 65_536.0;
                assert!((found - weight / sum).abs() < 1e-4, "{q16:?}: {found}");
            }
        }
    }

    #[test]
    fn one_score_has_a_threshold() {
        let logits = logits(&[65_536]);
        let prediction = Prediction::new(&logits, &["face"]);
        assert!(prediction.reaches(Logit::from_thousandths(1000)));
        assert!(!prediction.reaches(Logit::from_thousandths(1001)));
        assert!(prediction.is_likely(Probability::from_percent(73)));
        assert!(!prediction.is_likely(Probability::from_percent(74)));
    }
}

//! Evaluation: accuracy of predictions over a labelled folder, and how far integers are
//! from the float network.

mod sqnr;
pub(crate) mod step_error;

use serde::Serialize;

pub use sqnr::sqnr;
pub use step_error::StepError;

/// How well predictions match labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Number of images.
    pub images: usize,
    /// Images whose largest logit is that of their label.
    pub correct: usize,
    /// `confusion[label][prediction]`, in images.
    pub confusion: Vec<Vec<usize>>,
}

impl Evaluation {
    /// Counts `predictions` against `labels`, both class numbers below `classes`.
    pub fn new(classes: usize, labels: &[usize], predictions: &[usize]) -> Self {
        let mut confusion = vec![vec![0; classes]; classes];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            confusion[label][prediction] += 1;
        }
        Self {
            images: labels.len(),
            correct: (0..classes).map(|class| confusion[class][class]).sum(),
            confusion,
        }
    }

    /// Share of correct predictions; zero without images.
    pub fn top1(&self) -> f64 {
        share(self.correct, self.images)
    }
}

/// Share of images on which two runs predict the same class.
pub fn agreement(first: &[usize], second: &[usize]) -> f64 {
    let same = first.iter().zip(second).filter(|(a, b)| a == b).count();
    share(same, first.len())
}

/// The class that scores name: the first of the largest, or of a single score the second of
/// two classes if it is above zero, where its sigmoid is above one half.
pub fn predicted<T: PartialOrd + Copy + Default>(scores: &[T]) -> usize {
    match scores {
        &[score] => usize::from(score > T::default()),
        _ => argmax(scores),
    }
}

/// The place of the largest score, the first of equals.
pub fn argmax<T: PartialOrd + Copy>(logits: &[T]) -> usize {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    best
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// The label of the class that scores name; a dash for the values of a network without
/// classes.
pub fn label<T: PartialOrd + Copy + Default>(labels: &[String], scores: &[T]) -> String {
    let label = labels.get(predicted(scores));
    label.map_or("-", String::as_str).to_owned()
}

/// The largest difference between scores and those of the float network.
pub fn largest_difference(scores: &[f64], float: &[f32]) -> f64 {
    let pairs = scores.iter().zip(float);
    let differences = pairs.map(|(score, &float)| (score - f64::from(float)).abs());
    differences.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_label_and_prediction() {
        let evaluation = Evaluation::new(3, &[0, 0, 1, 2], &[0, 1, 1, 0]);
        assert_eq!(evaluation.confusion, [[1, 1, 0], [0, 1, 0], [1, 0, 0]]);
        assert_eq!((evaluation.correct, evaluation.images), (2, 4));
        assert_eq!(evaluation.top1(), 0.5);
        assert_eq!(agreement(&[0, 1, 1], &[0, 1, 2]), 2.0 / 3.0);
        assert_eq!(Evaluation::new(3, &[], &[]).top1(), 0.0);
    }

    #[test]
    fn argmax_takes_the_first_of_equals() {
        assert_eq!(argmax(&[1, 5, 5, 2]), 1);
        assert_eq!(argmax(&[f32::NAN, 1.0]), 0);
        assert_eq!(argmax(&[-1i32]), 0);
        assert_eq!(argmax::<i32>(&[]), 0);
    }

    #[test]
    fn one_score_is_compared_with_zero() {
        assert_eq!(predicted(&[0.25f32]), 1);
        assert_eq!(predicted(&[0i32]), 0);
        assert_eq!(predicted(&[-3.0f64]), 0);
        assert_eq!(predicted(&[f32::NAN]), 0);
        assert_eq!(predicted(&[-3, -1]), 1);
        let labels = ["healthy".to_owned(), "ill".to_owned()];
        assert_eq!(label(&labels, &[1.5]), "ill");
        assert_eq!(label(&labels, &[-1.5]), "healthy");
    }

    #[test]
    fn values_without_classes_have_no_label() {
        let labels = ["cat".to_owned(), "dog".to_owned()];
        assert_eq!(label(&labels, &[0.5, 1.0]), "dog");
        assert_eq!(label(&[], &[0.5, 1.0]), "-");
        assert_eq!(largest_difference(&[1.0, -2.0], &[1.5, -1.0]), 1.0);
    }
}

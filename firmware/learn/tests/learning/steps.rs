//! Steps of gradient descent.

use proptest::prelude::*;
use tadpool_kernels::head::Head;
use tadpool_kernels::weights::Weights;
use tadpool_kernels::{Buffer, Logit, TrainedHead};
use tadpool_learn::{LearnError, Learner, Options, SetupError};

use crate::oracle::{Exact, Real};
use crate::{Ram, Source};

/// Learns so many images of random classes, and compares every logit and weight.
fn check(features: usize, classes: usize, limit: i16, rate: u16, seed: u64) {
    let mut ram = Ram::new(features, classes, 0);
    let options = Options {
        rate,
        replays: 3,
        seed: 1,
    };
    let mut learner = ram.learner(features, options);
    let mut exact = Exact::new(features, classes);
    let mut source = Source(seed);
    for _ in 0..40 {
        let image = source.features(features, limit);
        let class = (source.next() % classes as u64) as usize;
        let found: Vec<i32> = logits(learner.predict(&image).unwrap().logits());
        assert_eq!(found, exact.logits(&image));
        learner.learn(&image, class).unwrap();
        exact.step(&image, class, rate);
    }
    for (found, expected) in ram.weights.chunks(features).zip(&exact.weights) {
        let found: Vec<i128> = found.iter().map(|&weight| weight.into()).collect();
        assert_eq!(&found, expected);
    }
    let biases: Vec<i128> = ram.classes.iter().map(|c| c.bias().into()).collect();
    assert_eq!(biases, exact.biases);
}

fn logits(logits: &[Logit]) -> Vec<i32> {
    logits.iter().map(|logit| logit.to_q16()).collect()
}

proptest! {
    #[test]
    fn are_those_of_wide_integers(
        features in 1usize..70,
        classes in 1usize..14,
        limit in prop_oneof![Just(i16::MAX), 0i16..3000],
        rate in any::<u16>(),
        seed in any::<u64>(),
    ) {
        check(features, classes, limit, rate, seed);
    }

    /// Classes are clusters, as a network that was trained makes them.
    #[test]
    fn are_nearly_those_of_real_numbers(
        features in 8usize..100,
        classes in 2usize..12,
        rate in 1000u16..40_000,
        seed in any::<u64>(),
    ) {
        let mut ram = Ram::new(features, classes, 0);
        let options = Options { rate, ..Options::default() };
        let mut learner = ram.learner(features, options);
        let mut real = Real::new(features, classes);
        let mut source = Source(seed);
        let centers: Vec<_> = (0..classes).map(|_| source.features(features, 1500)).collect();
        let mut largest = 0f64;
        for _ in 0..200 {
            let class = (source.next() % classes as u64) as usize;
            let noise = source.features(features, 800);
            let image: Vec<i16> = centers[class].iter().zip(noise).map(|(c, n)| c + n).collect();
            let found = logits(learner.predict(&image).unwrap().logits());
            for (found, real) in found.iter().zip(real.logits(&image)) {
                largest = largest.max((f64::from(*found) / 65_536.0 - real).abs());
            }
            learner.learn(&image, class).unwrap();
            real.step(&image, class, rate);
        }
        prop_assert!(largest < 0.08, "{largest}");
    }
}

#[test]
fn ends_of_the_ranges_are_kept() {
    for value in [i16::MIN, i16::MAX] {
        let mut ram = Ram::new(2, 2, 0);
        let mut learner = ram.learner(
            2,
            Options {
                rate: u16::MAX,
                replays: 0,
                seed: 0,
            },
        );
        let mut exact = Exact::new(2, 2);
        for turn in 0..200 {
            // What was learned is taken back each time, so that all probabilities are far off.
            learner.learn(&[value, 1], turn % 2).unwrap();
            exact.step(&[value, 1], turn % 2, u16::MAX);
        }
        let prediction = logits(learner.predict(&[value, 1]).unwrap().logits());
        assert_eq!(prediction, exact.logits(&[value, 1]));
    }
}

/// From a trained head whose weights are as large as can be, on.
#[test]
fn weights_at_the_ends_of_their_range_stay_there() {
    let trained = Head {
        map: Buffer::default(),
        output: Buffer::default(),
        scratch: Buffer::default(),
        tokens: 1,
        channels: 2,
        norm: None,
        zero_point: 0,
        weights: Weights::Int8(&[127, 129, 129, 127]),
        row_sums: &[0, 0],
        multiplier: &[i32::MAX, i32::MAX],
        bias: &[i32::MAX, i32::MIN],
    };
    let trained = TrainedHead::of_head(&trained);
    let mut ram = Ram::new(2, 2, 0);
    let options = Options {
        rate: u16::MAX,
        ..Options::default()
    };
    let mut learner = Learner::trained(&trained, ram.memory(), options).unwrap();
    let mut exact = Exact::new(2, 2);
    let [most, least] = [i32::MAX, i32::MIN].map(i128::from);
    exact.weights = vec![vec![most, least], vec![least, most]];
    exact.biases = vec![most << 14, least << 14];
    let mut source = Source(1);
    for turn in 0..100 {
        let class = turn / 10 % 2;
        let image = source.features(2, 32_000);
        let found = logits(learner.predict(&image).unwrap().logits());
        assert_eq!(found, exact.logits(&image));
        learner.learn(&image, class).unwrap();
        exact.step(&image, class, u16::MAX);
    }
    let refused = Learner::trained(&trained, Ram::new(2, 1, 0).memory(), options).unwrap_err();
    let (trained, most) = (2, 1);
    assert_eq!(refused, SetupError::TrainedClasses { trained, most });
}

#[test]
fn classes_come_at_any_time() {
    let mut ram = Ram::new(6, 3, 400);
    let mut learner = ram.learner(6, Options::default());
    learner.reset();
    let image = |class: usize| -> Vec<i16> {
        (0..6)
            .map(|f| if f / 2 == class { 1500 } else { -300 })
            .collect()
    };
    assert_eq!(learner.predict(&image(0)).unwrap().top(), None);
    let (given, classes) = (0, 0);
    assert_eq!(
        learner.learn(&image(0), 0),
        Err(LearnError::Class { given, classes })
    );
    for class in 0..3 {
        assert_eq!(learner.add_class(), Ok(class));
        for _ in 0..30 {
            learner.learn(&image(class), class).unwrap();
        }
        for known in 0..=class {
            let top = learner.predict(&image(known)).unwrap().top().unwrap();
            assert_eq!(top.index, known, "after {class}");
        }
    }
    assert_eq!(learner.add_class(), Err(LearnError::Full { classes: 3 }));
    let (given, needed) = (5, 6);
    let refused = learner.learn(&[0; 5], 0);
    assert_eq!(refused, Err(LearnError::Features { given, needed }));
    let refused = learner.predict(&[0; 5]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "5 features are given, the learner has 6"
    );
}

/// A head whose weights are too small for 16 bits still moves: the lower halves collect it.
#[test]
fn small_steps_add_up() {
    let mut ram = Ram::new(64, 2, 0);
    let options = Options {
        rate: 20,
        replays: 0,
        seed: 1,
    };
    let mut learner = ram.learner(64, options);
    let mut source = Source(3);
    let mut real = Real::new(64, 2);
    for turn in 0..20_000 {
        let sign = if turn % 2 == 0 { 1 } else { -1 };
        let image: Vec<i16> = source
            .features(64, 900)
            .iter()
            .map(|f| f + sign * 100)
            .collect();
        learner.learn(&image, turn % 2).unwrap();
        real.step(&image, turn % 2, 20);
    }
    let image = [100; 64];
    let found = logits(learner.predict(&image).unwrap().logits());
    let real = real.logits(&image);
    assert!(real[0] > 0.05, "{real:?}");
    for (found, real) in found.iter().zip(real) {
        assert!(
            (f64::from(*found) / 65_536.0 - real).abs() < 0.005,
            "{found} {real}"
        );
    }
}

//! Images that are learned again.

use tadpool_learn::{Options, entry_bytes};

use crate::{Ram, Source};

/// The classes of all entries.
fn classes(replay: &[u8], features: usize) -> Vec<usize> {
    let entries = replay.chunks_exact(entry_bytes(features));
    entries
        .map(|entry| usize::from(u16::from_le_bytes([entry[0], entry[1]])))
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let learn = |seed| {
        let mut ram = Ram::new(5, 3, 7 * entry_bytes(5));
        let mut learner = ram.learner(
            5,
            Options {
                seed,
                ..Options::default()
            },
        );
        let mut source = Source(9);
        for _ in 0..100 {
            let class = (source.next() % 3) as usize;
            learner.learn(&source.features(5, 2000), class).unwrap();
        }
        let checksum = learner.checksum();
        (checksum, ram.weights, ram.replay)
    };
    assert_eq!(learn(7), learn(7));
    assert_ne!(learn(7).1, learn(8).1);
    assert_ne!(learn(7).0, learn(8).0);
}

#[test]
fn without_room_nothing_is_learned_again() {
    let learn = |bytes, replays| {
        let mut ram = Ram::new(5, 3, bytes);
        let mut learner = ram.learner(
            5,
            Options {
                replays,
                ..Options::default()
            },
        );
        let mut source = Source(9);
        for _ in 0..50 {
            let class = (source.next() % 3) as usize;
            learner.learn(&source.features(5, 2000), class).unwrap();
        }
        (learner.replayed(), learner.checksum())
    };
    let without = learn(0, 0);
    assert_eq!(without.0, 0);
    assert_eq!(learn(0, 9), without);
    assert_eq!(learn(entry_bytes(5) - 1, 9), without);
    let with = learn(4 * entry_bytes(5) + 3, 9);
    assert_eq!(with.0, 4);
    assert_ne!(with.1, without.1);
    assert_eq!(learn(4 * entry_bytes(5) + 3, 0).1, without.1);
}

/// However many more images of one class come, and in whatever order.
#[test]
fn classes_share_the_entries() {
    let mut source = Source(4);
    for order in [[0, 1, 2], [2, 1, 0]] {
        let mut ram = Ram::new(3, 3, 12 * entry_bytes(3));
        let mut learner = ram.learner(3, Options::default());
        for class in order {
            for _ in 0..[500, 40, 9][class] {
                learner.learn(&source.features(3, 2000), class).unwrap();
            }
        }
        assert_eq!(learner.replayed(), 12);
        let found = classes(&ram.replay, 3);
        for class in 0..3 {
            assert_eq!(found.iter().filter(|&&found| found == class).count(), 4);
            assert_eq!(ram.classes[class].replayed(), 4);
            assert_eq!(ram.classes[class].learned(), [500, 40, 9][class]);
        }
    }
}

/// Of a class' images each has the same chance to be kept.
#[test]
fn early_and_late_images_are_kept_alike() {
    let mut early = 0;
    for seed in 1..=400 {
        let mut ram = Ram::new(1, 1, 5 * entry_bytes(1));
        let mut learner = ram.learner(
            1,
            Options {
                seed,
                replays: 0,
                ..Options::default()
            },
        );
        for image in 0..40 {
            learner.learn(&[image], 0).unwrap();
        }
        let entries = ram.replay.chunks_exact(entry_bytes(1));
        early += entries.filter(|entry| entry[3] < 20).count();
    }
    // Half of 2000, and six deviations of that.
    assert!((866..=1134).contains(&early), "{early}");
}

/// Entries have the features to 8 bits: learning them again is nearly learning them.
#[test]
fn entries_hold_the_features() {
    let mut source = Source(11);
    for limit in [1, 100, 127, 128, 129, 2000, i16::MAX] {
        let features = source.features(40, limit);
        let mut ram = Ram::new(40, 1, entry_bytes(40));
        let mut learner = ram.learner(40, Options::default());
        learner.learn(&features, 0).unwrap();
        let (head, bytes) = ram.replay.split_at(3);
        let shift = head[2];
        let largest = features.iter().map(|f| f.unsigned_abs()).max().unwrap();
        assert!(largest >> shift < 129 && (shift == 0 || largest >> (shift - 1) >= 127));
        for (&byte, &feature) in bytes.iter().zip(&features) {
            let stored = i32::from(byte as i8) << shift;
            // Half a step, and a whole one of the largest that have no byte.
            let most = if byte as i8 == 127 {
                1 << shift
            } else {
                1 << shift >> 1
            };
            assert!(
                (stored - i32::from(feature)).abs() <= most,
                "{feature} {stored}"
            );
        }
    }
}

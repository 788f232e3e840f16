//! The self-test's cases: every layout leads to the same checksum.

use tadpool_kernels::cases::{self, Case, EDGES, EDGES_MEMORY, SEEDS, Seed};
use tadpool_kernels::layout::{Dsp, DspPadded, Helium, HeliumPadded, Kernel, Rows};

#[test]
fn every_layout_agrees() {
    let mut storage = vec![0; EDGES_MEMORY + 3];
    let start = storage.as_ptr().align_offset(4);
    let memory = &mut storage[start..start + EDGES_MEMORY];
    for case in EDGES {
        for seed in (0..SEEDS).map(Seed) {
            let rows = cases::run::<Rows>(case, seed, memory).unwrap();
            assert_eq!(cases::run::<Dsp>(case, seed, memory), Ok(rows), "{case:?}");
            assert_eq!(
                cases::run::<Helium>(case, seed, memory),
                Ok(rows),
                "{case:?}"
            );
        }
    }
}

/// A step that is run in pieces of any size writes what it writes as a whole.
#[test]
fn pieces_change_no_byte() {
    let mut storage = vec![0; EDGES_MEMORY + 3];
    let start = storage.as_ptr().align_offset(4);
    let memory = &mut storage[start..start + EDGES_MEMORY];
    for case in EDGES {
        for seed in (0..SEEDS).map(Seed) {
            let whole = cases::run::<Rows>(case, seed, memory).unwrap();
            for most in [0, 1, 2, 3, 5, 8, 1000] {
                let pieces = [
                    cases::run_in_pieces::<Rows>(case, seed, most, memory),
                    cases::run_in_pieces::<Dsp>(case, seed, most, memory),
                    cases::run_in_pieces::<Helium>(case, seed, most, memory),
                ];
                assert_eq!(pieces, [Ok(whole); 3], "{case:?} by {most}");
            }
        }
    }
}

/// A step's own check takes what runs.
#[test]
fn checks_take_what_runs() {
    fn check<K: Kernel>(case: &Case, memory: &mut [u8]) {
        if case.layout(K::LAYOUT) == K::LAYOUT {
            let ready = case.ready::<K>(Seed(2), memory).unwrap();
            assert_eq!(ready.check::<K>(), Ok(()), "{case:?} {:?}", K::LAYOUT);
        }
    }
    let mut storage = vec![0; EDGES_MEMORY + 3];
    let start = storage.as_ptr().align_offset(4);
    let memory = &mut storage[start..start + EDGES_MEMORY];
    for case in EDGES {
        check::<Rows>(case, memory);
        check::<Dsp>(case, memory);
        check::<Helium>(case, memory);
        check::<DspPadded>(case, memory);
        check::<HeliumPadded>(case, memory);
    }
}

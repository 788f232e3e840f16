//! `cargo +nightly fuzz run csv` in `memory-planner/`. The body is a library function
//! that `cargo test` runs too.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| memory_planner::fuzzing::check_csv(bytes));

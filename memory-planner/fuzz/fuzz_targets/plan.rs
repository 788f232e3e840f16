//! `cargo +nightly fuzz run plan` in `memory-planner/`. The body is a library function
//! that `cargo test` runs too;
//! `to_csv.rs` turns what fails into a file for `tadpool plan`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| memory_planner::fuzzing::check(bytes));

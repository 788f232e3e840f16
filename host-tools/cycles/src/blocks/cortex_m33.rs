//! Cycles of instructions on a Cortex-M33.
//!
//! Arm publishes no timings of its instructions. It is taken to be a Cortex-M4, which has
//! the same instructions but for the security extension and a pipeline of as many stages.
//! The core can issue some pairs of short instructions together, and its divider is
//! faster, so this says rather too much than too little. Not validated by measurements.

use super::{Cost, cortex_m4};
use crate::decode::Instruction;

pub(super) fn cost(address: u64, instructions: &[Instruction]) -> Cost {
    cortex_m4::cost(address, instructions)
}

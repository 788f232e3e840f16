//! Places buffers with known live ranges into static memory regions.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod bounds;
pub mod checker;
mod clock;
mod disjunctive;
mod error;
mod greedy;
mod items;
mod plan;
mod problem;
mod sliding_window;
mod solve;
mod validate;

pub use error::PlanError;
pub use plan::{Budget, Placement, Plan, Proof, Solution};
pub use problem::{Buffer, BufferId, MAX_BUFFERS, MAX_BYTES, Problem, Region, RegionId, Relation};
pub use sliding_window::{Axis, SlidingWindow, sliding_window_overlap};
pub use solve::{lower_bound, solve};

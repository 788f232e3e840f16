//! Places buffers with known live ranges into static memory regions.
//!
//! [`solve()`] takes a [`Problem`] and a [`Budget`] and returns the best plan that it found,
//! with a lower bound and, often, the proof that there is no better one.
//! [`checker::check`] checks any plan independently. The README says what the rules mean,
//! how the searches work and what they reach.
//!
//! ```
//! use memory_planner::{Budget, Buffer, Problem, solve};
//!
//! let mut problem = Problem::with_capacity(4096);
//! problem.add_buffer(Buffer::new("input", 0..2, 3000));
//! problem.add_buffer(Buffer::new("hidden", 1..3, 500).aligned(16));
//! let output = problem.add_buffer(Buffer::new("output", 2..4, 3000));
//!
//! let solution = solve(&problem, &Budget::default())?;
//! // `output` takes the place of `input`, which is no longer live.
//! assert!(solution.height() < 3600);
//! let placement = solution.plan.placements[output.index()];
//! println!("output at {}", placement.offset);
//! # Ok::<(), memory_planner::PlanError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// What callers see.
pub mod checker;
mod error;
mod plan;
mod problem;
mod sliding_window;
mod solve;

// From a problem to items, and what is known about them at once.
mod attempt;
mod bounds;
mod greedy;
mod groups;
mod items;
mod neighbours;
mod rules;
mod skyline;
mod sweep;
mod validate;

// The exact searches.
mod assign;
mod clock;
mod depths;
mod disjunctive;
mod ejection;
mod improve;
mod joins;
mod minimise;
mod packing;
mod portfolio;
mod stacks;
mod windows;

// Problems and plans as files.
#[cfg(feature = "csv")]
pub mod csv;
#[cfg(feature = "svg")]
pub mod svg;

#[doc(hidden)]
pub mod fuzzing;

pub use error::PlanError;
pub use plan::{Budget, Goal, Placement, Plan, Proof, Solution};
pub use problem::{Buffer, BufferId, MAX_BUFFERS, MAX_BYTES, MAX_RELATIONS};
pub use problem::{Problem, Region, RegionId, Relation};
pub use sliding_window::{Axis, SlidingWindow, sliding_window_overlap};
pub use solve::{lower_bound, solve, solve_reporting};

/// The README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! The arithmetic that [tadpool](https://docs.rs/tadpool)'s compiler does in floating point:
//! what it spends its time in, compiled with optimisation even where the rest of it is not.
//!
//! Maps are `height x width x channels` or `tokens x channels`, channels fastest. Sums are in
//! an order of their own choosing, with products rounded before they are added: the bits are
//! the same on every machine and with every number of threads. A BLAS promises neither, and
//! what the compiler generates depends on the last bit of a range.
//!
//! ```
//! use tadpool_float::{Histogram, Matrix};
//!
//! let matrix = Matrix::new(2, &[1.0, 2.0, 3.0, 4.0], &[0.5, 0.0]);
//! let y = matrix.product(&[1.0, 1.0, 2.0, 0.0]);
//! assert_eq!(y, [3.5, 7.0, 2.5, 6.0]);
//! assert_eq!(Histogram::of(&y).min_max().max, 7.0);
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod attention;
mod channels;
mod covariance;
mod gelu;
mod histogram;
mod matrix;
mod moments;
mod norm;
mod range;
mod shape;
mod window;

pub use attention::attend;
pub use channels::{add_bias, add_branch, keep_larger, largest, largest_magnitude};
pub use covariance::{Column, Covariance, Grid};
pub use gelu::gelu;
pub use histogram::Histogram;
pub use matrix::Matrix;
pub use moments::Moments;
pub use norm::{Norm, NormScope, centre, normalise};
pub use range::Range;
pub use shape::Shape;
pub use window::{Window, depthwise, gather, mix_tokens, pooled};

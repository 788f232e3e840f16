//! The arithmetic of the steps: numbers, norms, streams, matrices.

pub mod depthwise;
pub mod fixed;
pub(crate) mod int16;
pub mod layout;
pub mod linear;
pub(crate) mod matmul;
pub mod norm;
pub mod normed;
#[cfg(any(tadpool_core = "dsp", tadpool_core = "helium", tadpool_core = "host"))]
pub(crate) mod padded;
pub mod softmax;
pub mod stream;
pub mod weights;

//! Taking parts that a step's own checks promise, without a panic path.
//!
//! Kernels index nothing: where the checks of a step say that a part is there, they
//! take it with a substitute that is never used. On the host, where debug assertions
//! are on, one that is used fails the test; in a firmware the assertion is gone.

/// A part that is there.
pub(crate) trait Present<T> {
    /// The part.
    fn present(self) -> T;
}

impl<T: Default> Present<T> for Option<T> {
    #[inline(always)]
    #[track_caller]
    fn present(self) -> T {
        if self.is_none() {
            missing();
        }
        self.unwrap_or_default()
    }
}

/// Says that a part that should be there is not.
#[inline(always)]
#[track_caller]
pub(crate) fn missing() {
    debug_assert!(false, "a part that was checked is missing");
}

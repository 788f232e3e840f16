//! Progress of long work, as the library tells it.

/// Listens to long work.
pub trait Progress: Sync {
    /// A part named `what` begins; it has `total` pieces.
    fn begin(&self, what: &str, total: usize);
    /// One piece is done.
    fn advance(&self);
    /// The part is done.
    fn end(&self);

    /// Whether the work goes on; asked before each piece.
    ///
    /// # Errors
    /// [`Stopped`] if nobody wants its result any more.
    fn go_on(&self) -> Result<(), Stopped> {
        Ok(())
    }
}

/// Work whose result nobody wants any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was stopped")]
pub struct Stopped;

/// Listens to nothing.
impl Progress for () {
    fn begin(&self, _what: &str, _total: usize) {}
    fn advance(&self) {}
    fn end(&self) {}
}

//! Progress of long work, as the library tells it.

/// Listens to long work.
pub trait Progress: Sync {
    /// A part named `what` begins; it has `total` pieces.
    fn begin(&self, what: &str, total: usize);
    /// One piece is done.
    fn advance(&self);
    /// The part is done.
    fn end(&self);
}

/// Listens to nothing.
impl Progress for () {
    fn begin(&self, _what: &str, _total: usize) {}
    fn advance(&self) {}
    fn end(&self) {}
}

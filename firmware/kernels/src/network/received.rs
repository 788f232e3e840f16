//! The state of an image while it comes.

use crate::arena::{Buffer, Fault};
use crate::steps::pushed_rows::Pushed;

/// The state of an arena's image: [`Whole`] or [`Pushed`].
///
/// Of integers only, for an arena may lie in memory that holds anything.
pub trait Received: sealed::Sealed + core::fmt::Debug {
    /// Nothing of an image.
    #[doc(hidden)]
    const NOTHING: Self;
    /// Whether the first step runs while it comes.
    #[doc(hidden)]
    const COMES_IN_ROWS: bool;

    /// Bytes of the image so far.
    #[doc(hidden)]
    fn bytes(&self) -> usize;
}

/// Of an image that lies in the arena as a whole: how much of it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Whole {
    bytes: usize,
}

impl Received for Whole {
    const NOTHING: Self = Self { bytes: 0 };
    const COMES_IN_ROWS: bool = false;

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Received for Pushed {
    const NOTHING: Self = Self::new();
    const COMES_IN_ROWS: bool = true;

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }
}

impl Whole {
    /// All `bytes` of an image.
    pub(super) const fn all(bytes: usize) -> Self {
        Self { bytes }
    }

    /// Copies the next pixels of an image into its place.
    ///
    /// # Errors
    /// [`Fault::Geometry`] if they do not follow those before them, or are more than the
    /// image has.
    #[doc(hidden)]
    pub fn put(
        &mut self,
        image: Buffer,
        arena: &mut [u8],
        start: usize,
        pixels: &[u8],
    ) -> Result<(), Fault> {
        if start == 0 {
            self.bytes = 0;
        }
        let end = start.saturating_add(pixels.len());
        // The length as a length, so that the copy is seen to fit.
        let rest = image.of_mut(arena)?.get_mut(start..);
        let place = rest.and_then(|rest| rest.get_mut(..pixels.len()));
        match place {
            Some(place) if start == self.bytes => place.copy_from_slice(pixels),
            _ => return Err(Fault::Geometry),
        }
        self.bytes = end;
        Ok(())
    }

    /// Takes an image of so many bytes.
    ///
    /// # Errors
    /// [`Fault::NoImage`] unless all of it is there.
    #[doc(hidden)]
    pub fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        match core::mem::take(self).bytes == bytes {
            true => Ok(()),
            false => Err(Fault::NoImage),
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Whole {}
    impl Sealed for super::Pushed {}
}

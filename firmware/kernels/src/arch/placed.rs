//! Constants that lie in one of two slots, at the same place in each; see
//! [`slots`](crate::slots).
#![allow(unsafe_code)]

use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Bytes from the slot that the program was linked for to the one in use.
static DISTANCE: AtomicUsize = AtomicUsize::new(0);

/// Chooses the slot that all [`Placed`] constants are taken from, by how many bytes it lies
/// behind the one that the program was linked for; that one unless another was chosen.
///
/// # Safety
///
/// `distance` bytes behind every constant that a [`Placed`] names there has to be a constant
/// of the same type, which lives as long as the program, and so has to be all that it points
/// to.
#[doc(hidden)]
pub unsafe fn select(distance: usize) {
    DISTANCE.store(distance, Ordering::Relaxed);
}

/// A constant of the slot in use.
#[doc(hidden)]
#[derive(Debug)]
pub struct Placed<T: 'static>(&'static T);

impl<T> Placed<T> {
    /// The constant that the program has as `linked` in the slot that it was linked for.
    pub const fn new(linked: &'static T) -> Self {
        Self(linked)
    }
}

impl<T> Deref for Placed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let linked = ptr::from_ref(self.0).expose_provenance();
        let place = linked.wrapping_add(DISTANCE.load(Ordering::Relaxed));
        // SAFETY: it is `linked` itself, or who called `select` promised a constant of the
        // type there, in memory that is none of the program's own.
        unsafe { &*ptr::with_exposed_provenance::<T>(place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only test that chooses a slot: the choice is the program's.
    #[test]
    fn the_other_slot_is_read_where_it_is() {
        #[repr(C)]
        struct Slots {
            linked: [u32; 3],
            other: [u32; 3],
        }
        static SLOTS: Slots = Slots {
            linked: [1, 2, 3],
            other: [4, 5, 6],
        };
        // All of it may be read through any address that is exposed.
        let _ = (&raw const SLOTS).expose_provenance();
        let placed = Placed::new(&SLOTS.linked[1]);
        assert_eq!(*placed, 2);
        // SAFETY: as far behind each number of the first slot lies one of the second.
        unsafe { select(size_of::<[u32; 3]>()) };
        assert_eq!(*placed, 5);
        // SAFETY: the slot itself.
        unsafe { select(0) };
        assert_eq!(*placed, 2);
    }
}

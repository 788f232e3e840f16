//! The memory of a network.

use core::fmt;
use core::mem::MaybeUninit;

use super::{Inference, Network, Prediction, Received, RowByRow, Whole, WholeImage};
use crate::Observer;
use crate::arch::cast;
use crate::arena::Fault;
use crate::output::Output;

/// All RAM of a network's inferences but the stack: the image, feature maps, the logits.
///
/// It lies wherever the application wants, and one is enough for any number of
/// inferences, one after the other:
///
/// ```ignore
/// static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new()); // in .bss
/// let arena = ARENA.take();
///
/// let arena = Arena::from_bytes(buffer)?;     // in memory that is used for other things too
/// let arena = Arena::from_uninit(external)?;  // in memory that holds anything after a reset
/// ```
#[repr(C, align(8))]
pub struct Arena<N: Network> {
    bytes: N::Bytes,
    received: N::Received,
}

/// Arrays of bytes.
pub trait Bytes: sealed::Sealed + AsRef<[u8]> + AsMut<[u8]> {}

impl<const BYTES: usize> Bytes for [u8; BYTES] {}

mod sealed {
    pub trait Sealed {}
    impl<const BYTES: usize> Sealed for [u8; BYTES] {}
}

/// Memory that several networks can take turns with, aligned as arenas want it.
///
/// ```ignore
/// const BYTES: usize = larger(faces::Arena::BYTES, gestures::Arena::BYTES);
/// static MEMORY: ConstStaticCell<Memory<BYTES>> = ConstStaticCell::new(Memory::new());
/// let memory = MEMORY.take();
/// let faces = faces::Arena::in_memory(memory); // until `memory` is used again
/// let gestures = gestures::Arena::in_memory(memory);
/// ```
#[derive(Debug, Clone)]
#[repr(C, align(8))]
pub struct Memory<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Memory<BYTES> {
    /// Zeros, for a `static`.
    pub const fn new() -> Self {
        Self([0; BYTES])
    }

    /// The bytes.
    pub const fn as_bytes_mut(&mut self) -> &mut [u8; BYTES] {
        &mut self.0
    }
}

impl<const BYTES: usize> Default for Memory<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Network> Arena<N> {
    /// Bytes of an arena, which lies on a boundary of eight bytes.
    pub const BYTES: usize = size_of::<Self>();

    /// An arena of zeros, for a `static`.
    pub const fn new() -> Self {
        Self {
            bytes: N::ZEROS,
            received: N::Received::NOTHING,
        }
    }

    /// An arena in the first [`Self::BYTES`] of `bytes`, whatever they hold. It has no
    /// image yet.
    ///
    /// # Errors
    /// [`Fault::Buffer`] if they are too few, [`Fault::Alignment`] if they do not begin on
    /// a boundary of eight bytes.
    pub fn from_bytes(bytes: &mut [u8]) -> Result<&mut Self, Fault> {
        let arena = cast::arena_mut::<N>(bytes)?;
        arena.received = N::Received::NOTHING;
        Ok(arena)
    }

    /// The same in memory that was never written, such as a section that start-up code
    /// leaves alone. Fills it with zeros.
    ///
    /// # Errors
    /// As [`Self::from_bytes`].
    pub fn from_uninit(bytes: &mut [MaybeUninit<u8>]) -> Result<&mut Self, Fault> {
        Self::from_bytes(cast::zeroed(bytes))
    }

    /// An arena in memory that other networks use at other times. It has no image yet.
    pub fn in_memory<const BYTES: usize>(memory: &mut Memory<BYTES>) -> &mut Self {
        let arena = cast::arena_in::<N, BYTES>(memory);
        arena.received = N::Received::NOTHING;
        arena
    }

    /// All bytes, for whatever else they serve between two inferences. What was there of an
    /// image is gone.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        self.received = N::Received::NOTHING;
        self.bytes.as_mut()
    }

    /// Takes the next pixels of the image, which lie `start` bytes behind its first: rows,
    /// channels fastest. `0` begins a new image.
    ///
    /// # Errors
    /// [`Fault::Geometry`] if they do not follow those before them, or are more than the
    /// image has.
    pub fn put_pixels(&mut self, start: usize, pixels: &[u8]) -> Result<(), Fault> {
        N::put(self.bytes.as_mut(), &mut self.received, start, pixels)
    }

    /// Bytes of the image that are there.
    pub fn received_bytes(&self) -> usize {
        self.received.bytes()
    }

    /// Runs the network on the image, which is used up; what it writes lies in the arena
    /// until the next image.
    ///
    /// # Errors
    /// [`Fault::NoImage`] if the image is missing or a part of it. Another [`Fault`] would
    /// tell of a broken build.
    pub fn infer(&mut self) -> Result<Prediction<'_>, Fault> {
        let stats = N::take(&mut self.received)?;
        N::run(self.bytes.as_mut(), &stats)?;
        self.prediction()
    }

    /// The same, and shows `observer` what each step writes.
    ///
    /// # Errors
    /// As [`Self::infer`], and [`Fault::Stopped`] if `observer` ends it.
    pub fn infer_observed(
        &mut self,
        observer: &mut impl Observer,
    ) -> Result<Prediction<'_>, Fault> {
        let stats = N::take(&mut self.received)?;
        N::run_observed(self.bytes.as_mut(), &stats, observer)?;
        self.prediction()
    }

    /// Begins an inference that runs a piece at a time. The image is used up.
    ///
    /// # Errors
    /// [`Fault::NoImage`] if the image is missing or a part of it.
    pub fn begin(&mut self) -> Result<Inference<'_, N>, Fault> {
        let stats = N::take(&mut self.received)?;
        Ok(Inference::new(self, stats))
    }

    /// The bytes of a map that the last inference left: one of the network's outputs.
    ///
    /// # Errors
    /// [`Fault::Buffer`] if it is another network's.
    pub fn output(&self, output: &Output) -> Result<&[u8], Fault> {
        output.map.of(self.bytes.as_ref())
    }

    /// Writes what the head of the last inference has read, of which
    /// [`Network::trained_head`] says how many values there are and what they mean.
    ///
    /// # Errors
    /// [`Fault::Geometry`] if `features` has another length, or the network no head.
    pub fn features(&self, features: &mut [i16]) -> Result<(), Fault> {
        let head = N::trained_head().ok_or(Fault::Geometry)?;
        head.read(self.bytes.as_ref(), features)
    }

    /// The prediction of the logits.
    pub(super) fn prediction(&self) -> Result<Prediction<'_>, Fault> {
        Prediction::of::<N>(self.bytes.as_ref())
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.as_mut()
    }
}

impl<N: WholeImage> Arena<N> {
    /// Where the image goes: rows of pixels, channels fastest. From now on all of it counts
    /// as there.
    pub fn input_mut(&mut self) -> &mut N::Image {
        self.received = Whole::all(N::INPUT_BYTES);
        N::image(&mut self.bytes)
    }
}

impl<N: RowByRow> Arena<N> {
    /// Takes the next pixels of the image: whole rows, or parts of them, channels fastest.
    /// An inference uses them up.
    ///
    /// # Errors
    /// [`Fault::Geometry`] if these are more than the image has.
    pub fn push_rows(&mut self, pixels: &[u8]) -> Result<(), Fault> {
        N::push(self.bytes.as_mut(), &mut self.received, pixels)
    }
}

impl<N: Network> Default for Arena<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Network> fmt::Debug for Arena<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("network", &N::NAME)
            .field("received_bytes", &self.received_bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<N: Network> defmt::Format for Arena<N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Arena {{ network: {=str}, received_bytes: {=usize} }}",
            N::NAME,
            self.received_bytes()
        );
    }
}

//! An inference that others come between.

use core::fmt;

use super::{Arena, Network, Prediction};
use crate::Observer;
use crate::arena::Fault;
use crate::arithmetic::norm::Stats;
use crate::steps::progress::Progress;

/// An inference that runs a piece at a time: begun by [`Arena::begin`], which it borrows
/// until it is complete or dropped.
///
/// A piece is a few tokens or rows of a step, about a hundredth of the inference; where a
/// single tile of a matrix product takes longer than that, it is a tile. The bytes written
/// are those of [`Arena::infer`].
///
/// ```ignore
/// let mut inference = arena.begin()?;
/// while inference.advance()? == Status::Running {
///     yield_now().await; // or feed a watchdog, or return to the scheduler
/// }
/// let prediction = inference.finish()?;
/// ```
#[must_use = "an inference only runs when it is advanced"]
pub struct Inference<'a, N: Network> {
    arena: &'a mut Arena<N>,
    /// The step that runs; as many as there are once all is done.
    step: usize,
    /// Sums of the map that it reads.
    stats: Stats,
    progress: Progress,
}

/// How far an inference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "tells whether the inference is complete"]
pub enum Status {
    /// There is more to do.
    Running,
    /// All steps are done.
    Complete,
}

impl<'a, N: Network> Inference<'a, N> {
    pub(super) fn new(arena: &'a mut Arena<N>, stats: Stats) -> Self {
        Self {
            arena,
            step: 0,
            stats,
            progress: Progress::new(),
        }
    }

    /// Runs the next piece.
    ///
    /// # Errors
    /// A [`Fault`] would tell of a broken build.
    pub fn advance(&mut self) -> Result<Status, Fault> {
        self.advance_observed(&mut ())
    }

    /// The same, and shows `observer` what a step wrote if this was its last piece.
    ///
    /// # Errors
    /// As [`Self::advance`], and [`Fault::Stopped`] if `observer` ends it.
    pub fn advance_observed(&mut self, observer: &mut impl Observer) -> Result<Status, Fault> {
        if self.step >= N::STEP_NAMES.len() {
            return Ok(Status::Complete);
        }
        if observer.goes_on(self.step).is_break() {
            return Err(Fault::Stopped);
        }
        let bytes = self.arena.bytes_mut();
        if N::piece(self.step, &self.stats, &mut self.progress, bytes)? {
            observer.step(self.step, N::written(self.step).of(bytes)?);
            self.stats = *self.progress.written();
            self.progress = Progress::new();
            self.step += 1;
        }
        Ok(match self.step < N::STEP_NAMES.len() {
            true => Status::Running,
            false => Status::Complete,
        })
    }

    /// Runs what is left of the step that has begun, or the next one.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub fn advance_step(&mut self) -> Result<Status, Fault> {
        let step = self.step;
        loop {
            let status = self.advance()?;
            if self.step != step || status == Status::Complete {
                return Ok(status);
            }
        }
    }

    /// The number of the step that runs or comes next; that of all steps once the inference
    /// is complete.
    pub const fn step(&self) -> usize {
        self.step
    }

    /// Runs all that is left, and says what became of the image.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub fn finish(mut self) -> Result<Prediction<'a>, Fault> {
        while self.advance()? == Status::Running {}
        self.arena.prediction()
    }
}

impl<N: Network> fmt::Debug for Inference<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inference")
            .field("network", &N::NAME)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<N: Network> defmt::Format for Inference<'_, N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Inference {{ network: {=str}, step: {=usize} }}",
            N::NAME,
            self.step
        );
    }
}

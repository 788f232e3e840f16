//! The chip's watchdog, on boards whose file asks for it: it resets the board if nothing goes
//! on for as long as the file says.
//!
//! It is fed when a step of an inference has ended, and while the host is waited for; never
//! within a step, and not after a fault, so that a board that nobody looks at starts again. A
//! debug probe that halts the core halts it too. What hung is in the log of the next run: by
//! the watchdog's interrupt where it has one, or else by the cause of the reset and the step
//! that is kept here.
#![allow(unsafe_code)]

#[cfg(feature = "qemu-mps2")]
#[path = "watchdog/cmsdk.rs"]
mod chip;
#[cfg(any(
    feature = "nrf52840-dk",
    feature = "nrf5340-dk",
    feature = "nrf54l15-dk"
))]
#[path = "watchdog/nrf.rs"]
mod chip;
#[cfg(any(feature = "rpi-pico", feature = "rpi-pico2"))]
#[path = "watchdog/rp2.rs"]
mod chip;
#[cfg(feature = "stm32")]
#[path = "watchdog/stm32.rs"]
mod chip;

use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::mem::MaybeUninit;

use embedded_io::{ErrorType, Read, Write};

use crate::boards::{self, WATCHDOG_LIMIT_MS};
use crate::link::Rtt;

/// Tells a step that was kept from what is there after power-on.
const MARK: u32 = 0x7761_7463;
/// The step outside an inference.
const NO_STEP: u32 = u32::MAX;

/// The step that was running when the watchdog was fed last: [`MARK`], and the step.
struct Kept(UnsafeCell<MaybeUninit<[u32; 2]>>);

// SAFETY: only the request loop and start-up use it, one after the other.
unsafe impl Sync for Kept {}

// SAFETY: cortex-m-rt's linker script leaves the section out of what start-up writes.
#[unsafe(link_section = ".uninit.tadpool_watchdog")]
static KEPT: Kept = Kept(UnsafeCell::new(MaybeUninit::uninit()));

/// Logs what the watchdog has ended before the reset, if it was its, and starts it.
pub(crate) fn start() {
    let kept: *mut [u32; 2] = KEPT.0.get().cast();
    // SAFETY: the memory is the record's, which any bits make. Volatile, so that the compiler
    // takes nothing for granted of them.
    let [mark, step] = unsafe { kept.read_volatile() };
    if chip::has_reset() {
        let step = if mark == MARK { step } else { NO_STEP };
        defmt::error!(
            "the last run ended by the watchdog, step {=u32}: nothing went on for {=u32} ms",
            step,
            WATCHDOG_LIMIT_MS
        );
    }
    feed(None);
    chip::start(WATCHDOG_LIMIT_MS);
    defmt::info!("watchdog: {=u32} ms", WATCHDOG_LIMIT_MS);
}

/// Starts its time anew; an inference has come to `step`, or none is running.
pub(crate) fn feed(step: Option<usize>) {
    let step = step.and_then(|step| u32::try_from(step).ok());
    let kept: *mut [u32; 2] = KEPT.0.get().cast();
    // SAFETY: the memory is this record's, and nobody has a reference to it.
    unsafe { kept.write_volatile([MARK, step.unwrap_or(NO_STEP)]) };
    boards::write_back(kept.addr(), size_of::<[u32; 2]>());
    chip::feed();
}

/// Whether an exception without a handler is the watchdog's.
pub(crate) fn is_its(exception: i16) -> bool {
    chip::EXCEPTION == Some(exception)
}

/// The protocol's rings, whose waiting for the host feeds the watchdog.
#[derive(Debug)]
pub struct WatchedRtt(Rtt);

impl WatchedRtt {
    /// The rings. Whoever opens them a second time must not let the first go on.
    pub(crate) fn open() -> Self {
        Self(Rtt::open())
    }
}

impl ErrorType for WatchedRtt {
    type Error = Infallible;
}

impl Read for WatchedRtt {
    /// Waits for the first byte. Not a part of the request loop, whose choice of a request would
    /// become a jump by a table of addresses on Armv6-M, which the audit does not follow.
    #[inline(never)]
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        loop {
            feed(None);
            match self.0.take(bytes) {
                0 if !bytes.is_empty() => core::hint::spin_loop(),
                count => return Ok(count),
            }
        }
    }
}

impl Write for WatchedRtt {
    /// Waits for room for the first byte, which is there when the host reads. Apart, as `read`.
    #[inline(never)]
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        loop {
            feed(None);
            match self.0.put(bytes) {
                0 if !bytes.is_empty() => core::hint::spin_loop(),
                count => return Ok(count),
            }
        }
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

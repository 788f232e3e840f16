//! Where defmt's log frames go: the log's ring of the link, whole or not at all.
//!
//! Nothing waits for a host to read them, so logging takes the same time with
//! and without one.
#![allow(unsafe_code)]

use core::cell::RefCell;

use critical_section::{Mutex, RestoreState};
use defmt::Encoder;
use heapless::Vec;
use tadpool_protocol::Refusal;

use crate::run::Log;
use crate::{boards, link};

/// Longer frames are dropped.
const FRAME_BYTES: usize = 256;

#[defmt::global_logger]
struct Logger;

defmt::timestamp!("{=u64}", boards::ticks());

struct State {
    frame: Frame,
    encoder: Encoder,
    restore: RestoreState,
}

struct Frame {
    bytes: Vec<u8, FRAME_BYTES>,
    is_too_long: bool,
}

static STATE: Mutex<RefCell<State>> = Mutex::new(RefCell::new(State {
    frame: Frame {
        bytes: Vec::new(),
        is_too_long: false,
    },
    encoder: Encoder::new(),
    restore: RestoreState::invalid(),
}));

/// The log of the request loop.
#[derive(Debug)]
pub struct DefmtLog;

impl Log for DefmtLog {
    fn inferred(&mut self, ticks: u64, stack_bytes: u32) {
        defmt::debug!(
            "inference: {=u64} ticks, {=u32} bytes of stack",
            ticks,
            stack_bytes
        );
    }

    fn refused(&mut self, refusal: Refusal) {
        // Not by `Debug`, whose machine code calls functions by addresses that only the run
        // tells.
        match refusal {
            Refusal::BrokenFrame => defmt::warn!("refused: BrokenFrame"),
            Refusal::BadOffset { expected, found } => defmt::warn!(
                "refused: BadOffset {{ expected: {=u32}, found: {=u32} }}",
                expected,
                found
            ),
            Refusal::Incomplete { received, expected } => defmt::warn!(
                "refused: Incomplete {{ received: {=u32}, expected: {=u32} }}",
                received,
                expected
            ),
            Refusal::BadChecksum { received } => {
                defmt::warn!("refused: BadChecksum {{ received: {=u32} }}", received);
            }
            Refusal::NoSelfTests => defmt::warn!("refused: NoSelfTests"),
        }
    }
}

// SAFETY: `acquire` enters a critical section that `release` leaves, so frames
// never mix and no other context runs in between.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: `release` gives the state back, once, to the same section.
        let restore = unsafe { critical_section::acquire() };
        with_state(|state| {
            state.restore = restore;
            state.frame.bytes.clear();
            state.frame.is_too_long = false;
            state.encoder.start_frame(|bytes| state.frame.add(bytes));
        });
    }

    unsafe fn flush() {}

    unsafe fn release() {
        let mut restore = RestoreState::invalid();
        with_state(|state| {
            state.encoder.end_frame(|bytes| state.frame.add(bytes));
            if !state.frame.is_too_long {
                link::log(&state.frame.bytes);
            }
            restore = state.restore;
        });
        // SAFETY: `acquire` entered the section that this state is of.
        unsafe { critical_section::release(restore) }
    }

    unsafe fn write(bytes: &[u8]) {
        with_state(|State { frame, encoder, .. }| encoder.write(bytes, |bytes| frame.add(bytes)));
    }
}

impl Frame {
    fn add(&mut self, bytes: &[u8]) {
        self.is_too_long |= self.bytes.extend_from_slice(bytes).is_err();
    }
}

/// Lets `act` have the state, which nobody else has: within a critical section nothing
/// else runs, and `act` logs nothing.
fn with_state(act: impl FnOnce(&mut State)) {
    critical_section::with(|cs| {
        if let Ok(mut state) = STATE.borrow(cs).try_borrow_mut() {
            act(&mut state);
        }
    });
}

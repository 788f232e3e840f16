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
    frame: Vec<u8, FRAME_BYTES>,
    is_too_long: bool,
    encoder: Encoder,
    restore: RestoreState,
}

static STATE: Mutex<RefCell<State>> = Mutex::new(RefCell::new(State {
    frame: Vec::new(),
    is_too_long: false,
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
        defmt::warn!("refused: {}", defmt::Debug2Format(&refusal));
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
            state.frame.clear();
            state.is_too_long = false;
            state.encode(|encoder, append| encoder.start_frame(append));
        });
    }

    unsafe fn flush() {}

    unsafe fn release() {
        let mut restore = RestoreState::invalid();
        with_state(|state| {
            state.encode(|encoder, append| encoder.end_frame(append));
            if !state.is_too_long {
                link::log(&state.frame);
            }
            restore = state.restore;
        });
        // SAFETY: `acquire` entered the section that this state is of.
        unsafe { critical_section::release(restore) }
    }

    unsafe fn write(bytes: &[u8]) {
        with_state(|state| state.encode(|encoder, append| encoder.write(bytes, append)));
    }
}

impl State {
    /// Lets `act` have the encoder, and what takes the bytes that it makes.
    fn encode(&mut self, act: impl FnOnce(&mut Encoder, &mut dyn FnMut(&[u8]))) {
        let Self {
            frame,
            is_too_long,
            encoder,
            ..
        } = self;
        act(encoder, &mut |bytes| {
            *is_too_long |= frame.extend_from_slice(bytes).is_err();
        });
    }
}

fn with_state(act: impl FnOnce(&mut State)) {
    critical_section::with(|cs| act(&mut STATE.borrow_ref_mut(cs)));
}

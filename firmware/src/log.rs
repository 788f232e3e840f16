//! Where defmt's log frames go: a buffer that is sent before each response.
//!
//! Nothing is sent while an inference runs, so logging never waits for the
//! link. Frames that do not fit are dropped whole.
#![allow(unsafe_code)]

use core::cell::RefCell;

use critical_section::{Mutex, RestoreState};
use defmt::Encoder;
use heapless::Vec;

use tadpool_protocol::Refusal;

use crate::boards;
use crate::run::Log;

const BUFFER_BYTES: usize = 1024;
const PIECE_BYTES: usize = 256;

#[defmt::global_logger]
struct Logger;

defmt::timestamp!("{=u64}", boards::ticks());

struct State {
    waiting: Vec<u8, BUFFER_BYTES>,
    /// Length of `waiting` at the start of the frame that is being written.
    frame_start: usize,
    does_not_fit: bool,
    encoder: Encoder,
    restore: RestoreState,
}

static STATE: Mutex<RefCell<State>> = Mutex::new(RefCell::new(State {
    waiting: Vec::new(),
    frame_start: 0,
    does_not_fit: false,
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

    fn drain(&mut self, mut send: impl FnMut(&[u8])) {
        while let Some(piece) = take_piece() {
            send(&piece);
        }
    }
}

/// Takes the first bytes that wait; none if none do.
fn take_piece() -> Option<Vec<u8, PIECE_BYTES>> {
    critical_section::with(|cs| {
        let waiting = &mut STATE.borrow_ref_mut(cs).waiting;
        let length = waiting.len().min(PIECE_BYTES);
        let piece = waiting.get(..length)?.iter().copied().collect();
        waiting.rotate_left(length);
        waiting.truncate(waiting.len() - length);
        (length > 0).then_some(piece)
    })
}

// SAFETY: `acquire` enters a critical section that `release` leaves, so frames
// never mix and no other context runs in between.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: `release` gives the state back, once, to the same section.
        let restore = unsafe { critical_section::acquire() };
        with_state(|state| {
            state.restore = restore;
            state.frame_start = state.waiting.len();
            state.does_not_fit = false;
            let State {
                waiting,
                does_not_fit,
                encoder,
                ..
            } = state;
            encoder.start_frame(|bytes| append(waiting, does_not_fit, bytes));
        });
    }

    unsafe fn flush() {}

    unsafe fn release() {
        let mut restore = RestoreState::invalid();
        with_state(|state| {
            let State {
                waiting,
                does_not_fit,
                encoder,
                ..
            } = state;
            encoder.end_frame(|bytes| append(waiting, does_not_fit, bytes));
            if state.does_not_fit {
                state.waiting.truncate(state.frame_start);
            }
            restore = state.restore;
        });
        // SAFETY: `acquire` entered the section that this state is of.
        unsafe { critical_section::release(restore) }
    }

    unsafe fn write(bytes: &[u8]) {
        with_state(|state| {
            let State {
                waiting,
                does_not_fit,
                encoder,
                ..
            } = state;
            encoder.write(bytes, |bytes| append(waiting, does_not_fit, bytes));
        });
    }
}

fn with_state(act: impl FnOnce(&mut State)) {
    critical_section::with(|cs| act(&mut STATE.borrow_ref_mut(cs)));
}

fn append(waiting: &mut Vec<u8, BUFFER_BYTES>, does_not_fit: &mut bool, bytes: &[u8]) {
    *does_not_fit |= waiting.extend_from_slice(bytes).is_err();
}

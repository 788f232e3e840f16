//! The boards: one file for each memory map, chosen by the feature of the board's
//! name.
//!
//! A board's file has `init`, which starts its timer and returns its pin,
//! `TIMER`, and `on_interrupt`, which is true if the interrupt was the board's.

#[cfg(any(
    feature = "qemu-mps2-an385",
    feature = "qemu-mps2-an386",
    feature = "qemu-mps2-an500"
))]
#[path = "qemu_mps2.rs"]
mod board;
#[cfg(feature = "qemu-mps2-an505")]
#[path = "qemu_mps2_an505.rs"]
mod board;
#[cfg(feature = "qemu-mps3-an547")]
#[path = "qemu_mps3_an547.rs"]
mod board;

use cortex_m_semihosting::debug;

use crate::link::Semihosting;
use crate::log::DefmtLog;
use crate::measure::{Clock, extended};
use crate::pins::RegisterPin;
use crate::run;
use crate::stack::MainStack;

pub(crate) use board::on_interrupt;

/// The board that the image is built for.
pub type Board = run::Board<Semihosting, RegisterPin, BoardClock, MainStack, DefmtLog>;

/// The board's timer, extended to 64 bits.
#[derive(Debug)]
pub struct BoardClock;

impl Clock for BoardClock {
    const FREQUENCY_HZ: u32 = match u32::from_str_radix(env!("TADPOOL_COUNTER_HZ"), 10) {
        Ok(frequency) => frequency,
        Err(_) => panic!("counter.frequency_hz is a number"),
    };

    fn now(&self) -> u64 {
        ticks()
    }
}

/// Starts the board; to be called once.
pub fn init() -> Board {
    let board = Board {
        name: env!("TADPOOL_BOARD_NAME"),
        busy: board::init(),
        link: Semihosting::open(),
        clock: BoardClock,
        stack: MainStack,
        log: DefmtLog,
        #[cfg(feature = "self-test")]
        self_test: Some(crate::self_test::run),
        #[cfg(not(feature = "self-test"))]
        self_test: None,
    };
    defmt::info!(
        "{=str} on {=str}: {=usize} bytes of arena, {=usize} steps",
        tadpool_model::NAME,
        board.name,
        tadpool_model::ARENA_BYTES,
        tadpool_model::STEPS,
    );
    board
}

/// Ends the emulator, or stops where there is none.
pub fn stop(success: bool) -> ! {
    let status = if success {
        debug::EXIT_SUCCESS
    } else {
        debug::EXIT_FAILURE
    };
    loop {
        debug::exit(status);
    }
}

/// Ticks since [`init`].
pub(crate) fn ticks() -> u64 {
    extended(&board::TIMER)
}

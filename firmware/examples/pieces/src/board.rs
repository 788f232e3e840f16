//! The emulated board.

use core::fmt::Debug;
use core::panic::PanicInfo;

use cortex_m::interrupt::InterruptNumber;
use cortex_m_semihosting::{debug, hprintln};

/// Timer 0 of the memory map: 25 MHz, 32 bits, counting down.
const TIMER: *mut u32 = 0x4000_0000 as *mut u32;

/// A clock that counts instructions.
///
/// The emulator takes 64 ns for each (`-icount shift=6`), and a tick of the timer is 40 ns.
#[derive(Debug, Clone, Copy)]
pub struct Clock(());

impl Clock {
    /// Starts the timer; it starts again after 2.7 thousand million instructions.
    pub fn start() -> Self {
        // SAFETY: the timer's registers for its period, its value and its control.
        unsafe {
            TIMER.add(2).write_volatile(u32::MAX);
            TIMER.add(1).write_volatile(u32::MAX);
            TIMER.write_volatile(1);
        }
        Self(())
    }

    /// Ticks since some fixed moment.
    pub fn ticks(self) -> u32 {
        // SAFETY: the register of the timer's value.
        unsafe { !TIMER.add(1).read_volatile() }
    }

    /// Instructions since `start` in ticks.
    pub fn instructions_since(self, start: u32) -> u32 {
        (u64::from(self.ticks().wrapping_sub(start)) * 40 / 64) as u32
    }
}

/// Interrupts that the board has, for programs to raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Interrupt {
    /// Of UART 3, which is not used.
    Low = 18,
    /// Of UART 4, which is not used.
    High = 20,
}

// SAFETY: the numbers never change.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// Says how an example went, and ends: with success if all of it `holds`.
pub fn report(holds: bool) -> ! {
    loop {
        debug::exit(match holds {
            true => debug::EXIT_SUCCESS,
            false => debug::EXIT_FAILURE,
        });
    }
}

/// Says what went wrong, and ends.
pub fn fail(problem: &dyn Debug) -> ! {
    hprintln!("{problem:?}");
    report(false)
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    fail(info)
}

//! An inference as a whole in an executor that runs in an interrupt of low priority: the
//! main program and interrupts of higher priority go on as if there were none.
//!
//! SysTick stands for work with a deadline. Its handler measures how late it comes.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::scb::SystemHandler;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{NVIC, SYST};
use cortex_m_rt::exception;
use cortex_m_semihosting::hprintln;
use embassy_executor::InterruptExecutor;
use pieces::{Clock, Interrupt, fail, picture, report};
use static_cell::ConstStaticCell;
use tadpool_model::Arena;

/// Ticks of SysTick between two of its interrupts, at 25 MHz as the timer.
const PERIOD: u32 = 25_000;
/// Instructions after which its handler has begun at the latest.
const LATEST: u32 = 200;

static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());
static EXECUTOR: InterruptExecutor = InterruptExecutor::new();
static DEADLINES: AtomicU32 = AtomicU32::new(0);
static LATENESS: AtomicU32 = AtomicU32::new(0);

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(mut core) = cortex_m::Peripherals::take() else {
        fail(&"the core's peripherals are taken");
    };
    let clock = Clock::start();
    // SAFETY: no critical section counts on these priorities.
    unsafe {
        core.NVIC.set_priority(Interrupt::Low, 0xc0);
        core.SCB.set_priority(SystemHandler::SysTick, 0x40);
    }
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(PERIOD - 1);
    core.SYST.clear_current();
    core.SYST.enable_interrupt();
    core.SYST.enable_counter();
    match infer(clock) {
        Ok(infer) => EXECUTOR.start(Interrupt::Low).spawn(infer),
        Err(_) => fail(&"the task runs already"),
    }
    loop {
        cortex_m::asm::wfi();
    }
}

/// The executor's interrupt.
#[exception]
unsafe fn DefaultHandler(interrupt: i16) {
    if interrupt == Interrupt::Low as i16 {
        // SAFETY: this is the interrupt that the executor was started with.
        unsafe { EXECUTOR.on_interrupt() };
    } else {
        fail(&interrupt);
    }
}

#[exception]
fn SysTick() {
    let late = PERIOD - 1 - SYST::get_current();
    LATENESS.fetch_max(late * 40 / 64, Ordering::Relaxed);
    DEADLINES.fetch_add(1, Ordering::Relaxed);
}

#[embassy_executor::task]
async fn infer(clock: Clock) {
    let arena = ARENA.take();
    *arena.input_mut() = picture();
    let (start, before) = (clock.ticks(), DEADLINES.load(Ordering::Relaxed));
    let prediction = match arena.infer() {
        Ok(prediction) => prediction,
        Err(fault) => fail(&fault),
    };
    let ticks = clock.ticks().wrapping_sub(start);
    let met = DEADLINES.load(Ordering::Relaxed) - before;
    NVIC::mask(Interrupt::Low);
    let late = LATENESS.load(Ordering::Relaxed);
    hprintln!("{}", prediction.label().unwrap_or(""));
    hprintln!("deadlines during the inference: {met}");
    hprintln!("latest, in instructions: {late}");
    report(met >= ticks / PERIOD && met > 10 && late <= LATEST)
}

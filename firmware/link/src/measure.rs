//! The counter: what an inference costs, step by step.

use core::sync::atomic::{AtomicUsize, Ordering};

use embedded_hal::delay::DelayNs;
use tadpool_kernels::{Observer, checksum::fnv1a};

use crate::run::SelfTests;

/// The value of [`current_step`] outside an inference.
const NO_STEP: usize = usize::MAX;

static CURRENT_STEP: AtomicUsize = AtomicUsize::new(NO_STEP);

/// A counter that never wraps.
pub trait Clock {
    /// Ticks in a second of the board's time.
    const FREQUENCY_HZ: u32;

    /// Ticks since some fixed moment.
    fn now(&self) -> u64;

    /// Lets the counter count again, if a debug probe that left has stopped it. To be called
    /// before what is to be timed.
    fn wake(&self) {}

    /// Called whenever something has gone on, at the cost of no step: an inference has come to
    /// step number `step`, or time was waited for. It is what a watchdog is fed by.
    fn alive(&self, step: Option<usize>) {
        let _ = step;
    }
}

/// A timer of the board that starts again from zero after its period, and whose
/// interrupt counts the periods.
pub trait Timer {
    /// Ticks until the timer starts again.
    const PERIOD: u64;

    /// Ticks since it last started again.
    fn elapsed(&self) -> u32;

    /// Whether it has started again and the interrupt has not been taken yet.
    fn is_pending(&self) -> bool;

    /// How often the interrupt was taken.
    fn periods(&self) -> u32;
}

/// The time of a [`Timer`] in 64 bits, also while interrupts are off, as long
/// as that is shorter than a period.
pub fn extended<T: Timer>(timer: &T) -> u64 {
    loop {
        let periods = timer.periods();
        let pending = timer.is_pending();
        let elapsed = timer.elapsed();
        // Otherwise the timer started again, or the interrupt came, in between.
        if pending == timer.is_pending() && periods == timer.periods() {
            let periods = u64::from(periods) + u64::from(pending);
            return periods * T::PERIOD + u64::from(elapsed);
        }
    }
}

/// Ticks between two readings of `clock` with nothing in between.
pub fn overhead_ticks(clock: &impl Clock) -> u32 {
    let reading = || {
        let before = clock.now();
        clock.now() - before
    };
    let shortest = (0..8).map(|_| reading()).min().unwrap_or(0);
    u32::try_from(shortest).unwrap_or(u32::MAX)
}

/// The cost of one step, and the checksum of the map that it wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepRecord {
    /// Ticks it took.
    pub ticks: u64,
    /// FNV-1a of the bytes it wrote.
    pub checksum: u32,
}

/// Writes down what every step costs, its own cost left out.
#[derive(Debug)]
pub struct Recorder<'a, C, T = ()> {
    clock: &'a C,
    records: &'a mut [StepRecord],
    overhead_ticks: u32,
    self_tests: T,
    total: u64,
    last: u64,
}

impl<'a, C: Clock, T: SelfTests> Recorder<'a, C, T> {
    /// Starts measuring; nothing but the inference may follow. `self_tests` are told of
    /// each step that has ended, at nobody's cost.
    pub fn start(
        clock: &'a C,
        records: &'a mut [StepRecord],
        overhead_ticks: u32,
        self_tests: T,
    ) -> Self {
        CURRENT_STEP.store(0, Ordering::Relaxed);
        clock.alive(Some(0));
        clock.wake();
        let last = clock.now();
        Self {
            clock,
            records,
            overhead_ticks,
            self_tests,
            total: 0,
            last,
        }
    }

    /// Ticks of the whole inference.
    pub fn finish(mut self) -> u64 {
        self.lap();
        CURRENT_STEP.store(NO_STEP, Ordering::Relaxed);
        self.total
    }

    /// Ticks since the last lap.
    fn lap(&mut self) -> u64 {
        let passed = self.clock.now() - self.last;
        let ticks = passed.saturating_sub(self.overhead_ticks.into());
        self.total += ticks;
        ticks
    }
}

impl<C: Clock, T: SelfTests> Observer for Recorder<'_, C, T> {
    // Found in the image, where a prediction of each step's cycles needs it.
    #[inline(never)]
    fn step(&mut self, step: usize, output: &[u8]) {
        let ticks = self.lap();
        if let Some(record) = self.records.get_mut(step) {
            *record = StepRecord {
                ticks,
                checksum: fnv1a(output),
            };
        }
        CURRENT_STEP.store(step + 1, Ordering::Relaxed);
        self.clock.alive(Some(step + 1));
        self.self_tests.after_step(step);
        self.last = self.clock.now();
    }
}

/// The step that is running, for the report of a fault.
pub fn current_step() -> Option<u16> {
    u16::try_from(CURRENT_STEP.load(Ordering::Relaxed)).ok()
}

/// Waits by a [`Clock`].
#[derive(Debug)]
pub struct Delay<'a, C>(pub &'a C);

impl<C: Clock> DelayNs for Delay<'_, C> {
    fn delay_ns(&mut self, ns: u32) {
        let ticks = (u64::from(ns) * u64::from(C::FREQUENCY_HZ)).div_ceil(1_000_000_000);
        let start = self.0.now();
        while self.0.now() - start < ticks {
            self.0.alive(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A timer of 100 ticks that advances by a given amount each time it is
    /// looked at, and whose interrupt comes late.
    struct Late {
        time: Cell<u64>,
        step: u64,
        delay: u64,
    }

    impl Late {
        fn look(&self) -> u64 {
            self.time.set(self.time.get() + self.step);
            self.time.get()
        }
    }

    impl Timer for Late {
        const PERIOD: u64 = 100;

        fn elapsed(&self) -> u32 {
            (self.look() % 100) as u32
        }

        fn is_pending(&self) -> bool {
            self.look() % 100 < self.delay
        }

        fn periods(&self) -> u32 {
            let time = self.look();
            (time / 100 - u64::from(time % 100 < self.delay)) as u32
        }
    }

    #[test]
    fn the_extended_time_never_jumps() {
        for step in 1..12 {
            for delay in [1, 13, 40] {
                let timer = Late {
                    time: Cell::new(150),
                    step,
                    delay,
                };
                for _ in 0..1000 {
                    let before = timer.time.get();
                    let now = extended(&timer);
                    assert!(
                        (before..=timer.time.get()).contains(&now),
                        "{step} {delay} {now}"
                    );
                }
            }
        }
    }
}

//! Checks the kernels on a core and counts their instructions.
//!
//! Prints one line a case through semihosting:
//!
//! ```text
//! check 3 2 1a2b3c4d                 case, seed, checksum of what was written
//! count 5 Dsp 1a2b3c4d 123456        case, its kernels, checksum, instructions
//! plain 5 loop 1a2b3c4d 123456       the same by a loop as one writes it in C
//! ```
//!
//! The emulator advances its clock by a fixed time an instruction, so SysTick
//! counts instructions. How many make a tick is measured with a loop of known
//! length. A count is exact to within one tick (40 instructions at 25 MHz) and
//! is no latency: no wait states, no caches, no pairs of instructions.

#![no_std]
#![no_main]

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use panic_halt as _;
use tadpool_kernels::cases::{self, COUNTED, Case, EDGES, EDGES_MEMORY, SEEDS, Seed};
#[cfg(feature = "dsp")]
use tadpool_kernels::layout::Dsp as Best;
#[cfg(feature = "helium")]
use tadpool_kernels::layout::Helium as Best;
#[cfg(not(any(feature = "dsp", feature = "helium")))]
use tadpool_kernels::layout::Rows as Best;
use tadpool_kernels::layout::{Kernel, Rows};

type Padded = <Best as Kernel>::Padded;

const MEMORY: usize = if cfg!(small) { EDGES_MEMORY } else { 4 << 20 };

#[entry]
fn main() -> ! {
    run();
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}

fn run() {
    #[repr(align(16))]
    struct Aligned([u8; MEMORY]);
    let memory = cortex_m::singleton!(: Aligned = Aligned([0; MEMORY]));
    let Some(Aligned(memory)) = memory else {
        return;
    };
    for (index, case) in EDGES.iter().enumerate() {
        for seed in 0..SEEDS {
            match cases::run::<Best>(case, Seed(seed), memory) {
                Ok(checksum) => hprintln!("check {} {} {:08x}", index, seed, checksum),
                Err(fault) => hprintln!("check {} {} {}", index, seed, fault),
            }
        }
    }

    let Some(mut counter) = Counter::start() else {
        return;
    };
    for (index, case) in COUNTED.iter().enumerate() {
        // What the layout does not take is padded, or packed as rows, as it is in a model.
        let layout = case.layout(Best::LAYOUT);
        if layout == Best::LAYOUT || !case.has_matrix() {
            count::<Best>(index, case, &mut counter, memory);
        } else if layout == Padded::LAYOUT {
            count::<Padded>(index, case, &mut counter, memory);
        } else {
            count::<Rows>(index, case, &mut counter, memory);
        }
        // Only where it is what one would have otherwise.
        if cfg!(not(any(feature = "dsp", feature = "helium")))
            && let Ok(mut ready) = case.ready::<Rows>(Seed(2), memory)
        {
            let mut written = None;
            let instructions = counter.count(|| written = ready.run_plain());
            if let Some(written) = written {
                let checksum = ready.checksum(&written);
                hprintln!("plain {} loop {:08x} {}", index, checksum, instructions);
            }
        }
    }
}

/// Counts a case's instructions with the kernels of `K`, unless it needs more memory than
/// there is.
fn count<K: Kernel>(index: usize, case: &Case, counter: &mut Counter, memory: &mut [u8]) {
    let Ok(mut ready) = case.ready::<K>(Seed(2), memory) else {
        return;
    };
    let mut written = None;
    let instructions = counter.count(|| written = ready.run::<K>().ok());
    match written {
        Some(written) => hprintln!(
            "count {} {} {:08x} {}",
            index,
            K::LAYOUT.name(),
            ready.checksum(&written),
            instructions
        ),
        None => hprintln!("count {} fault", index),
    }
}

/// SysTick, as a counter of instructions.
struct Counter {
    systick: SYST,
    /// Ticks of [`LOOP`] instructions.
    ticks_of_loop: u32,
}

/// Instructions of the loop of known length.
const LOOP: u32 = 2_000_000;

impl Counter {
    fn start() -> Option<Self> {
        let mut systick = cortex_m::Peripherals::take()?.SYST;
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(0x00ff_ffff);
        systick.clear_current();
        systick.enable_counter();
        let mut counter = Self {
            systick,
            ticks_of_loop: LOOP,
        };
        counter.ticks_of_loop = counter.ticks(|| spin(LOOP / 2));
        Some(counter)
    }

    fn ticks(&mut self, work: impl FnOnce()) -> u32 {
        self.systick.clear_current();
        // The counter is loaded on the tick after it was cleared.
        while SYST::get_current() == 0 {}
        tadpool_mark();
        let before = SYST::get_current();
        work();
        let ticks = before.wrapping_sub(SYST::get_current()) & 0x00ff_ffff;
        tadpool_mark();
        ticks
    }

    fn count(&mut self, work: impl FnOnce()) -> u32 {
        let ticks = u64::from(self.ticks(work));
        (ticks * u64::from(LOOP) / u64::from(self.ticks_of_loop)) as u32
    }
}

/// Where a trace of what was executed is cut.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tadpool_mark() {
    core::hint::black_box(());
}

/// Two instructions a turn.
#[inline(never)]
fn spin(turns: u32) {
    // SAFETY: counts a register down.
    unsafe {
        core::arch::asm!(
            "2: subs {turns}, #1",
            "bne 2b",
            turns = inout(reg) turns => _,
            options(nomem, nostack),
        );
    }
}

//! The boards: a file for each start-up code, chosen by the feature of its name.
//!
//! A board's file has `Busy`, the type of its output pin; `TIMER`, what costs are
//! measured with; and `init`, which sets up clocks and caches and returns the
//! pin and what it found set up. Where the board's file has a `[uart]`, there is
//! `Uart` as well, which `init` sets up if MLPerf Tiny's commands come through it.

#[cfg(feature = "cortex-m")]
#[path = "boards/cortex_m.rs"]
mod board;
#[cfg(feature = "nrf52840-dk")]
#[path = "boards/nrf52840_dk.rs"]
mod board;
#[cfg(feature = "nrf5340-dk")]
#[path = "boards/nrf5340_dk.rs"]
mod board;
#[cfg(feature = "nrf54l15-dk")]
#[path = "boards/nrf54l15_dk.rs"]
mod board;
#[cfg(feature = "nucleo-g0b1re")]
#[path = "boards/nucleo_g0b1re.rs"]
mod board;
#[cfg(feature = "nucleo-l4r5zi")]
#[path = "boards/nucleo_l4r5zi.rs"]
mod board;
#[cfg(feature = "nucleo-u575zi-q")]
#[path = "boards/nucleo_u575zi_q.rs"]
mod board;
#[cfg(feature = "qemu-mps2")]
#[path = "boards/qemu_mps2.rs"]
mod board;
#[cfg(feature = "qemu-systick")]
#[path = "boards/qemu_systick.rs"]
mod board;
#[cfg(any(feature = "rpi-pico", feature = "rpi-pico2"))]
#[path = "boards/rpi_pico.rs"]
mod board;
#[cfg(any(feature = "nucleo-f411re", feature = "stm32f407g-disc1"))]
#[path = "boards/stm32f4.rs"]
mod board;
#[cfg(feature = "stm32f746g-disco")]
#[path = "boards/stm32f746g_disco.rs"]
mod board;
#[cfg(any(
    feature = "nucleo-h743zi",
    feature = "nucleo-h743zi2",
    feature = "nucleo-h7a3zi-q"
))]
#[path = "boards/stm32h7.rs"]
mod board;
#[cfg(feature = "stm32n6570-dk")]
#[path = "boards/stm32n6570_dk.rs"]
mod board;

#[cfg(all(feature = "stm32", feature = "mlperf-uart"))]
#[path = "boards/stm32_uart.rs"]
mod stm32_uart;

use tadpool_protocol::Setup;

use crate::log::DefmtLog;
use crate::measure::Clock;
use crate::mmio::Register;
use crate::stack::MainStack;
use crate::{last_fault, rings, run, stack, weights};

// What the board's file says; the build script wrote it.
include!(concat!(env!("OUT_DIR"), "/board.rs"));

/// The board that the image is built for.
pub type Board =
    run::Board<Link, board::Busy, BoardClock, MainStack, DefmtLog, SelfTests, WeightChecks>;

/// The faults that the host may provoke.
#[cfg(feature = "self-test")]
pub type SelfTests = crate::self_test::Faults;
/// The faults that the host may provoke: none.
#[cfg(not(feature = "self-test"))]
pub type SelfTests = ();

/// The check of the weights before each inference.
#[cfg(feature = "check-weights")]
pub type WeightChecks = Option<weights::Parts>;
/// The check of the weights before each inference: none.
#[cfg(not(feature = "check-weights"))]
pub type WeightChecks = ();

/// The link that the host's bytes come through.
#[cfg(not(any(feature = "mlperf-uart", feature = "watchdog")))]
pub type Link = crate::link::Rtt;
/// The link that the host's bytes come through.
#[cfg(feature = "watchdog")]
pub type Link = crate::watchdog::WatchedRtt;
/// The link that the host's bytes come through.
#[cfg(feature = "mlperf-uart")]
pub type Link = board::Uart;

/// The result of a board's `init`.
struct Parts<P> {
    /// High while an inference runs.
    busy: P,
    /// The set-up of the chip.
    setup: Setup,
    #[cfg(feature = "mlperf-uart")]
    uart: board::Uart,
}

/// The board's timer, extended to 64 bits.
#[derive(Debug)]
pub struct BoardClock;

impl Clock for BoardClock {
    const FREQUENCY_HZ: u32 = COUNTER_HZ;

    fn now(&self) -> u64 {
        ticks()
    }

    fn wake(&self) {
        board::TIMER.wake();
    }

    #[cfg(feature = "watchdog")]
    fn alive(&self, step: Option<usize>) {
        crate::watchdog::feed(step);
    }
}

/// Starts the board; to be called once. A function of its own in the image: what a HAL
/// asserts of its settings can panic here, and nowhere else.
#[inline(never)]
pub fn init() -> Board {
    rings::load();
    stack::guard();
    let parts = board::init();
    let (busy, setup) = (parts.busy, parts.setup);
    board::TIMER.start();
    let board = Board {
        name: NAME,
        setup,
        busy,
        #[cfg(not(feature = "mlperf-uart"))]
        link: Link::open(),
        #[cfg(feature = "mlperf-uart")]
        link: parts.uart,
        clock: BoardClock,
        stack: MainStack,
        log: DefmtLog,
        #[cfg(feature = "self-test")]
        self_tests: crate::self_test::Faults,
        #[cfg(not(feature = "self-test"))]
        self_tests: (),
        weights: WeightChecks::default(),
    };
    defmt::info!(
        "{=str} on {=str}: {=usize} bytes of arena, {=usize} steps",
        tadpool_model::NAME,
        board.name,
        tadpool_model::ARENA_BYTES,
        tadpool_model::STEPS,
    );
    defmt::info!(
        "{=u32} Hz, counted by {=str}",
        setup.core_hz,
        board::TIMER.name()
    );
    last_fault::log();
    #[cfg(feature = "watchdog")]
    crate::watchdog::start();
    board
}

/// Fails with a fault unless the weights are those that were written; to be called once,
/// before they are used. What `board` checks from then on are those that it found.
pub fn check_weights(board: &mut Board) {
    let weights = weights::check();
    #[cfg(feature = "check-weights")]
    {
        board.weights = Some(weights::Parts::of(weights));
    }
    #[cfg(not(feature = "check-weights"))]
    let _ = (board, weights);
}

/// Stops, until the host resets the board. The core stays awake, so that a probe
/// reads what was said last.
pub fn stop() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Ticks since [`init`].
pub(crate) fn ticks() -> u64 {
    board::TIMER.now()
}

/// Handles an interrupt of the board; false if it is none.
pub(crate) fn on_interrupt(interrupt: i16) -> bool {
    let is_timer = interrupt == board::TIMER.interrupt();
    if is_timer {
        board::TIMER.on_interrupt();
    }
    is_timer
}

/// The core's identification; its clock is `core_hz`.
fn setup_of_core(core_hz: u32) -> Setup {
    Setup {
        core_hz,
        instruction_cache: configuration() & INSTRUCTION_CACHE != 0,
        data_cache: configuration() & DATA_CACHE != 0,
        ..Setup::default()
    }
}

const DATA_CACHE: u32 = 1 << 16;
const INSTRUCTION_CACHE: u32 = 1 << 17;

/// The core's configuration and control register; cores without caches read their bits as
/// zero.
fn configuration() -> u32 {
    // SAFETY: every Cortex-M has the register.
    #[allow(unsafe_code)]
    unsafe { Register::at(0xe000_ed14) }.read()
}

/// Writes `bytes` bytes from `address` on back from the core's data cache, where that is on,
/// so that they are in memory after a reset.
pub(crate) fn write_back(address: usize, bytes: usize) {
    const LINE: usize = 32;
    if configuration() & DATA_CACHE != 0 {
        for line in (address / LINE * LINE..address.saturating_add(bytes)).step_by(LINE) {
            // SAFETY: cleans the line of an address by DCCMVAC, which changes no data.
            #[allow(unsafe_code)]
            unsafe { Register::at(0xe000_ef68) }.write(line as u32);
        }
        cortex_m::asm::dsb();
    }
}

/// Switches both caches of the core on.
#[cfg(feature = "core-caches")]
fn enable_core_caches() {
    // SAFETY: `init` runs once and nothing else uses these registers.
    #[allow(unsafe_code)]
    let mut core = unsafe { cortex_m::Peripherals::steal() };
    core.SCB.enable_icache();
    core.SCB.enable_dcache(&mut core.CPUID);
}

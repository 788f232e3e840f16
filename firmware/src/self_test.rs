//! Faults on demand, to test how they are caught and reported.
#![allow(unsafe_code)]

use core::hint::black_box;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use tadpool_protocol::SelfTest;

use crate::run::SelfTests;

/// The faults of this module.
#[derive(Debug, Clone, Copy)]
pub struct Faults;

impl SelfTests for Faults {
    fn run(self, test: SelfTest) -> bool {
        run(test);
        true
    }

    fn after_step(self, step: usize) {
        if step == BAD_STEP.load(Ordering::Relaxed) {
            read_bad_address();
        }
        if step == LAST_STEP.load(Ordering::Relaxed) {
            hang();
        }
    }
}

/// Where no board has memory.
const NOWHERE: usize = 0x9000_0000;

/// After which step to read a bad address.
static BAD_STEP: AtomicUsize = AtomicUsize::new(usize::MAX);
/// After which step nothing goes on.
static LAST_STEP: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Does what `test` says.
#[inline(never)]
fn run(test: SelfTest) {
    match test {
        SelfTest::Loop { instructions } => counted_loop(instructions),
        SelfTest::Panic => panic!("the host asked for a panic"),
        SelfTest::BadAddress => read_bad_address(),
        SelfTest::BadAddressAfter { step } => BAD_STEP.store(step.into(), Ordering::Relaxed),
        SelfTest::StackOverflow => {
            recurse(1);
        }
        SelfTest::Hang => hang(),
        SelfTest::CorruptWeights => corrupt_weights(),
        SelfTest::HangAfter { step } => LAST_STEP.store(step.into(), Ordering::Relaxed),
    }
}

unsafe extern "C" {
    static mut _tadpool_weights_start: u8;
}

fn corrupt_weights() {
    let first = &raw mut _tadpool_weights_start;
    // SAFETY: the linker puts the symbol before the weights. Whoever reads them is to notice.
    unsafe { first.write_volatile(first.read_volatile() ^ 1) };
}

fn hang() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

fn read_bad_address() {
    // SAFETY: the read faults, which is its purpose.
    let value = unsafe { ptr::with_exposed_provenance::<u32>(NOWHERE).read_volatile() };
    defmt::error!("read {=u32} from nowhere", value);
}

/// A loop of two instructions a turn.
fn counted_loop(instructions: u32) {
    let turns = instructions / 2;
    if turns == 0 {
        return;
    }
    // SAFETY: only a register and the flags are changed.
    unsafe {
        core::arch::asm!(
            "2: subs {turns}, #1",
            "bne 2b",
            turns = inout(reg) turns => _,
            options(nomem, nostack),
        );
    }
}

#[expect(unconditional_recursion, reason = "its purpose")]
#[inline(never)]
fn recurse(depth: u32) -> u32 {
    let frame = black_box([depth; 64]);
    recurse(depth.wrapping_add(1)).wrapping_add(black_box(frame)[0])
}

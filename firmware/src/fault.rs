//! Panics and processor faults, reported to the host.
//!
//! A processor fault may be the stack's overflow, so its handler starts by
//! moving to a stack of its own. So does that of an exception that nobody expects: the
//! stack has to have room for those that are.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m_rt::exception;
use tadpool_protocol::{FaultKind, FaultReport, MAX_FRAME, Message, Registers, Response};

use crate::boards;
use crate::link::Rtt;
use crate::measure::current_step;
use crate::mmio::Register;
#[cfg(not(feature = "slots"))]
use crate::run::CorruptedWeights;
use crate::run::{write_all, write_frame};
use crate::{last_fault, stack};

/// The audit of the image compares it with what the handlers can need.
const OWN_STACK_BYTES: usize = 2560;
/// Words that the processor saves on the stack before the handler runs.
const SAVED_WORDS: usize = 8;
const SAVED_LR: usize = 5;
const SAVED_PC: usize = 6;

// SAFETY: fixed addresses of the Armv7-M system control block; on Armv6-M they
// read as zero.
const CFSR: Register = unsafe { Register::at(0xe000_ed28) };
// SAFETY: as above.
const BFAR: Register = unsafe { Register::at(0xe000_ed38) };

#[repr(align(8))]
#[allow(dead_code, reason = "used by address")]
struct OwnStack(UnsafeCell<[u8; OWN_STACK_BYTES]>);

// SAFETY: only the handlers use it, by address, and they never return from it.
unsafe impl Sync for OwnStack {}

static OWN_STACK: OwnStack = OwnStack(UnsafeCell::new([0; OWN_STACK_BYTES]));

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    // As much of it as fits. Without what is formatted: see `push_number`.
    let mut message = Message::new();
    if let Some(location) = info.location() {
        push_text(&mut message, location.file());
        push_text(&mut message, ":");
        push_number(&mut message, location.line());
        push_text(&mut message, ": ");
    }
    push_text(&mut message, info.message().as_str().unwrap_or("panicked"));
    report(FaultKind::Panic, message, None)
}

/// Entered by the processor; the name is the one cortex-m-rt's vector table
/// asks for.
///
/// # Safety
///
/// Only the processor may enter it.
#[unsafe(no_mangle)]
#[unsafe(naked)]
#[unsafe(link_section = ".HardFault.user")]
unsafe extern "C" fn HardFault() -> ! {
    core::arch::naked_asm!(
        "mrs r0, msp",
        "ldr r1, 2f",
        "msr msp, r1",
        "bl {hard_fault}",
        "udf #0",
        ".p2align 2",
        "2: .word {own_stack} + {own_stack_bytes}",
        hard_fault = sym hard_fault,
        own_stack = sym OWN_STACK,
        own_stack_bytes = const OWN_STACK_BYTES,
    )
}

/// `sp` is the main stack's pointer after the processor saved its registers, or
/// tried to.
extern "C" fn hard_fault(sp: usize) -> ! {
    // Where the core has a stack limit, the pointer stops there, and STKOF tells.
    const STKOF: u32 = 1 << 20;
    let overflow = sp < stack::bottom() || CFSR.read() & STKOF != 0;
    let is_readable = !overflow && sp + SAVED_WORDS * 4 <= stack::top() && sp.is_multiple_of(4);
    let saved = |word: usize| {
        // SAFETY: aligned and within the stack, as was just checked.
        is_readable.then(|| unsafe { ptr::with_exposed_provenance::<u32>(sp + word * 4).read() })
    };
    let registers = Registers {
        pc: saved(SAVED_PC).unwrap_or(0),
        lr: saved(SAVED_LR).unwrap_or(0),
        sp: sp as u32,
        cfsr: CFSR.read(),
        bfar: BFAR.read(),
    };
    let kind = if overflow {
        FaultKind::StackOverflow
    } else {
        FaultKind::HardFault
    };
    report(kind, Message::new(), Some(registers))
}

/// Exceptions and interrupts that have no handler of their own.
#[exception]
unsafe fn DefaultHandler(interrupt: i16) {
    if !boards::on_interrupt(interrupt) {
        // SAFETY: this is handler mode, whose stack is the main one, and nothing that lies
        // there is used again.
        unsafe { on_own_stack(interrupt.wrapping_add(16)) }
    }
}

/// Reports an exception that nobody expects.
///
/// # Safety
///
/// To be called in handler mode only.
#[unsafe(naked)]
unsafe extern "C" fn on_own_stack(exception: i16) -> ! {
    core::arch::naked_asm!(
        "ldr r1, 2f",
        "msr msp, r1",
        "bl {unexpected}",
        "udf #0",
        ".p2align 2",
        "2: .word {own_stack} + {own_stack_bytes}",
        unexpected = sym unexpected,
        own_stack = sym OWN_STACK,
        own_stack_bytes = const OWN_STACK_BYTES,
    )
}

extern "C" fn unexpected(exception: i16) -> ! {
    let mut message = Message::new();
    #[cfg(feature = "watchdog")]
    if crate::watchdog::is_its(exception) {
        push_text(&mut message, "nothing went on for ");
        push_number(&mut message, boards::WATCHDOG_LIMIT_MS);
        push_text(&mut message, " ms");
        report(FaultKind::Watchdog, message, None);
    }
    push_text(&mut message, "exception ");
    push_number(&mut message, exception.unsigned_abs().into());
    report(FaultKind::Exception, message, None)
}

/// Reports that the flash holds other weights than were written.
#[cfg(not(feature = "slots"))]
pub(crate) fn of_weights(corrupted: CorruptedWeights) -> ! {
    report(FaultKind::Weights, corrupted.message(), None)
}

/// Reports that neither slot has weights that can be used.
#[cfg(feature = "slots")]
pub(crate) fn of_weights(problems: [&'static str; 2]) -> ! {
    let mut message = Message::new();
    for (place, problem) in ["slot 0: ", ", slot 1: "].into_iter().zip(problems) {
        push_text(&mut message, place);
        push_text(&mut message, problem);
    }
    report(FaultKind::Weights, message, None)
}

/// Adds as much of a text as fits.
fn push_text(message: &mut Message, text: &str) {
    for c in text.chars() {
        message.push(c).ok();
    }
}

/// Adds a number in decimal. Without the library's formatting, whose machine code calls
/// functions by addresses that only the run tells.
fn push_number(message: &mut Message, number: u32) {
    let mut unit = 1_000_000_000;
    while unit > 1 && number < unit {
        unit /= 10;
    }
    while unit > 0 {
        let digit = number / unit % 10;
        message.push(char::from(b'0' + digit as u8)).ok();
        unit /= 10;
    }
}

fn report(kind: FaultKind, message: Message, registers: Option<Registers>) -> ! {
    static IS_REPORTING: AtomicBool = AtomicBool::new(false);
    if !IS_REPORTING.load(Ordering::Relaxed) {
        IS_REPORTING.store(true, Ordering::Relaxed);
        cortex_m::interrupt::disable();
        let mut frame = [0; MAX_FRAME];
        let mut link = Rtt::open();
        // Ends the frame that was being written, if one was. Should the link
        // fail there is nobody left to tell.
        write_all(&mut link, &[0]).ok();
        let report = FaultReport {
            kind,
            step: current_step(),
            message,
            registers,
        };
        last_fault::keep(&report);
        write_frame(&mut link, &Response::Fault(report), &mut frame).ok();
    }
    boards::stop()
}

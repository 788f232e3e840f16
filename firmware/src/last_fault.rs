//! The last fault, kept through a reset for the log: in memory that start-up leaves alone.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;

use tadpool_kernels::checksum::fnv1a_on;
use tadpool_protocol::{FaultKind, FaultReport};

use crate::boards;

/// Tells a record from what is there after power-on.
const MARK: u32 = 0x6c61_7374;
/// Words before the text.
const WORDS: usize = 9;
/// As much of the text as is kept.
const TEXT_BYTES: usize = 64;

#[derive(Clone, Copy)]
#[repr(C)]
struct Record {
    /// [`MARK`], kind, step, length of the text, and the registers.
    words: [u32; WORDS],
    text: [u8; TEXT_BYTES],
    /// FNV-1a of these.
    checksum: u32,
}

struct Kept(UnsafeCell<MaybeUninit<Record>>);

// SAFETY: written by a fault's handler, which is entered once and never left, and read
// before anything else can run.
unsafe impl Sync for Kept {}

// SAFETY: cortex-m-rt's linker script leaves the section out of what start-up writes.
#[unsafe(link_section = ".uninit.tadpool_last_fault")]
static KEPT: Kept = Kept(UnsafeCell::new(MaybeUninit::uninit()));

impl Record {
    fn sum(&self) -> u32 {
        let hash = |hash, word: &u32| fnv1a_on(hash, &word.to_le_bytes());
        fnv1a_on(self.words.iter().fold(MARK, hash), &self.text)
    }
}

/// Keeps a fault.
pub(crate) fn keep(report: &FaultReport) {
    let registers = report.registers.unwrap_or_default();
    let mut record = Record {
        words: [
            MARK,
            report.kind as u32,
            report.step.map_or(u32::MAX, u32::from),
            report.message.len().min(TEXT_BYTES) as u32,
            registers.pc,
            registers.lr,
            registers.sp,
            registers.cfsr,
            registers.bfar,
        ],
        text: [0; TEXT_BYTES],
        checksum: 0,
    };
    for (kept, byte) in record.text.iter_mut().zip(report.message.bytes()) {
        *kept = byte;
    }
    record.checksum = record.sum();
    // SAFETY: the memory is this record's, and nobody has a reference to it.
    unsafe { KEPT.0.get().write_volatile(MaybeUninit::new(record)) };
    boards::write_back(KEPT.0.get().addr(), size_of::<Record>());
}

/// Logs the fault that was kept, once.
pub(crate) fn log() {
    let record: *mut Record = KEPT.0.get().cast();
    // SAFETY: the memory is the record's, which any bits make; whether they are one is what
    // is asked now. Volatile, so that the compiler takes nothing for granted of them.
    let record = unsafe { record.read_volatile() };
    let [mark, kind, step, length, pc, lr, sp, cfsr, bfar] = record.words;
    if mark != MARK || record.checksum != record.sum() {
        return;
    }
    // SAFETY: as above.
    unsafe { ptr::write_volatile(KEPT.0.get().cast::<u32>(), 0) };
    let text = record.text.get(..length as usize).unwrap_or_default();
    let text = core::str::from_utf8(text).unwrap_or_default();
    defmt::error!(
        "the last run ended by {=str}, step {=u32}: {=str} (pc {=u32:08x}, lr {=u32:08x}, sp \
         {=u32:08x}, cfsr {=u32:08x}, bfar {=u32:08x})",
        name(kind),
        step,
        text,
        pc,
        lr,
        sp,
        cfsr,
        bfar
    );
}

fn name(kind: u32) -> &'static str {
    const KINDS: [(FaultKind, &str); 7] = [
        (FaultKind::Panic, "a panic"),
        (FaultKind::Kernel, "a kernel's fault"),
        (FaultKind::HardFault, "a HardFault"),
        (FaultKind::StackOverflow, "an overflow of the stack"),
        (FaultKind::Exception, "an exception"),
        (FaultKind::Weights, "corrupted weights"),
        (FaultKind::Watchdog, "the watchdog"),
    ];
    let is = |(other, _): &&(FaultKind, &str)| *other as u32 == kind;
    KINDS.iter().find(is).map_or("a fault", |(_, name)| name)
}

//! The byte streams to and from the host, through RTT: rings in RAM that a debug
//! probe reads and writes while the program runs.
//!
//! A link is anything that is [`embedded_io::Read`] and [`embedded_io::Write`].
//! The layout of the rings is SEGGER's, so that any probe's tools find them. The
//! program waits for room in the protocol's ring, as a response is of no use in
//! part; nothing ever waits for room in the log's.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicU32, Ordering};

use embedded_io::{ErrorType, Read, Write};

const RING_BYTES: usize = 1024;
/// The last place in a ring: all bits that a place has.
const LAST: usize = RING_BYTES - 1;
const _: () = assert!(RING_BYTES.is_power_of_two());
/// The program waits where there is no room.
const MODE_BLOCK: u32 = 2;
/// A message that does not fit as a whole is dropped.
const MODE_SKIP: u32 = 0;

/// The mark that a probe looks for.
#[repr(C)]
struct ControlBlock {
    id: [u8; 16],
    up_count: u32,
    down_count: u32,
    up: [Ring; 2],
    down: [Ring; 1],
}

/// A ring of bytes; it is empty when both places are equal, so one byte of it is
/// never used.
#[repr(C)]
struct Ring {
    name: *const c_char,
    bytes: *mut u8,
    size: u32,
    /// Where the writer writes next; only the writer changes it.
    write: AtomicU32,
    /// Where the reader reads next; only the reader changes it.
    read: AtomicU32,
    mode: AtomicU32,
}

// SAFETY: the pointers never change; the bytes between `read` and `write` are the
// reader's and the others the writer's, of which one is the probe and the other
// is this program, which never enters the same ring twice: the protocol's belong
// to the one `Rtt`, and the log's is written in critical sections.
unsafe impl Sync for Ring {}

#[repr(transparent)]
struct Bytes(UnsafeCell<[u8; RING_BYTES]>);

// SAFETY: only used through the one `Ring` that points to it.
unsafe impl Sync for Bytes {}

// In sections of their own: a core's data cache keeps what lies behind it from a probe, so a
// linker script may have to place them elsewhere. Where it does not, they are variables as
// others.

// SAFETY: linker scripts take it for what start-up sets to zero.
#[cfg_attr(target_os = "none", unsafe(link_section = ".bss.tadpool_rings"))]
static RESPONSES: Bytes = Bytes(UnsafeCell::new([0; RING_BYTES]));
// SAFETY: as above.
#[cfg_attr(target_os = "none", unsafe(link_section = ".bss.tadpool_rings"))]
static REQUESTS: Bytes = Bytes(UnsafeCell::new([0; RING_BYTES]));
// SAFETY: as above.
#[cfg_attr(target_os = "none", unsafe(link_section = ".bss.tadpool_rings"))]
static LOG: Bytes = Bytes(UnsafeCell::new([0; RING_BYTES]));

/// By this name, which is RTT's, debuggers find it.
// SAFETY: no other symbol has this name, and linker scripts take the section for variables
// with a value.
#[unsafe(no_mangle)]
#[cfg_attr(target_os = "none", unsafe(link_section = ".data.tadpool_rings"))]
static _SEGGER_RTT: ControlBlock = ControlBlock {
    id: *b"SEGGER RTT\0\0\0\0\0\0",
    up_count: 2,
    down_count: 1,
    up: [
        Ring::new(c"tadpool", &RESPONSES, MODE_BLOCK),
        Ring::new(c"defmt", &LOG, MODE_SKIP),
    ],
    down: [Ring::new(c"tadpool", &REQUESTS, MODE_BLOCK)],
};

impl Ring {
    const fn new(name: &'static CStr, bytes: &'static Bytes, mode: u32) -> Self {
        Self {
            name: name.as_ptr(),
            bytes: bytes.first(),
            size: RING_BYTES as u32,
            write: AtomicU32::new(0),
            read: AtomicU32::new(0),
            mode: AtomicU32::new(mode),
        }
    }

    /// Bytes that can be written.
    fn room(&self) -> usize {
        let (write, read) = self.places();
        RING_BYTES - 1 - (write.wrapping_sub(read) & LAST)
    }

    /// Writes as many of `bytes` as there is room for to the ring's `memory`; returns how
    /// many.
    fn put(&self, memory: &Bytes, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        let (mut place, _) = self.places();
        for &byte in bytes.iter().take(count) {
            // SAFETY: `place` is below the ring's size, and the byte there is the
            // writer's, as there is room.
            unsafe { memory.first().add(place).write_volatile(byte) };
            place = (place + 1) & LAST;
        }
        self.write.store(place as u32, Ordering::Release);
        count
    }

    /// Reads as many bytes as there are and fit from the ring's `memory`; returns how many.
    fn take(&self, memory: &Bytes, bytes: &mut [u8]) -> usize {
        let (write, mut place) = self.places();
        let mut count = 0;
        for byte in bytes {
            if place == write {
                break;
            }
            // SAFETY: `place` is below the ring's size, and the byte there is the
            // reader's, as the writer is elsewhere.
            *byte = unsafe { memory.first().add(place).read_volatile() };
            place = (place + 1) & LAST;
            count += 1;
        }
        self.read.store(place as u32, Ordering::Release);
        count
    }

    /// Where is written and read next: within the ring, whatever a probe wrote. Nonsense
    /// costs bytes that come or go, as a broken cable would, and nothing else.
    fn places(&self) -> (usize, usize) {
        let place = |at: &AtomicU32| at.load(Ordering::Acquire) as usize & LAST;
        (place(&self.write), place(&self.read))
    }
}

impl Bytes {
    /// The first byte. Not by the pointer in the ring, which a probe can write.
    const fn first(&self) -> *mut u8 {
        self.0.get().cast()
    }
}

/// Puts a whole frame into the log's ring, or nothing; to be called in a
/// critical section.
pub fn log(frame: &[u8]) -> bool {
    let [_, ring] = &_SEGGER_RTT.up;
    let fits = frame.len() <= ring.room();
    if fits {
        ring.put(&LOG, frame);
    }
    fits
}

/// The protocol's rings.
#[derive(Debug)]
pub struct Rtt(());

impl Rtt {
    /// The rings. Whoever opens them a second time must not let the first go on.
    pub fn open() -> Self {
        Self(())
    }

    /// Takes the bytes that are there, perhaps none, without waiting; returns how many.
    pub fn take(&mut self, bytes: &mut [u8]) -> usize {
        let [ring] = &_SEGGER_RTT.down;
        ring.take(&REQUESTS, bytes)
    }

    /// Puts as many of `bytes` as there is room for, perhaps none, without waiting; returns how
    /// many.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let [ring, _] = &_SEGGER_RTT.up;
        ring.put(&RESPONSES, bytes)
    }
}

impl ErrorType for Rtt {
    type Error = Infallible;
}

impl Read for Rtt {
    /// Waits for the first byte.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        loop {
            // A core that sleeps keeps some probes from its memory.
            match self.take(bytes) {
                0 if !bytes.is_empty() => core::hint::spin_loop(),
                count => return Ok(count),
            }
        }
    }
}

impl Write for Rtt {
    /// Waits for room for the first byte, which is there when the host reads.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        loop {
            match self.put(bytes) {
                0 if !bytes.is_empty() => core::hint::spin_loop(),
                count => return Ok(count),
            }
        }
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring with indices that a probe left.
    fn ring(bytes: &'static Bytes, write: u32, read: u32) -> Ring {
        let ring = Ring::new(c"test", bytes, MODE_BLOCK);
        ring.write.store(write, Ordering::Relaxed);
        ring.read.store(read, Ordering::Relaxed);
        ring
    }

    fn memory() -> &'static Bytes {
        Box::leak(Box::new(Bytes(UnsafeCell::new([0; RING_BYTES]))))
    }

    #[test]
    fn bytes_come_back() {
        let memory = memory();
        let ring = ring(memory, 1000, 1000);
        let sent: Vec<u8> = (0..2000_u32).map(|n| (n * 7) as u8).collect();
        let mut received: Vec<u8> = Vec::new();
        let mut rest = &sent[..];
        while received.len() < sent.len() {
            rest = &rest[ring.put(memory, rest)..];
            let mut piece = [0; 100];
            let count = ring.take(memory, &mut piece);
            received.extend(&piece[..count]);
        }
        assert_eq!(received, sent);
    }

    #[test]
    fn a_full_ring_takes_no_more() {
        let memory = memory();
        let ring = ring(memory, 5, 5);
        assert_eq!(ring.put(memory, &[1; 3000]), RING_BYTES - 1);
        assert_eq!(ring.put(memory, &[1]), 0);
        assert_eq!(ring.take(memory, &mut [0; 3000]), RING_BYTES - 1);
    }

    /// Nothing outside the memory is touched, which the places tell, and all ends.
    #[test]
    fn indices_that_a_probe_wrote_are_not_trusted() {
        let memory = memory();
        let nonsense = [0, 1, 1023, 1024, 1025, 0x7fff_ffff, 0x8000_0000, u32::MAX];
        for write in nonsense {
            for read in nonsense {
                let ring = ring(memory, write, read);
                let (from, to) = ring.places();
                assert!(from < RING_BYTES && to < RING_BYTES);
                assert!(ring.room() < RING_BYTES);
                assert!(ring.put(memory, &[7; 4000]) < RING_BYTES);
                assert!(ring.take(memory, &mut [0; 4000]) < RING_BYTES);
                let (from, to) = ring.places();
                assert!(from < RING_BYTES && to < RING_BYTES);
            }
        }
    }
}

//! The byte stream to the host.
//!
//! A link is anything that is [`embedded_io::Read`] and [`embedded_io::Write`].
//! Emulated boards speak through semihosting, which every machine of the
//! emulator has alike; boards with a debug probe will speak through RTT.
#![allow(unsafe_code)]

use core::convert::Infallible;

use cortex_m_semihosting::{nr, syscall};
use embedded_io::{ErrorType, Read, Write};

/// The semihosting console.
#[derive(Debug, Clone, Copy)]
pub struct Semihosting {
    input: usize,
    output: usize,
}

impl Semihosting {
    /// Opens the console.
    pub(crate) fn open() -> Self {
        Self {
            input: open(nr::open::R),
            output: open(nr::open::W_TRUNC),
        }
    }
}

impl ErrorType for Semihosting {
    type Error = Infallible;
}

impl Read for Semihosting {
    /// Waits for the first byte; returns 0 at the end of the stream.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        let request = [
            self.input,
            bytes.as_mut_ptr().expose_provenance(),
            bytes.len(),
        ];
        // SAFETY: SYS_READ writes at most `bytes.len()` bytes to `bytes`, which
        // is borrowed for the call.
        let left = unsafe { syscall(nr::READ, &request) };
        Ok(bytes.len().saturating_sub(left))
    }
}

impl Write for Semihosting {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        let request = [self.output, bytes.as_ptr().expose_provenance(), bytes.len()];
        // SAFETY: SYS_WRITE reads `bytes`, which is borrowed for the call.
        let left = unsafe { syscall(nr::WRITE, &request) };
        Ok(bytes.len().saturating_sub(left))
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn open(mode: usize) -> usize {
    let name = c":tt"; // the console, whatever it is
    let request = [name.as_ptr().expose_provenance(), mode, name.count_bytes()];
    // SAFETY: SYS_OPEN reads the name, which is static.
    unsafe { syscall(nr::OPEN, &request) }
}

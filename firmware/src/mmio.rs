//! Registers of the board's peripherals.
#![allow(unsafe_code)]

use core::ptr;

/// A 32-bit register.
#[derive(Debug)]
pub(crate) struct Register(usize);

impl Register {
    /// The register at `address`.
    ///
    /// # Safety
    ///
    /// `address` must be that of a register that can be read and written at any
    /// time without touching memory that Rust knows of.
    pub(crate) const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    /// Reads the register.
    pub(crate) fn read(&self) -> u32 {
        // SAFETY: `at` was promised a register's address.
        unsafe { ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    /// Writes the register.
    pub(crate) fn write(&self, value: u32) {
        // SAFETY: `at` was promised a register's address.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }
}

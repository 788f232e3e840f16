//! The UART of Arm's Cortex-M System Design Kit.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};

use crate::boards::{UART_BASE, UART_BAUD};
use crate::mmio::Register;

const IS_FULL: u32 = 1 << 0;
const HAS_RECEIVED: u32 = 1 << 1;
const ENABLE: u32 = 0b11;

/// A UART that is asked whether it is ready, byte after byte.
#[derive(Debug)]
pub struct CmsdkUart {
    data: Register,
    state: Register,
}

impl CmsdkUart {
    /// The one that the board's file names, set up; its clock is `clock_hz`.
    #[allow(unsafe_code)]
    pub(crate) fn of_board(clock_hz: u32) -> Self {
        // SAFETY: the board's file has such a UART's address; the offsets are those
        // of its registers.
        let register = |offset| unsafe { Register::at(UART_BASE + offset) };
        register(0x10).write(clock_hz / UART_BAUD);
        register(0x8).write(ENABLE);
        let data = register(0);
        // What came before is of no use. QEMU, too, only listens after a read.
        data.read();
        Self {
            data,
            state: register(0x4),
        }
    }
}

impl ErrorType for CmsdkUart {
    type Error = Infallible;
}

impl Read for CmsdkUart {
    /// Waits for one byte.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        let Some(byte) = bytes.first_mut() else {
            return Ok(0);
        };
        while self.state.read() & HAS_RECEIVED == 0 {}
        *byte = self.data.read() as u8;
        Ok(1)
    }
}

impl Write for CmsdkUart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        for &byte in bytes {
            while self.state.read() & IS_FULL != 0 {}
            self.data.write(byte.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        while self.state.read() & IS_FULL != 0 {}
        Ok(())
    }
}

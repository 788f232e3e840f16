//! The camera in software, for the emulator and the tests: the registers and the
//! frame buffer as the driver sees them over SPI. Its pictures are made up.

use core::convert::Infallible;

use embedded_hal::spi::{ErrorType, Operation, SpiDevice};

use crate::scale::COLUMNS;
use crate::spi_camera::{BURST_READ, CLEAR, CONTROL, IS_DONE, START, STATUS, WRITE};

/// How often it is asked before a picture is there.
const BUSY_FOR: u32 = 3;

/// The camera.
#[derive(Debug)]
pub struct SimulatedCamera {
    /// Pictures taken.
    frame: usize,
    /// Bytes read of the last one.
    position: usize,
    asked: u32,
    is_broken: bool,
}

impl SimulatedCamera {
    /// A camera that works.
    pub const fn new() -> Self {
        Self {
            frame: 0,
            position: 0,
            asked: 0,
            is_broken: false,
        }
    }

    /// A camera that never has a picture.
    pub const fn broken() -> Self {
        Self {
            is_broken: true,
            ..Self::new()
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        match *bytes {
            [address, order] if address == CONTROL | WRITE => {
                if order & CLEAR != 0 {
                    self.position = 0;
                    self.asked = 0;
                }
                if order & START != 0 {
                    self.frame += 1;
                }
            }
            [BURST_READ] => {}
            _ => panic!("the camera has no command {bytes:02x?}"),
        }
    }

    fn status(&mut self) -> u8 {
        self.asked += 1;
        let is_done = self.asked > BUSY_FOR && !self.is_broken;
        if is_done { IS_DONE } else { 0 }
    }

    fn read(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let pixel = self.pixel(self.position / 2).to_be_bytes();
            *byte = pixel[self.position % 2];
            self.position += 1;
        }
    }

    /// A light sky over a darker sea, with a bright thing that moves.
    fn pixel(&self, place: usize) -> u16 {
        let (row, column) = (place / COLUMNS, place % COLUMNS);
        let thing = (40 + 20 * self.frame, 30 + 10 * self.frame);
        let is_thing = column.abs_diff(thing.0) < 24 && row.abs_diff(thing.1) < 9;
        let [red, green, blue] = match (is_thing, row < 60) {
            (true, _) => [30, 58, 28],
            (false, true) => [16 + row / 8, 40 + row / 8, 29],
            (false, false) => [4, 18 - row / 12, 14],
        };
        (red << 11 | green << 5 | blue) as u16
    }
}

impl Default for SimulatedCamera {
    fn default() -> Self {
        Self::new()
    }
}

impl ErrorType for SimulatedCamera {
    type Error = Infallible;
}

impl SpiDevice for SimulatedCamera {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), Infallible> {
        for operation in operations {
            match operation {
                Operation::Write(bytes) => self.write(bytes),
                Operation::Read(bytes) => self.read(bytes),
                Operation::TransferInPlace([STATUS, answer]) => *answer = self.status(),
                other => panic!("the camera does not understand {other:?}"),
            }
        }
        Ok(())
    }
}

impl embedded_hal_async::spi::SpiDevice for SimulatedCamera {
    async fn transaction(
        &mut self,
        operations: &mut [Operation<'_, u8>],
    ) -> Result<(), Infallible> {
        SpiDevice::transaction(self, operations)
    }
}

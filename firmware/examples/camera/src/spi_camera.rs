//! A camera with a frame buffer behind SPI: the ArduCAM Mini's, whose sensor has
//! been set to 160x120 pixels, RGB565.

use embedded_hal::spi::{Operation, SpiDevice};

use crate::scale::{ROW_BYTES, ROWS, Scaler};
use crate::{Frame, FrameSource};

// Registers of the ArduChip; the highest bit of the address writes.
pub(crate) const WRITE: u8 = 0x80;
pub(crate) const CONTROL: u8 = 0x04;
pub(crate) const CLEAR: u8 = 1 << 0;
pub(crate) const START: u8 = 1 << 1;
pub(crate) const STATUS: u8 = 0x41;
pub(crate) const IS_DONE: u8 = 1 << 3;
pub(crate) const BURST_READ: u8 = 0x3c;

/// How often the camera is asked whether the picture is there.
pub(crate) const PATIENCE: u32 = 100_000;

/// The camera.
#[derive(Debug)]
pub struct SpiCamera<D> {
    device: D,
}

/// Why there is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameraError<E> {
    /// The bus failed.
    Bus(E),
    /// The camera never said that the picture is there.
    NoFrame,
}

impl<D: SpiDevice> SpiCamera<D> {
    /// The camera at `device`.
    pub fn new(device: D) -> Self {
        Self { device }
    }

    fn wait(&mut self) -> Result<(), CameraError<D::Error>> {
        for _ in 0..PATIENCE {
            let mut answer = [STATUS, 0];
            self.device
                .transfer_in_place(&mut answer)
                .map_err(CameraError::Bus)?;
            if answer[1] & IS_DONE != 0 {
                return Ok(());
            }
        }
        Err(CameraError::NoFrame)
    }
}

impl<D: SpiDevice> FrameSource for SpiCamera<D> {
    type Error = CameraError<D::Error>;

    fn take(&mut self, frame: &mut Frame) -> Result<(), Self::Error> {
        for order in [CLEAR, START] {
            self.device
                .write(&[CONTROL | WRITE, order])
                .map_err(CameraError::Bus)?;
        }
        self.wait()?;
        // A row at a time: a picture has 38 400 bytes.
        let mut bytes = [0; ROW_BYTES];
        let mut scaler = Scaler::new();
        for row in 0..ROWS {
            let mut read = [Operation::Write(&[BURST_READ]), Operation::Read(&mut bytes)];
            self.device
                .transaction(&mut read)
                .map_err(CameraError::Bus)?;
            scaler.take(row, &bytes, frame);
        }
        Ok(())
    }
}

//! [`SpiCamera`](crate::SpiCamera) for executors: other tasks run while the bus
//! is busy.

use embedded_hal_async::spi::{Operation, SpiDevice};

use crate::Frame;
use crate::scale::{ROW_BYTES, ROWS, Scaler};
use crate::spi_camera::{
    BURST_READ, CLEAR, CONTROL, CameraError, IS_DONE, PATIENCE, START, STATUS, WRITE,
};

/// The camera.
#[derive(Debug)]
pub struct AsyncSpiCamera<D> {
    device: D,
}

impl<D: SpiDevice> AsyncSpiCamera<D> {
    /// The camera at `device`.
    pub fn new(device: D) -> Self {
        Self { device }
    }

    /// Takes a picture into `frame`.
    ///
    /// # Errors
    /// A [`CameraError`] of the bus or the camera.
    pub async fn take(&mut self, frame: &mut Frame) -> Result<(), CameraError<D::Error>> {
        for order in [CLEAR, START] {
            let sent = self.device.write(&[CONTROL | WRITE, order]).await;
            sent.map_err(CameraError::Bus)?;
        }
        self.wait().await?;
        let mut bytes = [0; ROW_BYTES];
        let mut scaler = Scaler::new();
        for row in 0..ROWS {
            let mut read = [Operation::Write(&[BURST_READ]), Operation::Read(&mut bytes)];
            let done = self.device.transaction(&mut read).await;
            done.map_err(CameraError::Bus)?;
            scaler.take(row, &bytes, frame);
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), CameraError<D::Error>> {
        for _ in 0..PATIENCE {
            let mut answer = [STATUS, 0];
            let asked = self.device.transfer_in_place(&mut answer).await;
            asked.map_err(CameraError::Bus)?;
            if answer[1] & IS_DONE != 0 {
                return Ok(());
            }
        }
        Err(CameraError::NoFrame)
    }
}

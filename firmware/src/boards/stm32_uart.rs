//! Serial ports of ST's chips, as the debug probes on the boards hand them on to the host.

use embassy_stm32::Peri;
use embassy_stm32::mode::Blocking;
use embassy_stm32::usart::{self, Error, Instance, RxPin, TxPin};
use embedded_io::{ErrorKind, ErrorType, Read, Write};

use super::UART_BAUD;

pub struct Uart(Option<usart::Uart<'static, Blocking>>);

impl core::fmt::Debug for Uart {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Uart").finish_non_exhaustive()
    }
}

impl Uart {
    /// None if the HAL refuses the rate; then every read is an error.
    pub(super) fn new<P: Instance>(
        port: Peri<'static, P>,
        receive: Peri<'static, impl RxPin<P>>,
        send: Peri<'static, impl TxPin<P>>,
    ) -> Self {
        let mut config = usart::Config::default();
        config.baudrate = UART_BAUD;
        Self(usart::Uart::new_blocking(port, receive, send, config).ok())
    }
}

impl ErrorType for Uart {
    type Error = ErrorKind;
}

impl Read for Uart {
    /// Waits for one byte.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        let (Some(port), Some(byte)) = (&mut self.0, bytes.first_mut()) else {
            return Ok(0);
        };
        loop {
            match port.blocking_read(core::slice::from_mut(byte)) {
                Ok(()) => return Ok(1),
                // Noise on a line that is not connected yet, or bytes that came
                // while an inference ran: what follows may be whole.
                Err(Error::Framing | Error::Noise | Error::Overrun | Error::Parity) => {}
                Err(_) => return Err(ErrorKind::Other),
            }
        }
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let port = self.0.as_mut().ok_or(ErrorKind::NotConnected)?;
        port.blocking_write(bytes)
            .map(|()| bytes.len())
            .map_err(|_| ErrorKind::Other)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        let port = self.0.as_mut().ok_or(ErrorKind::NotConnected)?;
        port.blocking_flush().map_err(|_| ErrorKind::Other)
    }
}

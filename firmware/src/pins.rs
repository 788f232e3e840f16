//! Output pins of the boards.

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, OutputPin};

use crate::mmio::Register;

/// A pin that is high when its bit of a register is set.
#[derive(Debug)]
pub struct RegisterPin {
    register: Register,
    mask: u32,
}

impl RegisterPin {
    /// The pin of the bits in `mask`; nothing else may write the register.
    pub(crate) const fn new(register: Register, mask: u32) -> Self {
        Self { register, mask }
    }
}

impl ErrorType for RegisterPin {
    type Error = Infallible;
}

impl OutputPin for RegisterPin {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        self.register.write(self.register.read() & !self.mask);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Self::Error> {
        self.register.write(self.register.read() | self.mask);
        Ok(())
    }
}

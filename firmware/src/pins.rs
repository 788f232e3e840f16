//! Output pins of boards that are used without a HAL.

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, OutputPin};

use crate::boards;
use crate::mmio::Register;

/// A pin that is high when its bit of a register is set.
#[derive(Debug)]
pub struct RegisterPin {
    register: Register,
    mask: u32,
}

impl RegisterPin {
    /// The one that the board's file names; nothing else may write its register.
    #[allow(unsafe_code)]
    pub(crate) const fn of_board() -> Self {
        let (address, mask) = boards::BUSY_REGISTER;
        // SAFETY: the board's file names an output register.
        let register = unsafe { Register::at(address) };
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

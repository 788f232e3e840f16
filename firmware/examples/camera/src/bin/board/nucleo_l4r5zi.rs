//! ST's NUCLEO-L4R5ZI, the camera on the Arduino connector: SCK PA5, MISO PA6,
//! MOSI PA7, chip select PD14. Blocking only.

use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::mode::Blocking;
use embassy_stm32::spi::mode::Master;
use embassy_stm32::spi::{self, Spi};
use embassy_stm32::time::mhz;
use embedded_hal_bus::spi::{ExclusiveDevice, NoDelay};

use super::fail;

type Bus = Spi<'static, Blocking, Master>;

pub(crate) fn camera() -> ExclusiveDevice<Bus, Output<'static>, NoDelay> {
    let peripherals = embassy_stm32::init(embassy_stm32::Config::default());
    let mut config = spi::Config::default();
    config.frequency = mhz(8);
    let bus = Spi::new_blocking(
        peripherals.SPI1,
        peripherals.PA5,
        peripherals.PA7,
        peripherals.PA6,
        config,
    );
    let select = Output::new(peripherals.PD14, Level::High, Speed::VeryHigh);
    match ExclusiveDevice::new_no_delay(bus, select) {
        Ok(device) => device,
        Err(problem) => fail(&problem),
    }
}

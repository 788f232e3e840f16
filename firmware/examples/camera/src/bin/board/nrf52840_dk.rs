//! Nordic's nRF52840 DK, the camera on the Arduino connector: SCK P1.15,
//! MISO P1.14, MOSI P1.13, chip select P1.12.

use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::spim::{self, Spim};
use embassy_nrf::{bind_interrupts, peripherals};
use embedded_hal_bus::spi::{ExclusiveDevice, NoDelay};

use super::fail;

bind_interrupts!(struct Interrupts {
    SPIM3 => spim::InterruptHandler<peripherals::SPI3>;
});

/// For the blocking and the asynchronous traits alike.
pub(crate) fn camera() -> ExclusiveDevice<Spim<'static>, Output<'static>, NoDelay> {
    let peripherals = embassy_nrf::init(embassy_nrf::config::Config::default());
    let mut config = spim::Config::default();
    config.frequency = spim::Frequency::M8;
    let bus = Spim::new(
        peripherals.SPI3,
        Interrupts,
        peripherals.P1_15,
        peripherals.P1_14,
        peripherals.P1_13,
        config,
    );
    let select = Output::new(peripherals.P1_12, Level::High, OutputDrive::Standard);
    match ExclusiveDevice::new_no_delay(bus, select) {
        Ok(device) => device,
        Err(problem) => fail(&problem),
    }
}

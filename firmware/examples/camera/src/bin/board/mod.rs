//! The parts of a board that the programs need: a camera on SPI, and a way to say what was
//! seen.

use cortex_m as _; // has the critical section that logs and channels take

#[cfg(feature = "nrf52840-dk")]
mod nrf52840_dk;
#[cfg(feature = "nucleo-l4r5zi")]
mod nucleo_l4r5zi;
#[cfg(feature = "qemu-mps2-an386")]
mod qemu;

#[cfg(feature = "nrf52840-dk")]
pub(crate) use nrf52840_dk::camera;
#[cfg(feature = "nucleo-l4r5zi")]
pub(crate) use nucleo_l4r5zi::camera;
#[cfg(feature = "qemu-mps2-an386")]
pub(crate) use qemu::{camera, fail, show};

#[cfg(not(feature = "qemu-mps2-an386"))]
pub(crate) use log::{fail, show};

/// Boards with a debug probe: defmt over RTT.
#[cfg(not(feature = "qemu-mps2-an386"))]
mod log {
    use core::fmt::Debug;
    use core::panic::PanicInfo;

    use camera::Prediction;
    use defmt_rtt as _;

    pub(crate) fn show(prediction: &Prediction) {
        defmt::info!("{=str}", prediction.label);
    }

    pub(crate) fn fail(problem: &dyn Debug) -> ! {
        defmt::error!("{}", defmt::Debug2Format(problem));
        loop {
            cortex_m::asm::wfi();
        }
    }

    #[panic_handler]
    fn panicked(info: &PanicInfo<'_>) -> ! {
        fail(info)
    }
}

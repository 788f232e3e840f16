//! The sniffer of the DMA controller of the RP2040 (data sheet, 2.5.5.2) and the RP2350
//! (12.6.8.2): a channel reads the bytes, flash through its cache, and writes them to one place,
//! and the sniffer divides what it reads.
//!
//! Neither chip has a data cache but that of the flash, so the channel reads what the core would.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;

use rp_pac::dma::vals::{Calc, DataSize, TreqSel};
use rp_pac::{DMA, RESETS};

pub(crate) const NAME: Option<&str> = Some("the DMA's sniffer");

/// Nothing else uses the controller.
const CHANNEL: usize = 0;
/// How often the controller is asked until it is given up, if nothing goes on: a byte of flash
/// takes some hundred cycles in its slowest mode.
const PATIENCE: u32 = 1 << 16;

/// Where the channel writes to.
struct Sink(UnsafeCell<u8>);

// SAFETY: nobody reads it, and only the controller writes it.
unsafe impl Sync for Sink {}

static SINK: Sink = Sink(UnsafeCell::new(0));

/// None if the controller does not answer, or stops before it is done.
pub(super) fn crc32_on(crc: u32, bytes: &[u8]) -> Option<u32> {
    let count = u32::try_from(bytes.len()).ok()?;
    if count == 0 {
        return Some(crc);
    }
    if !leave_reset() {
        return None;
    }
    DMA.sniff_ctrl().write(|sniffer| {
        sniffer.set_dmach(CHANNEL as u8);
        sniffer.set_calc(Calc::CRC32R);
        sniffer.set_out_rev(true);
        sniffer.set_out_inv(true);
        sniffer.set_en(true);
    });
    // Reversed and inverted when it is read only.
    DMA.sniff_data().write_value((!crc).reverse_bits());
    let channel = DMA.ch(CHANNEL);
    channel
        .read_addr()
        .write_value(bytes.as_ptr().expose_provenance() as u32);
    channel
        .write_addr()
        .write_value(SINK.0.get().expose_provenance() as u32);
    #[cfg(feature = "rpi-pico")]
    channel.trans_count().write_value(count);
    #[cfg(feature = "rpi-pico2")]
    channel
        .trans_count()
        .write(|transfers| transfers.set_count(count));
    // What the core has written to memory is there.
    cortex_m::asm::dmb();
    channel.ctrl_trig().write(|control| {
        control.set_data_size(DataSize::SIZE_BYTE);
        control.set_incr_read(true);
        control.set_treq_sel(TreqSel::PERMANENT);
        // To itself is to none.
        control.set_chain_to(CHANNEL as u8);
        control.set_irq_quiet(true);
        control.set_sniff_en(true);
        control.set_en(true);
    });
    let is_done = is_done();
    if !is_done {
        DMA.chan_abort()
            .write(|channels| channels.set_chan_abort(1 << CHANNEL));
    }
    let found = DMA.sniff_data().read();
    DMA.sniff_ctrl().write(|_| {});
    is_done.then_some(found)
}

/// Lets the controller out of its reset; false if it stays there.
fn leave_reset() -> bool {
    RESETS.reset().modify(|reset| reset.set_dma(false));
    (0..PATIENCE).any(|_| RESETS.reset_done().read().dma())
}

/// Waits until the channel has done all; false if it stops before.
fn is_done() -> bool {
    let channel = DMA.ch(CHANNEL);
    let (mut left, mut patience) = (0, PATIENCE);
    while patience > 0 {
        let control = channel.ctrl_trig().read();
        if control.ahb_error() {
            return false;
        }
        if !control.busy() {
            return true;
        }
        #[cfg(feature = "rpi-pico")]
        let now = channel.trans_count().read();
        #[cfg(feature = "rpi-pico2")]
        let now = channel.trans_count().read().count();
        patience = if now == left { patience - 1 } else { PATIENCE };
        left = now;
    }
    false
}

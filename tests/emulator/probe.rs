//! Faults between the tool and the chip, injected into the virtual probe.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tadpool_boards::Board;
use tadpool_probe::qemu::{Emulator, Tamper};
use tadpool_probe::session::{Session, SessionError};
use tadpool_probe::{Connection, Options, ProbeError, connect};

use super::{TIMEOUT, image, on_host, picture, without_addresses};

const START_TIME: Duration = Duration::from_secs(2);
const CPUID: u64 = 0xe000_ed00;
const DHCSR: u64 = 0xe000_edf0;

/// A machine with something between its core and its probe.
fn tampered(tamper: impl Tamper + 'static) -> (Board, Emulator, Options) {
    let board = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
    let emulator = Emulator::start_tampered(&board, Some(Box::new(tamper))).unwrap();
    let options = Options {
        probe: Some(emulator.selector()),
        ..Options::default()
    };
    (board, emulator, options)
}

/// Why no connection comes about.
fn refusal(tamper: impl Tamper + 'static) -> String {
    let (board, _emulator, options) = tampered(tamper);
    connect(&board, &options).unwrap_err().to_string()
}

fn broken_cable() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "no such device")
}

/// Classifies a picture, as the host does.
fn works(connection: Connection) {
    let (_, image) = image(tadpool_boards::DEFAULT_BOARD);
    let link = connection.run(&image.path, TIMEOUT).unwrap();
    let mut session = Session::start(link, TIMEOUT).unwrap();
    let picture = picture(1);
    assert_eq!(session.infer(&picture).unwrap().logits, on_host(&picture).0);
}

#[derive(Debug)]
struct Dead;

impl Tamper for Dead {
    fn read(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(broken_cable())
    }
}

#[test]
fn a_chip_that_does_not_answer_is_told() {
    insta::assert_snapshot!(refusal(Dead));
}

/// A cable that is good for the slowest speed only.
#[derive(Debug, Default)]
struct LongCable {
    khz: u32,
}

impl Tamper for LongCable {
    fn speed(&mut self, khz: u32) -> io::Result<()> {
        self.khz = khz;
        Ok(())
    }

    fn read(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
        match self.khz {
            0..=100 => Ok(()),
            _ => Err(broken_cable()),
        }
    }
}

#[test]
fn a_long_cable_gets_a_slow_speed() {
    let (board, _emulator, options) = tampered(LongCable::default());
    let options = Options {
        speed_khz: Some(10_000),
        ..options
    };
    connect(&board, &options).unwrap();
}

/// A chip that only answers while its reset pin was held before.
#[test]
fn a_chip_is_attached_to_under_reset() {
    let (board, image) = image(tadpool_boards::DEFAULT_BOARD);
    let options = Options {
        under_reset: true,
        ..Options::default()
    };
    let mut connection = connect(&board, &options).unwrap();
    connection.flash(&image.path, &()).unwrap();
    works(connection);
}

#[derive(Debug)]
struct OtherCore;

impl Tamper for OtherCore {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        if address == CPUID {
            bytes.copy_from_slice(&0x411f_c272_u32.to_le_bytes());
        }
        Ok(())
    }
}

#[test]
fn another_core_is_refused() {
    insta::assert_snapshot!(refusal(OtherCore));
}

/// A core that never says that it halts.
#[derive(Debug)]
struct Stuck;

impl Tamper for Stuck {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        const HALTED: u8 = 1 << 1;
        if address == DHCSR {
            bytes[2] &= !HALTED;
        }
        Ok(())
    }
}

#[test]
fn a_core_that_does_not_halt_is_told() {
    insta::assert_snapshot!(refusal(Stuck));
}

/// A cable that is pulled out after some bytes, and plugged in again.
#[derive(Debug)]
struct PulledOut {
    bytes_left: u64,
    plugged_in_again: Arc<AtomicBool>,
}

impl Tamper for PulledOut {
    fn write(&mut self, _: u64, bytes: &[u8]) -> io::Result<()> {
        if self.plugged_in_again.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes.len() as u64);
        match self.bytes_left {
            0 => Err(broken_cable()),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_flash_that_was_interrupted_is_repaired_by_the_next() {
    let (_, image) = image(tadpool_boards::DEFAULT_BOARD);
    let plugged_in_again = Arc::new(AtomicBool::new(false));
    let (board, _emulator, options) = tampered(PulledOut {
        bytes_left: 200_000,
        plugged_in_again: Arc::clone(&plugged_in_again),
    });
    let mut connection = connect(&board, &options).unwrap();
    let error = connection.flash(&image.path, &()).unwrap_err();
    assert!(matches!(error, ProbeError::LostInFlash { .. }), "{error}");
    let text = error.to_string();
    let total = text
        .split_once(" of ")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap();
    insta::assert_snapshot!(text.replace(total, "TOTAL"));
    drop(connection);

    plugged_in_again.store(true, Ordering::Relaxed);
    let mut connection = connect(&board, &options).unwrap();
    let flashed = connection.flash_if_needed(&image.path, &()).unwrap();
    assert!(
        flashed.time.is_some(),
        "half an image was taken for a whole one"
    );
    drop(connection);
    let mut connection = connect(&board, &options).unwrap();
    let flashed = connection.flash_if_needed(&image.path, &()).unwrap();
    assert_eq!(flashed.time, None, "an image was written twice");
    works(connection);
}

/// A flash that has lost a bit.
#[derive(Debug)]
struct WornOut;

impl Tamper for WornOut {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        if let Some(byte) = bytes.get_mut(100)
            && address < 0x0040_0000
        {
            *byte ^= 0x10;
        }
        Ok(())
    }
}

#[test]
fn a_flash_that_holds_other_bytes_is_told() {
    let (_, image) = image(tadpool_boards::DEFAULT_BOARD);
    let (board, _emulator, options) = tampered(WornOut);
    let mut connection = connect(&board, &options).unwrap();
    let error = connection.flash(&image.path, &()).unwrap_err();
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn a_firmware_that_does_not_start_is_told() {
    let (board, image) = image(tadpool_boards::DEFAULT_BOARD);
    // The machine's memory has no firmware, so the core stays where it is.
    let connection = connect(&board, &Options::default()).unwrap();
    let error = connection.run(&image.path, START_TIME).unwrap_err();
    assert!(matches!(error, ProbeError::Silent { .. }), "{error}");
    insta::assert_snapshot!(without_addresses(&error.to_string()));
}

#[test]
fn an_emulator_that_ends_is_told() {
    let (_, image) = image(tadpool_boards::DEFAULT_BOARD);
    #[derive(Debug)]
    struct Nothing;
    impl Tamper for Nothing {}
    let (board, mut emulator, options) = tampered(Nothing);
    let mut connection = connect(&board, &options).unwrap();
    connection.flash(&image.path, &()).unwrap();
    let link = connection.run(&image.path, TIMEOUT).unwrap();
    let mut session = Session::start(link, TIMEOUT).unwrap();
    emulator.kill();
    let error = session.infer(&picture(2)).unwrap_err();
    assert!(matches!(error, SessionError::Gone { .. }), "{error}");
    assert!(error.to_string().contains("infer"), "{error}");
}

/// A probe whose user is gone can be opened again; one in use cannot.
#[test]
fn a_probe_has_one_user_at_a_time() {
    #[derive(Debug)]
    struct Count(Arc<AtomicU64>);
    impl Tamper for Count {
        fn read(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
    let reads = Arc::new(AtomicU64::new(0));
    let (board, _emulator, options) = tampered(Count(Arc::clone(&reads)));
    let first = connect(&board, &options).unwrap();
    assert!(reads.load(Ordering::Relaxed) > 0);
    let error = connect(&board, &options).unwrap_err();
    assert!(matches!(error, ProbeError::Open { .. }), "{error}");
    drop(first);
    connect(&board, &options).unwrap();
}

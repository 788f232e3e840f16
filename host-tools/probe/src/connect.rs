//! From a board's name to a debug session with its chip.

use std::ffi::OsString;
use std::time::Duration;

use probe_rs::architecture::arm::ArmError;
use probe_rs::config::TargetSelector;
use probe_rs::probe::list::{Accessibility, Lister, ProbeListItem};
use probe_rs::probe::{
    DebugProbeError, DebugProbeSelector, Probe, ProbeCreationError, WireProtocol,
};
use probe_rs::{Error, MemoryInterface as _, Permissions, Session, Target};
use serde::Serialize;

use super::chip::target;
use super::error::{ProbeError, causes, is_late};
use super::qemu::{self, Emulator, EmulatorError};
use tadpool_boards::{Board, Identity, Runner};
use tadpool_toolchain::emulator::has_qemu;

/// Speeds that are tried after the board's own, for cables that are long or
/// boards whose clock is slow.
const SLOWER_KHZ: [u32; 2] = [1000, 100];
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const HALT_TIME: Duration = Duration::from_secs(2);
const CPUID: u64 = 0xe000_ed00;

/// How the user wants the board to be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Which probe, as VENDOR:PRODUCT or VENDOR:PRODUCT:SERIAL.
    pub probe: Option<String>,
    /// Speed of the wires, instead of the board's.
    pub speed_khz: Option<u32>,
    /// probe-rs' name of the chip, instead of the board's.
    pub chip: Option<String>,
    /// Attach only while the reset pin is held.
    pub under_reset: bool,
    /// Unlock a locked chip, which erases it.
    pub allow_erase: bool,
    /// Longest time for an answer of an emulator; 20 s if none.
    pub answer_time: Option<Duration>,
    /// More arguments of an emulator.
    pub emulator_arguments: Vec<OsString>,
}

/// A debug probe that is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundProbe {
    /// How it is selected.
    pub selector: String,
    /// The name that it reports.
    pub name: String,
    /// Whether the user may open it.
    pub accessible: bool,
}

/// A debug session with a board's chip.
#[derive(Debug)]
pub struct Connection {
    pub(super) session: Session,
    pub(super) chip: String,
    /// Whether this session has written an image to RAM, which a reset would lose.
    pub(super) is_loaded: bool,
    /// The emulated board, if this connection started it. Dropped last.
    pub(super) emulator: Option<Emulator>,
}

/// The debug probes that are connected.
pub fn list() -> Vec<FoundProbe> {
    qemu::register();
    found(&Lister::new())
        .into_iter()
        .map(|(found, _)| found)
        .collect()
}

/// Whether [`connect`] has what it needs to try: probe-rs knows the chip, and there is the debug
/// probe; or QEMU, for an emulated board.
///
/// # Errors
/// A [`ProbeError`] that says what to do.
pub fn check(board: &Board, options: &Options) -> Result<(), ProbeError> {
    if matches!(board.runner, Runner::Qemu(_)) && options.probe.is_none() {
        return match has_qemu() {
            true => Ok(()),
            false => Err(EmulatorError::Missing.into()),
        };
    }
    qemu::register();
    target(board, options)?;
    choose(&Lister::new(), options.probe.as_deref()).map(drop)
}

/// Attaches to the chip of `board`; an emulated one is started for it, unless a
/// probe is named.
///
/// # Errors
/// A [`ProbeError`] that says what to do.
pub fn connect(board: &Board, options: &Options) -> Result<Connection, ProbeError> {
    qemu::register();
    let mut options = options.clone();
    let emulator = match (&board.runner, &options.probe) {
        (Runner::Qemu(_), None) => {
            let answer_time = options.answer_time.unwrap_or(qemu::ANSWER_TIME);
            let arguments = &options.emulator_arguments;
            let emulator = Emulator::start_limited(board, None, answer_time, arguments)?;
            options.probe = Some(emulator.selector());
            Some(emulator)
        }
        _ => None,
    };
    let (session, chip) = open(&Lister::new(), board, &options)?;
    let mut connection = Connection {
        session,
        chip,
        is_loaded: false,
        emulator,
    };
    connection.check_core(board)?;
    connection.check_identity(board)?;
    Ok(connection)
}

impl Connection {
    /// The broken connection, with the emulator's own message if there is one.
    pub(super) fn cause(&mut self, error: &dyn std::error::Error) -> String {
        let cause = causes(error);
        match &mut self.emulator {
            // One that no longer answers has not ended.
            Some(emulator) if !is_late(error) => format!("{cause}: {}", emulator.reason()),
            _ => cause,
        }
    }

    /// The value of the register by which the chip tells which one it is; none if the
    /// board's file knows no such register.
    ///
    /// # Errors
    /// A [`ProbeError`] if it cannot be read.
    pub fn identity(&mut self, board: &Board) -> Result<Option<u32>, ProbeError> {
        let Some(identity) = &board.identity else {
            return Ok(None);
        };
        let read = self
            .session
            .core(0)
            .and_then(|mut core| core.read_word_32(identity.register.into()));
        let found = read.map_err(|error| ProbeError::Lost {
            doing: "it was asked which chip it is",
            cause: self.cause(&error),
        })?;
        Ok(Some(found))
    }

    /// Refuses a chip that is not the board's, or of a revision that its file does not suit.
    fn check_identity(&mut self, board: &Board) -> Result<(), ProbeError> {
        let found = self.identity(board)?;
        match (&board.identity, found) {
            (Some(identity), Some(found)) => suits(board, identity, found),
            _ => Ok(()),
        }
    }

    /// Refuses a core that is not the board's.
    fn check_core(&mut self, board: &Board) -> Result<(), ProbeError> {
        let read = |session: &mut Session| {
            let mut core = session.core(0)?;
            let cpuid = core.read_word_32(CPUID)?;
            core.halt(HALT_TIME)?;
            core.run()?;
            Ok(cpuid)
        };
        let cpuid = match read(&mut self.session) {
            Ok(cpuid) => cpuid,
            Err(error) if is_timeout(&error) => {
                return Err(ProbeError::Stuck {
                    chip: self.chip.clone(),
                });
            }
            Err(error) => {
                return Err(ProbeError::Lost {
                    doing: "it was asked what it is",
                    cause: self.cause(&error),
                });
            }
        };
        let found = core_name(cpuid);
        let expected = board.core.trim_end_matches('F');
        match expected == found || expected == architecture(found) {
            true => Ok(()),
            false => Err(ProbeError::WrongCore {
                board: board.name.clone(),
                expected: board.core.clone(),
                found: found.to_owned(),
                cpuid,
            }),
        }
    }
}

/// Refuses what a chip's register says, if the board's file is for another chip.
fn suits(board: &Board, identity: &Identity, found: u32) -> Result<(), ProbeError> {
    let revision = (found >> 16) as u16;
    if found & identity.mask != identity.value {
        return Err(ProbeError::WrongChip {
            board: board.name.clone(),
            chip: board.chip.clone(),
            register: identity.register,
            expected: identity.value,
            found: found & identity.mask,
        });
    }
    match identity.oldest_revision {
        Some(oldest) if revision < oldest => Err(ProbeError::OldRevision {
            board: board.name.clone(),
            oldest,
            found: revision,
        }),
        _ => Ok(()),
    }
}

/// The core that says `cpuid` of itself.
fn core_name(cpuid: u32) -> &'static str {
    match cpuid >> 4 & 0xfff {
        0xc20 => "Cortex-M0",
        0xc60 => "Cortex-M0+",
        0xc21 => "Cortex-M1",
        0xc23 => "Cortex-M3",
        0xc24 => "Cortex-M4",
        0xc27 => "Cortex-M7",
        0xd20 => "Cortex-M23",
        0xd21 => "Cortex-M33",
        0xd22 => "Cortex-M55",
        0xd23 => "Cortex-M85",
        _ => "processor that is not known here",
    }
}

/// The architecture of a core, which is all that is known of some boards'.
fn architecture(core: &str) -> &'static str {
    match core {
        "Cortex-M0" | "Cortex-M0+" | "Cortex-M1" => "Armv6-M",
        "Cortex-M3" => "Armv7-M",
        "Cortex-M4" | "Cortex-M7" => "Armv7E-M",
        "Cortex-M33" | "Cortex-M55" | "Cortex-M85" => "Armv8-M",
        // Among them Cortex-M23, which lacks instructions that others of Armv8-M have.
        _ => "",
    }
}

/// Opens the probe and attaches, more and more carefully.
fn open(
    lister: &Lister,
    board: &Board,
    options: &Options,
) -> Result<(Session, String), ProbeError> {
    let target = target(board, options)?;
    let chip = target.name.clone();
    let selector = choose(lister, options.probe.as_deref())?;
    let (wanted_khz, under_reset) = match &board.runner {
        Runner::Probe(probe) => (probe.speed_khz, probe.under_reset || options.under_reset),
        Runner::Qemu(_) => (SLOWER_KHZ[0], options.under_reset),
    };
    let wanted_khz = options.speed_khz.unwrap_or(wanted_khz);
    let slower = SLOWER_KHZ.into_iter().filter(|khz| *khz < wanted_khz);
    let speeds_khz: Vec<u32> = std::iter::once(wanted_khz).chain(slower).collect();
    let slowest_khz = speeds_khz.last().copied().unwrap_or(wanted_khz);
    let tries = speeds_khz
        .iter()
        .map(|khz| (*khz, under_reset))
        .chain((!under_reset).then_some((slowest_khz, true)));
    let mut cause = String::new();
    let mut is_stuck = false;
    for (speed_khz, under_reset) in tries {
        let probe = open_probe(lister, &selector)?;
        match attach(
            probe,
            target.clone(),
            speed_khz,
            under_reset,
            options.allow_erase,
        ) {
            Ok(session) => return Ok((session, chip)),
            Err(error) if is_locked(&error) => {
                let cause = causes(&error);
                return Err(ProbeError::Locked { chip, cause });
            }
            Err(error) => {
                // It answered, and then did not do as it was told.
                is_stuck |= is_timeout(&error);
                cause = causes(&error);
            }
        }
        std::thread::sleep(RETRY_PAUSE);
    }
    if is_stuck {
        return Err(ProbeError::Stuck { chip });
    }
    Err(ProbeError::Attach {
        chip,
        speeds_khz,
        cause,
    })
}

fn attach(
    mut probe: Probe,
    target: Target,
    speed_khz: u32,
    under_reset: bool,
    allow_erase: bool,
) -> Result<Session, Error> {
    match probe.set_speed(speed_khz) {
        // Some probes have one speed only.
        Ok(_)
        | Err(
            DebugProbeError::UnsupportedSpeed(_)
            | DebugProbeError::CommandNotSupportedByProbe { .. }
            | DebugProbeError::NotImplemented { .. },
        ) => {}
        Err(error) => return Err(error.into()),
    }
    probe.select_protocol(WireProtocol::Swd)?;
    let permissions = match allow_erase {
        true => Permissions::default().allow_erase_all(),
        false => Permissions::default(),
    };
    let target = TargetSelector::Specified(target);
    match under_reset {
        true => probe.attach_under_reset(target, permissions),
        false => probe.attach(target, permissions),
    }
}

fn is_timeout(error: &Error) -> bool {
    matches!(error, Error::Timeout | Error::Arm(ArmError::Timeout))
}

/// Whether the chip refuses rather than fails to answer.
fn is_locked(error: &Error) -> bool {
    matches!(
        error,
        Error::MissingPermissions(_) | Error::Arm(ArmError::MissingPermissions(_))
    )
}

fn open_probe(lister: &Lister, selector: &DebugProbeSelector) -> Result<Probe, ProbeError> {
    lister.open(selector.clone()).map_err(|error| {
        let selector = selector.to_string();
        match error {
            DebugProbeError::ProbeCouldNotBeCreated(ProbeCreationError::NotFound) => {
                ProbeError::NoSuchProbe {
                    selector,
                    found: selectors(&found(lister)),
                }
            }
            error => ProbeError::Open {
                selector,
                cause: causes(&error),
            },
        }
    })
}

/// The probe that is named, or the only one.
fn choose(lister: &Lister, named: Option<&str>) -> Result<DebugProbeSelector, ProbeError> {
    let found = found(lister);
    let (selector, candidates) = match named {
        Some(named) => {
            let selector: DebugProbeSelector = named.parse().map_err(|_| ProbeError::Selector {
                selector: named.to_owned(),
            })?;
            let matches: Vec<_> = found
                .iter()
                .filter(|(_, item)| selector.matches_probe(&item.info))
                .collect();
            (Some(selector), matches)
        }
        None => (None, found.iter().collect()),
    };
    match (&candidates[..], selector) {
        ([], Some(selector)) => Err(ProbeError::NoSuchProbe {
            selector: selector.to_string(),
            found: selectors(&found),
        }),
        ([], None) => Err(ProbeError::NoProbe),
        ([(found, _)], _) if !found.accessible => Err(ProbeError::Permission {
            selector: found.selector.clone(),
        }),
        ([(_, item)], _) => Ok(DebugProbeSelector::from(&item.info)),
        (several, _) => Err(ProbeError::SeveralProbes {
            found: several
                .iter()
                .map(|(one, _)| one.selector.clone())
                .collect(),
        }),
    }
}

fn found(lister: &Lister) -> Vec<(FoundProbe, ProbeListItem)> {
    let describe = |item: ProbeListItem| {
        let found = FoundProbe {
            selector: DebugProbeSelector::from(&item.info).to_string(),
            name: item.info.identifier.clone(),
            accessible: item.accessibility == Accessibility::Accessible,
        };
        (found, item)
    };
    lister
        .list_all_with_access()
        .into_iter()
        .map(describe)
        .collect()
}

fn selectors(found: &[(FoundProbe, ProbeListItem)]) -> Vec<String> {
    found
        .iter()
        .map(|(found, _)| found.selector.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use probe_rs::probe::list::ProbeLister;
    use probe_rs::probe::{DebugProbe, DebugProbeInfo, ProbeFactory};

    use super::*;

    /// A desk with probes on it, none of which can be opened.
    #[derive(Debug)]
    struct Desk(Vec<(&'static str, Accessibility)>);

    #[derive(Debug)]
    struct Factory;

    impl std::fmt::Display for Factory {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a desk")
        }
    }

    impl ProbeFactory for Factory {
        fn open(&self, _: &DebugProbeSelector) -> Result<Box<dyn DebugProbe>, DebugProbeError> {
            Err(ProbeCreationError::CouldNotOpen.into())
        }

        fn list_probes(&self) -> Vec<ProbeListItem> {
            Vec::new()
        }
    }

    impl ProbeLister for Desk {
        fn open(&self, selector: &DebugProbeSelector) -> Result<Probe, DebugProbeError> {
            Factory.open(selector).map(Probe::from_specific_probe)
        }

        fn list_with_access(&self, _: Option<&DebugProbeSelector>) -> Vec<ProbeListItem> {
            let item = |(serial, accessibility): &(&str, Accessibility)| {
                let serial = Some((*serial).to_owned());
                let info = DebugProbeInfo::new(
                    "STLink V2-1",
                    0x483,
                    0x374b,
                    serial,
                    &Factory,
                    None,
                    false,
                );
                ProbeListItem {
                    accessibility: *accessibility,
                    ..ProbeListItem::accessible(info)
                }
            };
            self.0.iter().map(item).collect()
        }
    }

    fn refusal(probes: &[(&'static str, Accessibility)], options: Options) -> String {
        let board = Board {
            runner: Runner::Probe(tadpool_boards::Probe {
                speed_khz: 4000,
                under_reset: false,
                flash_algorithms: Vec::new(),
            }),
            chip: "STM32F746NG".into(),
            ..tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap()
        };
        let lister = Lister::with_lister(Box::new(Desk(probes.to_vec())));
        open(&lister, &board, &options).unwrap_err().to_string()
    }

    #[test]
    fn probes_that_are_not_usable_are_told() {
        use Accessibility::{Accessible, PermissionDenied};
        let named = |probe: &str| Options {
            probe: Some(probe.into()),
            ..Options::default()
        };
        let chip = |chip: &str| Options {
            chip: Some(chip.into()),
            ..Options::default()
        };
        let (one, other) = (("066B", Accessible), ("0670", Accessible));
        let cases = [
            ("none", refusal(&[], Options::default())),
            ("two", refusal(&[one, other], Options::default())),
            ("another", refusal(&[one], named("0483:374b:0670"))),
            ("none of that name", refusal(&[], named("0483:374b"))),
            (
                "two of that name",
                refusal(&[one, other], named("0483:374b")),
            ),
            ("no name", refusal(&[one], named("the blue one"))),
            (
                "not permitted",
                refusal(&[("066B", PermissionDenied)], Options::default()),
            ),
            ("in use", refusal(&[one], Options::default())),
            ("unknown chip", refusal(&[one], chip("STM32F746NX"))),
            ("part of a chip's name", refusal(&[one], chip("STM32F746N"))),
        ];
        let text: Vec<String> = cases
            .iter()
            .map(|(name, text)| format!("{name}: {text}"))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    /// probe-rs knows each chip, and has memory where the board's file has it.
    #[test]
    fn the_boards_chips_are_known() {
        for name in tadpool_boards::names() {
            let board = tadpool_boards::find(name).unwrap();
            if !matches!(board.runner, Runner::Probe(_)) {
                continue;
            }
            let target = target(&board, &Options::default()).unwrap();
            for place in [&board.layout.code, &board.layout.ram] {
                let region = board.memory[place];
                let (start, end) = (region.origin, region.origin + (region.length - 1));
                let holds = |address: u32| {
                    let mut ranges = target
                        .memory_map
                        .iter()
                        .map(|region| region.address_range());
                    ranges.any(|range| range.contains(&u64::from(address)))
                };
                assert!(holds(start) && holds(end), "{name}: {place}");
            }
        }
    }

    #[test]
    fn a_locked_chip_is_told() {
        let error = Error::MissingPermissions("erase_all".into());
        assert!(is_locked(&error));
        assert!(!is_locked(&Error::Timeout));
        let error = ProbeError::Locked {
            chip: "nRF52840_xxAA".into(),
            cause: causes(&error),
        };
        insta::assert_snapshot!(error.to_string());
    }

    #[test]
    fn another_chip_and_an_older_revision_are_told() {
        let board = tadpool_boards::find("nucleo-h743zi2").unwrap();
        let identity = board.identity.unwrap();
        assert!(suits(&board, &identity, 0x2003_6450).is_ok());
        let told = |found| suits(&board, &identity, found).unwrap_err().to_string();
        let (other, older) = (told(0x2003_6449), told(0x1003_6450));
        assert!(
            other.contains("00000450") && other.contains("00000449"),
            "{other}"
        );
        assert!(older.contains("1003") && older.contains("2003"), "{older}");
    }
}

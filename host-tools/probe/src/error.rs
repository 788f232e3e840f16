//! Errors between the tool and a board, and what to do about them.

use std::error::Error;
use std::path::PathBuf;

use super::qemu::EmulatorError;
use tadpool_image::elf::ElfError;

/// A board that cannot be reached, flashed or run.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The board is emulated, and the emulator does not start.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// There is no probe.
    #[error(
        "no debug probe is connected; plug the board in at its debugger's USB socket, or take an \
         emulated board, such as `--board qemu-mps2-an386`"
    )]
    NoProbe,
    /// There are several.
    #[error("there are {} debug probes; choose one: {}", found.len(), choices(found))]
    SeveralProbes {
        /// How each is selected.
        found: Vec<String>,
    },
    /// The one that was asked for is not there.
    #[error(
        "there is no debug probe `{selector}`; {}",
        match found.is_empty() {
            true => "none is connected".to_owned(),
            false => format!("there is {}", choices(found)),
        }
    )]
    NoSuchProbe {
        /// The selection that was asked for.
        selector: String,
        /// How each that is there is selected.
        found: Vec<String>,
    },
    /// The selection matches no probe.
    #[error(
        "`--probe {selector}` selects no debug probe: it is VENDOR:PRODUCT or \
         VENDOR:PRODUCT:SERIAL, as `tadpool probes` lists them"
    )]
    Selector {
        /// The selection that was asked for.
        selector: String,
    },
    /// The user may not open it.
    #[error(
        "the debug probe `{selector}` is connected, but you may not open it; allow it with \
         probe-rs' udev rules (https://probe.rs/docs/getting-started/probe-setup) and plug it in \
         again"
    )]
    Permission {
        /// How it is selected.
        selector: String,
    },
    /// It cannot be opened.
    #[error(
        "the debug probe `{selector}` cannot be opened: {cause}; end other programs that use it, \
         or plug it in again"
    )]
    Open {
        /// How it is selected.
        selector: String,
        /// Why not.
        cause: String,
    },
    /// probe-rs does not know the chip.
    #[error(
        "probe-rs knows no chip `{chip}`{}",
        match similar.is_empty() {
            true => "; correct `chip` in the board's file, or pass `--chip`".to_owned(),
            false => format!("; pass `--chip` with one of {}", similar.join(", ")),
        }
    )]
    UnknownChip {
        /// The name.
        chip: String,
        /// Names that are like it.
        similar: Vec<String>,
    },
    /// probe-rs has no such flash algorithm for the chip.
    #[error(
        "probe-rs has no flash algorithm `{algorithm}` for `{chip}`; correct \
         `flash_algorithms` in the board's file: {}",
        known.join(", ")
    )]
    NoFlashAlgorithm {
        /// The chip.
        chip: String,
        /// The name in the board's file.
        algorithm: String,
        /// Names that there are.
        known: Vec<String>,
    },
    /// No chip answers.
    #[error(
        "no `{chip}` answers at the debug probe, at {} kHz, nor while its reset is held: {cause}; \
         check that the board has power and the cable is good",
        speeds_khz.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
    )]
    Attach {
        /// The chip that was expected.
        chip: String,
        /// Speeds that were tried.
        speeds_khz: Vec<u32>,
        /// Why the last try failed.
        cause: String,
    },
    /// Another chip answers.
    #[error(
        "board `{board}` has a {expected}, but a {found} answers (CPUID {cpuid:08x}); pass the \
         `--board` that is connected"
    )]
    WrongCore {
        /// Name of the board.
        board: String,
        /// The core that the board has.
        expected: String,
        /// The core that answers.
        found: String,
        /// The probe's own description.
        cpuid: u32,
    },
    /// Another chip of the same core answers.
    #[error(
        "board `{board}` has a {chip}, but another chip answers ({register:08x} holds \
         {found:08x}, not {expected:08x}); pass the `--board` that is connected"
    )]
    WrongChip {
        /// Name of the board.
        board: String,
        /// The chip that it has.
        chip: String,
        /// The register by which the chip tells.
        register: u32,
        /// The value of this chip.
        expected: u32,
        /// The value that was read.
        found: u32,
    },
    /// The chip is older than the board's file is for.
    #[error(
        "board `{board}` is for revisions of the chip from {oldest:04x}, and this one is \
         {found:04x}, which may not run at its clock; pass the `--board` of the older one"
    )]
    OldRevision {
        /// Name of the board.
        board: String,
        /// The oldest that it suits.
        oldest: u16,
        /// The one that is there.
        found: u16,
    },
    /// The chip refuses to be debugged.
    #[error(
        "`{chip}` is locked against debugging; `--allow-erase` unlocks it and erases all of its \
         flash ({cause})"
    )]
    Locked {
        /// The chip.
        chip: String,
        /// probe-rs's error.
        cause: String,
    },
    /// The core does not stop.
    #[error(
        "the core of `{chip}` answers, but does not halt when it is told to, nor while its reset \
         is held; take the board's power away and give it back"
    )]
    Stuck {
        /// The chip.
        chip: String,
    },
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ElfError),
    /// The image does not belong onto this chip.
    #[error("`{}` cannot be flashed to `{chip}`: {cause}", image.display())]
    Unsuited {
        /// The image.
        image: PathBuf,
        /// The chip.
        chip: String,
        /// Why not.
        cause: String,
    },
    /// The link broke off while the flash was written.
    #[error(
        "the board was lost while its flash was written, after {} of {} KiB: {cause}; connect it \
         again and repeat the command, which writes the whole image anew",
        written_bytes / 1024,
        total_bytes / 1024
    )]
    LostInFlash {
        /// Bytes that were written.
        written_bytes: u64,
        /// Bytes of the image.
        total_bytes: u64,
        /// The error of the connection.
        cause: String,
    },
    /// The flash holds other bytes than were written.
    #[error(
        "the flash of `{chip}` does not hold what was written to it; repeat the command with a \
         lower `--speed`, and if that fails too, the flash is worn out"
    )]
    Verify {
        /// The chip.
        chip: String,
    },
    /// The flash cannot be written.
    #[error("the flash of `{chip}` cannot be written: {cause}")]
    Flash {
        /// The chip.
        chip: String,
        /// probe-rs's error.
        cause: String,
    },
    /// The link broke off.
    #[error("the board was lost while {doing}: {cause}; connect it again")]
    Lost {
        /// The operation that failed.
        doing: &'static str,
        /// The error of the connection.
        cause: String,
    },
    /// The firmware does not set up its link.
    #[error(
        "the firmware did not start within {seconds} s: {state}; see `tadpool logs`, or flash \
         this board's image again"
    )]
    Silent {
        /// How long was waited.
        seconds: u64,
        /// The state that the core is in instead.
        state: String,
    },
}

fn choices(found: &[String]) -> String {
    let choices: Vec<String> = found.iter().map(|one| format!("`--probe {one}`")).collect();
    choices.join(", ")
}

/// The innermost text of an error of probe-rs.
const WRAPPERS: [&str; 4] = [
    "An ARM specific error occurred",
    "An error with the usage of the probe occurred",
    "The debug probe encountered an error",
    "Something during the interaction with the core went wrong",
];

/// An error and its causes, in one line; nothing is said twice.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let line = error.to_string();
        let line = line.trim().trim_end_matches('.').replace('\n', " ");
        let is_wrapper = error.source().is_some() && WRAPPERS.contains(&line.as_str());
        if !text.contains(&line) && !is_wrapper {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&line);
        }
        next = error.source();
    }
    text
}

/// Whether a failure is one of the probe or its cable, not of the chip.
pub(super) fn is_lost(error: &(dyn Error + 'static)) -> bool {
    use probe_rs::probe::DebugProbeError;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<DebugProbeError>() {
            return matches!(
                error,
                DebugProbeError::Usb(_) | DebugProbeError::ProbeSpecific(_)
            );
        }
        next = error.source();
    }
    false
}

/// Whether a failure is an answer that did not come in time.
pub(super) fn is_late(error: &dyn Error) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::TimedOut;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("a cable");
        let outer = probe_rs::probe::DebugProbeError::Usb(inner);
        assert_eq!(causes(&outer), "USB Communication Error: a cable");
        assert!(is_lost(&probe_rs::Error::Probe(outer)));
        assert!(!is_lost(&probe_rs::Error::Timeout));
    }
}

//! A program in an emulated board by itself: no probe, until it ends the emulator.

use std::collections::VecDeque;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::process::{EmulatorError, keep_last_lines, machine, spawn};
use tadpool_boards::{Board, Runner};
use tadpool_toolchain::emulator::owned;

/// How a program came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It ended by semihosting, with success.
    Success,
    /// It ended by semihosting, without.
    Failure,
    /// QEMU ended for another reason, which it gave.
    Broken(String),
    /// It took longer than it was given.
    Late,
}

/// Runs the ELF file `program` on an emulated board; `heard` takes what it writes to the
/// host's standard output by semihosting, as it comes.
///
/// # Errors
/// An [`EmulatorError`] if the board is not emulated or QEMU does not start.
pub fn run_program(
    board: &Board,
    program: &Path,
    time: Option<Duration>,
    mut heard: impl FnMut(&[u8]),
) -> Result<Ended, EmulatorError> {
    let Runner::Qemu(qemu) = &board.runner else {
        return Err(EmulatorError::NotEmulated(board.name.clone()));
    };
    let mut command = machine(qemu);
    command
        .args(["-semihosting-config", "enable=on,target=native"])
        .arg("-kernel")
        .arg(program)
        .stdout(Stdio::piped());
    let mut child = Running(spawn(command)?);
    let messages = Arc::new(Mutex::new(VecDeque::new()));
    if let Some(pipe) = child.0.stderr.take() {
        let messages = Arc::clone(&messages);
        thread::spawn(move || keep_last_lines(pipe, &messages));
    }
    let (sender, pieces) = mpsc::channel();
    if let Some(mut pipe) = child.0.stdout.take() {
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    let deadline = time.map(|time| Instant::now() + time);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        match pieces.recv_timeout(left.unwrap_or(Duration::MAX)) {
            Ok(piece) => heard(&piece),
            Err(RecvTimeoutError::Timeout) => return Ok(Ended::Late),
            // Its end of the pipe is closed: it has ended.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.0.wait().map_err(EmulatorError::Start)?;
    if status.success() {
        return Ok(Ended::Success);
    }
    let messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
    let lines: Vec<&str> = messages.iter().map(String::as_str).collect();
    Ok(match lines.is_empty() {
        true => Ended::Failure,
        false => Ended::Broken(lines.join("; ")),
    })
}

/// Ends QEMU when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        owned::end(&mut self.0);
    }
}

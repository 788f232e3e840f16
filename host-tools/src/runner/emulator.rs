//! An emulated board: QEMU as a child process, with the firmware's byte stream
//! on its standard input and output.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::session::{Session, SessionError, Transport, TransportError};
use crate::boards::{Board, Qemu, Runner};

/// Time an answer may take unless another is chosen: a large network takes a
/// minute or two on a slow machine.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

const QEMU: &str = "qemu-system-arm";
/// Lines of QEMU's standard error that an error text quotes at most.
const QUOTED_LINES: usize = 5;
/// Time for QEMU to end by itself after the stream has ended.
const EXIT_TIME: Duration = Duration::from_secs(2);

/// An emulator that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// QEMU is not installed.
    #[error(
        "`{QEMU}` is not installed; run `cargo xtask setup`, or install it (Debian and Ubuntu: \
         `apt-get install qemu-system-arm`, macOS: `brew install qemu`)"
    )]
    Missing,
    /// QEMU cannot be started.
    #[error("cannot start `{QEMU}`: {0}")]
    Start(std::io::Error),
    /// The board is not one that QEMU runs.
    #[error("board `{0}` is not emulated")]
    NotEmulated(String),
    /// There is no image.
    #[error("there is no image at `{}`; build it first", .0.display())]
    NoImage(PathBuf),
    /// The firmware does not answer as it should.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// QEMU, and the byte stream to the firmware that it runs. Dropping it ends it.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    input: Sender<Vec<u8>>,
    output: Receiver<Vec<u8>>,
    messages: Arc<Mutex<VecDeque<String>>>,
}

/// Runs `image` on the emulated `board` and says hello.
///
/// # Errors
/// An [`EmulatorError`]; among them an image that was built for another board,
/// or that holds another model than the one whose hash is given.
pub fn start(
    board: &Board,
    image: &Path,
    model_hash: Option<u32>,
    timeout: Duration,
) -> Result<Session<Emulator>, EmulatorError> {
    let session = Session::start(Emulator::spawn(board, image)?, timeout)?;
    session.check(&board.name, model_hash)?;
    Ok(session)
}

impl Emulator {
    /// Starts QEMU with `image`.
    ///
    /// # Errors
    /// An [`EmulatorError`] if it cannot be started.
    pub fn spawn(board: &Board, image: &Path) -> Result<Self, EmulatorError> {
        if !image.is_file() {
            return Err(EmulatorError::NoImage(image.to_owned()));
        }
        let Runner::Qemu(qemu) = &board.runner else {
            return Err(EmulatorError::NotEmulated(board.name.clone()));
        };
        let mut child = command(qemu, image)
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => EmulatorError::Missing,
                _ => EmulatorError::Start(error),
            })?;
        let messages = Arc::new(Mutex::new(VecDeque::new()));
        let (input, requests) = channel();
        let (responses, output) = channel();
        // Each pipe has a thread, so that neither side ever waits for the other
        // with a full pipe; they end when their pipe does.
        if let Some(pipe) = child.stdin.take() {
            thread::spawn(move || write_all(pipe, &requests));
        }
        if let Some(pipe) = child.stdout.take() {
            thread::spawn(move || read_all(pipe, &responses));
        }
        if let Some(pipe) = child.stderr.take() {
            let messages = Arc::clone(&messages);
            thread::spawn(move || keep_last_lines(pipe, &messages));
        }
        Ok(Self {
            child,
            input,
            output,
            messages,
        })
    }

    /// Why the stream ended.
    fn reason(&mut self) -> String {
        let deadline = Instant::now() + EXIT_TIME;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break format!("`{QEMU}` ended with {status}"),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                Ok(None) => break format!("`{QEMU}` closed the stream"),
                Err(error) => break format!("`{QEMU}` cannot be waited for: {error}"),
            }
        };
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = messages.iter().map(String::as_str).collect();
        match lines.is_empty() {
            true => status,
            false => format!("{status}: {}", lines.join("; ")),
        }
    }
}

impl Transport for Emulator {
    fn send(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        let sent = self.input.send(bytes.to_owned());
        sent.map_err(|_| TransportError::Closed {
            reason: self.reason(),
        })
    }

    fn receive(&mut self, deadline: Instant) -> Result<Vec<u8>, TransportError> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.output.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => TransportError::Timeout,
            RecvTimeoutError::Disconnected => TransportError::Closed {
                reason: self.reason(),
            },
        })
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself; either way it shall not outlive this.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn command(qemu: &Qemu, image: &Path) -> Command {
    let mut command = Command::new(QEMU);
    command
        .args(["-machine", &qemu.machine])
        .args(["-icount", &format!("shift={}", qemu.icount_shift)])
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            "none",
            "-monitor",
            "none",
        ])
        .args(["-semihosting-config", "enable=on,target=native"])
        .arg("-kernel")
        .arg(image)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn write_all(mut pipe: impl Write, requests: &Receiver<Vec<u8>>) {
    for bytes in requests {
        if pipe.write_all(&bytes).and_then(|()| pipe.flush()).is_err() {
            return; // the reader notices, and knows more
        }
    }
}

fn read_all(mut pipe: impl Read, responses: &Sender<Vec<u8>>) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut bytes) {
        if responses.send(bytes[..length].to_owned()).is_err() {
            return;
        }
    }
}

fn keep_last_lines(pipe: impl Read, messages: &Mutex<VecDeque<String>>) {
    use std::io::{BufRead, BufReader};
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        if line.contains("has no peer") {
            continue; // a network card that is not connected, on purpose
        }
        let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push_back(line);
        if messages.len() > QUOTED_LINES {
            messages.pop_front();
        }
    }
}

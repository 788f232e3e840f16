//! QEMU as a child process, whose gdbstub connects back to this one.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::core::Core;
use super::probe::{self, Tamper};
use tadpool_boards::{Board, Qemu, Runner};
use tadpool_toolchain::emulator::{QEMU, owned, qemu};

/// Lines of QEMU's standard error that an error text quotes at most.
const QUOTED_LINES: usize = 5;
/// Time for QEMU to start and connect.
const START_TIME: Duration = Duration::from_secs(30);
/// Time that QEMU may take for an answer, also on a busy machine.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(20);
/// Time for QEMU to end by itself after its connection has ended.
const EXIT_TIME: Duration = Duration::from_secs(2);

/// An emulator that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The board is not one that QEMU runs.
    #[error("board `{0}` is not emulated")]
    NotEmulated(String),
    /// QEMU is not installed.
    #[error(
        "`{QEMU}` is not installed; install it (Debian and Ubuntu: \
         `apt-get install qemu-system-arm`, macOS: `brew install qemu`)"
    )]
    Missing,
    /// QEMU cannot be started.
    #[error("cannot start `{QEMU}`: {0}")]
    Start(std::io::Error),
    /// QEMU ended at once.
    #[error("{0}")]
    Ended(String),
}

/// A machine that QEMU emulates, with a virtual probe plugged into it. Dropping
/// it ends it.
#[derive(Debug)]
pub struct Emulator {
    serial_number: String,
    child: Child,
    messages: Arc<Mutex<VecDeque<String>>>,
}

impl Emulator {
    /// Starts the emulated `board`, with nothing in its memory.
    ///
    /// # Errors
    /// An [`EmulatorError`] if QEMU does not start.
    pub fn start(board: &Board) -> Result<Self, EmulatorError> {
        Self::start_tampered(board, None)
    }

    /// As [`Self::start`], with something between the probe and the core.
    ///
    /// # Errors
    /// An [`EmulatorError`] if QEMU does not start.
    pub fn start_tampered(
        board: &Board,
        tamper: Option<Box<dyn Tamper>>,
    ) -> Result<Self, EmulatorError> {
        Self::start_limited(board, tamper, ANSWER_TIME, &[])
    }

    /// As [`Self::start_tampered`]; an answer of QEMU may take as long as `answer_time`, after
    /// which it counts as lost. QEMU is given `arguments` too.
    pub(crate) fn start_limited(
        board: &Board,
        tamper: Option<Box<dyn Tamper>>,
        answer_time: Duration,
        arguments: &[OsString],
    ) -> Result<Self, EmulatorError> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let Runner::Qemu(qemu) = &board.runner else {
            return Err(EmulatorError::NotEmulated(board.name.clone()));
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(EmulatorError::Start)?;
        let port = listener.local_addr().map_err(EmulatorError::Start)?.port();
        let mut command = command(qemu, port);
        command.args(arguments);
        let mut child = spawn(command)?;
        let messages = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(pipe) = child.stderr.take() {
            let messages = Arc::clone(&messages);
            // It ends when its pipe does.
            thread::spawn(move || keep_last_lines(pipe, &messages));
        }
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let mut emulator = Self {
            serial_number: format!("{}.{number}", qemu.machine),
            child,
            messages,
        };
        let stream = emulator.accept(&listener, START_TIME.min(answer_time))?;
        let layout = &board.layout;
        let origin = |region: &str| board.memory.get(region).map_or(0, |region| region.origin);
        let stack = origin(&layout.ram) + layout.stack_bytes;
        match Core::power_up(stream, answer_time, origin(&layout.code), stack) {
            Ok(core) => {
                probe::plug_in(&emulator.serial_number, core, tamper);
                Ok(emulator)
            }
            Err(_) => Err(EmulatorError::Ended(emulator.reason())),
        }
    }

    /// Serial number of the virtual probe.
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// How QEMU ended, or that it did not.
    pub fn reason(&mut self) -> String {
        let deadline = Instant::now() + EXIT_TIME;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break format!("`{QEMU}` ended with {status}"),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                Ok(None) => break format!("`{QEMU}` no longer answers"),
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

    /// Ends QEMU, as a crash would.
    pub fn kill(&mut self) {
        owned::end(&mut self.child);
    }

    fn accept(
        &mut self,
        listener: &TcpListener,
        time: Duration,
    ) -> Result<TcpStream, EmulatorError> {
        listener
            .set_nonblocking(true)
            .map_err(EmulatorError::Start)?;
        let deadline = Instant::now() + time;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream
                        .set_nonblocking(false)
                        .map_err(EmulatorError::Start)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                    return Err(EmulatorError::Start(error));
                }
                Err(_) => {
                    let ended = !matches!(self.child.try_wait(), Ok(None));
                    if ended || Instant::now() > deadline {
                        return Err(EmulatorError::Ended(self.reason()));
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        probe::unplug(&self.serial_number);
        self.kill();
    }
}

/// QEMU with the board's machine, and nothing to be seen of it.
pub(super) fn machine(machine: &Qemu) -> Command {
    let mut command = qemu();
    command
        .args(["-name", &owned::mark()])
        .args(["-machine", &machine.machine])
        .args(["-icount", &format!("shift={}", machine.icount_shift)])
        .args(["-nodefaults", "-display", "none"])
        .args(["-serial", "none", "-monitor", "none"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// The same, halted, which speaks to this process.
fn command(board: &Qemu, port: u16) -> Command {
    let mut command = machine(board);
    command
        .arg("-S")
        .args([
            "-chardev",
            &format!("socket,id=gdb,host=127.0.0.1,port={port},nodelay=on"),
        ])
        .args(["-gdb", "chardev:gdb"])
        .stdout(Stdio::null());
    command
}

/// Starts QEMU.
pub(super) fn spawn(command: Command) -> Result<Child, EmulatorError> {
    owned::spawn(command).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => EmulatorError::Missing,
        _ => EmulatorError::Start(error),
    })
}

/// Keeps the last lines that QEMU says of itself.
pub(super) fn keep_last_lines(pipe: impl Read, messages: &Mutex<VecDeque<String>>) {
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

//! Executes a program in the emulator, and gives what it tells to a sink.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tadpool_cycles::trace::{self, Sink, TraceError};
use tadpool_toolchain::emulator::{QEMU, owned, qemu};

/// Time for the emulator to start, and for the rest of the trace once it has ended.
const START_TIME: Duration = Duration::from_secs(30);
/// How often what has no end of its own is looked after.
const TICK: Duration = Duration::from_millis(2);
/// Most bytes of a line that a program prints.
const MOST_LINE: u64 = 4096;
/// Lines of the emulator's messages that an error quotes.
const QUOTED_LINES: usize = 3;

/// An execution that was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// QEMU is not there or cannot be started, or nothing can listen to its plugin.
    #[error("cannot start `{QEMU}`: {0}")]
    Start(io::Error),
    /// QEMU was built without plugins.
    #[error(
        "this QEMU has no plugins, by which executions are traced: {0}; install one that was \
         built with them, as those of Debian and Homebrew are"
    )]
    NoPlugins(String),
    /// QEMU ended before its plugin began.
    #[error("`{QEMU}` ended at once: {0}")]
    Ended(String),
    /// The trace cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// The part of an execution to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// The function at whose first instruction it begins.
    pub from: Option<u32>,
    /// The one at whose it ends; where `from` returns to if none.
    pub to: Option<u32>,
    /// After how many times it is over.
    pub calls: Option<u64>,
}

/// How an execution came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The part to measure is over.
    Over,
    /// The program ended.
    Exit(ExitStatus),
    /// It took longer than it was given.
    Late,
}

/// Waits for an emulator that traces what it executes.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    argument: OsString,
    /// Whether what is wanted has an end before the program's.
    is_limited: bool,
}

/// A trace that is being read.
#[derive(Debug)]
pub struct Tracing<S> {
    read: Receiver<(S, Result<(), TraceError>)>,
    stop: Arc<Mutex<bool>>,
}

impl Listener {
    /// Listens for an emulator with `plugin`.
    ///
    /// # Errors
    /// [`ExecuteError::Start`] if the system has no port to listen at.
    pub fn new(plugin: &Path, window: Window) -> Result<Self, ExecuteError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(ExecuteError::Start)?;
        let address = listener.local_addr().map_err(ExecuteError::Start)?;
        // QEMU takes a comma for the next argument, and two for one.
        let path = plugin.display().to_string().replace(',', ",,");
        let mut argument = format!("{path},out=tcp:{address}");
        for (name, value) in [("from", window.from), ("to", window.to)] {
            if let Some(value) = value {
                argument += &format!(",{name}={value:x}");
            }
        }
        if let Some(calls) = window.calls {
            argument += &format!(",calls={calls}");
        }
        Ok(Self {
            listener,
            argument: argument.into(),
            is_limited: window.calls.is_some(),
        })
    }

    /// The arguments of QEMU that let it load the plugin.
    pub fn arguments(&self) -> [OsString; 2] {
        ["-plugin".into(), self.argument.clone()]
    }

    /// Reads what comes, in a thread of its own.
    pub fn start<S: Sink + Send + 'static>(self, mut sink: S) -> Tracing<S> {
        let (sender, read) = channel();
        let stop = Arc::new(Mutex::new(false));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            let is_stopped = || *stopped.lock().unwrap_or_else(PoisonError::into_inner);
            let stream = accept(&self.listener, is_stopped);
            let result = match stream {
                Ok(stream) => trace::read(stream, &mut sink),
                Err(error) => Err(TraceError::Read(error)),
            };
            sender.send((sink, result)).ok(); // nobody may wait for it any more
        });
        Tracing { read, stop }
    }
}

impl<S> Tracing<S> {
    /// The sink and what was wrong with the trace, once it has ended; nothing if it has not
    /// after `time`.
    pub fn wait(&self, time: Duration) -> Option<(S, Result<(), TraceError>)> {
        self.read.recv_timeout(time).ok()
    }
}

impl<S> Drop for Tracing<S> {
    fn drop(&mut self) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// A program, and how it is run.
#[derive(Debug)]
pub struct Run<'a> {
    /// The program's ELF file.
    pub path: &'a Path,
    /// QEMU's name of the machine.
    pub machine: &'a str,
    /// More arguments of QEMU.
    pub arguments: &'a [&'a str],
    /// How long it may take.
    pub limit: Duration,
    /// Takes each line that it prints, if anybody wants them.
    pub prints: Option<fn(&str)>,
}

/// Executes a program, which may use semihosting as if it were run here.
///
/// # Errors
/// An [`ExecuteError`].
pub fn execute<S: Sink + Send + 'static>(
    run: Run<'_>,
    listener: Listener,
    sink: S,
) -> Result<(S, Ended), ExecuteError> {
    let mut command = qemu();
    command
        .args(["-name", &owned::mark(), "-machine", run.machine])
        .args(["-nodefaults", "-display", "none"])
        .args(["-serial", "none", "-monitor", "none"])
        .args(["-semihosting-config", "enable=on,target=native"])
        .args(run.arguments)
        .args(listener.arguments())
        .arg("-kernel")
        .arg(run.path)
        .stdin(Stdio::null())
        .stdout(match run.prints {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stderr(Stdio::piped());
    let is_limited = listener.is_limited;
    let tracing = listener.start(sink);
    let mut emulator = Emulator::start(command, run.prints)?;
    let deadline = Instant::now() + run.limit;
    let (read, ended) = loop {
        if let Some(read) = tracing.wait(TICK) {
            break (Some(read), Ended::Over);
        }
        match emulator.child.try_wait().map_err(ExecuteError::Start)? {
            Some(status) => break (None, Ended::Exit(status)),
            None if Instant::now() >= deadline => break (None, Ended::Late),
            None => {}
        }
    };
    let ended = match ended {
        Ended::Over if !is_limited => {
            Ended::Exit(emulator.child.wait().map_err(ExecuteError::Start)?)
        }
        ended => ended,
    };
    let messages = emulator.end();
    if read.is_none() {
        // It may have ended before its plugin called.
        let has_begun = !matches!(ended, Ended::Exit(status) if !status.success());
        let rest = tracing.wait(if has_begun { START_TIME } else { TICK * 100 });
        let Some((sink, result)) = rest else {
            return Err(failure(&messages));
        };
        return match result {
            // It was cut off.
            Err(TraceError::Cut { .. }) | Ok(()) => Ok((sink, ended)),
            Err(error) => Err(error.into()),
        };
    }
    match read {
        Some((sink, Ok(()))) => Ok((sink, ended)),
        Some((_, Err(error))) => Err(error.into()),
        None => Err(failure(&messages)),
    }
}

/// Hands each line of `printed` to `prints`, to its end: a program whose output nobody takes
/// may try again for ever. A line that is too long comes in pieces.
fn pass_on(printed: impl Read, prints: fn(&str)) {
    let mut printed = BufReader::new(printed);
    let mut line = Vec::new();
    loop {
        line.clear();
        match printed
            .by_ref()
            .take(MOST_LINE)
            .read_until(b'\n', &mut line)
        {
            Ok(bytes) if bytes > 0 => prints(String::from_utf8_lossy(&line).trim_end()),
            _ => return,
        }
    }
}

/// Why QEMU ended before its plugin called.
fn failure(messages: &str) -> ExecuteError {
    let is_plugin = ["plugin interface not enabled", "-plugin: invalid option"];
    match is_plugin.iter().any(|text| messages.contains(text)) {
        true => ExecuteError::NoPlugins(messages.to_owned()),
        false => ExecuteError::Ended(messages.to_owned()),
    }
}

/// QEMU, and the last lines that it says of itself. Dropping it ends it.
struct Emulator {
    child: Child,
    messages: Arc<Mutex<VecDeque<String>>>,
    /// The thread that passes on the program's output.
    printing: Option<JoinHandle<()>>,
}

impl Emulator {
    fn start(command: Command, prints: Option<fn(&str)>) -> Result<Self, ExecuteError> {
        let mut child = owned::spawn(command).map_err(ExecuteError::Start)?;
        let printed = child.stdout.take().zip(prints);
        let printing =
            printed.map(|(printed, prints)| thread::spawn(move || pass_on(printed, prints)));
        let messages = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(pipe) = child.stderr.take() {
            let messages = Arc::clone(&messages);
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
                    messages.push_back(line);
                    if messages.len() > QUOTED_LINES {
                        messages.pop_front();
                    }
                }
            });
        }
        Ok(Self {
            child,
            messages,
            printing,
        })
    }

    /// Ends it, and tells what it said last.
    fn end(&mut self) -> String {
        owned::end(&mut self.child);
        if let Some(printing) = self.printing.take() {
            printing.join().ok(); // it has no panic to tell of
        }
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = messages.iter().map(String::as_str).collect();
        match lines.is_empty() {
            true => "it said nothing".to_owned(),
            false => lines.join("; "),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        owned::end(&mut self.child);
    }
}

fn accept(listener: &TcpListener, is_stopped: impl Fn() -> bool) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + START_TIME;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if is_stopped() || Instant::now() > deadline => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(_) => thread::sleep(TICK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PRINTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[test]
    fn lines_are_passed_on_to_the_end() {
        let long = vec![b'x'; MOST_LINE as usize + 1];
        let printed = [&b"one\n\xff two\n"[..], &long].concat();
        pass_on(&printed[..], |line| {
            PRINTED.lock().unwrap().push(line.to_owned());
        });
        let lines = PRINTED.lock().unwrap();
        let [one, two, rest @ ..] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert_eq!((&one[..], &two[..]), ("one", "\u{fffd} two"));
        assert_eq!(rest.concat().len(), long.len());
    }
}

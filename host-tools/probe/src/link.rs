//! The byte streams of a running firmware, through RTT: rings in its memory,
//! which the probe reads and writes while it runs.

use std::path::Path;
use std::time::{Duration, Instant};

use probe_rs::rtt::{self, Rtt};
use probe_rs::{CoreStatus, MemoryInterface as _, Session};

use super::connect::Connection;
use super::error::{ProbeError, causes};
use super::flash::ram_start;
use crate::session::{Transport, TransportError};
use tadpool_image::elf::{ElfError, Functions};

/// Name of the rings that requests and responses go through.
const PROTOCOL: &str = "tadpool";
/// Name of the ring that defmt's frames go through, as other viewers know it.
const LOG: &str = "defmt";
/// Time without any progress after which a request is given up.
const SEND_TIME: Duration = Duration::from_secs(30);
const HALT_TIME: Duration = Duration::from_secs(2);
/// Looks at an idle ring are so far apart at first, and at last: a look stops an
/// emulated core, and takes turns with others on a cable.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// The link to a firmware that runs.
#[derive(Debug)]
pub struct RttLink {
    connection: Connection,
    rings: Rings,
    functions: Functions,
    /// Bytes that came while others were sent.
    received: Vec<u8>,
    log: Vec<u8>,
}

#[derive(Debug)]
struct Rings {
    rtt: Rtt,
    up: usize,
    down: usize,
    log: Option<usize>,
}

impl Connection {
    /// Resets the chip, lets the firmware run that is in its flash, and links
    /// to it; `image` is the file that was flashed, and `time` how long the
    /// firmware may take to start.
    ///
    /// Firmware that lies in RAM is started there, without a reset: the chip's boot ROM would
    /// run instead. It is written first, unless this session has done so.
    ///
    /// # Errors
    /// A [`ProbeError`]; [`ProbeError::Silent`] if the firmware does not answer.
    pub fn run(mut self, image: &Path, time: Duration) -> Result<RttLink, ProbeError> {
        let symbols = Symbols::of(image)?;
        let in_ram = ram_start(&self.loader(image)?);
        if in_ram.is_some() && !self.is_loaded {
            self.flash(image, &())?;
        }
        if let Err(error) = start(&mut self.session, in_ram, symbols.control_block) {
            return Err(ProbeError::Lost {
                doing: "it was reset",
                cause: self.cause(&error),
            });
        }
        self.link(symbols, time)
    }

    /// Links to the firmware as it runs, without a reset; `image` is the file
    /// that was flashed.
    ///
    /// # Errors
    /// A [`ProbeError`]; [`ProbeError::Silent`] if the firmware does not answer.
    pub fn join(self, image: &Path) -> Result<RttLink, ProbeError> {
        self.link(Symbols::of(image)?, Duration::ZERO)
    }

    fn link(mut self, symbols: Symbols, time: Duration) -> Result<RttLink, ProbeError> {
        let rings = self.find_rings(&symbols, time)?;
        Ok(RttLink {
            connection: self,
            rings,
            functions: symbols.functions,
            received: Vec::new(),
            log: Vec::new(),
        })
    }

    /// Waits until the firmware has set up its rings.
    fn find_rings(&mut self, symbols: &Symbols, time: Duration) -> Result<Rings, ProbeError> {
        let deadline = Instant::now() + time;
        loop {
            let found = self
                .session
                .core(0)
                .map_err(rtt::Error::from)
                .and_then(|mut core| Rtt::attach_at(&mut core, symbols.control_block));
            match found {
                Ok(rtt) => {
                    if let Some(rings) = Rings::of(rtt) {
                        return Ok(rings);
                    }
                }
                Err(rtt::Error::Probe(error)) => {
                    return Err(ProbeError::Lost {
                        doing: "its firmware started",
                        cause: self.cause(&error),
                    });
                }
                // Not set up yet, or only in part.
                Err(_) => {}
            }
            if Instant::now() > deadline {
                let state = state(&mut self.session, &symbols.functions);
                return Err(ProbeError::Silent {
                    seconds: time.as_secs(),
                    state: state.unwrap_or_else(|error| causes(&error)),
                });
            }
            std::thread::sleep(LONGEST_PAUSE);
        }
    }
}

impl Rings {
    fn of(rtt: Rtt) -> Option<Self> {
        let place = |names: Vec<Option<&str>>, name| names.iter().position(|n| *n == Some(name));
        let ups: Vec<_> = rtt.up_channels.iter().map(|ring| ring.name()).collect();
        let downs: Vec<_> = rtt.down_channels.iter().map(|ring| ring.name()).collect();
        let (up, log) = (place(ups.clone(), PROTOCOL)?, place(ups, LOG));
        let down = place(downs, PROTOCOL)?;
        Some(Self { rtt, up, down, log })
    }
}

impl RttLink {
    /// The first address at which the board's flash does not hold what `image` has there.
    ///
    /// # Errors
    /// A [`ProbeError`] if the image or the flash cannot be read.
    pub fn flash_difference(&mut self, image: &Path) -> Result<Option<u64>, ProbeError> {
        self.connection.first_difference(image, &[])
    }

    /// Ends the link; the firmware goes on.
    pub fn into_connection(self) -> Connection {
        self.connection
    }

    /// Resets the board and links to it again; the arguments are those of
    /// [`Connection::run`].
    ///
    /// # Errors
    /// As [`Connection::run`].
    pub fn restart(self, image: &Path, time: Duration) -> Result<Self, ProbeError> {
        self.connection.run(image, time)
    }

    /// One look at the rings: takes what came, and hands over as much of `bytes`
    /// as there is room for. Returns how much that was.
    fn exchange(&mut self, bytes: &[u8]) -> Result<usize, rtt::Error> {
        let mut core = self.connection.session.core(0)?;
        let Rings { rtt, up, down, log } = &mut self.rings;
        let mut ring = [0; 1024];
        if let Some(up) = rtt.up_channel(*up) {
            let length = up.read(&mut core, &mut ring)?;
            self.received.extend_from_slice(&ring[..length]);
        }
        // What is logged belongs to what was answered.
        if let Some(log) = log.and_then(|log| rtt.up_channel(log))
            && (!self.received.is_empty() || !bytes.is_empty())
        {
            let length = log.read(&mut core, &mut ring)?;
            self.log.extend_from_slice(&ring[..length]);
        }
        match rtt.down_channel(*down) {
            Some(down) if !bytes.is_empty() => down.write(&mut core, bytes),
            _ => Ok(0),
        }
    }

    fn closed(&mut self, error: &rtt::Error) -> TransportError {
        TransportError::Closed {
            reason: self.connection.cause(error),
        }
    }
}

impl Transport for RttLink {
    fn send(&mut self, mut bytes: &[u8]) -> Result<(), TransportError> {
        let mut deadline = Instant::now() + SEND_TIME;
        let mut pause = SHORTEST_PAUSE;
        while !bytes.is_empty() {
            let sent = self.exchange(bytes).map_err(|error| self.closed(&error))?;
            bytes = &bytes[sent..];
            if sent > 0 {
                deadline = Instant::now() + SEND_TIME;
                pause = SHORTEST_PAUSE;
            } else if Instant::now() > deadline {
                return Err(TransportError::Timeout);
            }
            if !bytes.is_empty() {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Instant) -> Result<Vec<u8>, TransportError> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            if self.received.is_empty() {
                self.exchange(&[]).map_err(|error| self.closed(&error))?;
            }
            if !self.received.is_empty() {
                return Ok(std::mem::take(&mut self.received));
            }
            if Instant::now() > deadline {
                return Err(TransportError::Timeout);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn take_log(&mut self) -> Vec<u8> {
        let Rings { rtt, log, .. } = &mut self.rings;
        if let Some(log) = log.and_then(|log| rtt.up_channel(log))
            && let Ok(mut core) = self.connection.session.core(0)
        {
            let mut ring = [0; 1024];
            // A link that is gone is told by the next request.
            let length = log.read(&mut core, &mut ring).unwrap_or(0);
            self.log.extend_from_slice(&ring[..length]);
        }
        std::mem::take(&mut self.log)
    }

    fn state(&mut self) -> String {
        state(&mut self.connection.session, &self.functions)
            .unwrap_or_else(|error| self.connection.cause(&error))
    }

    fn function_at(&self, address: u32) -> Option<String> {
        self.functions.at(address)
    }
}

/// The state of the running firmware, by the image's symbols.
struct Symbols {
    /// Address of the description of its rings.
    control_block: u64,
    functions: Functions,
}

impl Symbols {
    fn of(image: &Path) -> Result<Self, ElfError> {
        let bytes = std::fs::read(image).map_err(|error| ElfError::new(image, error))?;
        let control_block = rtt::find_rtt_control_block_in_raw_file(&bytes)
            .map_err(|error| ElfError::new(image, error))?
            .ok_or_else(|| ElfError::new(image, "it has no symbol `_SEGGER_RTT`"))?;
        Ok(Self {
            control_block,
            functions: Functions::of(image, &bytes)?,
        })
    }
}

/// Starts the firmware anew, with no trace of rings that were there before: from its vector
/// table `in_ram`, or by a reset.
fn start(
    session: &mut Session,
    in_ram: Option<u64>,
    control_block: u64,
) -> Result<(), probe_rs::Error> {
    match in_ram {
        // Writing the image has reset and halted the core.
        Some(vector_table) => session.prepare_running_on_ram(vector_table, 0)?,
        None => session.core(0)?.reset_and_halt(HALT_TIME).map(drop)?,
    }
    let mut core = session.core(0)?;
    core.write_8(control_block, &[0; Rtt::RTT_ID.len()])?;
    core.run()
}

/// The state of the core.
fn state(session: &mut Session, functions: &Functions) -> Result<String, probe_rs::Error> {
    let mut core = session.core(0)?;
    let status = core.status()?;
    if status == CoreStatus::LockedUp {
        return Ok("its core is locked up after a fault in a fault handler".into());
    }
    let was_halted = status.is_halted();
    core.halt(HALT_TIME)?;
    let (counter, link) = (core.program_counter().id(), core.return_address().id());
    let (pc, lr): (u32, u32) = (core.read_core_reg(counter)?, core.read_core_reg(link)?);
    if !was_halted {
        core.run()?;
    }
    let place = |address| match functions.at(address) {
        Some(function) => format!("{address:08x} in `{function}`"),
        None => format!("{address:08x}, which is no function of the image"),
    };
    let what = if was_halted { "is halted" } else { "runs" };
    Ok(format!(
        "its core {what} at {}, called from {}",
        place(pc),
        place(lr & !1)
    ))
}

//! A client of QEMU's gdbstub: memory, registers, breakpoints, run and pause.
//!
//! QEMU takes any byte that comes while the guest runs as a request to pause it,
//! and the start of a packet as the acknowledgement of its last one. So this
//! client sends no acknowledgements of its own.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes of memory in one packet: QEMU's limit is 4096 characters.
const PIECE_BYTES: usize = 2000;
const PAUSE: u8 = 3;
/// QEMU's stop reply after [`PAUSE`]; others are breakpoints.
const INTERRUPTED: &str = "T02";

/// The connection, and whether the guest executes instructions.
#[derive(Debug)]
pub(super) struct Gdb {
    stream: TcpStream,
    received: Vec<u8>,
    /// Bytes of `received` that were read.
    read: usize,
    executes: bool,
    /// Time that QEMU may take for an answer.
    answer_time: Duration,
    /// An answer did not come in time; nothing more is asked.
    is_lost: bool,
}

/// Why a guest no longer executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It was asked to pause.
    Asked,
    /// It came to a breakpoint.
    Breakpoint,
}

impl Gdb {
    /// Speaks to the gdbstub at the other end of `stream`; its guest is paused.
    pub(super) fn new(stream: TcpStream, answer_time: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(answer_time))?;
        let mut gdb = Self {
            stream,
            received: Vec::new(),
            read: 0,
            executes: false,
            answer_time,
            is_lost: false,
        };
        // QEMU answers requests for single registers only after its description
        // of them was asked for.
        gdb.ask("qXfer:features:read:target.xml:0,ffb")?;
        gdb.ask("?")?;
        Ok(gdb)
    }

    pub(super) fn executes(&self) -> bool {
        self.executes
    }

    /// Lets the guest execute.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        if !self.executes {
            self.send("c")?;
            self.executes = true;
        }
        Ok(())
    }

    /// Waits for up to `time` for the guest to stop by itself.
    pub(super) fn wait_for_stop(&mut self, time: Duration) -> io::Result<Option<Stop>> {
        if !self.executes {
            return Ok(None);
        }
        match self.receive(time)? {
            Some(reply) => self.stopped(&reply).map(Some),
            None => Ok(None),
        }
    }

    /// Pauses the guest; it may have stopped by itself just before.
    pub(super) fn pause(&mut self) -> io::Result<Stop> {
        if !self.executes {
            return Ok(Stop::Asked);
        }
        self.write(&[PAUSE])?;
        let reply = self.answer("pause")?;
        self.stopped(&reply)
    }

    /// Executes one instruction.
    pub(super) fn step(&mut self) -> io::Result<()> {
        self.ask("s").map(drop)
    }

    pub(super) fn read_memory(&mut self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        for (piece, bytes) in bytes.chunks_mut(PIECE_BYTES).enumerate() {
            let address = address + (piece * PIECE_BYTES) as u64;
            let answer = self.ask(&format!("m{address:x},{:x}", bytes.len()))?;
            if answer.len() != 2 * bytes.len() {
                return Err(odd("m", &answer));
            }
            for (byte, digits) in bytes.iter_mut().zip(answer.as_bytes().chunks_exact(2)) {
                *byte = value(digits).ok_or_else(|| odd("m", &answer))?;
            }
        }
        Ok(())
    }

    pub(super) fn write_memory(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        for (piece, bytes) in bytes.chunks(PIECE_BYTES).enumerate() {
            let address = address + (piece * PIECE_BYTES) as u64;
            let mut packet = format!("M{address:x},{:x}:", bytes.len());
            push_hex(&mut packet, bytes);
            self.ask(&packet)?;
        }
        Ok(())
    }

    pub(super) fn read_register(&mut self, number: u32) -> io::Result<u32> {
        let answer = self.ask(&format!("p{number:x}"))?;
        let mut bytes = [0; 4];
        for (byte, digits) in bytes.iter_mut().zip(answer.as_bytes().chunks_exact(2)) {
            *byte = value(digits).ok_or_else(|| odd("p", &answer))?;
        }
        Ok(u32::from_le_bytes(bytes))
    }

    pub(super) fn write_register(&mut self, number: u32, value: u32) -> io::Result<()> {
        let mut packet = format!("P{number:x}=");
        push_hex(&mut packet, &value.to_le_bytes());
        self.ask(&packet).map(drop)
    }

    pub(super) fn set_breakpoint(&mut self, address: u32, on: bool) -> io::Result<()> {
        let command = if on { 'Z' } else { 'z' };
        self.ask(&format!("{command}1,{address:x},2")).map(drop)
    }

    /// Resets the machine; its memory stays as it is, its guest paused.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        const MARK: u32 = 0x5ee_d0f5;
        // QEMU resets in its own time, which a register shows: a reset clears it.
        self.write_register(0, MARK)?;
        let mut packet = "qRcmd,".to_owned();
        push_hex(&mut packet, b"system_reset");
        let mut answer = self.ask(&packet)?;
        while answer.starts_with('O') && answer != "OK" {
            answer = self.answer("reset")?;
        }
        let deadline = Instant::now() + self.answer_time;
        while self.read_register(0)? == MARK {
            if Instant::now() > deadline {
                return Err(late("reset"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn stopped(&mut self, reply: &str) -> io::Result<Stop> {
        self.executes = false;
        match reply.as_bytes().first() {
            Some(b'T') if reply.starts_with(INTERRUPTED) => Ok(Stop::Asked),
            Some(b'T') => Ok(Stop::Breakpoint),
            // The emulator ended.
            Some(b'W' | b'X') => Err(io::ErrorKind::ConnectionAborted.into()),
            _ => Err(odd("c", reply)),
        }
    }

    fn ask(&mut self, packet: &str) -> io::Result<String> {
        self.send(packet)?;
        let answer = self.answer(packet)?;
        match answer.starts_with('E') && answer.len() == 3 {
            true => Err(odd(packet, &answer)),
            false => Ok(answer),
        }
    }

    fn send(&mut self, packet: &str) -> io::Result<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        self.write(format!("${packet}#{sum:02x}").as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.is_lost {
            true => Err(late("it")),
            false => self.stream.write_all(bytes),
        }
    }

    /// The answer to `what`. One that is late is the last that is waited for.
    fn answer(&mut self, what: &str) -> io::Result<String> {
        let answer = self.receive(self.answer_time)?;
        self.is_lost |= answer.is_none();
        answer.ok_or_else(|| late(what))
    }

    /// The next packet; none if none begins within `time`.
    fn receive(&mut self, time: Duration) -> io::Result<Option<String>> {
        loop {
            match self.byte(time)? {
                None => return Ok(None),
                Some(b'$') => break,
                Some(_) => {} // an acknowledgement
            }
        }
        let mut packet = Vec::new();
        let cut = || late("packet");
        loop {
            match self.byte(self.answer_time)?.ok_or_else(cut)? {
                b'#' => break,
                byte => packet.push(byte),
            }
        }
        for _ in 0..2 {
            self.byte(self.answer_time)?.ok_or_else(cut)?; // TCP has checked it
        }
        String::from_utf8(packet)
            .map(Some)
            .map_err(|_| odd("packet", "bytes that are no text"))
    }

    fn byte(&mut self, time: Duration) -> io::Result<Option<u8>> {
        if self.read == self.received.len() {
            // Zero means no limit to the system.
            let time = time.max(Duration::from_micros(1));
            self.stream.set_read_timeout(Some(time))?;
            self.received.resize(8192, 0);
            self.read = 0;
            match self.stream.read(&mut self.received) {
                Ok(0) => {
                    self.received.clear();
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Ok(length) => self.received.truncate(length),
                Err(error) => {
                    self.received.clear();
                    return match error.kind() {
                        io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted => Ok(None),
                        _ => Err(error),
                    };
                }
            }
        }
        let byte = self.received[self.read];
        self.read += 1;
        Ok(Some(byte))
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(2 * bytes.len());
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(DIGITS[usize::from(nibble)].into());
        }
    }
}

/// The byte that two hexadecimal digits encode.
fn value(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let [high, low] = digits else { return None };
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

fn late(what: &str) -> io::Error {
    let text = format!("the gdbstub did not answer `{what:.24}`");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

fn odd(what: &str, answer: &str) -> io::Error {
    io::Error::other(format!(
        "the gdbstub answered `{what:.24}` with `{answer:.24}`"
    ))
}

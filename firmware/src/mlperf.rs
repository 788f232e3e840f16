//! The serial interface of MLPerf Tiny, so that EEMBC's runner can drive an image.
//!
//! Text in, text out: commands end with `%`, answers are lines that begin with
//! `m-` or, for an error, `e-`, and `m-ready` follows each. The input travels as
//! hexadecimal digits (`db load N`, `db 00ff..`), `infer N W` runs it. Source:
//! the folder `benchmark/api` of github.com/mlcommons/tiny.
//!
//! Where that code trusts its input, this does not: what would overflow a buffer
//! there is an error here. The results are logits, not the probabilities of a
//! softmax; their order is the same.

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use heapless::Vec;
use tadpool_kernels::Fault;
use tadpool_model::{Arena, CLASSES, INPUT_BYTES, INPUT_CHANNELS, INPUT_HEIGHT, INPUT_WIDTH, NAME};

use crate::measure::Clock;
use crate::run::{Board, End, write_all};

/// Most characters of a command.
const COMMAND_LENGTH: usize = 80;
/// Ends a command.
const TERMINATOR: u8 = b'%';
/// Bytes in a line of `db print`.
const PRINTED_BYTES: usize = 8;
/// Most inferences of one command: nothing else is heard while they run.
const MOST_INFERENCES: u32 = 65_535;
/// Warm-up inferences if the command does not say.
const WARM_UP: u32 = 10;

const FIRMWARE: &str = "ULPMark for tinyML Firmware V0.0.1";
/// The benchmark that the model's shape is of; the runner looks up its inputs by
/// this name.
const MODEL: &str = match (INPUT_HEIGHT, INPUT_WIDTH, INPUT_CHANNELS, CLASSES) {
    (32, 32, 3, 10) => "ic01",
    (96, 96, 3, 2) => "vww01",
    _ => NAME,
};
const HELP: &[&str] = &[
    FIRMWARE,
    "",
    "help         : Print this information",
    "name         : Print the name of the device",
    "timestamp    : Generate a timestamp",
    "profile      : Print the benchmark and the model",
    "db load N    : Expect N bytes of input",
    "db HH[HH]*   : Load bytes, as hexadecimal digits, until N have come",
    "db print [N] [OFFSET]",
    "             : Print N bytes of the input, or all, as hexadecimal digits",
    "infer N [W=10]",
    "             : Run N inferences after W that are not measured",
    "results      : Print the result of the last inference",
];

/// Memory of the interface beside the arena.
#[derive(Debug)]
pub struct Buffers {
    command: Vec<u8, COMMAND_LENGTH>,
    is_too_long: bool,
    /// The input, kept because an inference uses up the arena's.
    input: [u8; INPUT_BYTES],
    /// Bytes announced by `db load`.
    expected: usize,
    /// Bytes that came.
    received: usize,
    /// Q16.16.
    logits: [i32; CLASSES],
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self {
            command: Vec::new(),
            is_too_long: false,
            input: [0; INPUT_BYTES],
            expected: 0,
            received: 0,
            logits: [0; CLASSES],
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers commands until the link is closed.
pub fn serve<L, P, C, S, G, T, W>(
    board: &mut Board<L, P, C, S, G, T, W>,
    arena: &mut Arena,
    buffers: &mut Buffers,
) -> End
where
    L: Read + Write,
    P: OutputPin,
    C: Clock,
{
    let mut monitor = Monitor {
        board,
        arena,
        buffers,
    };
    // The only way out is the link's end.
    monitor.run().err().unwrap_or(End::LinkClosed)
}

struct Monitor<'a, L, P, C, S, G, T, W> {
    board: &'a mut Board<L, P, C, S, G, T, W>,
    arena: &'a mut Arena,
    buffers: &'a mut Buffers,
}

impl<L, P, C, S, G, T, W> Monitor<'_, L, P, C, S, G, T, W>
where
    L: Read + Write,
    P: OutputPin,
    C: Clock,
{
    fn run(&mut self) -> Result<(), End> {
        self.say(&[Text("m-timestamp-mode-performance")])?;
        self.timestamp()?;
        self.say(&[Text("m-init-done")])?;
        self.say(&[Text("m-ready")])?;
        let mut bytes = [0; 64];
        loop {
            let length = self.board.link.read(&mut bytes).unwrap_or(0);
            if length == 0 {
                return Ok(());
            }
            for &byte in bytes.iter().take(length) {
                self.take(byte)?;
            }
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), End> {
        match byte {
            TERMINATOR => {
                let command = core::mem::take(&mut self.buffers.command);
                if core::mem::take(&mut self.buffers.is_too_long) {
                    self.say(&[
                        Text("e-[A command has at most "),
                        Number(COMMAND_LENGTH as u64),
                        Text(" characters]"),
                    ])?;
                } else {
                    self.obey(&command)?;
                }
                self.say(&[Text("m-ready")])
            }
            // What a terminal adds.
            b'\r' | b'\n' => Ok(()),
            _ => {
                self.buffers.is_too_long |= self.buffers.command.push(byte).is_err();
                Ok(())
            }
        }
    }

    fn obey(&mut self, command: &[u8]) -> Result<(), End> {
        let mut words = command
            .split(|&byte| byte == b' ')
            .filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        match first {
            b"name" => self.say(&[Text("m-name-dut-[tadpool]")]),
            b"timestamp" => self.timestamp(),
            b"profile" => {
                self.say(&[Text("m-profile-["), Text(FIRMWARE), Text("]")])?;
                self.say(&[Text("m-model-["), Text(MODEL), Text("]")])
            }
            b"help" => HELP.iter().try_for_each(|line| self.say(&[Text(line)])),
            b"db" => self.buffer(words.next(), words.next(), words.next()),
            b"infer" => self.infer(words.next(), words.next()),
            b"results" => self.results(),
            _ => self.say(&[Text("e-[Unknown command: "), Received(first), Text("]")]),
        }
    }

    fn buffer(
        &mut self,
        what: Option<&[u8]>,
        first: Option<&[u8]>,
        second: Option<&[u8]>,
    ) -> Result<(), End> {
        match (what, first) {
            (None, _) => self.say(&[Text("e-[Command 'db' requires a subcommand]")]),
            (Some(b"load"), None) => {
                self.say(&[Text("e-[Command 'db load' requires the # of bytes]")])
            }
            (Some(b"load"), Some(count)) => self.load(number(count).unwrap_or(0)),
            (Some(b"print"), _) => {
                let count = first.and_then(number).unwrap_or(u32::MAX);
                let offset = second.and_then(number).unwrap_or(0);
                self.print(count as usize, offset as usize)
            }
            (Some(digits), _) => self.append(digits),
        }
    }

    fn load(&mut self, count: u32) -> Result<(), End> {
        match count as usize {
            0 => self.say(&[Text("e-[Command 'db load' must be >0 bytes]")]),
            count if count > INPUT_BYTES => self.say(&[
                Text("e-[Supplied buffer size "),
                Number(count as u64),
                Text(" exceeds maximum of "),
                Number(INPUT_BYTES as u64),
                Text("]"),
            ]),
            count => {
                self.buffers.expected = count;
                self.buffers.received = 0;
                self.say(&[Text("m-[Expecting "), Number(count as u64), Text(" bytes]")])
            }
        }
    }

    fn append(&mut self, digits: &[u8]) -> Result<(), End> {
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return self.say(&[Text("e-[Insufficent number of hex digits]")]);
        }
        for pair in pairs {
            let Some(byte) = hexadecimal(*pair) else {
                return self.say(&[Text("e-[Invalid hex digit '"), Received(pair), Text("']")]);
            };
            let Buffers {
                input,
                expected,
                received,
                ..
            } = &mut *self.buffers;
            let room = input.iter_mut().take(*expected).nth(*received);
            let Some(room) = room else {
                return self.say(&[Text("e-[No more bytes are expected; use 'db load']")]);
            };
            *room = byte;
            *received += 1;
            if *received == *expected {
                // The remaining digits do not count.
                return self.say(&[Text("m-load-done")]);
            }
        }
        Ok(())
    }

    fn print(&mut self, count: usize, offset: usize) -> Result<(), End> {
        let end = offset.saturating_add(count).min(self.buffers.expected);
        let mut start = offset;
        while start < end {
            let stop = end.min(start + PRINTED_BYTES);
            let Self { board, buffers, .. } = self;
            let bytes = buffers.input.get(start..stop).unwrap_or_default();
            line(&mut board.link, &[Text("m-buffer-"), Hexadecimal(bytes)])?;
            start = stop;
        }
        Ok(())
    }

    fn infer(&mut self, count: Option<&[u8]>, warm_up: Option<&[u8]>) -> Result<(), End> {
        let count = count.map_or(Some(1), number);
        let Some(count @ 1..) = count else {
            return self.say(&[Text("e-[Inference iterations must be >0]")]);
        };
        let Some(warm_up) = warm_up.map_or(Some(WARM_UP), number) else {
            return self.say(&[Text("e-[Inference warmup must be >=0]")]);
        };
        if count.max(warm_up) > MOST_INFERENCES {
            return self.say(&[
                Text("e-[Inference iterations must be <="),
                Number(MOST_INFERENCES.into()),
                Text("]"),
            ]);
        }
        self.say(&[Text("m-warmup-start-"), Number(warm_up.into())])?;
        let warm = (0..warm_up).try_for_each(|_| self.infer_once());
        self.say(&[Text("m-warmup-done")])?;
        self.say(&[Text("m-infer-start-"), Number(count.into())])?;
        self.timestamp()?;
        self.board.busy.set_high().ok(); // a pin that fails is not worth an inference
        let measured = (0..count).try_for_each(|_| self.infer_once());
        self.board.busy.set_low().ok();
        self.timestamp()?;
        if let Err(fault) = warm.and(measured) {
            return self.say(&[
                Text("e-[The model refused its input: "),
                Text(fault.text()),
                Text("]"),
            ]);
        }
        self.say(&[Text("m-infer-done")])?;
        self.results()
    }

    /// Copying the input is part of what is measured: an inference uses it up.
    fn infer_once(&mut self) -> Result<(), Fault> {
        self.arena.put_pixels(0, &self.buffers.input)?;
        let prediction = tadpool_model::infer(self.arena)?;
        for (kept, logit) in self.buffers.logits.iter_mut().zip(prediction.logits()) {
            *kept = logit.to_q16();
        }
        Ok(())
    }

    fn results(&mut self) -> Result<(), End> {
        let Self { board, buffers, .. } = self;
        line(
            &mut board.link,
            &[Text("m-results-["), Decimals(&buffers.logits), Text("]")],
        )
    }

    fn timestamp(&mut self) -> Result<(), End> {
        let ticks = self.board.clock.now();
        let frequency = u64::from(C::FREQUENCY_HZ.max(1));
        let (seconds, rest) = (ticks / frequency, ticks % frequency);
        let microseconds = seconds * 1_000_000 + rest * 1_000_000 / frequency;
        self.say(&[Text("m-lap-us-"), Number(microseconds)])
    }

    fn say(&mut self, parts: &[Part<'_>]) -> Result<(), End> {
        line(&mut self.board.link, parts)
    }
}

/// Sends a line.
fn line(link: &mut impl Write, parts: &[Part<'_>]) -> Result<(), End> {
    for part in parts {
        part.write(link)?;
    }
    write_all(link, b"\r\n")?;
    link.flush().map_err(|_| End::LinkClosed)
}

/// A part of a line. Not by the library's formatting, whose machine code calls functions by
/// addresses that only the run tells.
#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Text(&'a str),
    /// In decimal.
    Number(u64),
    /// The bytes that came over the link, with `?` for all that is not printable ASCII.
    Received(&'a [u8]),
    /// Bytes with dashes between them.
    Hexadecimal(&'a [u8]),
    /// Q16.16 values with three decimals, to the nearest.
    Decimals(&'a [i32]),
}

use Part::{Decimals, Hexadecimal, Number, Received, Text};

impl Part<'_> {
    fn write(self, link: &mut impl Write) -> Result<(), End> {
        match self {
            Text(text) => write_all(link, text.as_bytes()),
            Number(number) => write_number(link, number, 1),
            Received(bytes) => bytes.iter().try_for_each(|&byte| {
                let is_printable = byte == b' ' || byte.is_ascii_graphic();
                write_all(link, &[if is_printable { byte } else { b'?' }])
            }),
            Hexadecimal(bytes) => bytes.iter().enumerate().try_for_each(|(place, &byte)| {
                if place > 0 {
                    write_all(link, b"-")?;
                }
                write_all(link, &[byte >> 4, byte & 0xf].map(digit))
            }),
            Decimals(values) => values.iter().enumerate().try_for_each(|(place, &value)| {
                if place > 0 {
                    write_all(link, b",")?;
                }
                if value < 0 {
                    write_all(link, b"-")?;
                }
                let thousandths = (u64::from(value.unsigned_abs()) * 1000 + (1 << 15)) >> 16;
                write_number(link, thousandths / 1000, 1)?;
                write_all(link, b".")?;
                write_number(link, thousandths % 1000, 3)
            }),
        }
    }
}

/// Writes a number in decimal, with zeros before it if it has fewer digits.
fn write_number(link: &mut impl Write, number: u64, digits: u32) -> Result<(), End> {
    let mut unit = 10_u64.pow(19);
    let smallest = 10_u64.pow(digits.saturating_sub(1));
    while unit > smallest && number < unit {
        unit /= 10;
    }
    while unit > 0 {
        write_all(link, &[digit((number / unit % 10) as u8)])?;
        unit /= 10;
    }
    Ok(())
}

/// The digit for a number below 16.
const fn digit(number: u8) -> u8 {
    match number {
        0..10 => b'0' + number,
        _ => b'a' + number.wrapping_sub(10),
    }
}

/// A decimal number; none if it is something else or does not fit.
fn number(word: &[u8]) -> Option<u32> {
    core::str::from_utf8(word).ok()?.parse().ok()
}

fn hexadecimal(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

#[cfg(test)]
mod tests;

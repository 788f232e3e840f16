//! The request loop: images in, predictions and their cost out.

use core::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{ErrorType, OutputPin};
use embedded_io::{Read, Write};
use heapless::Vec;
use tadpool_kernels::Fault;
use tadpool_kernels::checksum::{FNV1A_OF_NOTHING, fnv1a_on};
use tadpool_kernels::network::Received as _;
use tadpool_kernels::{Arena, Logit, Network, Prediction};
use tadpool_protocol::{
    Counter, FaultKind, FaultReport, FrameReader, Hello, LOGITS_PER_FRAME, LogitsPiece, MAX_FRAME,
    Message, Refusal, Request, Response, SelfTest, Setup, VERSION, encode,
};

use crate::measure::{Clock, Delay, Recorder, StepRecord, current_step, overhead_ticks};

/// The parts of a board that the request loop needs.
#[derive(Debug)]
pub struct Board<L, P, C, S, G, T = (), W = ()> {
    /// Name of the board's file.
    pub name: &'static str,
    /// The set-up of the start-up code.
    pub setup: Setup,
    /// Bytes from and to the host.
    pub link: L,
    /// High while an inference runs: an LED, or a point for a scope.
    pub busy: P,
    /// The counter that costs are measured with.
    pub clock: C,
    /// How much of the stack is used.
    pub stack: S,
    /// The log.
    pub log: G,
    /// Faults on demand, in images that are built for it.
    pub self_tests: T,
    /// The check of the weights before each inference.
    pub weights: W,
}

impl<L, C> Board<L, NoPin, C, (), ()> {
    /// A board of which nothing is known but its link and its clock.
    pub fn new(name: &'static str, link: L, clock: C) -> Self {
        Self {
            name,
            setup: Setup::default(),
            link,
            busy: NoPin,
            clock,
            stack: (),
            log: (),
            self_tests: (),
            weights: (),
        }
    }
}

/// No pin.
#[derive(Debug)]
pub struct NoPin;

impl ErrorType for NoPin {
    type Error = Infallible;
}

impl OutputPin for NoPin {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Faults on demand. A type and no function pointers: whoever reads the machine code sees
/// which functions are called.
pub trait SelfTests: Copy {
    /// Obeys a [`SelfTest`]; false if the image is not built for it.
    fn run(self, test: SelfTest) -> bool;

    /// To be called when a step of an inference has ended.
    fn after_step(self, step: usize);
}

/// None of them.
impl SelfTests for () {
    fn run(self, _test: SelfTest) -> bool {
        false
    }

    fn after_step(self, _step: usize) {}
}

/// A check of the weights before each inference.
pub trait WeightCheck {
    /// Compares the weights, or a part of them, with what was written.
    ///
    /// # Errors
    /// [`CorruptedWeights`] if they are not the same.
    fn check(&mut self) -> Result<(), CorruptedWeights>;
}

/// Nothing.
impl WeightCheck for () {
    fn check(&mut self) -> Result<(), CorruptedWeights> {
        Ok(())
    }
}

/// Nothing while there is none.
impl<W: WeightCheck> WeightCheck for Option<W> {
    fn check(&mut self) -> Result<(), CorruptedWeights> {
        self.as_mut().map_or(Ok(()), W::check)
    }
}

/// Other weights than were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorruptedWeights {
    /// CRC-32 of those that are there.
    pub found: u32,
    /// That of those that were written.
    pub expected: u32,
}

impl CorruptedWeights {
    /// Both, as text. Without the library's formatting, whose machine code calls functions by
    /// addresses that only the run tells.
    pub fn message(self) -> Message {
        let mut message = cut("CRC-32 ");
        push_hexadecimal(&mut message, self.found);
        message.push_str(", written ").ok();
        push_hexadecimal(&mut message, self.expected);
        message
    }
}

/// Adds a number as eight hexadecimal digits.
fn push_hexadecimal(message: &mut Message, number: u32) {
    for place in (0..8).rev() {
        let digit = char::from_digit(number >> (4 * place) & 15, 16);
        message.push(digit.unwrap_or('?')).ok();
    }
}

/// How much of the stack is used.
pub trait StackGauge {
    /// Bytes between the stack's ends.
    fn size_bytes(&self) -> usize;

    /// Forgets what was used before.
    fn paint(&mut self);

    /// Most bytes in use since [`Self::paint`].
    fn used_bytes(&self) -> usize;
}

/// Nothing is known of it.
impl StackGauge for () {
    fn size_bytes(&self) -> usize {
        0
    }

    fn paint(&mut self) {}

    fn used_bytes(&self) -> usize {
        0
    }
}

/// No log.
impl Log for () {
    fn inferred(&mut self, _: u64, _: u32) {}

    fn refused(&mut self, _: Refusal) {}
}

/// Writes down what happens, for the host to read.
pub trait Log {
    /// An inference is complete.
    fn inferred(&mut self, ticks: u64, stack_bytes: u32);

    /// A request was not obeyed.
    fn refused(&mut self, refusal: Refusal);
}

/// Memory of the request loop beside the arena.
///
/// `STEPS` is the generated crate's constant of that name.
#[derive(Debug)]
pub struct Buffers<const STEPS: usize> {
    reader: FrameReader,
    frame: [u8; MAX_FRAME],
    records: [StepRecord; STEPS],
}

impl<const STEPS: usize> Buffers<STEPS> {
    /// Empty buffers.
    pub const fn new() -> Self {
        let record = StepRecord {
            ticks: 0,
            checksum: 0,
        };
        Self {
            reader: FrameReader::new(),
            frame: [0; MAX_FRAME],
            records: [record; STEPS],
        }
    }
}

impl<const STEPS: usize> Default for Buffers<STEPS> {
    fn default() -> Self {
        Self::new()
    }
}

/// Why [`serve`] came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host asked for it.
    Shutdown,
    /// The link broke or was closed.
    LinkClosed,
    /// A kernel refused its input; it was reported.
    Fault,
}

/// Answers requests until the host has no more. A function of its own in the image, which
/// reports of faults name.
#[inline(never)]
pub fn serve<N, L, P, C, S, G, T, W, const STEPS: usize>(
    board: &mut Board<L, P, C, S, G, T, W>,
    arena: &mut Arena<N>,
    buffers: &mut Buffers<STEPS>,
) -> End
where
    N: Network,
    L: Read + Write,
    P: OutputPin,
    C: Clock,
    S: StackGauge,
    G: Log,
    T: SelfTests,
    W: WeightCheck,
{
    let overhead_ticks = overhead_ticks(&board.clock);
    let Buffers {
        reader,
        frame,
        records,
    } = buffers;
    let mut session = Session {
        board,
        arena,
        frame,
        records,
        overhead_ticks,
        received: Received::NOTHING,
    };
    let mut bytes = [0; 256];
    loop {
        let Ok(length @ 1..) = session.board.link.read(&mut bytes) else {
            return End::LinkClosed;
        };
        for &byte in bytes.iter().take(length) {
            if reader.push(byte)
                && let Err(end) = session.answer(reader)
            {
                return end;
            }
        }
    }
}

struct Session<'a, N: Network, L, P, C, S, G, T, W> {
    board: &'a mut Board<L, P, C, S, G, T, W>,
    arena: &'a mut Arena<N>,
    frame: &'a mut [u8; MAX_FRAME],
    records: &'a mut [StepRecord],
    overhead_ticks: u32,
    received: Received,
}

/// The part of an image that came so far.
#[derive(Debug, Clone, Copy)]
struct Received {
    bytes: usize,
    /// FNV-1a of these.
    checksum: u32,
    /// The cost of the first step while rows came, if it runs on them.
    ticks: u64,
}

impl Received {
    const NOTHING: Self = Self {
        bytes: 0,
        checksum: FNV1A_OF_NOTHING,
        ticks: 0,
    };
}

impl<N, L, P, C, S, G, T, W> Session<'_, N, L, P, C, S, G, T, W>
where
    N: Network,
    L: Read + Write,
    P: OutputPin,
    C: Clock,
    S: StackGauge,
    G: Log,
    T: SelfTests,
    W: WeightCheck,
{
    fn answer(&mut self, reader: &mut FrameReader) -> Result<(), End> {
        let Ok(request) = reader.message() else {
            return self.refuse(Refusal::BrokenFrame);
        };
        match request {
            Request::Hello => {
                let hello = self.hello();
                self.send(&Response::Hello(hello))
            }
            Request::Pixels { offset, bytes } => self.take_pixels(offset, bytes),
            Request::Infer { checksum } => self.infer(checksum),
            Request::Wait { microseconds } => {
                self.board.clock.wake();
                let start = self.board.clock.now();
                Delay(&self.board.clock).delay_us(microseconds);
                let ticks = self.ticks_since(start);
                self.send(&Response::Ticks(ticks))
            }
            Request::SelfTest(test) => {
                let start = self.board.clock.now();
                let is_obeyed = self.board.self_tests.run(test);
                let ticks = self.ticks_since(start);
                match is_obeyed {
                    true => self.send(&Response::Ticks(ticks)),
                    false => self.refuse(Refusal::NoSelfTests),
                }
            }
            Request::Shutdown => {
                self.send(&Response::Bye)?;
                Err(End::Shutdown)
            }
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            version: VERSION,
            board: cut(self.board.name),
            model: cut(N::NAME),
            model_hash: N::model_hash(),
            input: [
                N::INPUT_HEIGHT as u16,
                N::INPUT_WIDTH as u16,
                N::INPUT_CHANNELS as u16,
            ],
            classes: N::LABELS.len() as u16,
            steps: N::STEP_NAMES.len() as u16,
            arena_bytes: N::ARENA_BYTES as u32,
            stack_bytes: self.board.stack.size_bytes() as u32,
            counter: Counter {
                frequency_hz: C::FREQUENCY_HZ,
                overhead_ticks: self.overhead_ticks,
            },
            setup: self.board.setup,
        }
    }

    fn take_pixels(&mut self, offset: u32, bytes: &[u8]) -> Result<(), End> {
        let start = offset as usize;
        if start == 0 {
            self.received = Received::NOTHING;
        }
        let began = self.board.clock.now();
        if start != self.received.bytes || self.arena.put_pixels(start, bytes).is_err() {
            let expected = self.received.bytes as u32;
            return self.refuse(Refusal::BadOffset {
                expected,
                found: offset,
            });
        }
        let ticks = self.ticks_since(began);
        let received = &mut self.received;
        received.ticks += ticks;
        received.bytes += bytes.len();
        received.checksum = fnv1a_on(received.checksum, bytes);
        Ok(())
    }

    fn infer(&mut self, checksum: u32) -> Result<(), End> {
        // The first steps write over the image, so it serves once.
        let received = core::mem::replace(&mut self.received, Received::NOTHING);
        if received.bytes != N::INPUT_BYTES {
            return self.refuse(Refusal::Incomplete {
                received: received.bytes as u32,
                expected: N::INPUT_BYTES as u32,
            });
        }
        if received.checksum != checksum {
            return self.refuse(Refusal::BadChecksum {
                received: received.checksum,
            });
        }
        if let Err(corrupted) = self.board.weights.check() {
            let report = FaultReport {
                kind: FaultKind::Weights,
                step: None,
                message: corrupted.message(),
                registers: None,
            };
            self.send(&Response::Fault(report))?;
            return Err(End::Fault);
        }

        let Board {
            link,
            clock,
            stack,
            busy,
            log,
            self_tests,
            ..
        } = &mut *self.board;
        stack.paint();
        busy.set_high().ok(); // a pin that fails is not worth an inference
        let mut recorder = Recorder::start(clock, self.records, self.overhead_ticks, *self_tests);
        let result = inference(self.arena, &mut recorder);
        let running = current_step();
        let mut ticks = recorder.finish();
        if N::Received::COMES_IN_ROWS {
            ticks += received.ticks;
            if let Some(first) = self.records.first_mut() {
                first.ticks += received.ticks;
            }
        }
        busy.set_low().ok();
        let stack_bytes = stack.used_bytes() as u32;
        log.inferred(ticks, stack_bytes);

        match result {
            Ok(prediction) => {
                send_steps(link, self.records, self.frame)?;
                send_logits(link, prediction.logits(), self.frame)?;
                self.send(&Response::Done { ticks, stack_bytes })
            }
            Err(fault) => {
                let report = FaultReport {
                    kind: FaultKind::Kernel,
                    step: running,
                    message: cut(fault.text()),
                    registers: None,
                };
                self.send(&Response::Fault(report))?;
                Err(End::Fault)
            }
        }
    }

    fn ticks_since(&self, start: u64) -> u64 {
        let passed = self.board.clock.now() - start;
        passed.saturating_sub(self.overhead_ticks.into())
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<(), End> {
        self.board.log.refused(refusal);
        self.send(&Response::Refused(refusal))
    }

    fn send(&mut self, response: &Response) -> Result<(), End> {
        write_frame(&mut self.board.link, response, self.frame)
    }
}

/// An inference, as a function of its own that is found in the image.
#[inline(never)]
fn inference<'a, N: Network, C: Clock, T: SelfTests>(
    arena: &'a mut Arena<N>,
    recorder: &mut Recorder<'_, C, T>,
) -> Result<Prediction<'a>, Fault> {
    arena.infer_observed(recorder)
}

fn send_steps(
    link: &mut impl Write,
    records: &[StepRecord],
    frame: &mut [u8; MAX_FRAME],
) -> Result<(), End> {
    for (step, &StepRecord { ticks, checksum }) in (0..).zip(records) {
        let response = Response::Step {
            step,
            checksum,
            ticks,
        };
        write_frame(link, &response, frame)?;
    }
    Ok(())
}

/// The logits stay where the inference left them: a copy of many classes would be
/// larger than the rest of the stack.
fn send_logits(
    link: &mut impl Write,
    logits: &[Logit],
    frame: &mut [u8; MAX_FRAME],
) -> Result<(), End> {
    for (piece, values) in logits.chunks(LOGITS_PER_FRAME).enumerate() {
        let offset = (piece * LOGITS_PER_FRAME) as u16;
        let mut piece = LogitsPiece {
            offset,
            values: Vec::new(),
        };
        for logit in values {
            piece.values.push(logit.to_q16()).ok(); // there is room for a piece
        }
        write_frame(link, &Response::Logits(piece), frame)?;
    }
    Ok(())
}

/// Sends one frame.
///
/// # Errors
/// [`End::LinkClosed`] if it cannot be sent.
pub fn write_frame(
    link: &mut impl Write,
    response: &Response,
    frame: &mut [u8; MAX_FRAME],
) -> Result<(), End> {
    let bytes = encode(response, frame).map_err(|_| End::LinkClosed)?;
    write_all(link, bytes)?;
    link.flush().map_err(|_| End::LinkClosed)
}

/// Writes all of `bytes`. The link's own function of this name panics if a link says that it
/// wrote more than it was given.
///
/// # Errors
/// [`End::LinkClosed`] if it takes no more.
pub fn write_all(link: &mut impl Write, mut bytes: &[u8]) -> Result<(), End> {
    while !bytes.is_empty() {
        let written = link.write(bytes).map_err(|_| End::LinkClosed)?;
        bytes = match bytes.get(written..) {
            Some(rest) if written > 0 => rest,
            _ => return Err(End::LinkClosed),
        };
    }
    Ok(())
}

/// As much of `text` as fits.
fn cut<const N: usize>(text: &str) -> heapless::String<N> {
    let mut string = heapless::String::new();
    for c in text.chars() {
        if string.push(c).is_err() {
            break;
        }
    }
    string
}

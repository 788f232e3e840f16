//! A conversation with the firmware: images to it, predictions and their cost
//! back, whatever carries the bytes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tadpool_kernels::checksum::fnv1a;
use tadpool_protocol::{
    FaultKind, FaultReport, FrameError, FrameReader, Hello, MAX_FRAME, PIXELS_PER_FRAME, Refusal,
    Request, Response, SelfTest, VERSION, encode,
};

/// The transport of the bytes.
pub trait Transport {
    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// [`TransportError::Closed`] if nobody is there to receive them.
    fn send(&mut self, bytes: &[u8]) -> Result<(), TransportError>;

    /// Waits for bytes until `deadline`; at least one.
    ///
    /// # Errors
    /// A [`TransportError`] if none came.
    fn receive(&mut self, deadline: Instant) -> Result<Vec<u8>, TransportError>;

    /// Takes the defmt frames that came so far.
    fn take_log(&mut self) -> Vec<u8>;

    /// The state of a firmware that does not answer.
    fn state(&mut self) -> String;

    /// Name of the firmware's function that has code at `address`.
    fn function_at(&self, address: u32) -> Option<String>;
}

/// Why no bytes came.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nothing came in time.
    #[error("no answer in time")]
    Timeout,
    /// The other end is gone.
    #[error("{reason}")]
    Closed {
        /// The state of the firmware, as far as it is known.
        reason: String,
    },
}

/// The board's result for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inference {
    /// The output, Q16.16.
    pub logits: Vec<i32>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Counter ticks of the whole inference.
    pub ticks: u64,
    /// Most bytes of stack that were in use, the request loop's included.
    pub stack_bytes: u32,
}

/// The cost of one step, and the checksum of the map that it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Counter ticks it took.
    pub ticks: u64,
    /// FNV-1a of the bytes it wrote.
    pub checksum: u32,
}

/// A conversation that failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Nothing came in time.
    #[error(
        "the board did not answer `{request}` within {seconds} s: {state}; it hangs, or needs a \
         longer `--timeout`"
    )]
    Timeout {
        /// The request.
        request: &'static str,
        /// How long was waited.
        seconds: u64,
        /// The state that it is in instead.
        state: String,
    },
    /// The other end is gone.
    #[error("the board was gone while it was asked `{request}`: {reason}")]
    Gone {
        /// The request.
        request: &'static str,
        /// The state of the firmware, as far as it is known.
        reason: String,
    },
    /// The bytes received are no answer.
    #[error(
        "the board's answer to `{request}` is garbage: {source}; build its image with this \
         version of tadpool"
    )]
    Garbage {
        /// The request.
        request: &'static str,
        /// The reason.
        source: FrameError,
    },
    /// An answer to something else came.
    #[error("the board answered `{request}` with {response}")]
    Unexpected {
        /// The request.
        request: &'static str,
        /// The answer received.
        response: String,
    },
    /// The image speaks another version of the protocol.
    #[error(
        "the image speaks version {image} of the protocol, this tool version {VERSION}; build \
         the image again"
    )]
    Version {
        /// The image's version.
        image: u16,
    },
    /// The image was built for another board.
    #[error("the image was built for board `{image}`, not `{board}`; build it for this one")]
    WrongBoard {
        /// The image's board.
        image: String,
        /// The board that was asked for.
        board: String,
    },
    /// The image holds another model.
    #[error(
        "the image holds the model `{name}` with hash {image:08x}, expected {expected:08x}; \
         build the image again"
    )]
    WrongModel {
        /// Name of the image's model.
        name: String,
        /// Its hash.
        image: u32,
        /// The hash that was asked for.
        expected: u32,
    },
    /// The picture has a wrong size.
    #[error("the model takes {expected} bytes of pixels ({shape}), not {found}")]
    WrongSize {
        /// Bytes that the model takes.
        expected: usize,
        /// Bytes that were given.
        found: usize,
        /// The model's input, as `HxWxC`.
        shape: String,
    },
    /// The firmware refused.
    #[error("the board refused `{request}`: {}", refusal_text(.refusal))]
    Refused {
        /// The request.
        request: &'static str,
        /// Why.
        refusal: Refusal,
    },
    /// The firmware cannot go on.
    #[error("{}", fault_text(.0))]
    Fault(Box<Fault>),
}

/// The firmware's account of its end, with the host's names for the addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The firmware's account.
    pub report: FaultReport,
    /// Name of the step that was running.
    pub step: Option<String>,
    /// The function that the program counter is in.
    pub function: Option<String>,
    /// The function that it returns to.
    pub caller: Option<String>,
}

/// A conversation over some [`Transport`].
#[derive(Debug)]
pub struct Session<T> {
    transport: T,
    reader: FrameReader,
    /// Bytes that were received and not read yet.
    received: VecDeque<u8>,
    hello: Hello,
    /// Names of the steps, as far as they are known.
    step_names: Vec<String>,
    timeout: Duration,
}

impl<T: Transport> Session<T> {
    /// Says hello; each answer may take as long as `timeout`.
    ///
    /// # Errors
    /// A [`SessionError`], [`SessionError::Version`] among them.
    pub fn start(transport: T, timeout: Duration) -> Result<Self, SessionError> {
        let mut session = Self {
            transport,
            reader: FrameReader::new(),
            received: VecDeque::new(),
            hello: Hello::default(),
            step_names: Vec::new(),
            timeout,
        };
        // The zero ends whatever the firmware may have received before.
        session.hand_over(REQUEST_HELLO, &[0])?;
        session.send(REQUEST_HELLO, &Request::Hello)?;
        session.hello = match session.response(REQUEST_HELLO)? {
            Response::Hello(hello) => hello,
            other => return Err(unexpected(REQUEST_HELLO, &other)),
        };
        if session.hello.version != VERSION {
            return Err(SessionError::Version {
                image: session.hello.version,
            });
        }
        Ok(session)
    }

    /// Who answers.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Takes the defmt frames that came so far.
    pub fn take_log(&mut self) -> Vec<u8> {
        self.transport.take_log()
    }

    /// Names the steps, for the report of a fault.
    pub fn name_steps(&mut self, names: Vec<String>) {
        self.step_names = names;
    }

    /// The transport of the bytes.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Gives the transport back.
    pub fn into_transport(self) -> T {
        self.transport
    }

    /// Refuses an image of another board than the one that is named, or of another model
    /// than the one whose hash is given.
    ///
    /// # Errors
    /// [`SessionError::WrongBoard`] and [`SessionError::WrongModel`].
    pub fn check(&self, board: Option<&str>, model_hash: Option<u32>) -> Result<(), SessionError> {
        let hello = &self.hello;
        if let Some(board) = board
            && hello.board != board
        {
            let image = hello.board.as_str().to_owned();
            return Err(SessionError::WrongBoard {
                image,
                board: board.to_owned(),
            });
        }
        match model_hash {
            Some(expected) if expected != hello.model_hash => Err(SessionError::WrongModel {
                name: hello.model.as_str().to_owned(),
                image: hello.model_hash,
                expected,
            }),
            _ => Ok(()),
        }
    }

    /// Runs the model on `pixels`: `u8`, row by row, channel fastest.
    ///
    /// # Errors
    /// A [`SessionError`]; after [`SessionError::Refused`] the session goes on.
    pub fn infer(&mut self, pixels: &[u8]) -> Result<Inference, SessionError> {
        const REQUEST: &str = "infer";
        let [height, width, channels] = self.hello.input.map(usize::from);
        if pixels.len() != height * width * channels {
            return Err(SessionError::WrongSize {
                expected: height * width * channels,
                found: pixels.len(),
                shape: format!("{height}x{width}x{channels}"),
            });
        }
        let mut message = Vec::new();
        for (piece, bytes) in pixels.chunks(PIXELS_PER_FRAME).enumerate() {
            let offset = (piece * PIXELS_PER_FRAME) as u32;
            message.extend(frame(REQUEST, &Request::Pixels { offset, bytes })?);
        }
        message.extend(frame(
            REQUEST,
            &Request::Infer {
                checksum: fnv1a(pixels),
            },
        )?);
        self.hand_over(REQUEST, &message)?;

        let mut steps = Vec::with_capacity(self.hello.steps.into());
        let mut logits = Vec::with_capacity(self.hello.classes.into());
        loop {
            match self.response(REQUEST)? {
                Response::Step {
                    step,
                    checksum,
                    ticks,
                } if usize::from(step) == steps.len() => {
                    steps.push(Step { ticks, checksum });
                }
                Response::Logits(piece) if usize::from(piece.offset) == logits.len() => {
                    logits.extend(piece.values);
                }
                Response::Done { ticks, stack_bytes }
                    if steps.len() == usize::from(self.hello.steps)
                        && logits.len() == usize::from(self.hello.classes) =>
                {
                    return Ok(Inference {
                        logits,
                        steps,
                        ticks,
                        stack_bytes,
                    });
                }
                other => return Err(unexpected(REQUEST, &other)),
            }
        }
    }

    /// Lets the board wait by its own counter; returns the ticks that passed.
    ///
    /// # Errors
    /// A [`SessionError`].
    pub fn wait(&mut self, time: Duration) -> Result<u64, SessionError> {
        let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.ticks("wait", &Request::Wait { microseconds })
    }

    /// Runs a self test; returns the ticks that passed, if it comes back.
    ///
    /// # Errors
    /// A [`SessionError`]; [`SessionError::Fault`] is what most tests are for.
    pub fn self_test(&mut self, test: SelfTest) -> Result<u64, SessionError> {
        self.ticks("self test", &Request::SelfTest(test))
    }

    /// Stops the firmware.
    ///
    /// # Errors
    /// A [`SessionError`].
    pub fn shut_down(&mut self) -> Result<(), SessionError> {
        const REQUEST: &str = "shut down";
        self.send(REQUEST, &Request::Shutdown)?;
        match self.response(REQUEST)? {
            Response::Bye => Ok(()),
            other => Err(unexpected(REQUEST, &other)),
        }
    }

    /// Reads one response and forgets it, to go on after a request of which
    /// this session knows nothing.
    ///
    /// # Errors
    /// A [`SessionError`] if none comes, or one that ends the session.
    pub fn discard_response(&mut self) -> Result<(), SessionError> {
        self.response("anything").map(drop)
    }

    fn ticks(&mut self, name: &'static str, request: &Request<'_>) -> Result<u64, SessionError> {
        self.send(name, request)?;
        match self.response(name)? {
            Response::Ticks(ticks) => Ok(ticks),
            other => Err(unexpected(name, &other)),
        }
    }

    fn send(&mut self, name: &'static str, request: &Request<'_>) -> Result<(), SessionError> {
        let bytes = frame(name, request)?;
        self.hand_over(name, &bytes)
    }

    fn hand_over(&mut self, request: &'static str, bytes: &[u8]) -> Result<(), SessionError> {
        match self.transport.send(bytes) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.transport_error(request, error)),
        }
    }

    /// The next response that is neither a refusal nor a fault.
    fn response(&mut self, request: &'static str) -> Result<Response, SessionError> {
        let deadline = Instant::now() + self.timeout;
        match self.any_response(request, deadline)? {
            Response::Refused(refusal) => Err(SessionError::Refused { request, refusal }),
            Response::Fault(report) => Err(SessionError::Fault(Box::new(self.fault(report)))),
            response => Ok(response),
        }
    }

    fn fault(&self, report: FaultReport) -> Fault {
        let registers = report.registers.as_ref();
        let function = |address: u32| self.transport.function_at(address & !1);
        let step = report
            .step
            .and_then(|step| self.step_names.get(usize::from(step)));
        Fault {
            step: step.cloned(),
            function: registers.and_then(|registers| function(registers.pc)),
            caller: registers.and_then(|registers| function(registers.lr)),
            report,
        }
    }

    fn any_response(
        &mut self,
        request: &'static str,
        deadline: Instant,
    ) -> Result<Response, SessionError> {
        loop {
            while let Some(byte) = self.received.pop_front() {
                if self.reader.push(byte) {
                    let garbage = |source| SessionError::Garbage { request, source };
                    return self.reader.message().map_err(garbage);
                }
            }
            match self.transport.receive(deadline) {
                Ok(bytes) => self.received.extend(bytes),
                Err(error) => return Err(self.transport_error(request, error)),
            }
        }
    }

    fn transport_error(&mut self, request: &'static str, error: TransportError) -> SessionError {
        match error {
            TransportError::Timeout => SessionError::Timeout {
                request,
                seconds: self.timeout.as_secs(),
                state: self.transport.state(),
            },
            TransportError::Closed { reason } => SessionError::Gone { request, reason },
        }
    }
}

const REQUEST_HELLO: &str = "hello";

fn frame(name: &'static str, request: &Request<'_>) -> Result<Vec<u8>, SessionError> {
    let mut frame = [0; MAX_FRAME];
    let bytes = encode(request, &mut frame).map_err(|source| SessionError::Garbage {
        request: name,
        source,
    })?;
    Ok(bytes.to_vec())
}

fn unexpected(request: &'static str, response: &Response) -> SessionError {
    SessionError::Unexpected {
        request,
        response: format!("{response:?}"),
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::BrokenFrame => "a frame arrived broken".into(),
        Refusal::BadOffset { expected, found } => {
            format!("pixels came for offset {found} after {expected} bytes")
        }
        Refusal::Incomplete { received, expected } => {
            format!("{received} of {expected} bytes of pixels arrived")
        }
        Refusal::BadChecksum { received } => {
            format!("the pixels that arrived have checksum {received:08x}")
        }
        Refusal::NoSelfTests => {
            "its image was built without self tests; build it with the feature `self-test`".into()
        }
    }
}

fn fault_text(fault: &Fault) -> String {
    let report = &fault.report;
    let what = match report.kind {
        FaultKind::Panic => "the firmware panicked",
        FaultKind::Kernel => "a kernel refused its input",
        FaultKind::HardFault => "the processor faulted",
        FaultKind::StackOverflow => "the stack overflowed; raise layout.stack_bytes of the board",
        FaultKind::Exception => "the processor took an exception without a handler",
        FaultKind::Weights => {
            "the weights in its flash are not those that were written; flash it again, and if \
             that helps for a while only, the flash is worn out or something else writes to it"
        }
        FaultKind::Watchdog => "the watchdog ended a firmware that hung",
    };
    let mut text = what.to_owned();
    if let Some(step) = report.step {
        text += &format!(" in step {step}");
    }
    if let Some(name) = &fault.step {
        text += &format!(" `{name}`");
    }
    if !report.message.is_empty() {
        text += &format!(": {}", report.message);
    }
    if let Some(function) = &fault.function {
        text += &format!(", at `{function}`");
    }
    if let Some(caller) = &fault.caller {
        text += &format!(", called from `{caller}`");
    }
    if let Some(registers) = &report.registers {
        let tadpool_protocol::Registers {
            pc,
            lr,
            sp,
            cfsr,
            bfar,
        } = registers;
        text +=
            &format!(" (pc {pc:08x}, lr {lr:08x}, sp {sp:08x}, cfsr {cfsr:08x}, bfar {bfar:08x})");
    }
    text
}

//! The messages.

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Changes whenever a message changes; both sides compare it in [`Hello`].
pub const VERSION: u16 = 4;
/// Most pixel bytes in one [`Request::Pixels`].
pub const PIXELS_PER_FRAME: usize = 512;
/// Most values in one [`LogitsPiece`].
pub const LOGITS_PER_FRAME: usize = 64;

/// Name of a model; longer ones are cut.
pub type ModelName = String<64>;
/// Name of a board.
pub type BoardName = String<32>;
/// Text of a fault; longer ones are cut.
pub type Message = String<160>;

/// A request of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Who are you? Answered by [`Response::Hello`].
    Hello,
    /// The next bytes of the image; offset 0 starts a new one. Not answered
    /// unless refused.
    Pixels {
        /// Bytes of the image sent before these.
        offset: u32,
        /// At most [`PIXELS_PER_FRAME`] bytes.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// Run the model on the image that was sent. Answered by one
    /// [`Response::Step`] a step, the [`Response::Logits`] and
    /// [`Response::Done`].
    Infer {
        /// FNV-1a of the whole image.
        checksum: u32,
    },
    /// Wait for so long by the board's counter. Answered by
    /// [`Response::Ticks`].
    Wait {
        /// The time to wait.
        microseconds: u32,
    },
    /// Only images built for it obey; others refuse.
    SelfTest(SelfTest),
    /// Stop; answered by [`Response::Bye`].
    Shutdown,
}

/// The faults that an image built with self tests can be told to cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelfTest {
    /// A loop of this many instructions (two a turn, so even). Answered by
    /// [`Response::Ticks`].
    Loop {
        /// Length of the loop.
        instructions: u32,
    },
    /// Panics.
    Panic,
    /// Reads an address where nothing is.
    BadAddress,
    /// Recurses until the stack is used up.
    StackOverflow,
    /// Never answers.
    Hang,
    /// Reads an address where nothing is when this step of the next inference has
    /// ended, so that the step after it is the one that runs.
    BadAddressAfter {
        /// Index of the step.
        step: u16,
    },
    /// Never ends the next inference once this step of it has ended, so that the step after it
    /// is the one that runs.
    HangAfter {
        /// Index of the step.
        step: u16,
    },
    /// Flips a bit of the weights, where their memory can be written as an emulator's can.
    CorruptWeights,
}

/// An answer of the firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Who answers.
    Hello(Hello),
    /// The cost of one step, and the checksum of the map that it wrote.
    Step {
        /// Index of the step.
        step: u16,
        /// FNV-1a of the bytes it wrote.
        checksum: u32,
        /// Counter ticks it took.
        ticks: u64,
    },
    /// Some of the output.
    Logits(LogitsPiece),
    /// The inference is complete.
    Done {
        /// Counter ticks of the whole inference, without the observer's.
        ticks: u64,
        /// Most bytes of stack that were in use.
        stack_bytes: u32,
    },
    /// Ticks that passed.
    Ticks(u64),
    /// The request was not obeyed.
    Refused(Refusal),
    /// The program cannot go on; nothing follows.
    Fault(FaultReport),
    /// The program stops.
    Bye,
}

/// Who answers: enough to tell whether host, image and model belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the firmware.
    pub version: u16,
    /// Board that the image was built for.
    pub board: BoardName,
    /// Name of the model.
    pub model: ModelName,
    /// First bytes of the model's hash.
    pub model_hash: u32,
    /// Rows, columns and channels of the image.
    pub input: [u16; 3],
    /// Length of the output.
    pub classes: u16,
    /// Kernel calls of an inference.
    pub steps: u16,
    /// Static memory of an inference.
    pub arena_bytes: u32,
    /// Bytes between the ends of the stack.
    pub stack_bytes: u32,
    /// The unit of the ticks.
    pub counter: Counter,
    /// The set-up of the chip, as found in its registers.
    pub setup: Setup,
}

/// The settings of the chip that a latency depends on, besides the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The core's clock.
    pub core_hz: u32,
    /// Whether the core's instruction cache is on.
    pub instruction_cache: bool,
    /// Whether the core's data cache is on.
    pub data_cache: bool,
    /// Whether the cache or accelerator between the core and the flash memory
    /// is on.
    pub flash_cache: bool,
    /// Cycles that an access of flash memory waits; none where a serial memory
    /// or RAM holds the code.
    pub flash_wait_states: Option<u8>,
    /// Whether a crystal clocks the core, rather than an oscillator on the chip whose rate
    /// is known to about 1 %.
    pub crystal: bool,
    /// Whether the core's regulator is in boost mode; none where it has no such mode.
    pub boost: Option<bool>,
    /// Whether the flash memory is two banks that are half as wide; none where that cannot
    /// be chosen.
    pub dual_bank: Option<bool>,
}

/// The counter that costs are measured with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Ticks in a second of the board's time.
    pub frequency_hz: u32,
    /// Ticks that reading it costs; already taken off every figure sent.
    pub overhead_ticks: u32,
}

/// Some of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogitsPiece {
    /// Values sent before these.
    pub offset: u16,
    /// Q16.16.
    pub values: Vec<i32, LOGITS_PER_FRAME>,
}

/// Why a request was not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The frame was broken.
    BrokenFrame,
    /// Pixels arrived out of order, or more than the image has.
    BadOffset {
        /// Bytes of the image received so far.
        expected: u32,
        /// Where the pixels said they belong.
        found: u32,
    },
    /// Pixels are missing; also after an inference, which uses the image up.
    Incomplete {
        /// Bytes of the image received so far.
        received: u32,
        /// Bytes of an image.
        expected: u32,
    },
    /// The image that arrived is not the one sent.
    BadChecksum {
        /// FNV-1a of the pixels received.
        received: u32,
    },
    /// The image was built without self tests.
    NoSelfTests,
}

/// Why the program cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultReport {
    /// The kind of fault.
    pub kind: FaultKind,
    /// Step that was running; none outside an inference.
    pub step: Option<u16>,
    /// The panic's message or the like.
    pub message: Message,
    /// The frame that the processor saved; absent for panics and kernel faults, and
    /// where the stack is not usable.
    pub registers: Option<Registers>,
}

/// The kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// A Rust panic.
    Panic,
    /// A kernel refused its input.
    Kernel,
    /// The processor took the HardFault exception.
    HardFault,
    /// The stack ran into its end.
    StackOverflow,
    /// An exception without a handler.
    Exception,
    /// The flash holds other weights than were written.
    Weights,
    /// Nothing went on for as long as the board's watchdog waits.
    Watchdog,
}

/// The registers that the processor saved on entry to the fault handler, and its fault
/// status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// Program counter.
    pub pc: u32,
    /// Link register.
    pub lr: u32,
    /// Stack pointer.
    pub sp: u32,
    /// Configurable fault status register; 0 on cores without.
    pub cfsr: u32,
    /// Bus fault address register; 0 on cores without.
    pub bfar: u32,
}

//! Reads what a processor executed, as a stream of bytes.
//!
//! Numbers are little endian. The stream begins with [`MAGIC`] and a `u32`, [`VERSION`];
//! then come records, each a byte that says what it is, and its fields:
//!
//! | byte | record | fields |
//! |---|---|---|
//! | 1 | a block of instructions is met | `u32` block, `u32` address, `u16` number of halfwords, the halfwords |
//! | 2 | it is executed | `u32` block |
//! | 3 | one of its instructions accesses memory | `u16` instruction, `u8` flags (bit 7: store, bits 0 to 3: log2 of the bytes), `u32` address |
//! | 4 | what is to be measured begins | |
//! | 5 | and ends | |
//!
//! Accesses follow the execution that they belong to. A block has a new number if other code
//! is met at its address. It may be left before its end: by an exception, or by an access that
//! the emulator has to repeat. Then the next execution says where it went on. Of an
//! instruction that its condition leaves out there is no access. One that loads or stores
//! several registers has an access each, and one on vectors an access for each element in
//! memory, where they lie side by side too, without those that a predicate leaves out.

use std::io::{self, Read};

use crate::decode::{Unknown, is_wide};

/// The first bytes of a stream.
pub const MAGIC: [u8; 8] = *b"TADTRACE";
/// The version of the format that is read here.
pub const VERSION: u32 = 1;

/// The record of a block that is met.
pub const DEFINE: u8 = 1;
/// The record of an execution.
pub const EXECUTE: u8 = 2;
/// The record of an access.
pub const ACCESS: u8 = 3;
/// The record that says that what is to be measured begins.
pub const BEGIN: u8 = 4;
/// The record that says that it ends.
pub const END: u8 = 5;

/// The flag of an access that stores.
pub const STORE: u8 = 0x80;

/// Most blocks of a stream: more than the code of any microcontroller has.
const MOST_BLOCKS: u32 = 1 << 20;
/// Most accesses of one execution of a block.
const MOST_ACCESSES: usize = 1 << 16;
/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 18;

/// One access of memory by an instruction of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// The instruction's index in its block.
    pub instruction: u16,
    /// The first byte's address.
    pub address: u32,
    /// How many bytes: a power of two, up to 128.
    pub bytes: u8,
    /// Whether they are written.
    pub is_store: bool,
}

/// A receiver of an execution's events.
pub trait Sink {
    /// A block of instructions was met for the first time, under a number that none had
    /// before.
    ///
    /// # Errors
    /// [`Unknown`] if an instruction cannot be decoded.
    fn define(&mut self, block: u32, address: u32, code: &[u16]) -> Result<(), Unknown>;

    /// It was executed, with these accesses, in the order in which they were made.
    fn execute(&mut self, block: u32, accesses: &[Access]);

    /// The measured part begins. Nothing is executed before it, if the stream marks it.
    fn begin(&mut self) {}

    /// The measured part ends.
    fn end(&mut self) {}
}

/// A stream that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Reading failed.
    #[error("the trace cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It begins otherwise.
    #[error("this is no trace: its first bytes are not `TADTRACE`")]
    Magic,
    /// Another version of the format.
    #[error("the trace has version {0}, and version {VERSION} is read here")]
    Version(u32),
    /// It ends within a record.
    #[error("the trace ends within the record that begins at byte {at}")]
    Cut {
        /// The record's first byte.
        at: u64,
    },
    /// A record that no version 1 has.
    #[error("the trace has an unknown record {tag} at byte {at}")]
    Record {
        /// Its first byte.
        tag: u8,
        /// Where that is.
        at: u64,
    },
    /// A block has no code, half an instruction, an odd address, or one above 2^32.
    #[error("block {block} of the trace is no code: {halfwords} halfwords at {address:#x}")]
    Code {
        /// The block.
        block: u32,
        /// Its address.
        address: u32,
        /// Its length.
        halfwords: usize,
    },
    /// A block's number is used twice, or is too large.
    #[error(
        "block {block} of the trace is met twice, or its number is not below {most}",
        most = MOST_BLOCKS
    )]
    Number {
        /// The block.
        block: u32,
    },
    /// A block is executed that was not met.
    #[error("block {block} of the trace is executed at byte {at} and was not met before")]
    Missing {
        /// The block.
        block: u32,
        /// The record's first byte.
        at: u64,
    },
    /// An access of no block, of an instruction that its block has not, or of too many bytes.
    #[error("the access at byte {at} of the trace is of no instruction that is executed")]
    Access {
        /// The record's first byte.
        at: u64,
    },
    /// An instruction that the decoder does not know.
    #[error("block {block} of the trace, at {address:#x}: {source}")]
    Unknown {
        /// The block.
        block: u32,
        /// Its address.
        address: u32,
        /// The code.
        source: Unknown,
    },
}

/// Reads a stream to its end, and gives what it tells to `sink`.
///
/// # Errors
/// A [`TraceError`]; what came before it has been given to `sink`.
pub fn read(input: impl Read, sink: &mut impl Sink) -> Result<(), TraceError> {
    let mut input = Input::new(input);
    if input.array::<8>().map_err(|_| TraceError::Magic)? != MAGIC {
        return Err(TraceError::Magic);
    }
    match input.u32()? {
        VERSION => {}
        version => return Err(TraceError::Version(version)),
    }
    let mut blocks = Blocks::default();
    let mut executed: Option<u32> = None;
    let mut accesses: Vec<Access> = Vec::new();
    while let Some(tag) = input.tag()? {
        if tag == ACCESS {
            let access = input.access()?;
            let block = executed.filter(|&block| access.instruction < blocks.instructions(block));
            if block.is_none() || accesses.len() == MOST_ACCESSES {
                return Err(TraceError::Access { at: input.record });
            }
            accesses.push(access);
            continue;
        }
        // Blocks may be met between an execution and its accesses: the emulator translates
        // again what it has to repeat.
        if tag != DEFINE
            && let Some(block) = executed.take()
        {
            sink.execute(block, &accesses);
            accesses.clear();
        }
        match tag {
            DEFINE => define(&mut input, &mut blocks, sink)?,
            EXECUTE => {
                let block = input.u32()?;
                if blocks.instructions(block) == 0 {
                    return Err(TraceError::Missing {
                        block,
                        at: input.record,
                    });
                }
                executed = Some(block);
            }
            BEGIN => sink.begin(),
            END => sink.end(),
            tag => {
                return Err(TraceError::Record {
                    tag,
                    at: input.record,
                });
            }
        }
    }
    if let Some(block) = executed {
        sink.execute(block, &accesses);
    }
    Ok(())
}

/// Reads a block's record.
fn define(
    input: &mut Input<impl Read>,
    blocks: &mut Blocks,
    sink: &mut impl Sink,
) -> Result<(), TraceError> {
    let (block, address) = (input.u32()?, input.u32()?);
    let halfwords = input.u16()?;
    let mut code = Vec::with_capacity(halfwords.into());
    for _ in 0..halfwords {
        code.push(input.u16()?);
    }
    let instructions = instructions(&code).filter(|_| {
        let end = address.checked_add(2 * u32::from(halfwords));
        address.is_multiple_of(2) && end.is_some()
    });
    let instructions = instructions.ok_or(TraceError::Code {
        block,
        address,
        halfwords: code.len(),
    })?;
    if !blocks.add(block, instructions) {
        return Err(TraceError::Number { block });
    }
    sink.define(block, address, &code)
        .map_err(|source| TraceError::Unknown {
            block,
            address,
            source,
        })
}

/// How many instructions code is, unless it ends within one or is none.
fn instructions(mut code: &[u16]) -> Option<u16> {
    let mut count = 0;
    while let [first, ..] = code {
        code = code.get(1 + usize::from(is_wide(*first))..)?;
        count += 1;
    }
    (count > 0).then_some(count)
}

/// The numbers of instructions of the blocks that were met; 0 of others.
#[derive(Default)]
struct Blocks(Vec<u16>);

impl Blocks {
    fn instructions(&self, block: u32) -> u16 {
        self.0.get(block as usize).copied().unwrap_or(0)
    }

    /// Whether the block could be added.
    fn add(&mut self, block: u32, instructions: u16) -> bool {
        let is_new = block < MOST_BLOCKS && self.instructions(block) == 0;
        if is_new {
            let at = block as usize;
            self.0.resize(self.0.len().max(at + 1), 0);
            self.0[at] = instructions;
        }
        is_new
    }
}

/// A stream, its place, and where the last record began.
struct Input<R> {
    input: R,
    buffer: Vec<u8>,
    /// The start of the unread rest of the buffer.
    next: usize,
    end: usize,
    /// Bytes before the buffer's first.
    before: u64,
    record: u64,
}

impl<R: Read> Input<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER_BYTES],
            next: 0,
            end: 0,
            before: 0,
            record: 0,
        }
    }

    /// The first byte of a record; none at the stream's end.
    fn tag(&mut self) -> Result<Option<u8>, TraceError> {
        self.record = self.before + self.next as u64;
        if self.next == self.end && !self.fill()? {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(self.buffer[self.next - 1]))
    }

    fn access(&mut self) -> Result<Access, TraceError> {
        let [a, b, flags, rest @ ..] = self.array::<7>()?;
        let log2 = flags & 0xf;
        if log2 > 7 || flags & 0x70 != 0 {
            return Err(TraceError::Access { at: self.record });
        }
        Ok(Access {
            instruction: u16::from_le_bytes([a, b]),
            address: u32::from_le_bytes(rest),
            bytes: 1 << log2,
            is_store: flags & STORE != 0,
        })
    }

    fn u16(&mut self) -> Result<u16, TraceError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, TraceError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TraceError> {
        while self.end - self.next < N {
            if !self.fill()? {
                return Err(TraceError::Cut { at: self.record });
            }
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffer[self.next..self.next + N]);
        self.next += N;
        Ok(bytes)
    }

    /// Reads more behind what is not read yet; false at the stream's end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.next..self.end, 0);
        self.before += self.next as u64;
        self.end -= self.next;
        self.next = 0;
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests;

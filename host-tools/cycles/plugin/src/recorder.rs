//! Writes blocks, executions and accesses in the format of `tadpool_cycles::trace`.

use std::collections::HashMap;
use std::io::Write;

use super::window::{Place, Window};

const HEADER: &[u8] = b"TADTRACE\x01\x00\x00\x00";
const DEFINE: u8 = 1;
const EXECUTE: u8 = 2;
const ACCESS: u8 = 3;
const BEGIN: u8 = 4;
const END: u8 = 5;
const STORE: u8 = 0x80;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 18;

/// A block of instructions.
struct Block {
    place: Place,
    code: Vec<u16>,
    is_written: bool,
}

/// Knows the blocks, and writes what is wanted of their execution.
pub(crate) struct Recorder {
    window: Window,
    blocks: Vec<Block>,
    numbers: HashMap<(u32, Vec<u16>), usize>,
    buffer: Vec<u8>,
    /// None once nothing is wanted any more, or the reader has gone.
    out: Option<Box<dyn Write + Send>>,
}

/// The event that follows a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// Whether its accesses are wanted.
    pub(crate) is_wanted: bool,
    /// Whether nothing is wanted any more.
    pub(crate) is_over: bool,
}

impl Recorder {
    pub(crate) fn new(window: Window, out: Box<dyn Write + Send>) -> Self {
        Self {
            window,
            blocks: Vec::new(),
            numbers: HashMap::new(),
            buffer: HEADER.to_vec(),
            out: Some(out),
        }
    }

    /// The number of the block at an address; a new one if other code was there before.
    pub(crate) fn block(&mut self, address: u32, code: Vec<u16>) -> usize {
        let key = (address, code);
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        let (number, code) = (self.blocks.len(), key.1.clone());
        let place = Place {
            address,
            end: address.wrapping_add(2 * code.len() as u32),
            is_call: is_call(&code),
        };
        self.blocks.push(Block {
            place,
            code,
            is_written: false,
        });
        self.numbers.insert(key, number);
        number
    }

    /// A block is about to be executed.
    pub(crate) fn execute(&mut self, number: usize) -> Next {
        let block = &mut self.blocks[number];
        let wanted = self.window.execute(block.place);
        if wanted.has_ended {
            self.buffer.push(END);
        }
        if wanted.begins {
            self.buffer.push(BEGIN);
        }
        if wanted.is_wanted {
            let bytes = (number as u32).to_le_bytes();
            if !block.is_written {
                block.is_written = true;
                self.buffer.push(DEFINE);
                self.buffer.extend(bytes);
                self.buffer.extend(block.place.address.to_le_bytes());
                let halfwords = block.code.len() as u16;
                self.buffer.extend(halfwords.to_le_bytes());
                let code = block.code.iter().flat_map(|half| half.to_le_bytes());
                self.buffer.extend(code);
            }
            self.buffer.push(EXECUTE);
            self.buffer.extend(bytes);
        }
        if wanted.has_ended || self.buffer.len() >= BUFFER_BYTES {
            self.flush();
        }
        if self.window.is_over() {
            self.out = None; // the reader sees that it is over
        }
        Next {
            is_wanted: wanted.is_wanted && self.out.is_some(),
            is_over: self.out.is_none(),
        }
    }

    /// An instruction of the block that is executed accesses 2^`log2` bytes.
    pub(crate) fn access(&mut self, instruction: u16, address: u32, log2: u8, is_store: bool) {
        let [a, b] = instruction.to_le_bytes();
        let flags = log2 | if is_store { STORE } else { 0 };
        let [c, d, e, f] = address.to_le_bytes();
        self.buffer.extend([ACCESS, a, b, flags, c, d, e, f]);
    }

    /// Writes what is left to be written.
    pub(crate) fn flush(&mut self) {
        if let Some(out) = &mut self.out {
            let written = out.write_all(&self.buffer);
            if written.and_then(|()| out.flush()).is_err() {
                self.out = None;
            }
        }
        self.buffer.clear();
    }
}

/// Whether code ends with BL or BLX.
fn is_call(mut code: &[u16]) -> bool {
    let mut is_call = false;
    while let [first, rest @ ..] = code {
        let second = rest.first().filter(|_| first >> 11 > 0b11100);
        is_call = match second {
            Some(second) => first & 0xf800 == 0xf000 && second & 0xd000 == 0xd000,
            // BLX and BLXNS of a register.
            None => first & 0xff83 == 0x4780 || first & 0xff87 == 0x4784,
        };
        code = &rest[usize::from(second.is_some())..];
    }
    is_call
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    struct Sent(Sender<Vec<u8>>);

    impl Write for Sent {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let sent = self.0.send(bytes.to_vec());
            sent.map_err(std::io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_wanted_is_written() {
        let (sender, receiver) = channel();
        let window = Window::new(Some(0x100), Some(0x200), None);
        let mut recorder = Recorder::new(window, Box::new(Sent(sender)));
        let [boot, from, to] = [0x0, 0x100, 0x200].map(|at| recorder.block(at, vec![0xe7fe]));
        assert_eq!(recorder.block(0x100, vec![0xe7fe]), from);
        assert_ne!(recorder.block(0x100, vec![0xbf00]), from);
        assert!(!recorder.execute(boot).is_wanted);
        assert!(recorder.execute(from).is_wanted);
        recorder.access(0, 0x2000_0004, 2, true);
        assert!(!recorder.execute(to).is_wanted);
        let written: Vec<u8> = receiver.try_iter().flatten().collect();
        let expected = [
            HEADER,
            &[BEGIN, DEFINE, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0xfe, 0xe7],
            &[EXECUTE, 1, 0, 0, 0, ACCESS, 0, 0, STORE | 2, 4, 0, 0, 0x20],
            &[END],
        ];
        assert_eq!(written, expected.concat());
        drop(receiver);
        assert!(recorder.execute(from).is_wanted);
        let next = recorder.execute(to);
        assert!(next.is_over && !next.is_wanted, "the reader has gone");
    }

    #[test]
    fn calls_are_known() {
        assert!(is_call(&[0xf000, 0xf800]), "bl");
        assert!(is_call(&[0xbf00, 0x4798]), "blx r3");
        assert!(!is_call(&[0x4718]), "bx r3");
        assert!(!is_call(&[0xf000, 0xb800]), "b.w");
        assert!(
            !is_call(&[0xf112, 0xf00c, 0xd102]),
            "bne behind what looks like bl"
        );
    }
}

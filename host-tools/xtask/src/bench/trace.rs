//! An estimate of a core's cycles, from a trace of the blocks of instructions that the
//! emulator executed.
//!
//! The emulator tells of each block what is in it when it is first met, and its
//! address whenever it is executed. It costs what [`Timing`] says of it, where it ends
//! included, if what is executed next is not what follows in memory.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail, ensure};
use tadpool_cycles::blocks::{Cost, Predictor, Timing};
use tadpool_cycles::decode::{Code, is_wide};

/// The function that the image calls before and after what is counted.
pub(super) const MARK: &str = "tadpool_mark";

/// Parts of the names of functions that are not traced: they make the cases' data,
/// and take a hundred times as many blocks as the kernels.
const UNTRACED: [&str; 6] = ["Source", "5ready", "4pack", "4spin", "fnv1a", "rt_main"];

/// Whether a function's blocks are wanted.
pub(super) fn is_traced(function: &str) -> bool {
    !UNTRACED.iter().any(|part| function.contains(part))
}

/// The instructions executed between two calls of [`MARK`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Executed {
    pub(super) instructions: u64,
    pub(super) cycles: u64,
}

struct Block {
    instructions: u64,
    cost: Cost,
    /// The block that follows in memory.
    end: u64,
    /// The block that was executed after it the last time.
    next: Option<u64>,
    predictor: Predictor,
}

impl Block {
    fn new(timing: Timing, start: u64, halfwords: &[u16]) -> Result<Self> {
        let codes = instructions(halfwords);
        let codes = codes.with_context(|| format!("half an instruction at {start:#x}"))?;
        let cost = timing.cost(start, &codes);
        Ok(Self {
            instructions: codes.len() as u64,
            cost: cost.with_context(|| format!("in the block at {start:#x}"))?,
            end: start + bytes(halfwords),
            next: None,
            predictor: Predictor::default(),
        })
    }

    /// Cycles to go on at an address.
    fn leave(&mut self, address: u64) -> u64 {
        let is_other = self.next.replace(address) != Some(address);
        let is_taken = address != self.end;
        let miss = match self.predictor.is_missed(is_taken) {
            true => self.cost.miss,
            false => 0,
        };
        let left = match is_taken {
            false => 0,
            true if is_other => self.cost.jump + self.cost.change,
            true => self.cost.jump,
        };
        left + miss
    }
}

/// Reads what the emulator logs with `-d exec,in_asm,nochain`; `mark` is the address
/// of [`MARK`].
pub(super) fn read(log: impl Read, mark: u64, timing: Timing) -> Result<Vec<Executed>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    let (mut start, mut listed) = (0, Vec::new());
    let mut parts = Vec::new();
    let mut now: Option<Executed> = None;
    let mut before: Option<usize> = None;
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if let Some(instruction) = text.strip_prefix("0x") {
            let listing = listing(instruction);
            let (address, codes) = listing.with_context(|| unreadable(&text))?;
            if listed.is_empty() {
                start = address;
            }
            ensure!(address == start + bytes(&listed), unreadable(&text));
            listed.extend(codes);
        } else if text.starts_with("Trace ") {
            if !listed.is_empty() {
                places.insert(start, blocks.len());
                blocks.push(Block::new(timing, start, &listed)?);
                listed.clear();
            }
            let address = text.split('/').nth(1);
            let address = address.and_then(|address| u64::from_str_radix(address, 16).ok());
            let address = address.with_context(|| unreadable(&text))?;
            let mut left = before.map_or(0, |before| blocks[before].leave(address));
            let is_jumped_to = before.is_none_or(|before| blocks[before].end != address);
            before = places.get(&address).copied();
            if let Some(place) = before.filter(|_| is_jumped_to) {
                left += blocks[place].cost.entered;
            }
            if address == mark {
                match now.take() {
                    Some(executed) => parts.push(executed),
                    None => now = Some(Executed::default()),
                }
            } else if let Some(now) = &mut now {
                let Some(place) = before else {
                    bail!("the emulator did not tell what is at {address:#x}");
                };
                now.instructions += blocks[place].instructions;
                now.cycles += blocks[place].cost.cycles + left;
            }
        }
        line.clear();
    }
    Ok(parts)
}

fn unreadable(line: &str) -> String {
    format!("cannot read `{}`", line.trim())
}

/// The address and the halfwords of a line such as
/// `00001760:  e8df f000  tbb  [pc, r0]`; what the emulator has no name for is listed
/// as single halfwords.
fn listing(line: &str) -> Option<(u64, Vec<u16>)> {
    let (address, rest) = line.split_once(':')?;
    let halfword = |code: &str| {
        let is_code = code.len() == 4;
        is_code.then(|| u16::from_str_radix(code, 16).ok())?
    };
    let mut codes = rest.split_whitespace().map(halfword);
    let mut halfwords = vec![codes.next()??];
    if is_wide(halfwords[0]) {
        halfwords.extend(codes.next().flatten());
    }
    Some((u64::from_str_radix(address, 16).ok()?, halfwords))
}

/// The instructions that halfwords are, unless there is half of one.
fn instructions(mut halfwords: &[u16]) -> Option<Vec<Code>> {
    let mut codes = Vec::new();
    while let [first, rest @ ..] = halfwords {
        let code = Code::of(*first, rest.first().copied())?;
        halfwords = &halfwords[code.bytes() as usize / 2..];
        codes.push(code);
    }
    Some(codes)
}

fn bytes(halfwords: &[u16]) -> u64 {
    2 * halfwords.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_lies_between_marks() -> Result<()> {
        let log = "\
IN: mark
0x00000100:  4770       bx       lr

Trace 0: 0x7f [00/00000100/00/00] mark
IN: loop
0x00000200:  6808       ldr      r0, [r1]
0x00000202:  e9d5 1022  ldrd     r1, r0, [r5, #0x88]
0x00000206:  d1fb       bne      #0x200

Trace 0: 0x7f [00/00000200/00/00] loop
Trace 0: 0x7f [00/00000200/00/00] loop
IN: after
0x00000208:  4770       bx       lr

Trace 0: 0x7f [00/00000208/00/00] after
Trace 0: 0x7f [00/00000100/00/00] mark
Trace 0: 0x7f [00/00000208/00/00] after
";
        let executed = Executed {
            instructions: 7,
            // Two turns of 6, of which one is come to by a branch and the other by a return,
            // and one instruction.
            cycles: (2 + 6) + (1 + 6) + 1,
        };
        assert_eq!(read(log.as_bytes(), 0x100, Timing::CortexM4)?, [executed]);
        let unreadable = "0x00000100:  OBJD-T: 7047\n".as_bytes();
        assert!(read(unreadable, 0x100, Timing::CortexM4).is_err());
        Ok(())
    }

    #[test]
    fn joins_what_has_no_name() -> Result<()> {
        let first = "0x00000200:  f041       .byte    0x41, 0xf0\n";
        let second = "0x00000202:  c001       stm      r0!, {r0}\n";
        let traced = |lines: &str| {
            let mark = "Trace 0: 0x7f [00/00000100/00/00] mark\n";
            let executed = "Trace 0: 0x7f [00/00000200/00/00] loop\n";
            let log = format!("{mark}{lines}{executed}{mark}");
            read(log.as_bytes(), 0x100, Timing::CortexM55)
        };
        assert_eq!(traced(&format!("{first}{second}"))?[0].instructions, 1);
        assert!(traced(first).is_err(), "half an instruction");
        let apart = second.replace("202", "204");
        assert!(traced(&format!("{first}{apart}")).is_err(), "a gap");
        Ok(())
    }

    #[test]
    fn counts_what_a_jump_costs() {
        let bx = 0x4718;
        let mut block = Block::new(Timing::CortexM7, 0x100, &[bx]).expect("whole");
        assert_eq!(block.leave(0x200), 8, "the first time");
        assert_eq!(block.leave(0x200), 0, "the same again");
        assert_eq!(block.leave(0x300), 8, "another");
        assert_eq!(block.leave(0x102), 0, "not taken");
    }
}

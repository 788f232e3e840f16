//! Instructions of one halfword.

use super::{
    Class, FLAGS, Flow, Instruction, NONE, Registers, access, direct, extract, load, memory,
    multiple,
};

/// What an instruction is; those that set flags do not under a condition.
pub(super) fn narrow(code: u32, is_conditional: bool) -> Instruction {
    let low = |at| Registers::field(code, at, 3);
    // Outside of conditions the short ones set the flags.
    let new = |class, operands, results| {
        let flags = if is_conditional { NONE } else { FLAGS };
        Instruction::new(class, operands, results | flags)
    };
    let access = |class, register, address| access(class, register, address, NONE);
    match code >> 11 {
        0b00000 if code >> 6 == 0 => new(Class::Move, low(3), low(0)),
        0b00000..=0b00010 => new(Class::Shift, low(3), low(0)),
        0b00011 if code >> 10 & 1 == 0 => new(Class::Add, low(3) | low(6), low(0)),
        0b00011 => new(Class::Move, low(3), low(0)),
        0b00100 => new(Class::Move, NONE, low(8)),
        0b00101 => Instruction::new(Class::Logic, low(8), FLAGS),
        0b00110 | 0b00111 => new(Class::Move, low(8), low(8)),
        0b01000 => match code >> 8 & 7 {
            0..=3 => {
                let both = low(0) | low(3);
                match code >> 6 & 0xf {
                    // LSL, LSR, ASR, ROR
                    2..=4 | 7 => new(Class::Shift, both, low(0)),
                    // ADC, SBC
                    5 | 6 => new(Class::Logic, both | FLAGS, low(0)),
                    // TST, CMP, CMN
                    8 | 10 | 11 => Instruction::new(Class::Logic, both, FLAGS),
                    // RSB, MVN
                    9 | 15 => new(Class::Logic, low(3), low(0)),
                    13 => new(Class::Multiply, both, low(0)),
                    _ => new(Class::Logic, both, low(0)),
                }
            }
            high => {
                let first = Registers::field(code & 7 | code >> 4 & 8, 0, 4);
                let second = Registers::field(code, 3, 4);
                let mut instruction = match high {
                    4 => Instruction::new(Class::Add, first | second, first),
                    5 => Instruction::new(Class::Logic, first | second, FLAGS),
                    6 => Instruction::new(Class::Move, second, first),
                    _ => {
                        let link = code >> 7 & 1 == 1;
                        let link = if link { Registers::LR } else { NONE };
                        let mut branch = Instruction::new(Class::Branch, NONE, link);
                        branch.address = second;
                        branch.flow = if link.is_empty() && second == Registers::LR {
                            Flow::Return
                        } else {
                            Flow::Computed
                        };
                        branch
                    }
                };
                if instruction.results.meets(Registers::PC) {
                    instruction.flow = Flow::Computed;
                }
                instruction
            }
        },
        0b01001 => access(load(4, None), low(8), Registers::PC),
        0b01010 | 0b01011 => {
            let class = match code >> 9 & 7 {
                0..=2 => Class::Store { offset: None },
                4 => load(4, None),
                5 | 7 => load(2, None),
                _ => load(1, None),
            };
            access(class, low(0), low(3) | low(6))
        }
        of @ 0b01100..=0b10001 => {
            let bytes = [4, 1, 2][(of - 0b01100) as usize / 2];
            let offset = (code >> 6 & 31) as i32 * i32::from(bytes);
            access(memory(of & 1 == 1, bytes, Some(offset)), low(0), low(3))
        }
        of @ (0b10010 | 0b10011) => {
            let offset = (code & 0xff) as i32 * 4;
            access(memory(of & 1 == 1, 4, Some(offset)), low(8), Registers::SP)
        }
        0b10100 => Instruction::new(Class::Add, NONE, low(8)),
        0b10101 => Instruction::new(Class::Add, Registers::SP, low(8)),
        0b11000 | 0b11001 => {
            let base = low(8);
            let list = Registers::list(code & 0xff);
            let is_load = code >> 11 & 1 == 1;
            let is_updated = !(is_load && list.meets(base));
            multiple(is_load, list, base, is_updated)
        }
        0b11010 | 0b11011 if code & 0x0e00 == 0x0e00 => Instruction::new(Class::System, NONE, NONE),
        0b11010 | 0b11011 => direct(FLAGS),
        0b11100 => direct(NONE),
        _ => match code & 0xff00 {
            0xb400 | 0xb500 => {
                let list = Registers::list(code & 0xff | (code & 0x100) << 6);
                multiple(false, list, Registers::SP, true)
            }
            0xbc00 | 0xbd00 => {
                let list = Registers::list(code & 0xff | (code & 0x100) << 7);
                multiple(true, list, Registers::SP, true)
            }
            0xb000 => Instruction::new(Class::Add, Registers::SP, Registers::SP),
            0xb200 => Instruction::new(Class::Extend, low(3), low(0)),
            0xba00 => extract(NONE, low(3), low(0)),
            0xbf00 => Instruction::new(
                Class::Hint,
                if code & 0xf == 0 { NONE } else { FLAGS },
                NONE,
            ),
            // CBZ, CBNZ
            _ if code & 0xf500 == 0xb100 => direct(low(0)),
            _ => Instruction::new(Class::System, NONE, NONE),
        },
    }
}

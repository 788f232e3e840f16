//! Instructions of one halfword.

use super::memory::{Moved, Place, one, several};
use super::{Class, FLAGS, Flow, Instruction, NONE, Registers, Value, extract, jump, sign_extend};

/// Decodes a 16-bit instruction; short arithmetic sets no flags under a condition.
pub(super) fn narrow(code: u32, is_conditional: bool) -> Option<Instruction> {
    let number = |at: u32| code >> at & 7;
    let low = |at: u32| Registers::core(number(at));
    let new = |class, operands, results| {
        let flags = if is_conditional { NONE } else { FLAGS };
        Instruction::new(class, operands, results | flags)
    };
    let add = |register: u32, constant: i32| {
        new(Class::Move, Registers::core(register), NONE)
            .with_value(Value::Sum(register as u8, constant))
    };
    Some(match code >> 11 {
        0b00000 if code >> 6 == 0 => {
            new(Class::Move, low(3), low(0)).with_value(Value::Copy(number(3) as u8))
        }
        0b00000 if code >> 6 == 1 => {
            new(Class::Shift, low(3), low(0)).with_value(Value::Twice(number(3) as u8))
        }
        0b00000..=0b00010 => new(Class::Shift, low(3), low(0)),
        0b00011 if code >> 10 & 1 == 0 => {
            let sum = new(Class::Add, low(3) | low(6), low(0));
            match code >> 9 & 1 {
                0 => sum.with_value(Value::Total(number(3) as u8, number(6) as u8)),
                _ => sum,
            }
        }
        0b00011 => {
            let constant = number(6).cast_signed();
            let constant = if code >> 9 & 1 == 1 {
                -constant
            } else {
                constant
            };
            let mut add = add(number(3), constant);
            add.results |= low(0);
            add
        }
        0b00100 => new(Class::Move, NONE, low(8)).with_value(Value::Constant(code & 0xff)),
        0b00101 => Instruction::new(Class::Logic, low(8), FLAGS),
        of @ (0b00110 | 0b00111) => {
            let constant = (code & 0xff).cast_signed();
            let constant = if of & 1 == 1 { -constant } else { constant };
            let mut add = add(number(8), constant);
            add.results |= low(8);
            add
        }
        0b01000 => return high_or_logic(code, new),
        0b01001 => {
            let place = Place::at(15, (code & 0xff).cast_signed() * 4);
            one(true, 4, Some(number(8)), place)
        }
        0b01010 | 0b01011 => {
            let (is_load, bytes) = match code >> 9 & 7 {
                0 => (false, 4),
                1 => (false, 2),
                2 => (false, 1),
                4 => (true, 4),
                5 | 7 => (true, 2),
                _ => (true, 1),
            };
            one(
                is_load,
                bytes,
                Some(number(0)),
                Place::sum(number(3), low(6)),
            )
        }
        of @ 0b01100..=0b10001 => {
            let bytes = [4, 1, 2][(of - 0b01100) as usize / 2];
            let offset = (code >> 6 & 31).cast_signed() * i32::from(bytes);
            one(
                of & 1 == 1,
                bytes,
                Some(number(0)),
                Place::at(number(3), offset),
            )
        }
        of @ (0b10010 | 0b10011) => {
            let place = Place::at(13, (code & 0xff).cast_signed() * 4);
            one(of & 1 == 1, 4, Some(number(8)), place)
        }
        0b10100 => Instruction::new(Class::Add, NONE, low(8))
            .with_value(Value::Address((code & 0xff).cast_signed() * 4)),
        0b10101 => Instruction::new(Class::Add, Registers::SP, low(8))
            .with_value(Value::Sum(13, (code & 0xff).cast_signed() * 4)),
        of @ (0b11000 | 0b11001) => {
            let (is_load, list) = (of & 1 == 1, code & 0xff);
            if list == 0 {
                return None;
            }
            let is_updated = !(is_load && list >> number(8) & 1 == 1);
            let bytes = list.count_ones().cast_signed() * 4;
            let place = Place::indexed(number(8), bytes, false, is_updated);
            several(is_load, Moved::List(list as u16), place)
        }
        0b11010 | 0b11011 => match code >> 8 & 0xf {
            // UDF
            14 => Instruction::new(Class::System, NONE, NONE).with_flow(Flow::Stop),
            // SVC
            15 => Instruction::new(Class::System, NONE, NONE),
            _ => jump(FLAGS, sign_extend(code << 1, 9), true),
        },
        0b11100 => jump(NONE, sign_extend(code << 1, 12), is_conditional),
        0b10110 | 0b10111 => return miscellaneous(code),
        _ => return None,
    })
}

/// Logic of two low registers, and what takes high ones.
fn high_or_logic(
    code: u32,
    new: impl Fn(Class, Registers, Registers) -> Instruction,
) -> Option<Instruction> {
    let low = |at: u32| Registers::core(code >> at & 7);
    let both = low(0) | low(3);
    if code >> 10 & 1 == 0 {
        return Some(match code >> 6 & 0xf {
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
        });
    }
    let (first, second) = (code & 7 | code >> 4 & 8, code >> 3 & 15);
    let (of_first, of_second) = (Registers::core(first), Registers::core(second));
    Some(match code >> 8 & 3 {
        0 => Instruction::new(Class::Add, of_first | of_second, of_first)
            .with_value(Value::Total(first as u8, second as u8)),
        1 => Instruction::new(Class::Logic, of_first | of_second, FLAGS),
        2 => {
            Instruction::new(Class::Move, of_second, of_first).with_value(Value::Copy(second as u8))
        }
        // BX, BLX, and BXNS, BLXNS
        _ if code & 3 != 0 => return None,
        _ => {
            let is_call = code >> 7 & 1 == 1;
            let link = if is_call { Registers::LR } else { NONE };
            let mut branch = Instruction::new(Class::Branch, NONE, link);
            branch.address = of_second;
            branch.with_flow(match (is_call, second) {
                (true, 15) => return None,
                (true, _) => Flow::ComputedCall,
                (false, 14) => Flow::Return,
                (false, _) => Flow::Computed,
            })
        }
    })
}

fn miscellaneous(code: u32) -> Option<Instruction> {
    let low = |at: u32| Registers::core(code >> at & 7);
    Some(match code >> 8 & 0xf {
        0 => {
            let bytes = (code & 0x7f).cast_signed() * 4;
            let bytes = if code >> 7 & 1 == 1 { -bytes } else { bytes };
            Instruction::new(Class::Add, Registers::SP, Registers::SP)
                .with_value(Value::Sum(13, bytes))
        }
        // CBZ, CBNZ
        1 | 3 | 9 | 11 => {
            let offset = code >> 2 & 0x3e | code >> 3 & 0x40;
            jump(low(0), offset.cast_signed(), true)
        }
        2 => Instruction::new(Class::Extend, low(3), low(0)),
        of @ (4 | 5) => {
            let list = code & 0xff | (of & 1) << 14;
            let bytes = list.count_ones().cast_signed() * -4;
            let place = Place::indexed(13, bytes, true, true);
            some_list(false, list, place)?
        }
        of @ (12 | 13) => {
            let list = code & 0xff | (of & 1) << 15;
            let bytes = list.count_ones().cast_signed() * 4;
            some_list(true, list, Place::indexed(13, bytes, false, true))?
        }
        // REV, REV16, REVSH
        10 if code >> 6 & 3 != 2 => extract(NONE, low(3), low(0)),
        // CPS
        6 if code & 0xec == 0x60 => Instruction::new(Class::System, NONE, NONE),
        // BKPT
        14 => Instruction::new(Class::System, NONE, NONE),
        15 if code & 0xf == 0 => Instruction::new(Class::Hint, NONE, NONE),
        // IT
        15 => {
            let condition = code >> 4 & 0xf;
            let conditions = 4 - (code & 0xf).trailing_zeros() as u8;
            // Always is no condition for several, and never none at all.
            if condition == 15 || condition == 14 && conditions != 1 {
                return None;
            }
            let is_opposite = |place: &u8| code >> (4 - place) & 1 != condition & 1;
            let opposites = (1..conditions).filter(is_opposite);
            Instruction {
                conditions,
                opposites: opposites.map(|place| 1 << place).sum(),
                ..Instruction::new(Class::Hint, FLAGS, NONE)
            }
        }
        _ => return None,
    })
}

fn some_list(is_load: bool, list: u32, place: Place) -> Option<Instruction> {
    (list != 0).then(|| several(is_load, Moved::List(list as u16), place))
}

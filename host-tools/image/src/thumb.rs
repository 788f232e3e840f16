//! Machine code of Cortex-M processors, as far as calls, the stack and floating
//! point go.
//!
//! Source: Arm v7-M Architecture Reference Manual (DDI 0403), chapter A5 and
//! the encodings of the named instructions; Armv6-M has a subset of them, and
//! of Armv8-M none that compiled Rust needs here is missing.

/// The effects of an instruction that the audit follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing of interest.
    None,
    /// Calls the function at this address.
    Call(u64),
    /// Goes to this address, which may be another function's.
    Jump(u64),
    /// Calls a function whose address is in a register.
    IndirectCall,
    /// Goes to an address that is in a register.
    IndirectJump,
    /// Moves the stack pointer down by so many bytes.
    Push(u32),
    /// Moves the stack pointer by an amount that is not in the instruction.
    UnknownPush,
    /// Uses the floating-point unit.
    Float,
}

/// The instruction that begins with the halfword `first` at `address`, and its
/// length in bytes.
pub(crate) fn decode(address: u64, first: u16, second: u16) -> (Effect, u64) {
    if first >> 11 >= 0b11101 {
        (wide(address, first.into(), second.into()), 4)
    } else {
        (narrow(address, first.into()), 2)
    }
}

fn narrow(address: u64, code: u32) -> Effect {
    let pc = address.wrapping_add(4);
    match code {
        // PUSH
        0xb400..=0xb5ff => Effect::Push(4 * (code & 0x1ff).count_ones()),
        // SUB SP, #imm
        0xb080..=0xb0ff => Effect::Push(4 * (code & 0x7f)),
        // B
        0xe000..=0xe7ff => Effect::Jump(offset(pc, sign_extend(code << 1, 12))),
        // B<cond>; the two highest conditions are other instructions.
        0xd000..=0xddff => Effect::Jump(offset(pc, sign_extend(code << 1, 9))),
        // BX LR returns.
        0x4770 => Effect::None,
        // BX and BLX
        0x4700..=0x477f => Effect::IndirectJump,
        0x4780..=0x47ff => Effect::IndirectCall,
        // ADD SP, Rm and MOV SP, Rm
        _ if code & 0xff87 == 0x4485 || code & 0xff87 == 0x4685 => Effect::UnknownPush,
        // CBZ, CBNZ stay within their function.
        _ => Effect::None,
    }
}

fn wide(address: u64, first: u32, second: u32) -> Effect {
    let pc = address.wrapping_add(4);
    let to_sp = second >> 8 & 0xf == 13;
    match first {
        // STMDB SP!
        0xe92d => Effect::Push(4 * second.count_ones()),
        // STRD Rt, Rt2, [SP, #-imm]!
        0xe96d => Effect::Push(4 * (second & 0xff)),
        // STR Rt, [SP, #-imm]!
        0xf84d if second & 0x0f00 == 0x0d00 => Effect::Push(second & 0xff),
        // VPUSH
        0xed2d | 0xed6d => Effect::Push(4 * (second & 0xff)),
        // SUB SP, SP, #imm with a modified immediate
        _ if first & 0xfbef == 0xf1ad && to_sp => Effect::Push(modified_immediate(first, second)),
        // SUBW SP, SP, #imm
        _ if first & 0xfbff == 0xf2ad && to_sp => {
            Effect::Push((first & 0x400) << 1 | second >> 4 & 0x700 | second & 0xff)
        }
        // SUB SP, SP, Rm and ADD SP, SP, Rm
        _ if (first & 0xffef == 0xebad || first & 0xffef == 0xeb0d) && to_sp => Effect::UnknownPush,
        // Branches
        _ if first >> 11 == 0b11110 && second & 0x8000 != 0 => branch(pc, first, second),
        // Coprocessors 10 and 11 are the floating-point unit.
        _ if first & 0xec00 == 0xec00 && second & 0x0e00 == 0x0a00 => Effect::Float,
        _ => Effect::None,
    }
}

/// BL, B.W, and `B<cond>.W`; the other instructions of this space are system
/// control.
fn branch(pc: u64, first: u32, second: u32) -> Effect {
    let sign = first >> 10 & 1;
    let (j1, j2) = (second >> 13 & 1, second >> 11 & 1);
    let low = (second & 0x7ff) << 1;
    if second & 0x1000 == 0 {
        let condition = first >> 6 & 0xf;
        if second & 0x4000 != 0 || condition >= 14 {
            return Effect::None;
        }
        let bits = sign << 20 | j2 << 19 | j1 << 18 | (first & 0x3f) << 12 | low;
        return Effect::Jump(offset(pc, sign_extend(bits, 21)));
    }
    let (i1, i2) = (j1 ^ sign ^ 1, j2 ^ sign ^ 1);
    let bits = sign << 24 | i1 << 23 | i2 << 22 | (first & 0x3ff) << 12 | low;
    let target = offset(pc, sign_extend(bits, 25));
    match second & 0x4000 {
        0 => Effect::Jump(target),
        _ => Effect::Call(target),
    }
}

/// The constant that 12 bits of a data-processing instruction stand for.
fn modified_immediate(first: u32, second: u32) -> u32 {
    let (high, low) = ((first & 0x400) >> 7 | second >> 12 & 7, second & 0xff);
    match high {
        0 => low,
        1 => low << 16 | low,
        2 => low << 24 | low << 8,
        3 => low * 0x0101_0101,
        _ => (low | 0x80).rotate_right(high << 1 | low >> 7),
    }
}

/// The lowest `bits` of `value` as a signed number.
fn sign_extend(value: u32, bits: u32) -> i32 {
    (value << (32 - bits)).cast_signed() >> (32 - bits)
}

fn offset(pc: u64, offset: i32) -> u64 {
    pc.wrapping_add_signed(offset.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_apart() {
        // As LLVM's assembler encodes them, at address 0x1000.
        let cases: [(&str, u16, u16, Effect); 26] = [
            ("push {r4, lr}", 0xb510, 0, Effect::Push(8)),
            ("push.w {r4-r11, lr}", 0xe92d, 0x4ff0, Effect::Push(36)),
            ("str r11, [sp, #-4]!", 0xf84d, 0xbd04, Effect::Push(4)),
            ("strd r4, r5, [sp, #-8]!", 0xe96d, 0x4502, Effect::Push(8)),
            ("vpush {d8-d9}", 0xed2d, 0x8b04, Effect::Push(16)),
            ("sub sp, #16", 0xb084, 0, Effect::Push(16)),
            ("sub.w sp, sp, #1024", 0xf5ad, 0x6d80, Effect::Push(1024)),
            ("sub.w sp, sp, #4096", 0xf5ad, 0x5d80, Effect::Push(4096)),
            ("subw sp, sp, #1028", 0xf2ad, 0x4d04, Effect::Push(1028)),
            ("sub.w sp, sp, r4", 0xebad, 0x0d04, Effect::UnknownPush),
            ("add sp, r7", 0x44bd, 0, Effect::UnknownPush),
            ("mov sp, r4", 0x46a5, 0, Effect::UnknownPush),
            ("add sp, #16", 0xb004, 0, Effect::None),
            ("pop {r4, pc}", 0xbd10, 0, Effect::None),
            ("bl #0x20", 0xf000, 0xf810, Effect::Call(0x1024)),
            ("bl #-0x20", 0xf7ff, 0xfff0, Effect::Call(0x0fe4)),
            ("b.w #0x20", 0xf000, 0xb810, Effect::Jump(0x1024)),
            ("beq.w #0x200", 0xf000, 0x8100, Effect::Jump(0x1204)),
            ("b #-4", 0xe7fe, 0, Effect::Jump(0x1000)),
            ("bne #-4", 0xd1fe, 0, Effect::Jump(0x1000)),
            ("udf #0", 0xde00, 0, Effect::None),
            ("blx r3", 0x4798, 0, Effect::IndirectCall),
            ("bx r3", 0x4718, 0, Effect::IndirectJump),
            ("bx lr", 0x4770, 0, Effect::None),
            ("vadd.f32 s0, s0, s1", 0xee30, 0x0a20, Effect::Float),
            ("dmb sy", 0xf3bf, 0x8f5f, Effect::None),
        ];
        for (text, first, second, effect) in cases {
            let length = if first >> 11 >= 0b11101 { 4 } else { 2 };
            assert_eq!(decode(0x1000, first, second), (effect, length), "{text}");
        }
    }
}

//! What an instruction costs a Cortex-M4, by its published timings.
//!
//! Source: Arm Cortex-M4 Technical Reference Manual (DDI 0439), sections 3.3.1
//! "Cortex-M4 instructions" and 3.3.2 "Load/store timings", at zero wait states;
//! encodings by the Armv7-M Architecture Reference Manual (DDI 0403), chapter A5.

/// Cycles to fill the pipeline after a branch. The manual says one to three,
/// depending on the target's alignment and width.
pub(super) const REFILL: u64 = 2;

/// Cycles to fill it after the program counter was loaded.
const LOADED_REFILL: u64 = 3;

/// The most that a division takes; the manual says two to twelve.
const DIVISION: u64 = 12;

/// What matters of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One cycle; the register that it writes, if it writes one.
    Plain(Option<u8>),
    Divide(u8),
    /// One register from memory; a destination, and the address's registers.
    Load(u8, [Option<u8>; 2]),
    Store([Option<u8>; 2]),
    /// Several registers from or to memory.
    Multiple(u64),
    /// The program counter from memory, perhaps with other registers.
    LoadPc(u64),
    /// A table's entry, which is added to the program counter.
    TableBranch,
    /// The refill is extra if it is taken.
    Branch,
}

/// Cycles of instructions that follow each other, but for the refill after a branch
/// that is taken at their end.
pub(super) fn cycles(instructions: &[[u16; 2]]) -> u64 {
    let mut cycles = 0;
    let mut before = Kind::Plain(None);
    for &[first, second] in instructions {
        let kind = kind(first, second);
        cycles += cost(kind, before);
        before = kind;
    }
    cycles
}

fn cost(kind: Kind, before: Kind) -> u64 {
    // No result is forwarded to an address.
    let stall = |address: [Option<u8>; 2]| match before {
        Kind::Plain(Some(written)) | Kind::Divide(written) => {
            u64::from(address.contains(&Some(written)))
        }
        _ => 0,
    };
    // A load overlaps with the access that follows, unless it loads its address.
    let overlaps = |address: [Option<u8>; 2]| match before {
        Kind::Load(loaded, _) => !address.contains(&Some(loaded)),
        _ => false,
    };
    match kind {
        Kind::Plain(_) | Kind::Branch => 1,
        Kind::Divide(_) => DIVISION,
        Kind::Load(_, address) if overlaps(address) => 1,
        Kind::Load(_, address) => 2 + stall(address),
        Kind::Store(address) if overlaps(address) => 1,
        // The write buffer takes it, and only an offset in a register takes time.
        Kind::Store(address) => 1 + u64::from(address[1].is_some()) + stall(address),
        Kind::Multiple(registers) => 1 + registers,
        Kind::LoadPc(registers) => 1 + registers + LOADED_REFILL,
        Kind::TableBranch => 3 + LOADED_REFILL,
    }
}

fn kind(first: u16, second: u16) -> Kind {
    let (first, second) = (u32::from(first), u32::from(second));
    if first >> 11 >= 0b11101 {
        wide(first, second)
    } else {
        narrow(first)
    }
}

/// A register's number in the `bits` of a code from bit `at` on.
fn register(code: u32, at: u32, bits: u32) -> u8 {
    (code >> at & ((1 << bits) - 1)) as u8
}

fn narrow(code: u32) -> Kind {
    let low = |at| register(code, at, 3);
    let access = |is_load: bool, target, address| {
        if is_load {
            Kind::Load(target, address)
        } else {
            Kind::Store(address)
        }
    };
    match code >> 11 {
        0b01001 => Kind::Load(low(8), [Some(15), None]),
        0b01010 | 0b01011 => {
            // STR, STRH and STRB come first.
            access(code >> 9 & 7 > 2, low(0), [Some(low(3)), Some(low(6))])
        }
        0b01100..=0b10001 => access(code >> 11 & 1 == 1, low(0), [Some(low(3)), None]),
        0b10010 | 0b10011 => access(code >> 11 & 1 == 1, low(8), [Some(13), None]),
        0b11000 | 0b11001 => Kind::Multiple((code & 0xff).count_ones().into()),
        0b11010 | 0b11011 if code & 0x0e00 != 0x0e00 => Kind::Branch,
        0b11100 => Kind::Branch,
        0b00000..=0b00011 => Kind::Plain(Some(low(0))),
        0b00101 => Kind::Plain(None),
        0b00100..=0b00111 | 0b10100 | 0b10101 => Kind::Plain(Some(low(8))),
        0b01000 => match code >> 8 {
            0x47 => Kind::Branch,
            0x45 => Kind::Plain(None),
            0x44 | 0x46 => Kind::Plain(Some(low(0) | register(code, 7, 1) << 3)),
            _ => match code >> 6 & 0xf {
                // TST, CMP, CMN
                0b1000 | 0b1010 | 0b1011 => Kind::Plain(None),
                _ => Kind::Plain(Some(low(0))),
            },
        },
        _ => match code & 0xff00 {
            0xb400 | 0xb500 => Kind::Multiple((code & 0x1ff).count_ones().into()),
            0xbc00 => Kind::Multiple((code & 0xff).count_ones().into()),
            0xbd00 => Kind::LoadPc((code & 0x1ff).count_ones().into()),
            0xb000 => Kind::Plain(Some(13)),
            0xb200 | 0xba00 => Kind::Plain(Some(low(0))),
            // CBZ, CBNZ
            _ if code & 0xf500 == 0xb100 => Kind::Branch,
            _ => Kind::Plain(None),
        },
    }
}

fn wide(first: u32, second: u32) -> Kind {
    let base = Some(register(first, 0, 4));
    let is_load = first & 0x10 != 0;
    match first >> 8 {
        0xe8 | 0xe9 if first & 0x40 == 0 => match u64::from(second.count_ones()) {
            registers if is_load && second >> 15 == 1 => Kind::LoadPc(registers),
            registers => Kind::Multiple(registers),
        },
        0xe8 | 0xe9 if first & 0xfff0 == 0xe8d0 && second & 0xffe0 == 0xf000 => Kind::TableBranch,
        0xe8 | 0xe9 => Kind::Multiple(2),
        0xf8 | 0xf9 => {
            let has_index = first & 0x80 == 0 && second & 0x0fc0 == 0 && base != Some(15);
            let index = has_index.then(|| register(second, 0, 4));
            match register(second, 12, 4) {
                15 if first & 0xff70 == 0xf850 => Kind::LoadPc(1),
                target if is_load => Kind::Load(target, [base, index]),
                _ => Kind::Store([base, index]),
            }
        }
        0xf0..=0xf7 if second >> 15 == 1 => match second >> 12 & 0b101 {
            // Neither B nor BL, but what the condition's place says otherwise.
            0 if first >> 7 & 7 == 7 => Kind::Plain(None),
            _ => Kind::Branch,
        },
        // SDIV, UDIV
        0xfb if first & 0xffd0 == 0xfb90 => Kind::Divide(register(second, 8, 4)),
        0xec..=0xef | 0xfc..=0xff => Kind::Plain(None),
        _ => Kind::Plain(Some(register(second, 8, 4))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_what_the_manual_says() {
        let cases: &[(&str, &[[u16; 2]], u64)] = &[
            ("adds r0, r1, r2", &[[0x1888, 0]], 1),
            ("ldr r0, [r1]", &[[0x6808, 0]], 2),
            ("ldr r0, [r1]; ldr r2, [r3]", &[[0x6808, 0], [0x681a, 0]], 3),
            ("ldr r0, [r1]; ldr r2, [r0]", &[[0x6808, 0], [0x6802, 0]], 4),
            ("ldr r0, [r1]; str r0, [r3]", &[[0x6808, 0], [0x6018, 0]], 3),
            ("str r0, [r1]", &[[0x6008, 0]], 1),
            ("str r0, [r1, r2]", &[[0x5088, 0]], 2),
            ("adds r1, #1; ldr r0, [r1]", &[[0x3101, 0], [0x6808, 0]], 4),
            ("adds r2, #1; ldr r0, [r1]", &[[0x3201, 0], [0x6808, 0]], 3),
            ("ldm r0!, {r1, r2}", &[[0xc806, 0]], 3),
            ("push {r4-r7, lr}", &[[0xb5f0, 0]], 6),
            ("pop {r4-r7, pc}", &[[0xbdf0, 0]], 9),
            ("push.w {r4-r11, lr}", &[[0xe92d, 0x4ff0]], 10),
            ("ldrd r1, r0, [r5, #136]", &[[0xe9d5, 0x1022]], 3),
            ("ldr.w r11, [r5, #32]", &[[0xf8d5, 0x9020]], 2),
            ("ldr.w pc, [sp, #36]", &[[0xf8dd, 0xf024]], 5),
            ("ldm.w sp, {r1-r4, pc}", &[[0xe89d, 0x801e]], 9),
            ("tbb [pc, r0]", &[[0xe8df, 0xf000]], 6),
            ("udiv r0, r0, r1", &[[0xfbb0, 0xf0f1]], 12),
            ("smlad r5, r1, r3, r5", &[[0xfb21, 0x5503]], 1),
            ("bl", &[[0xf003, 0xfcaa]], 1),
            ("cbz r6", &[[0xb326, 0]], 1),
            ("bne", &[[0xd11c, 0]], 1),
            ("msr primask, r0", &[[0xf380, 0x8810]], 1),
        ];
        for &(name, code, expected) in cases {
            assert_eq!(cycles(code), expected, "{name}");
        }
    }
}

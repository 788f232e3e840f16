use super::*;

fn of(first: u16, second: u16) -> Instruction {
    let code = Code::of(first, Some(second)).unwrap();
    decode(code).unwrap_or_else(|unknown| panic!("{unknown}"))
}

#[test]
fn tells_what_is_read_and_written() {
    let smlal = of(0xfbc3, 0x6501);
    assert_eq!(smlal.operands, Registers::list(1 << 3 | 1 << 1));
    assert_eq!(smlal.accumulator, Registers::list(1 << 6 | 1 << 5));
    assert_eq!(smlal.results, smlal.accumulator);
    let pkhbt = of(0xeac7, 0x4709);
    assert_eq!(pkhbt.operands, Registers::core(7));
    assert_eq!(pkhbt.shifted, Registers::core(9));
    let ldr = of(0xf854, 0x0b08);
    let class = Class::Load {
        bytes: 4,
        offset: Some(0),
    };
    assert_eq!(ldr.class, class, "ldr r0, [r4], #8");
    assert_eq!(ldr.updated, Registers::core(4));
    assert_eq!(ldr.memory.unwrap().update, Some(8));
    let lsll = of(0xea50, 0x210d);
    assert_eq!(lsll.operands, Registers::list(0b111), "lsll r0, r1, r2");
    assert_eq!(lsll.results, Registers::list(0b11));
    let cset = of(0xea5f, 0x908f);
    assert_eq!(cset.operands, FLAGS, "cset r0, ls");
    let vmladava = of(0xeef2, 0x8f24);
    assert_eq!(
        vmladava.operands,
        Registers::vector(1) | Registers::vector(2)
    );
    assert_eq!(vmladava.accumulator, Registers::core(8));
    let vmla = of(0xee40, 0x0a81);
    let operands = [1, 2].map(Registers::single);
    assert_eq!(vmla.writes(), operands[0], "vmla.f32 s1, s1, s2");
    assert_eq!(vmla.reads(), operands[0] | operands[1]);
}

#[test]
fn tells_where_it_goes() {
    let jump = |offset, is_conditional| Flow::Jump {
        offset,
        is_conditional,
    };
    let cases = [
        ("b #-4", [0xe7fe, 0], jump(-4, false)),
        ("bne #8", [0xd104, 0], jump(8, true)),
        ("b.w #0x20", [0xf000, 0xb810], jump(0x20, false)),
        ("beq.w #0x200", [0xf000, 0x8100], jump(0x200, true)),
        ("cbz r6, #0x4a", [0xb32e, 0], jump(0x4a, true)),
        ("bl #0x20", [0xf000, 0xf810], Flow::Call { offset: 0x20 }),
        ("bl #-0x20", [0xf7ff, 0xfff0], Flow::Call { offset: -0x20 }),
        ("wls lr, r1, #4", [0xf041, 0xc003], jump(4, true)),
        ("dls lr, r1", [0xf041, 0xe001], Flow::Next),
        ("vctp.8 r1", [0xf001, 0xe801], Flow::Next),
        ("le lr, #-16", [0xf00f, 0xc009], Flow::Loop { offset: -16 }),
        (
            "letp lr, #-12",
            [0xf01f, 0xc007],
            Flow::Loop { offset: -12 },
        ),
        ("bx lr", [0x4770, 0], Flow::Return),
        ("pop {r4-r11, pc}", [0xe8bd, 0x8ff0], Flow::Return),
        ("blx r3", [0x4798, 0], Flow::ComputedCall),
        ("bx r3", [0x4718, 0], Flow::Computed),
        ("mov pc, r3", [0x469f, 0], Flow::Computed),
        ("add pc, r3", [0x449f, 0], Flow::Computed),
        ("ldr pc, [sp, #36]", [0xf8dd, 0xf024], Flow::Computed),
        ("ldm r0!, {r4, pc}", [0xe8b0, 0x8010], Flow::Computed),
        ("tbb", [0xe8df, 0xf000], Flow::Table { entry_bytes: 1 }),
        ("udf #0", [0xde00, 0], Flow::Stop),
        ("dmb sy", [0xf3bf, 0x8f5f], Flow::Next),
    ];
    for (name, [first, second], expected) in cases {
        assert_eq!(of(first, second).flow, expected, "{name}");
    }
}

#[test]
fn tells_how_the_stack_moves() {
    let cases = [
        ("push {r4, lr}", [0xb510, 0], Stack::Moves(-8)),
        ("push.w {r4-r11, lr}", [0xe92d, 0x4ff0], Stack::Moves(-36)),
        ("pop {r4, pc}", [0xbd10, 0], Stack::Moves(8)),
        ("str r11, [sp, #-4]!", [0xf84d, 0xbd04], Stack::Moves(-4)),
        (
            "strd r4, r5, [sp, #-8]!",
            [0xe96d, 0x4502],
            Stack::Moves(-8),
        ),
        ("vpush {d8-d9}", [0xed2d, 0x8b04], Stack::Moves(-16)),
        (
            "vstrw.32 q0, [sp, #-16]!",
            [0xed2d, 0x1f04],
            Stack::Moves(-16),
        ),
        ("sub sp, #16", [0xb084, 0], Stack::Moves(-16)),
        ("add sp, #16", [0xb004, 0], Stack::Moves(16)),
        ("sub.w sp, sp, #4096", [0xf5ad, 0x5d80], Stack::Moves(-4096)),
        ("subw sp, sp, #1028", [0xf2ad, 0x4d04], Stack::Moves(-1028)),
        ("sub.w sp, sp, r4", [0xebad, 0x0d04], Stack::Sets),
        ("sub.w sp, r7, #4096", [0xf5a7, 0x5d80], Stack::Sets),
        ("add sp, r7", [0x44bd, 0], Stack::Sets),
        ("mov sp, r4", [0x46a5, 0], Stack::Sets),
        ("ldr.w sp, [r0]", [0xf8d0, 0xd000], Stack::Sets),
        ("ldr r0, [sp, #4]", [0x9801, 0], Stack::Keeps),
    ];
    for (name, [first, second], expected) in cases {
        assert_eq!(of(first, second).stack(), expected, "{name}");
    }
    assert_eq!(
        of(0xf380, 0x8808).special,
        Some(Special::MainStack),
        "msr msp, r0"
    );
    assert_eq!(
        of(0xf380, 0x8809).special,
        Some(Special::Stack),
        "msr psp, r0"
    );
    assert_eq!(
        of(0xf380, 0x880a).special,
        Some(Special::StackLimit),
        "msr msplim, r0"
    );
    assert_eq!(
        of(0xf380, 0x8810).special,
        Some(Special::Other),
        "msr primask, r0"
    );
}

#[test]
fn tells_what_is_computed() {
    let cases = [
        ("movs r0, #7", [0x2007, 0], Value::Constant(7)),
        ("mvn r0, #7", [0xf06f, 0x0007], Value::Constant(!7)),
        (
            "movw r0, #0x1234",
            [0xf241, 0x2034],
            Value::Constant(0x1234),
        ),
        (
            "movt r0, #0x1234",
            [0xf2c1, 0x2034],
            Value::UpperHalf(0x1234),
        ),
        ("mov r0, r9", [0x4648, 0], Value::Copy(9)),
        ("subs r1, #3", [0x3903, 0], Value::Sum(1, -3)),
        ("add r7, sp, #8", [0xaf02, 0], Value::Sum(13, 8)),
        ("adr.w r12, #-8", [0xf2af, 0x0c08], Value::Address(-8)),
        ("adds r0, r1, r2", [0x1888, 0], Value::Total(1, 2)),
        ("lsls r0, r1, #1", [0x0048, 0], Value::Twice(1)),
        ("subs r0, r1, r2", [0x1a88, 0], Value::Unknown),
    ];
    for (name, [first, second], expected) in cases {
        assert_eq!(of(first, second).value, expected, "{name}");
    }
}

#[test]
fn tells_floats_from_integers_in_vectors() {
    let cases = [
        ("vadd.f32 s0, s0, s1", [0xee30, 0x0a20], Some(Float::Single)),
        ("vadd.f16 s0, s0, s1", [0xee30, 0x0920], Some(Float::Half)),
        ("vldr s0, [r0]", [0xed90, 0x0a00], Some(Float::Single)),
        ("vadd.f32 q0, q1, q2", [0xef02, 0x0d44], Some(Float::Vector)),
        ("vfma.f32 q0, q1, q2", [0xef02, 0x0c54], Some(Float::Vector)),
        ("vadd.i32 q0, q1, q2", [0xef22, 0x0844], None),
        ("vpush {d8-d9}", [0xed2d, 0x8b04], None),
        ("vmov.32 q0[0], r1", [0xee00, 0x1b10], None),
    ];
    for (name, [first, second], expected) in cases {
        assert_eq!(of(first, second).float, expected, "{name}");
    }
}

#[test]
fn knows_opposite_conditions() {
    let cases = [
        ("it ne", 0xbf18, 1, 0b0000),
        ("itt eq", 0xbf04, 2, 0b0000),
        ("ite eq", 0xbf0c, 2, 0b0010),
        ("ite ne", 0xbf14, 2, 0b0010),
        ("itett eq", 0xbf09, 4, 0b0010),
        ("itete ne", 0xbf15, 4, 0b1010),
    ];
    for (name, code, conditions, opposites) in cases {
        let it = of(code, 0);
        assert_eq!(
            (it.conditions, it.opposites),
            (conditions, opposites),
            "{name}"
        );
    }
}

#[test]
fn knows_what_is_conditional() {
    // itt eq; addeq r0, r0, r1; addeq r2, r2, r1; adds r0, r0, r1
    let codes = [0xbf04, 0x1840, 0x1852, 0x1840].map(Code::narrow);
    let [_, first, second, after] = decode_block(&codes).unwrap()[..] else {
        panic!("four instructions");
    };
    for conditional in [first, second] {
        assert!(conditional.is_conditional);
        assert!(conditional.operands.meets(FLAGS));
        assert!(!conditional.results.meets(FLAGS));
    }
    assert!(!after.is_conditional);
    assert!(!after.operands.meets(FLAGS));
    assert!(after.results.meets(FLAGS));
}

#[test]
fn refuses_what_it_does_not_know() {
    let mcr = Code::wide(0xee01, 0x0f10);
    assert_eq!(decode(mcr), Err(Unknown { code: mcr }));
    let text = "no known instruction has the code ee01 0f10";
    assert_eq!(Unknown { code: mcr }.to_string(), text);
    assert!(decode(Code::narrow(0xb800)).is_err());
    assert_eq!(Code::of(0xf000, None), None, "half of one");
}

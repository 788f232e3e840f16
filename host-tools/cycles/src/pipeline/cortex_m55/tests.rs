use super::super::Core;
use super::super::tests::{Block, cycles};

#[test]
fn costs_what_the_model_says() {
    let cases: &[(&str, &[u16], u64)] = &[
        (
            "vldrw.u32 q0, [r0]; vadd.i32 q1, q0, q2; vmul.i32 q3, q1, q2; vstrw.32 q3, [r1]",
            &[
                0xed90, 0x1f00, 0xef20, 0x2844, 0xef22, 0x6954, 0xed81, 0x7f00,
            ],
            4,
        ),
        (
            "vldrw.u32 q0, [r0]; vldrb.u32 q4, [r2]; vadd.i32 q1, q0, q4; vstrw.32 q1, [r1]",
            &[
                0xed90, 0x1f00, 0xfd92, 0x8f00, 0xef20, 0x2848, 0xed81, 0x3f00,
            ],
            5,
        ),
        (
            "vldrb.u8 q0, [r3]; vmladava.s8 r0, q0, q4; vldrb.u8 q1, [r3, #16]; vmladava.s8 r2, q1, q4",
            &[
                0xed93, 0x1e00, 0xeef0, 0x0f28, 0xed93, 0x3e10, 0xeef2, 0x2f28,
            ],
            4,
        ),
        (
            "vldrb.u8 q0, [r3]; vldrb.u8 q1, [r3, #16]; vmladava.s8 r0, q0, q4; vmladava.s8 r2, q1, q4",
            &[
                0xed93, 0x1e00, 0xed93, 0x3e10, 0xeef0, 0x0f28, 0xeef2, 0x2f28,
            ],
            6,
        ),
        (
            "vmladava.s8 r0, q0, q1; mov.w r1, r2; mov.w r3, r0",
            &[0xeef0, 0x0f22, 0xea4f, 0x0102, 0xea4f, 0x0300],
            3,
        ),
        (
            "vmul.i32 q0, q1, q2; vstrw.32 q0, [r1]",
            &[0xef22, 0x0954, 0xed81, 0x1f00],
            2,
        ),
        (
            "vmul.i32 q0, q1, q2; vadd.i32 q0, q0, q2",
            &[0xef22, 0x0954, 0xef20, 0x0844],
            3,
        ),
        (
            "vqmovnb.s16 q0, q1; vstrb.8 q0, [r1]",
            &[0xee33, 0x0e03, 0xed81, 0x1e00],
            4,
        ),
        (
            "vmovlb.u8 q0, q1; vldrb.u16 q2, [r0, q0]",
            &[0xfea8, 0x0f42, 0xfc90, 0x4e80],
            6,
        ),
        (
            "vmov q0[2], q0[0], r0, r4; vmov q1[2], q1[0], r2, r6",
            &[0xec14, 0x0f00, 0xec16, 0x2f02],
            2,
        ),
        ("mov r0, r1; ldr r2, [r3]", &[0x4608, 0x681a], 1),
        ("mov.w r0, r1; ldr r2, [r3]", &[0xea4f, 0x0001, 0x681a], 2),
        ("mov r0, r1; ldr r2, [r0]", &[0x4608, 0x6802], 2),
        ("adds r0, r1, r2; adds r3, r4, r5", &[0x1888, 0x1963], 2),
        ("ldr r0, [r1]; add r2, r0", &[0x6808, 0x4402], 3),
        ("mul r0, r1, r2; add r3, r0", &[0xfb01, 0xf002, 0x4403], 3),
        (
            "add.w r0, r1, r2, lsl #2; add r3, r0",
            &[0xeb01, 0x0082, 0x4403],
            3,
        ),
        ("ldm r0!, {r1, r2, r3, r4}", &[0xc81e], 4),
        (
            "vpush {d8-d15}; vldrb.u8 q0, [r0]",
            &[0xed2d, 0x8b10, 0xed90, 0x1e00],
            9,
        ),
    ];
    for &(name, code, expected) in cases {
        let found = cycles(Core::CortexM55, &[(0x100, code, None)]);
        assert_eq!(found, expected, "{name}");
    }
}

/// 128 products of `helium_product.s`: two cycles each of eight instructions, beside
/// which all loads are issued.
#[test]
fn costs_what_is_expected_of_the_inner_loop() {
    let vector = [
        0xecb1, 0x7e10, 0xeef2, 0x6f20, 0xecb3, 0x3e10, 0xeef4, 0xef20, 0xecb3, 0x5e10, 0xeef2,
        0x0f26, 0xecb1, 0x1e10, 0xeef4, 0x8f26, 0xecb1, 0x7e10, 0xeef2, 0x2f20, 0xeef4, 0xaf20,
        0xecb1, 0x1e10, 0xeef2, 0x4f26, 0xeef4, 0xcf26,
    ];
    let of = |code: &[u16]| cycles(Core::CortexM55, &[(0x100, code, None)]);
    assert_eq!(of(&vector), 16);
    assert_eq!(of(&vector.repeat(8)), 8 * 16);
}

#[test]
fn ends_a_loop_for_nothing_but_the_first_time() {
    // vldrb.8 q0, [r4], #16; vstrb.8 q0, [r5], #64; letp or bne
    let turns = |end: &[u16]| {
        let code = [&[0xecb4, 0x1e10, 0xeca5, 0x1e40][..], end].concat();
        let total = |turns| {
            let turn: Block<'_> = (0x100, &code, Some(0x100));
            cycles(Core::CortexM55, &vec![turn; turns])
        };
        [total(1), total(9) - total(2)]
    };
    assert_eq!(turns(&[0xf01f, 0xc007]), [3 + 4, 7 * 4], "letp");
    assert_eq!(turns(&[0xd1fa])[1], 7 * (4 + 3), "bne");
}

use super::super::Core;
use super::super::tests::{Block, cycles, load, run, two_memories};
use super::MISPREDICTION;
use crate::memory::MemoryMap;
use crate::trace::Access;

#[test]
fn costs_what_the_sources_say() {
    let cases: &[(&str, &[u16], u64)] = &[
        ("mov r0, r1; mov r2, r3", &[0x4608, 0x461a], 1),
        (
            "add.w r0, r0, r1; add.w r0, r0, r1",
            &[0xeb00, 0x0001, 0xeb00, 0x0001],
            2,
        ),
        (
            "add.w r0, r1, r2; ldr r4, [r3]",
            &[0xeb01, 0x0002, 0x681c],
            1,
        ),
        (
            "add.w r0, r1, r2; ldr r4, [r0]",
            &[0xeb01, 0x0002, 0x6804],
            2,
        ),
        (
            "eor.w r0, r1, r2; ldr r4, [r0]",
            &[0xea81, 0x0002, 0x6804],
            3,
        ),
        ("ldr r0, [r4]; ldr r1, [r4, #4]", &[0x6820, 0x6861], 1),
        ("ldr r0, [r4]; ldr r1, [r4, #8]", &[0x6820, 0x68a1], 2),
        ("ldr r0, [r4]; ldr r1, [r5, #4]", &[0x6820, 0x6869], 1),
        (
            "ldr r0, [r4], #8; ldr r1, [r4, #4]",
            &[0xf854, 0x0b08, 0x6861],
            2,
        ),
        (
            "ldr r0, [r1]; add.w r2, r2, r0",
            &[0x6808, 0xeb02, 0x0200],
            2,
        ),
        (
            "ldr r0, [r1]; add.w r2, r2, r0, lsl #2",
            &[0x6808, 0xeb02, 0x0280],
            3,
        ),
        ("ldr r0, [r1]; ldr r2, [r0]", &[0x6808, 0x6802], 3),
        ("ldr r0, [r1]; mul r2, r0, r3", &[0x6808, 0xfb00, 0xf203], 3),
        (
            "ldrb r0, [r1]; add.w r2, r2, r0",
            &[0x7808, 0xeb02, 0x0200],
            3,
        ),
        ("ldrb r0, [r1]; ldr r2, [r0]", &[0x7808, 0x6802], 4),
        ("ldr r0, [r1]; str r0, [r2]", &[0x6808, 0x6010], 1),
        ("str r0, [r1]; str r2, [r3]", &[0x6008, 0x601a], 2),
        ("mul r0, r1, r2; str r3, [r4]", &[0xfb01, 0xf002, 0x6023], 2),
        (
            "mul r0, r1, r2; mul r3, r1, r2",
            &[0xfb01, 0xf002, 0xfb01, 0xf302],
            2,
        ),
        (
            "mul r0, r1, r2; add.w r3, r1, r2",
            &[0xfb01, 0xf002, 0xeb01, 0x0302],
            1,
        ),
        (
            "mul r0, r1, r2; add.w r3, r0, r2",
            &[0xfb01, 0xf002, 0xeb00, 0x0302],
            3,
        ),
        (
            "smlad r0, r1, r2, r0; smlad r0, r3, r4, r0",
            &[0xfb21, 0x0002, 0xfb23, 0x0004],
            2,
        ),
        (
            "sxtb16 r0, r1; smlad r2, r3, r4, r2",
            &[0xfa2f, 0xf081, 0xfb23, 0x2204],
            1,
        ),
        (
            "smlad r2, r3, r4, r2; sxtb16 r0, r1",
            &[0xfb23, 0x2204, 0xfa2f, 0xf081],
            2,
        ),
        (
            "sxtb16 r0, r1; sxtb16 r2, r3",
            &[0xfa2f, 0xf081, 0xfa2f, 0xf283],
            2,
        ),
        (
            "sxtb16 r0, r1; add.w r2, r3, r4, lsl #2",
            &[0xfa2f, 0xf081, 0xeb03, 0x0284],
            1,
        ),
        (
            "pkhbt r0, r1, r2, lsl #16; add.w r2, r3, r4, lsl #2",
            &[0xeac1, 0x4002, 0xeb03, 0x0284],
            2,
        ),
        (
            "add.w r0, r1, r2, lsl #2; add.w r3, r4, r5, lsl #2",
            &[0xeb01, 0x0082, 0xeb04, 0x0385],
            2,
        ),
        (
            "usat r0, #8, r1; add.w r2, r2, r0",
            &[0xf381, 0x0008, 0xeb02, 0x0200],
            3,
        ),
        ("ldm r0!, {r1, r2}", &[0xc806], 1),
        ("pop {r4-r11, pc}", &[0xe8bd, 0x8ff0], 5),
        (
            "ldrd r0, r1, [r2]; add.w r3, r4, r5",
            &[0xe9d2, 0x0100, 0xeb04, 0x0305],
            2,
        ),
        ("udiv r0, r1, r2", &[0xfbb1, 0xf0f2], 7),
        ("cmp r0, r1; bne #8", &[0x4288, 0xd104], 1),
    ];
    for &(name, code, expected) in cases {
        let found = cycles(Core::CortexM7, &[(0x100, code, None)]);
        assert_eq!(found, expected, "{name}");
    }
}

/// Sixteen products of `dsp_product.s`, as other cores have them: two loads, a wait,
/// and eight products, beside which both extractions are issued.
#[test]
fn costs_what_is_expected_of_a_loop_for_one_at_a_time() {
    let step = [
        0xc806, 0xce18, 0xfb21, 0xaa04, 0xfb21, 0x5503, 0xfa2f, 0xf181, 0xfb22, 0xcc04, 0xfb22,
        0x8803, 0xfa2f, 0xf282, 0xfb21, 0xbb04, 0xfb21, 0x7703, 0xfb22, 0xee04, 0xfb22, 0x9903,
    ];
    let turn = |at: u32| -> Block<'_> { (0x100 + 44 * at, &step, None) };
    let turns: Vec<_> = (0..32).map(turn).collect();
    assert_eq!(cycles(Core::CortexM7, &turns), 32 * 11);
}

/// The same as this core has them: eight products, and two of the loads that move their
/// address register, which do not join one.
const STEP: [u16; 28] = [
    0xfb21, 0xaa04, 0xf850, 0x2b04, 0xfb21, 0x5503, 0xfa2f, 0xf181, 0xfb22, 0xcc04, 0xfb22, 0x8803,
    0xfa2f, 0xf282, 0xfb21, 0xbb04, 0xfb21, 0x7703, 0xf850, 0x1b04, 0xfb22, 0xee04, 0xf8d6, 0x4004,
    0xfb22, 0x9903, 0xf856, 0x3b08,
];

#[test]
fn costs_what_is_expected_of_a_loop_for_two_at_once() {
    let turn = |turn: u32| {
        let (weights, values) = (0x2000_0000 + 8 * turn, 0x2000_8000 + 8 * turn);
        [
            load(1, weights),
            load(9, weights + 4),
            load(11, values + 4),
            load(13, values),
        ]
    };
    let turns: Vec<[Access; 4]> = (0..64).map(turn).collect();
    let total = |count: usize| {
        let block =
            |(at, accesses): (u32, &'static [Access])| (0x100 + 56 * at, &STEP[..], accesses, None);
        let accesses = turns[..count]
            .iter()
            .map(|accesses| accesses.to_vec().leak() as &[_]);
        run(
            Core::CortexM7,
            &two_memories(),
            (0..).zip(accesses).map(block),
        )
        .total()
    };
    assert_eq!(total(64) - total(32), 32 * 10);
}

#[test]
fn loads_pair_by_the_banks_that_are_used() {
    // ldr r0, [r2]; ldr r1, [r3]
    let pair = |memory: &MemoryMap, first, second| {
        let accesses = [load(0, first), load(1, second)];
        let blocks = [(0x100, &[0x6810, 0x6819][..], &accesses[..], None)];
        run(Core::CortexM7, memory, blocks.into_iter()).total()
    };
    let memory = two_memories();
    assert_eq!(pair(&memory, 0x2000_0000, 0x2000_1004), 1);
    assert_eq!(pair(&memory, 0x2000_0000, 0x2000_1008), 2);
    let text = "[[cache]]\nname = \"data\"\nbytes = 4096\nline_bytes = 32\n\
                [[region]]\nname = \"ram\"\nstart = 0x2000_0000\nbytes = 0x1_0000\n\
                data = { cache = \"data\" }";
    let cached = toml::from_str(text).unwrap();
    assert_eq!(pair(&cached, 0x2000_0000, 0x2000_1004), 2);
}

#[test]
fn predicts_conditions_and_targets() {
    let times = |code: &[u16], targets: &[Option<u32>]| {
        let blocks: Vec<_> = targets
            .iter()
            .map(|&target| (0x100, code, target))
            .collect();
        cycles(Core::CortexM7, &blocks) - targets.len() as u64
    };
    let bne = [0xd104];
    assert_eq!(times(&bne, &[None; 4]), 0, "not taken");
    assert_eq!(
        times(&bne, &[Some(0x200); 4]),
        2 * MISPREDICTION,
        "until it is learned"
    );
    assert_eq!(times(&[0xe104], &[Some(0x200); 2]), 0, "b");
    assert_eq!(times(&[0x4770], &[Some(0x200), Some(0x300)]), 0, "bx lr");
    let targets = [0x200, 0x200, 0x300].map(Some);
    assert_eq!(times(&[0x4718], &targets), 2 * MISPREDICTION, "bx r3");
}

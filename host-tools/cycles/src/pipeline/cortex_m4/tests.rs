use super::super::Core;
use super::super::tests::{Block, cycles, load, run, two_memories};
use crate::memory::MemoryMap;

#[test]
fn costs_what_the_sources_say() {
    let cases: &[(&str, &[u16], u64)] = &[
        ("adds r0, r1, r2", &[0x1888], 1),
        ("ldr r0, [r1]", &[0x6808], 2),
        ("ldr r0, [r1]; ldr r2, [r3]", &[0x6808, 0x681a], 3),
        ("ldr r0, [r1]; ldr r2, [r0]", &[0x6808, 0x6802], 4),
        (
            "ldr r0, [r1], #8; ldr r2, [r1]",
            &[0xf851, 0x0b08, 0x680a],
            3,
        ),
        ("ldr r0, [pc]; ldr r2, [r3]", &[0x4800, 0x681a], 4),
        ("ldr r0, [r1]; nop", &[0x6808, 0xbf00], 2),
        ("ldr r0, [r1]; str r0, [r3]", &[0x6808, 0x6018], 3),
        ("str r0, [r3]; ldr r0, [r1]", &[0x6018, 0x6808], 5),
        ("str r0, [r1]", &[0x6008], 1),
        ("str r0, [r1, r2]", &[0x5088], 2),
        ("adds r1, #1; ldr r0, [r1]", &[0x3101, 0x6808], 4),
        ("adds r2, #1; ldr r0, [r1]", &[0x3201, 0x6808], 3),
        ("ldm r0!, {r1, r2}", &[0xc806], 3),
        ("push {r4-r7, lr}", &[0xb5f0], 6),
        ("pop {r4-r7, pc}", &[0xbdf0], 6),
        ("push.w {r4-r11, lr}", &[0xe92d, 0x4ff0], 10),
        ("ldrd r1, r0, [r5, #136]", &[0xe9d5, 0x1022], 3),
        ("ldr.w r9, [r5, #32]", &[0xf8d5, 0x9020], 2),
        ("ldm.w sp, {r1-r4, pc}", &[0xe89d, 0x801e], 6),
        ("tbb [pc, r0]", &[0xe8df, 0xf000], 3),
        ("udiv r0, r0, r1", &[0xfbb0, 0xf0f1], 7),
        ("smlad r5, r1, r3, r5", &[0xfb21, 0x5503], 1),
        ("bl", &[0xf003, 0xfcaa], 1),
        ("bne", &[0xd11c], 1),
        ("msr primask, r0", &[0xf380, 0x8810], 1),
        ("adds r0, r1, r2; it eq", &[0x1888, 0xbf08], 1),
        ("smlad r5, r1, r3, r5; it eq", &[0xfb21, 0x5503, 0xbf08], 2),
        ("vmla.f32 s1, s1, s2", &[0xee40, 0x0a81], 3),
        ("vdiv.f32 s0, s1, s2", &[0xee80, 0x0a81], 14),
        ("vldr s0, [r0]", &[0xed90, 0x0a00], 2),
    ];
    for &(name, code, expected) in cases {
        let found = cycles(Core::CortexM4, &[(0x100, code, None)]);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_block_goes_on_where_the_one_before_ended() {
    let ldr = [0x6808];
    let adds = [0x3101];
    let blocks: [Block<'_>; 2] = [(0x100, &ldr, None), (0x102, &ldr, None)];
    assert_eq!(cycles(Core::CortexM4, &blocks), 2 + 1, "two loads");
    let blocks: [Block<'_>; 2] = [(0x100, &adds, None), (0x102, &ldr, None)];
    assert_eq!(
        cycles(Core::CortexM4, &blocks),
        1 + 3,
        "an address that was computed"
    );
}

#[test]
fn fills_the_pipeline() {
    let jump = |code: &[u16]| {
        let taken = cycles(Core::CortexM4, &[(0x100, code, Some(0x1000))]);
        taken - cycles(Core::CortexM4, &[(0x100, code, None)])
    };
    assert_eq!(jump(&[0xd11c]), 1, "bne");
    assert_eq!(jump(&[0xf003, 0xfcaa]), 1, "bl");
    assert_eq!(jump(&[0xb326]), 2, "cbz r6");
    assert_eq!(jump(&[0x4770]), 2, "bx lr");
    assert_eq!(jump(&[0xbdf0]), 2, "pop {{r4-r7, pc}}");
}

#[test]
fn waits_for_long_instructions_off_the_word() {
    let smlad = [0xfb21, 0x5503];
    let to = |address, code: &[u16]| {
        let blocks: [Block<'_>; 2] = [(0x100, &[0xe000], Some(address)), (address, code, None)];
        cycles(Core::CortexM4, &blocks) - 2
    };
    assert_eq!(to(0x200, &smlad), 1);
    assert_eq!(to(0x202, &smlad), 1 + 2);
    assert_eq!(to(0x202, &[0x1888]), 1, "adds r0, r1, r2");
    assert_eq!(to(0x200, &smlad.repeat(20)), 20, "a word a cycle");
    // Of twenty, six fetches are lost.
    assert_eq!(to(0x202, &smlad.repeat(20)), 20 + 2 + 6);
}

#[test]
fn access_that_is_not_aligned_takes_longer() {
    let load_at = |address| {
        let accesses = [load(0, address)];
        let blocks = [(0x100, &[0x6808][..], &accesses[..], None)];
        run(Core::CortexM4, &two_memories(), blocks.into_iter()).total()
    };
    assert_eq!(
        [0, 1, 2, 3].map(|at| load_at(0x2000_0000 + at)),
        [2, 4, 3, 4]
    );
}

#[test]
fn what_a_condition_leaves_out_takes_a_cycle() {
    // it eq; ldreq r0, [r1]; adds r2, #1
    let code = [0xbf08, 0x6808, 0x3201];
    let accesses = [load(1, 0x2000_0000)];
    let with = |accesses| {
        let blocks = [(0x100, &code[..], accesses, None)];
        run(Core::CortexM4, &two_memories(), blocks.into_iter()).total()
    };
    assert_eq!(with(&accesses), 1 + 2 + 1);
    assert_eq!(with(&[]), 1 + 1 + 1);
}

/// Flash whose lines of 8 bytes take five cycles, with a cache of 32 bytes before the code.
fn flash(prefetch: bool) -> MemoryMap {
    let text = format!(
        "[[cache]]\nname = \"code\"\nbytes = 32\nline_bytes = 8\n\
         [[region]]\nname = \"flash\"\nstart = 0\nbytes = 0x10000\n\
         code = {{ cache = \"code\", miss_cycles = 5, prefetch = {prefetch} }}\n\
         data = {{ read_bytes = 8, miss_cycles = 5, load_cycles = 1 }}"
    );
    toml::from_str(&text).unwrap()
}

/// The cycles for which turns of a loop of short additions wait for code.
fn waits(memory: &MemoryMap, turns: u32, instructions: usize) -> u64 {
    let mut code = vec![0x3101; instructions - 1];
    code.push(0xe7fe);
    let turn = |_| (0x100, &code[..], &[][..], Some(0x100));
    run(Core::CortexM4, memory, (0..turns).map(turn)).code
}

#[test]
fn a_loop_longer_than_the_cache_misses_always() {
    let memory = flash(false);
    // Four lines fit, of which two are fetched behind the loop.
    assert_eq!(waits(&memory, 2, 8), waits(&memory, 9, 8), "brought once");
    let per_turn = |instructions| {
        let more = waits(&memory, 9, instructions) - waits(&memory, 1, instructions);
        more as f64 / 8.0
    };
    assert!(per_turn(20) > 5.0 + 4.0, "{} of five lines", per_turn(20));
}

#[test]
fn prefetch_hides_what_passed_meanwhile() {
    // A line is executed in four cycles of five.
    let (with, without) = (waits(&flash(true), 1, 64), waits(&flash(false), 1, 64));
    assert!(with < without / 2, "{with} and {without}");
    assert!(with > 0);
}

#[test]
fn data_of_flash_is_waited_for() {
    // ldr r0, [r1], thrice: of another line, of the same, of a third one.
    let code = [0x6808, 0xbf00, 0x6808, 0xbf00, 0x6808];
    let accesses = [load(0, 0x1000), load(2, 0x1004), load(4, 0x1008)];
    let blocks = [(0x8000_0000, &code[..], &accesses[..], None)];
    let found = run(Core::CortexM4, &flash(false), blocks.into_iter());
    assert_eq!(found.data, 5 + 1 + 1 + 5 + 1);
}

#[test]
fn another_bank_takes_a_cycle() {
    let text = "[[region]]\nname = \"ram\"\nstart = 0x2000_0000\nbytes = 0x3_0000\n\
                data = { banks = [0x1_0000, 0x2_0000], switch_cycles = 1.0 }";
    let memory: MemoryMap = toml::from_str(text).unwrap();
    // ldr r0, [r1], thrice
    let from = |addresses: [u32; 3]| {
        let accesses: Vec<_> = (0..)
            .zip(addresses)
            .map(|(at, address)| load(at, address))
            .collect();
        let blocks = [(0x100, &[0x6808; 3][..], &accesses[..], None)];
        run(Core::CortexM4, &memory, blocks.into_iter()).data
    };
    assert_eq!(from([0x2000_0000, 0x2000_fffc, 0x2000_0000]), 0);
    assert_eq!(from([0x2000_0000, 0x2001_0000, 0x2002_0000]), 2);
}

#[test]
fn a_cortex_m3_multiplies_slower() {
    let cases: &[(&str, &[u16], u64)] = &[
        ("muls r0, r1", &[0x4348], 1),
        ("mla r0, r1, r2, r3", &[0xfb01, 0x3002], 2),
        ("smull r0, r1, r2, r3", &[0xfb82, 0x0103], 5),
        ("smlal r0, r1, r2, r3", &[0xfbc2, 0x0103], 7),
        ("ldr r0, [r1]", &[0x6808], 2),
    ];
    for &(name, code, expected) in cases {
        let found = cycles(Core::CortexM3, &[(0x100, code, None)]);
        assert_eq!(found, expected, "{name}");
    }
}

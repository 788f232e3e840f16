//! Hand-made code: forms that an audit could be fooled by, and some that it must allow.

use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

use super::*;

/// The verdict that the audit must reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Code that cannot be followed.
    Unknown,
    /// A way to a panic.
    Panic,
    /// Floating point.
    Float,
    /// Nothing.
    Nothing,
}

use Found::{Float, Nothing, Panic, Unknown};

struct Form {
    name: &'static str,
    found: Found,
    code: &'static [u16],
    /// Bytes of it that are data.
    data: Option<(u64, u64)>,
}

const fn form(
    name: &'static str,
    found: Found,
    code: &'static [u16],
    data: Option<(u64, u64)>,
) -> Form {
    Form {
        name,
        found,
        code,
        data,
    }
}

/// Each stands at address 0, before what `image` adds.
const FORMS: &[Form] = &[
    // blx r3
    form("a call by a register", Unknown, &[0x4798], None),
    // bx r3
    form("a jump by a register", Unknown, &[0x4718], None),
    // ldr.w pc, [r0, #4]
    form("a jump by memory", Unknown, &[0xf8d0, 0xf004], None),
    // ldr.w pc, 1f
    form(
        "a jump by a constant in memory",
        Panic,
        &[0xf8df, 0xf000, 0x0041, 0x0000],
        Some((4, 8)),
    ),
    // mov pc, r3
    form("a jump by a move", Unknown, &[0x469f], None),
    // add pc, r3
    form("a jump by a sum", Unknown, &[0x449f], None),
    // ldr.w r3, 1f; push {r3}; pop {pc}
    form(
        "a jump by the stack",
        Panic,
        &[0xf8df, 0x3004, 0xb408, 0xbd00, 0x0041, 0x0000],
        Some((8, 12)),
    ),
    // ldm.w r0!, {r4, pc}
    form(
        "a jump by a list from memory",
        Unknown,
        &[0xe8b0, 0x8010],
        None,
    ),
    // tbb [pc, r0]; .byte 1,2; bx lr; bl evil; bx lr
    form(
        "a jump by a table",
        Panic,
        &[0xe8df, 0xf000, 0x0201, 0x4770, 0xf000, 0xf81a, 0x4770],
        Some((4, 6)),
    ),
    // tbb [pc, r0]; .byte 120,121; bx lr
    form(
        "a jump by a table out of all code",
        Unknown,
        &[0xe8df, 0xf000, 0x7978, 0x4770],
        Some((4, 6)),
    ),
    // ldr.w lr, 1f; bx lr
    form(
        "a return to elsewhere",
        Panic,
        &[0xf8df, 0xe004, 0x4770, 0xbf00, 0x0041, 0x0000],
        Some((8, 12)),
    ),
    // b.w evil
    form("a jump to another function", Panic, &[0xf000, 0xb81e], None),
    // cmp r0, #0; bne.w evil; bx lr
    form(
        "a jump under a condition",
        Panic,
        &[0x2800, 0xf040, 0x801d, 0x4770],
        None,
    ),
    // cbz r0, 1f; bx lr; bl evil
    form(
        "a call behind a short jump",
        Panic,
        &[0xb100, 0x4770, 0xf000, 0xf81c],
        None,
    ),
    // mov sp, r7; bx lr
    form("a stack from a register", Unknown, &[0x46bd, 0x4770], None),
    // .inst.w 0xf5a75d80; bx lr
    form(
        "a stack below a register",
        Unknown,
        &[0xf5a7, 0x5d80, 0x4770],
        None,
    ),
    // ldr.w sp, [r0]; bx lr
    form(
        "a stack from memory",
        Unknown,
        &[0xf8d0, 0xd000, 0x4770],
        None,
    ),
    // msr msp, r0; bx lr
    form(
        "a stack by its special register",
        Unknown,
        &[0xf380, 0x8808, 0x4770],
        None,
    ),
    // push {r0-r7}; subs r0, #1; bne 1b; bx lr
    form(
        "a loop that pushes",
        Unknown,
        &[0xb4ff, 0x3801, 0xd1fc, 0x4770],
        None,
    ),
    // mov r4, sp; sub.w r4, r4, #8192; mov sp, r4; bx lr
    form(
        "a stack by way of a register",
        Unknown,
        &[0x466c, 0xf5a4, 0x5400, 0x46a5, 0x4770],
        None,
    ),
    // .inst.w 0xef020d44; bx lr
    form(
        "a sum of float vectors",
        Float,
        &[0xef02, 0x0d44, 0x4770],
        None,
    ),
    // .inst.w 0xef020c54; bx lr
    form(
        "a product of float vectors",
        Float,
        &[0xef02, 0x0c54, 0x4770],
        None,
    ),
    // .inst.w 0xee300920; bx lr
    form(
        "a sum of half-precision floats",
        Float,
        &[0xee30, 0x0920, 0x4770],
        None,
    ),
    // vldr s0,[r0]; bx lr
    form(
        "a float from memory",
        Float,
        &[0xed90, 0x0a00, 0x4770],
        None,
    ),
    // .inst.w 0xed2d1f04; bx lr
    form(
        "a vector that is pushed",
        Unknown,
        &[0xed2d, 0x1f04, 0x4770],
        None,
    ),
    // ldr.w r3, 1f; push {r3, lr}; mov r0, sp; bl clobber; pop {r3, lr}; bx r3
    form(
        "a pointer that another may have changed",
        Unknown,
        &[
            0xf8df, 0x3010, 0xb508, 0x4668, 0xf000, 0xf83a, 0xe8bd, 0x4008, 0x4718, 0xbf00, 0x0081,
            0x0000,
        ],
        Some((20, 24)),
    ),
    // push {r4, lr}; mov r4, sp; bl clobber; mov sp, r4; pop {r4, pc}
    form(
        "a register that the callee changes",
        Unknown,
        &[0xb510, 0x466c, 0xf000, 0xf83c, 0x46a5, 0xbd10],
        None,
    ),
    // push {r7, lr}; bl back; pop {r7, pc}
    form(
        "a function that calls itself by another",
        Unknown,
        &[0xb580, 0xf000, 0xf84d, 0xbd80],
        None,
    ),
    // .inst.w 0xee010f10; bx lr
    form("a coprocessor", Unknown, &[0xee01, 0x0f10, 0x4770], None),
    // cbz r0, 1f; udf #1; bx lr
    form("a trap", Panic, &[0xb100, 0xde01, 0x4770], None),
    // nop
    form("data", Unknown, &[0xbf00, 0x0000, 0x0000], Some((2, 6))),
    // cmp r0, #0; itt eq; cmpeq r1, #0; addeq sp, #8; bx lr
    form(
        "a condition that changes in its group",
        Unknown,
        &[0x2800, 0xbf04, 0x2900, 0xb002, 0x4770],
        None,
    ),
    // cmp r0, #0; it eq; pusheq {r4}; bx lr
    form(
        "a push under a condition",
        Unknown,
        &[0x2800, 0xbf08, 0xb410, 0x4770],
        None,
    ),
    // ldr.w r0, 1f; msr psp, r0; bx lr
    form(
        "the processor's other stack",
        Unknown,
        &[
            0xf8df, 0x0008, 0xf380, 0x8809, 0x4770, 0xbf00, 0x1000, 0x2000,
        ],
        Some((12, 16)),
    ),
    // bl clobber; bx lr
    form(
        "a link register that was not saved",
        Unknown,
        &[0xf000, 0xf83e, 0x4770],
        None,
    ),
    // push {r4, lr}; cmp r0, #0; itt eq; addeq sp, #4; popeq {pc}; pop {r4, pc}
    form(
        "both ends of a condition",
        Nothing,
        &[0xb510, 0x2800, 0xbf04, 0xb001, 0xbd00, 0xbd10],
        None,
    ),
    // push {r4, lr}; cmp r0, #0; it eq; popeq {r4, pc}; movs r0, #1; pop {r4, pc}
    form(
        "a pop under a condition",
        Nothing,
        &[0xb510, 0x2800, 0xbf08, 0xbd10, 0x2001, 0xbd10],
        None,
    ),
    // push {r4, lr}; sub sp, #8; cmp r0, #0; itee ne; addne sp, #8; addeq sp, #4; addeq sp, #4; pop {r4, pc}
    form(
        "both ways of a group",
        Nothing,
        &[
            0xb510, 0xb082, 0x2800, 0xbf12, 0xb002, 0xb001, 0xb001, 0xbd10,
        ],
        None,
    ),
    // ldr.w r3, 1f; push {r4, lr}; blx r3; pop {r4, pc}
    form(
        "a constant function",
        Nothing,
        &[
            0xf8df, 0x3008, 0xb510, 0x4798, 0xbd10, 0xbf00, 0x0081, 0x0000,
        ],
        Some((12, 16)),
    ),
    // push {r4, r7, lr}; add r7, sp, #4; sub.w sp, sp, #512; sub.w r4, r7, #4; mov sp, r4; pop {r4, r7, pc}
    form(
        "a frame pointer",
        Nothing,
        &[
            0xb590, 0xaf01, 0xf5ad, 0x7d00, 0xf1a7, 0x0404, 0x46a5, 0xbd90,
        ],
        None,
    ),
];

/// Where the functions are that forms go to.
const EVIL: usize = 0x40;
const CLOBBER: usize = 0x80;
const BACK: usize = 0xa0;
const PANIC: usize = 0xc0;
const HANDLER: usize = 0xe0;
const SMALL_STACK: u32 = 0x2000_0000;

/// An image with `code` at address 0, whose entries begin at `vectors`.
fn image(code: &[u16], data: Option<(u64, u64)>, vectors: &[u32]) -> Vec<u8> {
    let mut words = [0_u16; 0x100 / 2];
    let mut put = |at: usize, code: &[u16]| words[at / 2..][..code.len()].copy_from_slice(code);
    put(0, code);
    // push {r4-r11, lr}; sub.w sp, sp, #4096; vadd.f32 s0, s0, s1; bl panics
    let evil = [
        0xe92d, 0x4ff0, 0xf5ad, 0x5d80, 0xee30, 0x0a20, 0xf000, 0xf838,
    ];
    put(EVIL, &evil);
    // movs r4, #0; bx lr
    put(CLOBBER, &[0x2400, 0x4770]);
    // push {lr}; bl form; pop {pc}
    put(BACK, &[0xb500, 0xf7ff, 0xffad, 0xbd00]);
    // b .
    put(PANIC, &[0xe7fe]);
    // ldr r1, [pc, #4]; msr msp, r1; push {r0-r3}; b .; the end of the small stack
    put(
        HANDLER,
        &[
            0x4902, 0xf381, 0x8808, 0xb40f, 0xe7fe, 0xbf00, 0x0020, 0x2000,
        ],
    );
    let words: Vec<u8> = words.iter().flat_map(|half| half.to_le_bytes()).collect();

    let mut object = Object::new(BinaryFormat::Elf, Architecture::Arm, Endianness::Little);
    let text = object.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
    object.append_section_data(text, &words, 4);
    let kind = SectionKind::ReadOnlyData;
    let table = object.add_section(Vec::new(), b".vector_table".to_vec(), kind);
    let entries: Vec<u8> = vectors.iter().flat_map(|word| word.to_le_bytes()).collect();
    object.append_section_data(table, &entries, 4);
    let variables =
        object.add_section(Vec::new(), b".bss".to_vec(), SectionKind::UninitializedData);
    object.append_section_bss(variables, 0x20, 4);
    let mut add = |name: &str, value: u64, size: u64, kind: SymbolKind, section| {
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size,
            kind,
            scope: SymbolScope::Linkage,
            weak: false,
            section,
            flags: SymbolFlags::None,
        });
    };
    let in_text = SymbolSection::Section(text);
    let functions = [
        ("form", 0),
        ("evil", EVIL),
        ("clobber", CLOBBER),
        ("back", BACK),
        ("_ZN4core9panicking5panic17h0000000000000000E", PANIC),
        ("handler", HANDLER),
    ];
    for (name, at) in functions {
        add(name, at as u64 | 1, 0x20, SymbolKind::Text, in_text);
        add("$t", at as u64, 0, SymbolKind::Label, in_text);
    }
    add("$d", HANDLER as u64 + 12, 0, SymbolKind::Label, in_text);
    if let Some((start, end)) = data {
        add("$d", start, 0, SymbolKind::Label, in_text);
        add("$t", end, 0, SymbolKind::Label, in_text);
    }
    let stack = SMALL_STACK.into();
    add(
        "SMALL",
        stack,
        0x20,
        SymbolKind::Data,
        SymbolSection::Absolute,
    );
    add(
        "_stack_start",
        0x1000,
        0,
        SymbolKind::Label,
        SymbolSection::Absolute,
    );
    add(
        "_stack_end",
        0,
        0,
        SymbolKind::Label,
        SymbolSection::Absolute,
    );
    object.write().expect("an ELF file")
}

fn audit_of(form: &Form) -> Audit {
    let bytes = image(form.code, form.data, &[]);
    function(Path::new("forms.elf"), &bytes, "form").unwrap()
}

#[test]
fn no_form_passes_unseen() {
    for form in FORMS {
        let audit = audit_of(form);
        let found = match &audit {
            Audit { unknown, .. } if !unknown.is_empty() => Unknown,
            Audit { panics, .. } if !panics.is_empty() => Panic,
            Audit { floats, .. } if !floats.is_empty() => Float,
            _ => Nothing,
        };
        assert_eq!(found, form.found, "{}: {audit:#?}", form.name);
        let passes = audit.check(Path::new("forms.elf")).is_ok();
        assert_eq!(passes, form.found == Nothing, "{}", form.name);
    }
}

#[test]
fn the_stack_is_counted() {
    let stack = |name: &str| {
        let form = FORMS.iter().find(|form| form.name == name).unwrap();
        audit_of(form).stacks[0].bytes
    };
    assert_eq!(stack("a frame pointer"), 12 + 512);
    assert_eq!(stack("a pop under a condition"), 8);
    assert_eq!(stack("a constant function"), 8);
    // Of `evil`, which is gone to and not called.
    assert_eq!(stack("a jump to another function"), 36 + 4096);
}

/// `bx lr`, with a table of entries.
fn entries(handlers: &[usize]) -> Result<Audit, ElfError> {
    let handlers = handlers.iter().map(|&at| at as u32 | 1);
    let vectors: Vec<u32> = [0x1000].into_iter().chain(handlers).collect();
    super::image(Path::new("forms.elf"), &image(&[0x4770], None, &vectors))
}

#[test]
fn every_entry_of_the_processor_is_followed() {
    let path = Path::new("forms.elf");
    let quiet = entries(&[0, 0, 0, CLOBBER]).unwrap();
    quiet.check(path).unwrap();
    // NMI, HardFault and one more, each with what the processor saves.
    assert_eq!(quiet.stacks[0].exception_bytes, 3 * EXCEPTION_BYTES);
    for place in 0..6 {
        let mut handlers = [0; 6];
        handlers[place] = EVIL;
        let error = entries(&handlers).unwrap().check(path).unwrap_err();
        assert!(matches!(error, AuditError::Reachable { .. }), "{error}");
    }
    assert!(entries(&[]).is_err(), "it has no reset");
}

#[test]
fn a_stack_of_its_own_has_a_bound_too() {
    let path = Path::new("forms.elf");
    let fits = entries(&[0, 0, HANDLER]).unwrap();
    fits.check(path).unwrap();
    let own = StackBound {
        name: "SMALL".to_owned(),
        bytes: 16,
        exception_bytes: 0,
        reserved_bytes: Some(0x20),
    };
    assert_eq!(fits.stacks[1..], [own]);
    let mut audit = fits;
    audit.stacks[1].reserved_bytes = Some(12);
    let error = audit.check(path).unwrap_err().to_string();
    assert!(
        error.contains("can need 16 bytes of SMALL, which has 12"),
        "{error}"
    );
}

#[test]
fn stacks_that_are_too_small_are_told() {
    let path = Path::new("forms.elf");
    let mut audit = entries(&[0, 0, 0, CLOBBER]).unwrap();
    audit.stacks[0].bytes = 0x1000 - 3 * EXCEPTION_BYTES;
    audit.check(path).unwrap();
    audit.stacks[0].bytes += 1;
    let error = audit.check(path).unwrap_err().to_string();
    assert!(
        error.contains("can need 4097 bytes of the stack, which has 4096"),
        "{error}"
    );
}

#[test]
fn a_reset_that_sets_the_stacks_pointer_begins_the_same_stack() {
    let path = Path::new("forms.elf");
    // mov.w r0, #0x1000; msr msp, r0; push {r0-r3}; b .
    let code = [0xf44f, 0x5080, 0xf380, 0x8808, 0xb40f, 0xe7fe];
    let audit = super::image(path, &image(&code, None, &[0x1000, 1])).unwrap();
    audit.check(path).unwrap();
    let bytes: Vec<u32> = audit.stacks.iter().map(|stack| stack.bytes).collect();
    assert_eq!(bytes, [16]);
}

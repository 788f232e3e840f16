use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;

/// Made of `forms.s`.
const FORMS: &[u8] = include_bytes!("forms.elf");

fn of(root: &str) -> Audit {
    audit_from(Path::new("forms.elf"), FORMS, &[root]).unwrap_or_else(|error| panic!("{error}"))
}

/// What is refused about a function: the lists that are not empty.
fn refused(audit: &Audit) -> Vec<&'static str> {
    let lists = [
        ("panic", !audit.panics.is_empty()),
        ("float", !audit.floats.is_empty()),
        ("obstacle", !audit.obstacles.is_empty()),
        (
            "stack",
            audit.stack_bytes.is_err() || !audit.small_stacks.is_empty(),
        ),
    ];
    let refused = lists.into_iter().filter(|(_, is_refused)| *is_refused);
    refused.map(|(name, _)| name).collect()
}

fn names(start: &str) -> Vec<String> {
    let image = Image::new(FORMS).unwrap();
    let names = image
        .functions
        .values()
        .map(|function| function.name.clone());
    names.filter(|name| name.starts_with(start)).collect()
}

#[test]
fn refuses_what_it_cannot_follow() {
    // By the group that a form's name has, what is wrong with it at least.
    let expected = |name: &str| match name.split('_').nth(1).unwrap() {
        "known" => "panic",
        "float" => "float",
        "trap" => "panic",
        "recursion" => "stack",
        _ => "obstacle",
    };
    let bad = names("bad_");
    assert_eq!(bad.len(), 40, "{bad:?}");
    for name in bad {
        let audit = of(&name);
        assert!(
            refused(&audit).contains(&expected(&name)),
            "{name}: {audit:?}"
        );
    }
}

#[test]
fn proves_what_compilers_write() {
    let good = names("good_");
    assert_eq!(good.len(), 11, "{good:?}");
    for name in good {
        let audit = of(&name);
        assert_eq!(refused(&audit), [""; 0], "{name}: {audit:?}");
    }
}

#[test]
fn bounds_the_stack() {
    let cases = [
        ("good_leaf", 0),
        ("good_frame", 20 + 16 + 16 + 40),
        ("good_frame_pointer", 20 + 100),
        ("good_tail", 8),
        ("good_own_stack", 0),
        ("evil", 36 + 4096),
    ];
    for (name, bytes) in cases {
        assert_eq!(of(name).stack_bytes, Ok(bytes), "{name}");
    }
}

#[test]
fn tells_where_it_is() {
    let audit = of("bad_known_cbz");
    assert_eq!(audit.panics, ["bad_known_cbz -> evil -> rust_begin_unwind"]);
    assert_eq!(audit.floats, ["evil"]);
    let audit = of("bad_recursion_of_two");
    assert_eq!(
        audit.stack_bytes,
        Err("`bad_recursion_of_two` calls itself".into())
    );
    let audit = of("bad_stack_loop");
    assert!(audit.obstacles[0].starts_with("bad_stack_loop: paths with stacks of different"));
}

#[test]
fn wants_a_function_and_a_vector_table() {
    let path = Path::new("forms.elf");
    let error = audit_from(path, FORMS, &["nothing"]).unwrap_err();
    let text =
        "`forms.elf` symbol `nothing` is missing or is not where it should be; build it again";
    assert_eq!(error.to_string(), text);
    let error = audit(path, FORMS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`forms.elf` it has no vector table; build it again"
    );
}

/// Audits any bytes: whatever they are, the result is an audit or an error.
pub(crate) fn check(bytes: &[u8]) {
    let path = Path::new("any.elf");
    let _ = audit(path, bytes);
    let _ = audit_inference(path, bytes);
    let _ = audit_from(path, bytes, &["evil", "good_frame", "bad_recursion_of_two"]);
}

#[test]
fn broken_files_are_errors() {
    for length in (0..FORMS.len()).step_by(7) {
        check(&FORMS[..length]);
    }
    // Each word of the headers, with what may be thought a size, an offset or an address.
    for at in (0..FORMS.len() - 4).step_by(4) {
        for word in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX] {
            let mut bytes = FORMS.to_vec();
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            check(&bytes);
        }
    }
}

#[test]
fn overlapping_sections_are_an_error() {
    // The section headers begin where the ELF header says; an address is their fourth word.
    let word = |at: usize| u32::from_le_bytes(FORMS[at..at + 4].try_into().unwrap()) as usize;
    let (table, size, count) = (word(0x20), word(0x2c) >> 16, word(0x30) & 0xffff);
    let allocated: Vec<usize> = (0..count)
        .map(|section| table + section * size)
        .filter(|header| word(header + 8) & 2 != 0)
        .collect();
    let mut bytes = FORMS.to_vec();
    let address = FORMS[allocated[0] + 12..allocated[0] + 16].to_vec();
    bytes[allocated[1] + 12..allocated[1] + 16].copy_from_slice(&address);
    assert!(matches!(Image::new(&bytes), Err(MalformedElf::Overlap(..))));
}

#[test]
fn random_changes_never_panic() {
    let end = Instant::now() + Duration::from_secs(1);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let change = (0..FORMS.len(), any::<u8>());
    let changes = proptest::collection::vec(change, 1..20);
    let mut count = 0;
    while Instant::now() < end {
        let mut bytes = FORMS.to_vec();
        for (at, byte) in changes.new_tree(&mut runner).unwrap().current() {
            bytes[at] = byte;
        }
        check(&bytes);
        count += 1;
    }
    assert!(count > 10, "{count}");
}

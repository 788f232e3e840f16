//! Programs whose cycles are to be predicted.

use std::path::Path;

use tadpool_latency::program::Program;

/// Objects with symbols, and an executable file with a segment to load.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = super::elf::seeds();
    seeds.push(loaded());
    seeds
}

/// A header, that of a segment, and its code: `b .`.
fn loaded() -> Vec<u8> {
    const HEADER_BYTES: u16 = 52;
    const SEGMENT_BYTES: u16 = 32;
    let code = [0xfe, 0xe7, 0xfe, 0xe7];
    let offset = u32::from(HEADER_BYTES + SEGMENT_BYTES);
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    let halves = |file: &mut Vec<u8>, values: &[u16]| {
        values
            .iter()
            .for_each(|value| file.extend(value.to_le_bytes()));
    };
    let words = |file: &mut Vec<u8>, values: &[u32]| {
        values
            .iter()
            .for_each(|value| file.extend(value.to_le_bytes()));
    };
    // An executable for Arm, which starts at 1; program headers follow, no sections.
    halves(&mut file, &[2, 40]);
    words(&mut file, &[1, 1, HEADER_BYTES.into(), 0, 0x0500_0000]);
    halves(&mut file, &[HEADER_BYTES, SEGMENT_BYTES, 1, 40, 0, 0]);
    // Load four bytes to address 0; they may be read and executed.
    words(&mut file, &[1, offset, 0, 0, 4, 4, 5, 4]);
    file.extend(code);
    file
}

pub(super) fn check(bytes: &[u8]) {
    match Program::read(Path::new("program.elf"), bytes) {
        Ok(program) => {
            for segment in program.segments() {
                assert!(segment.bytes > 0, "{segment:?}");
            }
            let _ = program.architecture();
            let _ = program.section(".text");
            for name in ["main", "0x10", "", "inference"] {
                if let Err(error) = program.function(name) {
                    super::check_error(&error);
                }
            }
        }
        Err(error) => super::check_error(&error),
    }
}

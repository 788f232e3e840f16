//! The decoder says of every code what it said when it was compared with LLVM's.
//!
//! `encodings.tsv` has a hash of what it says, for each group of first halfwords. After a
//! change that is meant, compare anew as the crate's `README.md` says, and save by
//! `cargo test --release -p tadpool-cycles --test encodings -- --ignored save`.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use tadpool_cycles::decode::{Code, decode, decode_under};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encodings.tsv");

/// First halfwords whose codes share a line.
const GROUP: u16 = 0x100;

/// The second halfwords that a quick check takes: those of a generator that meets every
/// value of each byte, and all with few bits.
fn sample() -> Vec<u16> {
    let mut seconds: Vec<u16> = (0..256_u32)
        .map(|n| ((n * 40503) >> 3 ^ n << 8) as u16)
        .collect();
    seconds.extend((0..16).map(|bit| 1 << bit));
    seconds.extend((0..16).map(|bit| !(1 << bit)));
    seconds.extend([0, 0xffff]);
    seconds
}

/// FNV-1a, which is the same in every release of Rust.
struct Hash64(u64);

impl Hasher for Hash64 {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// How many of the codes are known, and a hash of what is said of them.
fn summary(codes: impl Iterator<Item = Code>) -> (u64, u64) {
    let (mut known, mut hash) = (0, Hash64(0xcbf2_9ce4_8422_2325));
    for code in codes {
        let Ok(instruction) = decode(code) else {
            hash.write_u8(0);
            continue;
        };
        known += 1;
        // By its text, which no layout in memory changes.
        let _ = write!(Text(&mut hash), "{instruction:?}");
        decode_under(code, true).is_ok().hash(&mut hash);
    }
    (known, hash.finish())
}

struct Text<'a>(&'a mut Hash64);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// One line a group: first halfword, known codes, hash.
fn table(seconds: &[u16]) -> String {
    let mut table = String::new();
    let mut line = |first: u16, (known, hash): (u64, u64)| {
        let _ = writeln!(table, "{first:04x}\t{known}\t{hash:016x}");
    };
    for first in (0..0xe800).step_by(GROUP.into()) {
        line(first, summary((first..first + GROUP).map(Code::narrow)));
    }
    for first in (0xe800_u16..=0xff00).step_by(GROUP.into()) {
        let firsts = first..=first + (GROUP - 1);
        let codes = firsts.flat_map(|first| {
            let code = move |&second: &u16| Code::wide(first, second);
            seconds.iter().map(code)
        });
        line(first, summary(codes));
    }
    table
}

#[test]
fn no_encoding_has_drifted() {
    let saved = std::fs::read_to_string(FILE).unwrap();
    let table = table(&sample());
    for (saved, now) in saved.lines().zip(table.lines()) {
        assert_eq!(saved, now, "decoding has changed from here on");
    }
    assert_eq!(saved.lines().count(), table.lines().count());
}

#[test]
#[ignore = "writes the table that the other test compares with"]
fn save() {
    std::fs::write(FILE, table(&sample())).unwrap();
}

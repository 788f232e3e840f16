use super::*;

/// Writes down what it is told.
#[derive(Default)]
struct Told(String);

impl Sink for Told {
    fn define(&mut self, block: u32, address: u32, code: &[u16]) -> Result<(), Unknown> {
        crate::decode::decode(crate::decode::Code::of(code[0], code.get(1).copied()).unwrap())?;
        self.0 += &format!("{block} at {address:x} is {code:x?}\n");
        Ok(())
    }

    fn execute(&mut self, block: u32, accesses: &[Access]) {
        self.0 += &format!("{block}");
        for access in accesses {
            let kind = if access.is_store { "store" } else { "load" };
            self.0 += &format!(
                ", {kind} {}@{:x} by {}",
                access.bytes, access.address, access.instruction
            );
        }
        self.0.push('\n');
    }

    fn begin(&mut self) {
        self.0 += "begin\n";
    }

    fn end(&mut self) {
        self.0 += "end\n";
    }
}

const LDR_B: [u8; 15] = [DEFINE, 0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0x08, 0x68, 0xfd, 0xe7];

fn stream(records: &[&[u8]]) -> Vec<u8> {
    let mut stream = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
    records
        .iter()
        .for_each(|record| stream.extend_from_slice(record));
    stream
}

fn error(records: &[&[u8]]) -> String {
    let error = read(&stream(records)[..], &mut Told::default());
    error.unwrap_err().to_string()
}

/// Gives a byte at a time.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = buffer.len().min(1);
        self.0.read(&mut buffer[..bytes])
    }
}

#[test]
fn what_was_executed_is_told() {
    let execute = [EXECUTE, 0, 0, 0, 0];
    let load = [ACCESS, 0, 0, 2, 4, 0, 0, 0x20];
    let store = [ACCESS, 1, 0, STORE | 3, 8, 0, 0, 0x20];
    let records: [&[u8]; 7] = [&[BEGIN], &LDR_B, &execute, &load, &execute, &store, &[END]];
    let expected = "begin\n0 at 100 is [6808, e7fd]\n0, load 4@20000004 by 0\n\
                    0, store 8@20000008 by 1\nend\n";
    let stream = stream(&records);
    let mut told = Told::default();
    read(&stream[..], &mut told).unwrap();
    assert_eq!(told.0, expected);
    told.0.clear();
    read(Dripping(&stream), &mut told).unwrap();
    assert_eq!(told.0, expected);
}

#[test]
fn what_is_wrong_is_told() {
    assert!(matches!(
        read(&b"TAD"[..], &mut Told::default()),
        Err(TraceError::Magic)
    ));
    let other = [&MAGIC[..], &[2, 0, 0, 0]].concat();
    assert!(matches!(
        read(&other[..], &mut Told::default()),
        Err(TraceError::Version(2))
    ));
    assert_eq!(
        error(&[&LDR_B, &[EXECUTE, 0]]),
        "the trace ends within the record that begins at byte 27"
    );
    assert!(error(&[&[9]]).contains("unknown record 9 at byte 12"));
    assert!(error(&[&[EXECUTE, 5, 0, 0, 0]]).contains("block 5 of the trace is executed"));
    assert!(error(&[&LDR_B, &LDR_B]).contains("met twice"));
    assert!(error(&[&LDR_B, &[ACCESS, 0, 0, 2, 0, 0, 0, 0]]).contains("access at byte 27"));
    let executed = [EXECUTE, 0, 0, 0, 0];
    let third: [u8; 8] = [ACCESS, 2, 0, 2, 0, 0, 0, 0];
    assert!(error(&[&LDR_B, &executed, &third]).contains("access at byte 32"));
    let mut half = LDR_B;
    half[13..].copy_from_slice(&0xf000_u16.to_le_bytes());
    assert!(error(&[&half]).contains("is no code: 2 halfwords at 0x100"));
    let mut unknown = LDR_B;
    unknown[1] = 1; // its number
    unknown[11..13].copy_from_slice(&0xba80_u16.to_le_bytes());
    unknown[13..].copy_from_slice(&0xbf00_u16.to_le_bytes());
    assert!(error(&[&unknown]).contains("block 1 of the trace, at 0x100"));
}

#[test]
fn no_bytes_make_it_panic() {
    let whole = stream(&[
        &LDR_B,
        &[EXECUTE, 0, 0, 0, 0],
        &[ACCESS, 0, 0, 2, 4, 0, 0, 0x20],
    ]);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let _ = read(&damaged[..], &mut Told::default());
            let _ = read(&damaged[..at], &mut Told::default());
        }
    }
}

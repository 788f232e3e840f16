//! Weights in the slots of a board's flash.

use tadpool_kernels::checksum::crc32;
use tadpool_kernels::slots::{HEADER_BYTES, Header, newest};

const PROGRAM: u32 = 0x1234_5678;

/// Two whole slots, one after the other, an erased one, and one of another program.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let slot = |update, program, length: usize| {
        let behind: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
        let header = Header {
            update,
            program,
            model_hash: 7,
            length: length as u32,
            crc: crc32(&behind),
        };
        [&header.bytes()[..], &behind].concat()
    };
    vec![
        [slot(1, PROGRAM, 64), slot(2, PROGRAM, 64)].concat(),
        slot(u32::MAX, PROGRAM, 0),
        slot(3, 1, 40),
        vec![0xff; 2 * HEADER_BYTES],
    ]
}

/// A slot that is used has a header that reads back, and its bytes have the CRC that it says.
pub(super) fn check(bytes: &[u8]) {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let found = [first, second].map(|slot| Header::check(slot, PROGRAM));
    for (slot, found) in [first, second].into_iter().zip(&found) {
        match found {
            Ok(header) => {
                assert_eq!(&header.bytes()[..], &slot[..HEADER_BYTES]);
                let behind = &slot[HEADER_BYTES..][..header.length as usize];
                assert_eq!((crc32(behind), header.program), (header.crc, PROGRAM));
            }
            Err(problem) => super::check_error(problem),
        }
    }
    let used = newest(&found);
    assert_eq!(used.is_some(), found.iter().any(Result::is_ok));
    if let Some(header) = used.and_then(|used| found[used].ok()) {
        let updates = found.iter().flatten().map(|header| header.update);
        assert_eq!(updates.max(), Some(header.update));
    }
}

//! Checksums: of a step's output, to compare runs on different cores, and of weights, to
//! notice flash that is worn out.

/// FNV-1a, 32 bit.
///
/// Source: G. Fowler, L. C. Noll, K.-P. Vo, D. Eastlake, "The FNV
/// Non-Cryptographic Hash Algorithm".
pub fn fnv1a(bytes: &[u8]) -> u32 {
    fnv1a_on(FNV1A_OF_NOTHING, bytes)
}

/// [`fnv1a`] of no bytes at all.
pub const FNV1A_OF_NOTHING: u32 = 0x811c_9dc5;

/// [`fnv1a`] of what has the checksum `hash`, followed by `bytes`.
pub fn fnv1a_on(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The remainders of half a byte by the polynomial of [`crc32`], bits reversed.
static REMAINDERS: [u32; 16] = [
    0x0000_0000,
    0x1db7_1064,
    0x3b6e_20c8,
    0x26d9_30ac,
    0x76dc_4190,
    0x6b6b_51f4,
    0x4db2_6158,
    0x5005_713c,
    0xedb8_8320,
    0xf00f_9344,
    0xd6d6_a3e8,
    0xcb61_b38c,
    0x9b64_c2b0,
    0x86d3_d2d4,
    0xa00a_e278,
    0xbdbd_f21c,
];

/// CRC-32 as in IEEE 802.3 and ISO 3309: polynomial 0x04c11db7, bits reversed, all bits of
/// the first word and of the result inverted. By a table of 64 bytes.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32_on(0, bytes)
}

/// [`crc32`] of what has the checksum `crc`, which is zero of nothing, followed by `bytes`.
pub fn crc32_on(crc: u32, bytes: &[u8]) -> u32 {
    let remainder = |crc: u32| REMAINDERS.get(crc as usize & 15).copied().unwrap_or(0);
    let half = |crc: u32| crc >> 4 ^ remainder(crc);
    !bytes
        .iter()
        .fold(!crc, |crc, &byte| half(half(crc ^ u32::from(byte))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_that_of_the_standard() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32_on(crc32(b"1234"), b"56789"), 0xcbf4_3926);
        assert_eq!(crc32(&[0; 32]), 0x190a_55ad);
        assert_eq!(crc32(&[0xff; 32]), 0xff6c_ab0b);
    }

    #[test]
    fn matches_the_published_vectors() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
        assert_eq!(fnv1a_on(fnv1a(b"foo"), b"bar"), 0xbf9c_f968);
    }
}

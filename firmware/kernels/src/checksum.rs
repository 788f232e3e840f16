//! A checksum of a step's output, to compare runs on different cores.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_vectors() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
        assert_eq!(fnv1a_on(fnv1a(b"foo"), b"bar"), 0xbf9c_f968);
    }
}

//! SHA-256 of files, as records have it.

use sha2::{Digest as _, Sha256};

use super::sources::Carried;

/// The SHA-256 of parts, one behind the other, in hexadecimal digits: of one file it is what
/// `sha256sum` prints.
pub fn sha256<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_ref());
    }
    let digits = hash.finalize();
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// That of the sources of the kernels which this crate carries: names and contents.
pub fn of_kernels() -> String {
    let files = Carried::Kernels.files();
    let parts = files.iter().flat_map(|(name, content)| {
        let name = name.to_string_lossy().replace('\\', "/").into_bytes();
        [name, content.to_vec()]
    });
    sha256(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256sum() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(["a", "bc"]), expected);
        assert_eq!(of_kernels().len(), 64);
    }
}

//! SHA-256 (FIPS 180-4), for what is not secret: the journal's chain, hashes of requests.

use std::fmt;

use aws_lc_rs::digest;

/// `SHA-256(bytes)`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    to_array(digest::digest(&digest::SHA256, bytes))
}

/// SHA-256 over parts that arrive one after the other.
pub struct Sha256(digest::Context);

impl Sha256 {
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> [u8; 32] {
        to_array(self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256(..)")
    }
}

fn to_array(digest: digest::Digest) -> [u8; 32] {
    let mut out = [0; 32];
    // INVARIANT: SHA-256's output has 32 bytes, so every byte of `out` is written.
    out.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::hex;

    /// FIPS 180-4 examples (NIST, "SHA256.pdf" and "SHA2_Additional.pdf").
    #[test]
    fn fips_180_vectors_hold() {
        let million = vec![b'a'; 1_000_000];
        for (message, digest) in [
            (&b""[..], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (&million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ] {
            assert_eq!(sha256(message).to_vec(), hex(digest));
        }
    }

    #[test]
    fn parts_hash_like_the_whole() {
        let mut parts = Sha256::new();
        parts.update(b"a");
        parts.update(b"");
        parts.update(b"bc");
        assert_eq!(parts.finish(), sha256(b"abc"));
    }
}

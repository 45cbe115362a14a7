//! The encryption context: pairs that are authenticated with a ciphertext but not kept in it.

use std::fmt;

use crate::limits::ENCRYPTION_CONTEXT_BYTES_MAX;

/// Pairs sorted by the UTF-8 bytes of their keys, no key twice, with their canonical encoding at most 8192 bytes.
///
/// Encoding: `be32(count)`, then for each pair `be32(length) ‖ key ‖ be32(length) ‖ value`. Every part carries its
/// length, so no two different contexts share an encoding. There is no normalisation: contexts are equal when their
/// bytes are. The empty context and an absent one are the same: they encode to nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EncryptionContext {
    pairs: Vec<(String, String)>,
    encoded: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionContextError {
    #[error("the encryption context names a key twice")]
    DuplicateKey,
    #[error("the encryption context is larger than {ENCRYPTION_CONTEXT_BYTES_MAX} bytes")]
    TooLarge,
}

impl EncryptionContext {
    pub fn new(mut pairs: Vec<(String, String)>) -> Result<Self, EncryptionContextError> {
        if pairs.is_empty() {
            return Ok(Self::default());
        }
        pairs.sort_unstable();
        if pairs.windows(2).any(|w| matches!(w, [a, b] if a.0 == b.0)) {
            return Err(EncryptionContextError::DuplicateKey);
        }
        let size = 4 + pairs.iter().map(|(key, value)| 8 + key.len() + value.len()).sum::<usize>();
        if size > ENCRYPTION_CONTEXT_BYTES_MAX {
            return Err(EncryptionContextError::TooLarge);
        }
        let mut encoded = Vec::with_capacity(size);
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
        encoded.extend_from_slice(&length(pairs.len()));
        for part in pairs.iter().flat_map(|(key, value)| [key, value]) {
            encoded.extend_from_slice(&length(part.len()));
            encoded.extend_from_slice(part.as_bytes());
        }
        Ok(Self { pairs, encoded })
    }

    /// The canonical encoding; nothing for the empty context.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The pairs, sorted by the bytes of their keys.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// The number of pairs only: a context is recorded in the audit trail, not in logs.
impl fmt::Debug for EncryptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionContext({} pairs)", self.pairs.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> Result<EncryptionContext, EncryptionContextError> {
        EncryptionContext::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn a_key_twice_is_refused() {
        assert_eq!(context(&[("a", "1"), ("a", "2")]), Err(EncryptionContextError::DuplicateKey));
        assert_eq!(context(&[("a", "1"), ("b", ""), ("a", "1")]), Err(EncryptionContextError::DuplicateKey));
    }

    #[test]
    fn one_byte_past_the_limit_is_refused() {
        let value = "v".repeat(8192 - 13);
        assert_eq!(context(&[("k", &value)]).unwrap().encoded().len(), 8192);
        assert_eq!(context(&[("kk", &value)]), Err(EncryptionContextError::TooLarge));
    }

    #[test]
    fn parts_cannot_move_between_keys_and_values() {
        let all = [
            context(&[("ab", "c")]).unwrap(),
            context(&[("a", "bc")]).unwrap(),
            context(&[("a", "b"), ("c", "")]).unwrap(),
            context(&[("abc", "")]).unwrap(),
            context(&[]).unwrap(),
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(i == j, a.encoded() == b.encoded());
            }
        }
    }

    #[test]
    fn order_does_not_matter_and_absent_is_empty() {
        assert_eq!(context(&[("b", "2"), ("a", "1")]), context(&[("a", "1"), ("b", "2")]));
        assert_eq!(context(&[("a", "1")]).unwrap().encoded(), b"\0\0\0\x01\0\0\0\x01a\0\0\0\x011");
        assert!(context(&[]).unwrap().encoded().is_empty());
    }
}

//! Secret keys of 32 bytes: boxed, so that moving one copies no bytes, and wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::CryptoError;
use crate::random;

/// Bytes of every symmetric key here.
pub(crate) const KEY_BYTES: usize = 32;

/// A key of the keyring, or the root key.
pub(crate) struct SecretKey(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl SecretKey {
    /// A key from AWS-LC's generator.
    pub(crate) fn random() -> Result<Self, CryptoError> {
        let mut key = Self::zeroed();
        random::fill(key.expose_mut())?;
        Ok(key)
    }

    /// A place for a key, to be filled through [`Self::expose_mut`].
    pub(crate) fn zeroed() -> Self {
        Self(Box::new(Zeroizing::new([0; KEY_BYTES])))
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8; KEY_BYTES] {
        &mut self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::assert_absent;

    assert_absent!(SecretKey: Clone, std::fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);

    #[test]
    fn debug_says_the_kind_only() {
        assert_eq!(format!("{:?}", SecretKey::random().unwrap()), "SecretKey(..)");
    }

    #[test]
    fn two_random_keys_differ() {
        assert_ne!(SecretKey::random().unwrap().expose(), SecretKey::random().unwrap().expose());
    }
}

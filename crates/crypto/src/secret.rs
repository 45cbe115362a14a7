//! Secret keys of 32 bytes: in locked memory, so that moving one copies no bytes, and wiped when dropped.

use std::fmt;

use crate::error::CryptoError;
use crate::locked::{Holding, Slot};
use crate::random;

/// Bytes of every symmetric key here.
pub(crate) const KEY_BYTES: usize = 32;

/// A key of the keyring, the root key, or key material.
pub(crate) struct SecretKey(Slot);

impl SecretKey {
    /// A key from AWS-LC's generator.
    pub(crate) fn random() -> Result<Self, CryptoError> {
        let mut key = Self::zeroed();
        random::fill(key.expose_mut())?;
        Ok(key)
    }

    /// A place for a key, to be filled through [`Self::expose_mut`].
    pub(crate) fn zeroed() -> Self {
        Self(Slot::new(Holding::Material))
    }

    /// [`random`](Self::random) for a root key, a domain key or a service key, whose places are kept apart.
    pub(crate) fn random_of_ring() -> Result<Self, CryptoError> {
        let mut key = Self::zeroed_of_ring();
        random::fill(key.expose_mut())?;
        Ok(key)
    }

    /// [`zeroed`](Self::zeroed) for a root key, a domain key or a service key, whose places are kept apart.
    pub(crate) fn zeroed_of_ring() -> Self {
        Self(Slot::new(Holding::Ring))
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        let [key, _] = self.0.halves();
        key
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8; KEY_BYTES] {
        let [key, _] = self.0.halves_mut();
        key
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

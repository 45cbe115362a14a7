//! The row state: one value that stands for all rows of a scope, so that an old row put back, or a row removed, shows.
//!
//! Formula: `state = XOR over rows of HMAC-SHA256(row state key, address ‖ be64(version) ‖ tag)`, each of the three
//! length-prefixed; `row state key = KDF(row state service key, "strongroom/row-state/v1")`.
//!
//! The key is a service key, not a domain key: domain keys come and go, and the state would have to be computed anew
//! over every row with each. An address names its scope, so one key serves all.
//!
//! INVARIANT: addresses are unique, so the rows are a set. XOR forgets what is put in twice.
//!
//! The state itself is kept in a sealed row. To someone who sees the values of many states it is not collision
//! resistant (Clarke et al., "Incremental Multiset Hash Functions", section 4); sealed, they are not seen.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::aead::TAG_BYTES;
use crate::error::CryptoError;
use crate::fields::length_prefix;
use crate::kdf;
use crate::keyring::{Keyring, ServicePurpose, Versions};
use crate::secret::KEY_BYTES;

/// The keyed hash of a set of rows. Starts as the hash of no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetHash([u8; 32]);

impl SetHash {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Puts a row in that was not in, or takes one out that was: the same step.
    pub fn xor(&mut self, row_state_mac: &[u8; 32]) {
        self.0.iter_mut().zip(row_state_mac).for_each(|(to, from)| *to ^= from);
    }
}

impl Keyring {
    /// The share of one row in the state of its scope: `HMAC-SHA256(row state key, address ‖ be64(version) ‖ tag)`,
    /// each length-prefixed; `tag` is [`crate::sealed_tag`] of the row's value.
    pub fn row_state_mac(
        &self,
        address: &str,
        version: u64,
        tag: &[u8; TAG_BYTES],
    ) -> Result<[u8; 32], CryptoError> {
        let mut mac = hmac::Context::with_key(self.row_state_key());
        for field in [address.as_bytes(), &version.to_be_bytes(), tag] {
            mac.update(&length_prefix(field));
            mac.update(field);
        }
        mac.sign().as_ref().try_into().map_err(|_| CryptoError::Module)
    }
}

/// The key of the MACs, from the newest row state service key; AWS-LC wipes it when it is freed.
pub(crate) fn mac_key(services: &BTreeMap<ServicePurpose, Versions>) -> Result<hmac::Key, CryptoError> {
    let purpose = ServicePurpose::RowState;
    let missing = CryptoError::MissingServiceKey { purpose: purpose.as_str() };
    let (_, service_key) = services.get(&purpose).ok_or(missing)?.current();
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    kdf::row_state_key(service_key, &mut key)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{hex, keyring};
    use proptest::prelude::*;

    #[test]
    fn every_part_of_a_row_counts() {
        let keyring = keyring();
        let mac = |address, version, tag| keyring.row_state_mac(address, version, &[tag; 16]).unwrap();
        let home = mac("keys/1", 1, 0);
        assert_ne!(home, mac("keys/2", 1, 0));
        assert_ne!(home, mac("keys/1", 2, 0));
        assert_ne!(home, mac("keys/1", 1, 1));
        assert_eq!(home, mac("keys/1", 1, 0));
    }

    /// Computed with Python: `hmac.new(kbkdf(row state service key), fields, sha256)`.
    #[test]
    fn golden_state() {
        let mac = keyring().row_state_mac("keys/eu-central-1/1", 7, &[0x7a; 16]).unwrap();
        assert_eq!(mac.to_vec(), hex("dc7d8b4c74f5a493ae718532f7cda40b738ebadaf690e53a3850c4e2dd40e699"));
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_twice_is_not_at_all(macs: Vec<[u8; 32]>) {
            let (mut forth, mut back) = (SetHash::default(), SetHash::default());
            macs.iter().for_each(|mac| forth.xor(mac));
            macs.iter().rev().for_each(|mac| back.xor(mac));
            prop_assert_eq!(forth, back);
            prop_assert_eq!(SetHash::from_bytes(*forth.as_bytes()), forth);
            macs.iter().for_each(|mac| forth.xor(mac));
            prop_assert_eq!(forth, SetHash::default());
        }
    }
}

//! The anchor: what a deployment has seen of its own store, kept outside of it and authenticated.
//!
//! Formula: `key = KDF(row state service key, "strongroom/anchor/v1")`, `anchor = header ‖ content ‖
//! HMAC-SHA256(key, header ‖ content)`, `header = "STRGANCH" 8 | version 1 (= 1) | service key version 4`.
//!
//! It is authenticated, not sealed: it lies beside the root key and holds nothing that the store does not show. The key
//! is a service key, so an anchor of another deployment does not authenticate, and whoever has only the data directory
//! can make none. What the content means is `records`' business.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::error::CryptoError;
use crate::kdf;
use crate::keyring::{Keyring, ServicePurpose};
use crate::secret::{KEY_BYTES, SecretKey};

const MAGIC: &[u8; 8] = b"STRGANCH";
const FORMAT: u8 = 1;
const MAC_BYTES: usize = 32;
const WHAT: &str = "the anchor";

/// What an anchor has beside its content.
pub const ANCHOR_OVERHEAD_BYTES: usize = MAGIC.len() + 1 + 4 + MAC_BYTES;

impl Keyring {
    pub fn seal_anchor(&self, content: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let (version, service_key) = self.service_keys(ServicePurpose::RowState)?.current();
        let mut anchor = Vec::with_capacity(ANCHOR_OVERHEAD_BYTES + content.len());
        anchor.extend_from_slice(MAGIC);
        anchor.push(FORMAT);
        anchor.extend_from_slice(&version.to_be_bytes());
        anchor.extend_from_slice(content);
        let mac = hmac::sign(&mac_key(service_key)?, &anchor);
        anchor.extend_from_slice(mac.as_ref());
        Ok(anchor)
    }

    /// The content of an anchor that this deployment made.
    pub fn open_anchor<'a>(&self, anchor: &'a [u8]) -> Result<&'a [u8], CryptoError> {
        let malformed = || CryptoError::Malformed { what: WHAT };
        let (signed, mac) = anchor.split_last_chunk::<MAC_BYTES>().ok_or_else(malformed)?;
        let (magic, rest) = signed.split_first_chunk::<8>().ok_or_else(malformed)?;
        let (format, rest) = rest.split_first().ok_or_else(malformed)?;
        let (version, content) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        if magic != MAGIC || *format != FORMAT {
            return Err(malformed());
        }
        let not_authentic = || CryptoError::NotAuthentic { what: WHAT };
        let service_keys = self.service_keys(ServicePurpose::RowState)?;
        let service_key = service_keys.version(u32::from_be_bytes(*version)).ok_or_else(not_authentic)?;
        hmac::verify(&mac_key(service_key)?, signed, mac).map_err(|_| not_authentic())?;
        Ok(content)
    }
}

fn mac_key(service_key: &SecretKey) -> Result<hmac::Key, CryptoError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    kdf::anchor_key(service_key, &mut key)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{TestDirectory, each_bit_flipped, hex, keyring};
    use crate::root::FileRoot;

    #[test]
    fn every_flipped_bit_and_every_other_length_is_refused() {
        let keyring = keyring();
        let anchor = keyring.seal_anchor(b"content").unwrap();
        each_bit_flipped(&anchor, |altered| assert!(keyring.open_anchor(altered).is_err()));
        for length in 0..anchor.len() {
            assert!(keyring.open_anchor(&anchor[..length]).is_err(), "{length}");
        }
        assert!(keyring.open_anchor(&[&anchor[..], &[0]].concat()).is_err());
        assert_eq!(keyring.open_anchor(&anchor).unwrap(), b"content");
    }

    #[test]
    fn an_anchor_of_another_deployment_is_refused() {
        let directory = TestDirectory::new();
        let root = FileRoot::create(&directory.join("root.key")).unwrap();
        let [one, other] = [(), ()].map(|()| Keyring::create(&root, &[]).unwrap().0);
        let anchor = one.seal_anchor(b"content").unwrap();
        let refused = other.open_anchor(&anchor).unwrap_err();
        assert_eq!(refused, CryptoError::NotAuthentic { what: "the anchor" });
        assert_eq!(one.open_anchor(&anchor).unwrap(), b"content");
    }

    /// Computed with Python: `hmac.new(kbkdf(row state service key, "strongroom/anchor/v1"), header + content, sha256)`.
    #[test]
    fn golden_anchor() {
        let keyring = keyring();
        let anchor = hex(
            "53545247414e43480100000001636f6e74656e7462a8284d584aa4c8286ee204cdb9c36f0ce21f67ea25a279cb46b74185d5d920",
        );
        assert_eq!(keyring.seal_anchor(b"content").unwrap(), anchor);
        assert_eq!(keyring.open_anchor(&anchor).unwrap(), b"content");
    }
}

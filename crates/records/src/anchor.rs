//! The anchor: the newest standing of the store that its service has seen, kept outside of the store.
//!
//! Nothing inside a store can show that the whole of it was put back to an earlier time. So a service writes down what
//! it has seen where whoever writes to the data directory does not reach: `crypto` authenticates the bytes, `server` keeps
//! the file. What happened after the last writing an anchor does not know.

use minicbor::{Decode, Encode};
use strongroom_crypto::{CryptoError, Keyring};
use strongroom_types::Timestamp;
use strongroom_types::limits::ANCHOR_BYTES_MAX;

use crate::codec;
use crate::standing::Standing;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Anchor {
    #[cbor(n(0), with = "codec::timestamp")]
    pub written: Timestamp,
    /// The last record of the audit journal that was on the disk; zero for none.
    #[n(1)]
    pub journal_sequence: u64,
    /// That record's link of the chain.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub journal_link: [u8; 32],
    #[n(3)]
    pub standing: Standing,
}

impl Anchor {
    pub fn seal(&self, keyring: &Keyring) -> Result<Vec<u8>, CryptoError> {
        keyring.seal_anchor(&codec::to_bytes(self))
    }

    /// The anchor that this deployment wrote.
    pub fn open(keyring: &Keyring, bytes: &[u8]) -> Result<Self, CryptoError> {
        let malformed = || CryptoError::Malformed { what: "the anchor" };
        if bytes.len() > ANCHOR_BYTES_MAX {
            return Err(malformed());
        }
        codec::from_bytes(keyring.open_anchor(bytes)?).map_err(|_| malformed())
    }
}

#[cfg(test)]
mod tests {
    use strongroom_crypto::ANCHOR_OVERHEAD_BYTES;
    use strongroom_types::limits::REGIONS_MAX;

    use super::*;
    use crate::standing::ShardStanding;
    use crate::tests::keyring;

    fn anchor(shards: Vec<ShardStanding>) -> Anchor {
        Anchor {
            written: Timestamp::from_millis(256),
            journal_sequence: 24,
            journal_link: [0xdd; 32],
            standing: Standing(shards),
        }
    }

    #[test]
    fn an_anchor_past_the_limit_is_refused() {
        let (keyring, _) = keyring(&[]);
        let sealed = |bytes| {
            let shard = |text| ShardStanding { shard: text, version: 1, set_hash: [1; 32], rows: 1 };
            let rest = anchor(vec![shard("x".repeat(1000))]).seal(&keyring).unwrap().len() - 1000;
            let anchor = anchor(vec![shard("x".repeat(bytes - rest))]).seal(&keyring).unwrap();
            assert_eq!(anchor.len(), bytes);
            anchor
        };
        let refused = Anchor::open(&keyring, &sealed(ANCHOR_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(refused, CryptoError::Malformed { what: "the anchor" });
        Anchor::open(&keyring, &sealed(ANCHOR_BYTES_MAX)).unwrap();
    }

    #[test]
    fn the_largest_deployment_fits() {
        let shard = |number| ShardStanding {
            shard: format!("{number:032}"),
            version: u64::MAX,
            set_hash: [1; 32],
            rows: u64::MAX,
        };
        let anchor = anchor((0..=REGIONS_MAX).map(shard).collect());
        let (keyring, _) = keyring(&[]);
        let sealed = anchor.seal(&keyring).unwrap();
        assert!(sealed.len() <= ANCHOR_BYTES_MAX, "{}", sealed.len());
        assert_eq!(Anchor::open(&keyring, &sealed).unwrap(), anchor);
    }

    /// Put together by hand from RFC 8949.
    #[test]
    fn content_has_its_golden_bytes() {
        let link = [0xdd; 32];
        let parts = [&[0xa4, 0, 0x19, 1, 0, 1, 0x18, 24, 2, 0x58, 32][..], &link, &[3, 0x80]].concat();
        assert_eq!(codec::to_bytes(&anchor(Vec::new())), parts);
        let (keyring, _) = keyring(&[]);
        let sealed = anchor(Vec::new()).seal(&keyring).unwrap();
        assert_eq!(sealed.len(), parts.len() + ANCHOR_OVERHEAD_BYTES);
        // A later version may add to it.
        let more = [&[0xa5][..], &parts[1..], &[0x18, 99, 1]].concat();
        let opened = Anchor::open(&keyring, &keyring.seal_anchor(&more).unwrap()).unwrap();
        assert_eq!(opened, anchor(Vec::new()));
    }
}

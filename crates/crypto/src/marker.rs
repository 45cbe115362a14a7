//! Paging markers: where a listing goes on, given to the caller and taken back a day later at most.
//!
//! Formula: `key = KDF(marker service key, "strongroom/marker/v1", salt)`, `marker = base64url(header ‖
//! AES-256-GCM(key, nonce, aad, position))`, `header = version 1 (= 1) | service key version 4 | issued, be64
//! milliseconds | salt 16 | nonce 12`, `aad = header ‖ account ‖ operation ‖ region ‖ parameters`, each of the four
//! length-prefixed. base64url without padding: RFC 4648 section 5.
//!
//! A position may name rows that the next caller may not see, so it is sealed and not only signed. It is bound to the
//! account, the operation, the region and the request's other parameters: a marker is of no use elsewhere.

use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use strongroom_types::limits::{
    CLOCK_SKEW_SECS_MAX, MARKER_CHARACTERS_MAX, MARKER_LIFETIME_SECS, MARKER_POSITION_BYTES_MAX,
};
use strongroom_types::{AccountId, RegionName, Timestamp};
use zeroize::Zeroizing;

use crate::envelope::{self, Envelope, SALT_BYTES, versioned_prefix};
use crate::error::CryptoError;
use crate::kdf;
use crate::keyring::{Keyring, ServicePurpose};
use crate::random::Fresh;
use crate::secret::{KEY_BYTES, SecretKey};

const FORMAT: u8 = 1;
const PREFIX_BYTES: usize = 5 + 8;

/// What a marker is good for, and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct MarkerBinding<'a> {
    pub account: AccountId,
    pub operation: &'a str,
    pub region: &'a RegionName,
    /// The canonical form of what else the request says, such as the key whose grants are listed.
    pub parameters: &'a [u8],
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// This service failed; the marker may be good.
    #[error("the marker cannot be checked")]
    Crypto(#[source] CryptoError),
    /// A marker of this service for this very listing, but more than a day old.
    #[error("the marker has expired")]
    Expired,
    #[error("the marker is not valid for this request")]
    Invalid,
}

impl Keyring {
    /// A marker of printable ASCII for a position of at most [`MARKER_POSITION_BYTES_MAX`] bytes.
    pub fn seal_marker(
        &self,
        binding: &MarkerBinding<'_>,
        position: &[u8],
        now: Timestamp,
    ) -> Result<String, CryptoError> {
        let (version, key) = self.service_keys(ServicePurpose::Marker)?.current();
        seal_with(version, key, binding, position, now, &Fresh::draw()?)
    }

    /// The position inside a marker that was made for this very listing within the last day.
    pub fn open_marker(
        &self,
        binding: &MarkerBinding<'_>,
        marker: &str,
        now: Timestamp,
    ) -> Result<Vec<u8>, MarkerError> {
        if marker.len() > MARKER_CHARACTERS_MAX {
            return Err(MarkerError::Invalid);
        }
        let sealed = URL_SAFE_NO_PAD.decode_to_vec(marker).map_err(|_| MarkerError::Invalid)?;
        let envelope = Envelope::<PREFIX_BYTES>::parse(&sealed).ok_or(MarkerError::Invalid)?;
        let [format, v0, v1, v2, v3, issued @ ..] = *envelope.prefix;
        if format != FORMAT {
            return Err(MarkerError::Invalid);
        }
        let service_keys = self.service_keys(ServicePurpose::Marker).map_err(MarkerError::Crypto)?;
        // The version is the caller's word until the marker opens: one that is unknown says nothing about this service.
        let version = u32::from_be_bytes([v0, v1, v2, v3]);
        let service_key = service_keys.version(version).ok_or(MarkerError::Invalid)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        kdf::marker_key(service_key, envelope.salt, &mut key).map_err(MarkerError::Crypto)?;
        let mut position = vec![0; envelope.plaintext_len()];
        with_fields(binding, |fields| envelope.open("marker", &key, fields, &mut position)).map_err(
            |error| match error {
                CryptoError::NotAuthentic { .. } => MarkerError::Invalid,
                other => MarkerError::Crypto(other),
            },
        )?;
        check_age(Timestamp::from_millis(u64::from_be_bytes(issued)), now)?;
        Ok(position)
    }
}

fn seal_with(
    version: u32,
    service_key: &SecretKey,
    binding: &MarkerBinding<'_>,
    position: &[u8],
    now: Timestamp,
    fresh: &Fresh<SALT_BYTES>,
) -> Result<String, CryptoError> {
    if position.len() > MARKER_POSITION_BYTES_MAX {
        return Err(CryptoError::TooLarge {
            max_bytes: MARKER_POSITION_BYTES_MAX,
            what: "a marker's position",
        });
    }
    let [format, v0, v1, v2, v3] = versioned_prefix(FORMAT, version);
    let [i0, i1, i2, i3, i4, i5, i6, i7] = now.as_millis().to_be_bytes();
    let prefix = [format, v0, v1, v2, v3, i0, i1, i2, i3, i4, i5, i6, i7];
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    kdf::marker_key(service_key, &fresh.salt, &mut key)?;
    let sealed = with_fields(binding, |fields| envelope::seal(&prefix, fresh, &key, fields, position))?;
    Ok(URL_SAFE_NO_PAD.encode_to_string(sealed))
}

/// Only after the marker has opened: before that its time is the caller's word.
fn check_age(issued: Timestamp, now: Timestamp) -> Result<(), MarkerError> {
    // Another node may have issued it, and its clock may run ahead as far as a caller's may.
    if now.until(issued) > Duration::from_secs(CLOCK_SKEW_SECS_MAX) {
        return Err(MarkerError::Invalid);
    }
    if issued.until(now) > Duration::from_secs(MARKER_LIFETIME_SECS) {
        return Err(MarkerError::Expired);
    }
    Ok(())
}

fn with_fields<T>(binding: &MarkerBinding<'_>, then: impl FnOnce(&[&[u8]]) -> T) -> T {
    let account = binding.account.to_string();
    let region = binding.region.as_str();
    then(&[account.as_bytes(), binding.operation.as_bytes(), region.as_bytes(), binding.parameters])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{fixed, hex, keyring, region};
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn account(text: &str) -> AccountId {
        AccountId::parse(text).unwrap()
    }

    fn binding(region: &RegionName) -> MarkerBinding<'_> {
        let account = account("123456789012");
        MarkerBinding { account, operation: "ListGrants", region, parameters: b"key 1" }
    }

    #[test]
    fn every_other_character_is_refused() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let marker = keyring.seal_marker(&binding(&eu), b"position", NOW).unwrap();
        let open = |text: &str| keyring.open_marker(&binding(&eu), text, NOW);
        for at in 0..marker.len() {
            for character in "ABab01-_+/=. ~\u{7f}".chars().filter(|c| !marker[at..].starts_with(*c)) {
                let altered = format!("{}{character}{}", &marker[..at], &marker[at + 1..]);
                assert_eq!(open(&altered), Err(MarkerError::Invalid), "{altered}");
            }
            assert_eq!(open(&marker[..at]), Err(MarkerError::Invalid));
        }
        for suffix in ["A", "=", "==", "\n", "AAAA"] {
            assert_eq!(open(&format!("{marker}{suffix}")), Err(MarkerError::Invalid));
        }
        assert_eq!(open(&marker).unwrap(), b"position");
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let marker = keyring.seal_marker(&binding(&eu), b"position", NOW).unwrap();
        let sealed = URL_SAFE_NO_PAD.decode_to_vec(&marker).unwrap();
        crate::fixtures::each_bit_flipped(&sealed, |altered| {
            let marker = URL_SAFE_NO_PAD.encode_to_string(altered);
            assert_eq!(keyring.open_marker(&binding(&eu), &marker, NOW), Err(MarkerError::Invalid));
        });
    }

    #[test]
    fn another_listing_is_refused() {
        let (keyring, eu, us) = (keyring(), region("eu-central-1"), region("us-east-1"));
        let home = binding(&eu);
        let marker = keyring.seal_marker(&home, b"position", NOW).unwrap();
        for other in [
            MarkerBinding { account: account("123456789013"), ..home },
            MarkerBinding { operation: "ListKeys", ..home },
            MarkerBinding { region: &us, ..home },
            MarkerBinding { parameters: b"key 2", ..home },
            MarkerBinding { parameters: b"", ..home },
        ] {
            assert_eq!(keyring.open_marker(&other, &marker, NOW), Err(MarkerError::Invalid), "{other:?}");
        }
        assert_eq!(keyring.open_marker(&home, &marker, NOW).unwrap(), b"position");
    }

    #[test]
    fn a_marker_lives_one_day() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let marker = keyring.seal_marker(&binding(&eu), b"position", NOW).unwrap();
        let open = |now| keyring.open_marker(&binding(&eu), &marker, now);
        let day = Duration::from_secs(24 * 60 * 60);
        let tick = Duration::from_millis(1);
        assert_eq!(open(NOW.saturating_add(day + tick)), Err(MarkerError::Expired));
        assert!(open(NOW.saturating_add(day)).is_ok());
        let skew = Duration::from_secs(CLOCK_SKEW_SECS_MAX);
        assert_eq!(open(NOW.saturating_sub(skew + tick)), Err(MarkerError::Invalid));
        assert!(open(NOW.saturating_sub(skew)).is_ok());
    }

    #[test]
    fn positions_and_markers_keep_to_their_limits() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let too_long = keyring.seal_marker(&binding(&eu), &[0; MARKER_POSITION_BYTES_MAX + 1], NOW);
        assert!(matches!(too_long, Err(CryptoError::TooLarge { max_bytes: 600, .. })));
        let marker = keyring.seal_marker(&binding(&eu), &[0; MARKER_POSITION_BYTES_MAX], NOW).unwrap();
        assert!(marker.len() <= MARKER_CHARACTERS_MAX && marker.bytes().all(|b| b.is_ascii_graphic()));
        assert_eq!(keyring.open_marker(&binding(&eu), &marker, NOW).unwrap(), [0; 600]);
        for length in [MARKER_CHARACTERS_MAX, MARKER_CHARACTERS_MAX + 1] {
            let text = "A".repeat(length);
            assert_eq!(keyring.open_marker(&binding(&eu), &text, NOW), Err(MarkerError::Invalid));
        }
    }

    /// Computed with the Python package `cryptography`: `AESGCM(marker key).encrypt(nonce, position, aad)`.
    #[test]
    fn golden_marker() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let (version, key) = keyring.service_keys(ServicePurpose::Marker).unwrap().current();
        let marker = seal_with(version, key, &binding(&eu), b"after key 41", NOW, &fixed()).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.decode_to_vec(&marker).unwrap(),
            hex("0100000001000001a3185c5000a0a1a2a3a4a5a6a7a8a9aaabacadaeafc0c1c2c3c4c5c6c7c8c9ca\
                 cb004441567afff52d51287393e45b5b8a90820c06a7387cd34f77f1b7")
        );
        assert_eq!(keyring.open_marker(&binding(&eu), &marker, NOW).unwrap(), b"after key 41");
    }

    proptest! {
        #[test]
        fn markers_round_trip(position in proptest::collection::vec(any::<u8>(), 0..=600), parameters: Vec<u8>) {
            let (keyring, eu) = (keyring(), region("eu-central-1"));
            let binding = MarkerBinding { parameters: &parameters, ..binding(&eu) };
            let marker = keyring.seal_marker(&binding, &position, NOW).unwrap();
            prop_assert_eq!(keyring.open_marker(&binding, &marker, NOW).unwrap(), position);
        }

        #[test]
        fn what_strangers_send_is_invalid(text: String) {
            let (keyring, eu) = (keyring(), region("eu-central-1"));
            prop_assert_eq!(keyring.open_marker(&binding(&eu), &text, NOW), Err(MarkerError::Invalid));
        }
    }
}

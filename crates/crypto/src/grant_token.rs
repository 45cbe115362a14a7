//! Grant tokens, and the halves of grant ids.
//!
//! **Tokens.** Formula: `key = KDF(grant token service key, "strongroom/grant-token/v1", salt)`, `token = base64url(header ‖
//! AES-256-GCM(key, nonce, aad, key id 16 ‖ multi-Region 1 ‖ grant id 32 ‖ serial 16))`, `header = version 1 (= 1) | service
//! key version 4 | salt 16 | nonce 12`, `aad = header ‖ region`, the region length-prefixed. base64url without padding:
//! RFC 4648 section 5. A token proves that this service made it for this very grant; it is no secret and gives nobody
//! a right. The serial is the grant's own: the token of a grant that was made anew under the same id is another one.
//!
//! **Ids.** `tag = SHA-256(label ‖ fields)`, cut to 16 bytes, each field length-prefixed. Tags only find rows: whoever
//! finds a row by one compares the principal itself.

use base64_simd::URL_SAFE_NO_PAD;
use strongroom_types::limits::GRANT_TOKEN_CHARACTERS_MAX;
use strongroom_types::{GrantId, KeyId, RegionName};
use zeroize::Zeroizing;

use crate::digest::Sha256;
use crate::envelope::{self, Envelope, SALT_BYTES, versioned_prefix};
use crate::error::CryptoError;
use crate::fields::length_prefix;
use crate::kdf;
use crate::keyring::{Keyring, ServicePurpose};
use crate::random::Fresh;
use crate::secret::{KEY_BYTES, SecretKey};

const FORMAT: u8 = 1;
const PREFIX_BYTES: usize = 5;
const BODY_BYTES: usize = 16 + 1 + 32 + 16;

const GRANTEE_LABEL: &[u8] = b"strongroom/grantee/v1\0";
const NAMED_LABEL: &[u8] = b"strongroom/grant-name/v1\0";
const PRINCIPAL_LABEL: &[u8] = b"strongroom/grant-principal/v1\0";

/// What a token says, once it has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantTokenFacts {
    pub key_id: KeyId,
    pub grant_id: GrantId,
    pub serial: [u8; 16],
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantTokenError {
    /// This service failed; the token may be good.
    #[error("the grant token cannot be checked")]
    Crypto(#[source] CryptoError),
    #[error("the grant token is not one of this service and region")]
    Invalid,
}

/// Which of the two name spaces a grant's principal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GranteeKind {
    Caller,
    Service,
}

impl GranteeKind {
    const fn code(self) -> u8 {
        match self {
            Self::Caller => 0,
            Self::Service => 1,
        }
    }
}

impl Keyring {
    /// A new token of printable ASCII for a grant.
    pub fn seal_grant_token(
        &self,
        region: &RegionName,
        facts: &GrantTokenFacts,
    ) -> Result<String, CryptoError> {
        let (version, key) = self.service_keys(ServicePurpose::GrantToken)?.current();
        seal_with(version, key, region, facts, &Fresh::draw()?)
    }

    /// What a token says that this service made for a grant of this region. Whether there still is such a grant is for
    /// the caller to find out.
    pub fn open_grant_token(
        &self,
        region: &RegionName,
        token: &str,
    ) -> Result<GrantTokenFacts, GrantTokenError> {
        if token.len() > GRANT_TOKEN_CHARACTERS_MAX {
            return Err(GrantTokenError::Invalid);
        }
        let sealed = URL_SAFE_NO_PAD.decode_to_vec(token).map_err(|_| GrantTokenError::Invalid)?;
        let envelope = Envelope::<PREFIX_BYTES>::parse(&sealed).ok_or(GrantTokenError::Invalid)?;
        let [format, version @ ..] = *envelope.prefix;
        if format != FORMAT || envelope.plaintext_len() != BODY_BYTES {
            return Err(GrantTokenError::Invalid);
        }
        let service_keys = self.service_keys(ServicePurpose::GrantToken).map_err(GrantTokenError::Crypto)?;
        // The version is the caller's word until the token opens.
        let service_key =
            service_keys.version(u32::from_be_bytes(version)).ok_or(GrantTokenError::Invalid)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        kdf::grant_token_key(service_key, envelope.salt, &mut key).map_err(GrantTokenError::Crypto)?;
        let mut body = [0; BODY_BYTES];
        envelope.open("grant token", &key, &[region.as_str().as_bytes()], &mut body).map_err(|error| {
            match error {
                CryptoError::NotAuthentic { .. } => GrantTokenError::Invalid,
                other => GrantTokenError::Crypto(other),
            }
        })?;
        GrantTokenFacts::from_bytes(&body).ok_or(GrantTokenError::Invalid)
    }
}

impl GrantTokenFacts {
    fn to_bytes(self) -> [u8; BODY_BYTES] {
        let mut body = [0; BODY_BYTES];
        let parts = self.key_id.as_bytes().iter().copied();
        let parts = parts.chain([u8::from(self.key_id.is_multi_region())]);
        let parts = parts.chain(*self.grant_id.as_bytes()).chain(self.serial);
        body.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        body
    }

    fn from_bytes(body: &[u8; BODY_BYTES]) -> Option<Self> {
        let (key_id, rest) = body.split_first_chunk::<16>()?;
        let (&[multi_region], rest) = rest.split_first_chunk::<1>()?;
        let (grant_id, rest) = rest.split_first_chunk::<32>()?;
        let serial = *rest.first_chunk::<16>()?;
        let multi_region = match multi_region {
            0 => false,
            1 => true,
            _ => return None,
        };
        let key_id = KeyId::from_parts(*key_id, multi_region);
        Some(Self { key_id, grant_id: GrantId::from_bytes(*grant_id), serial })
    }
}

fn seal_with(
    version: u32,
    service_key: &SecretKey,
    region: &RegionName,
    facts: &GrantTokenFacts,
    fresh: &Fresh<SALT_BYTES>,
) -> Result<String, CryptoError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    kdf::grant_token_key(service_key, &fresh.salt, &mut key)?;
    let prefix = versioned_prefix(FORMAT, version);
    let sealed = envelope::seal(&prefix, fresh, &key, &[region.as_str().as_bytes()], &facts.to_bytes())?;
    Ok(URL_SAFE_NO_PAD.encode_to_string(sealed))
}

/// The first half of the ids of a principal's grants on a key.
///
/// `SHA-256("strongroom/grantee/v1" ‖ 00 ‖ f(key id 16 ‖ multi-Region 1) ‖ f(kind 1) ‖ f(principal))`, first 16 bytes.
pub fn grantee_tag(key_id: &KeyId, kind: GranteeKind, principal: &str) -> [u8; 16] {
    tag(GRANTEE_LABEL, &[&key_id_bytes(key_id), &[kind.code()], principal.as_bytes()])
}

/// Where a principal stands in the index of those who may retire grants.
///
/// `SHA-256("strongroom/grant-principal/v1" ‖ 00 ‖ f(kind 1) ‖ f(principal))`, first 16 bytes.
pub fn principal_tag(kind: GranteeKind, principal: &str) -> [u8; 16] {
    tag(PRINCIPAL_LABEL, &[&[kind.code()], principal.as_bytes()])
}

/// The second half of the id of a grant with a name: the same name and the same parameters give the same id.
///
/// `SHA-256("strongroom/grant-name/v1" ‖ 00 ‖ f(parameter) ‖ …)`, first 16 bytes.
pub fn named_grant_half(parameters: &[&[u8]]) -> [u8; 16] {
    tag(NAMED_LABEL, parameters)
}

fn key_id_bytes(key_id: &KeyId) -> [u8; 17] {
    let mut bytes = [u8::from(key_id.is_multi_region()); 17];
    bytes.iter_mut().zip(key_id.as_bytes()).for_each(|(to, from)| *to = *from);
    bytes
}

fn tag(label: &[u8], fields: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(label);
    for field in fields {
        hash.update(&length_prefix(field));
        hash.update(field);
    }
    let mut tag = [0; 16];
    tag.iter_mut().zip(hash.finish()).for_each(|(to, from)| *to = from);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{fixed, hex, keyring, region};
    use proptest::prelude::*;

    fn facts() -> GrantTokenFacts {
        GrantTokenFacts {
            key_id: KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
            grant_id: GrantId::from_halves([0x61; 16], [0x62; 16]),
            serial: [0x63; 16],
        }
    }

    #[test]
    fn every_other_character_is_refused() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let token = keyring.seal_grant_token(&eu, &facts()).unwrap();
        let open = |text: &str| keyring.open_grant_token(&eu, text);
        for at in 0..token.len() {
            for character in "Aa1-_+/=. ".chars().filter(|c| !token[at..].starts_with(*c)) {
                let altered = format!("{}{character}{}", &token[..at], &token[at + 1..]);
                assert_eq!(open(&altered), Err(GrantTokenError::Invalid), "{altered}");
            }
            assert_eq!(open(&token[..at]), Err(GrantTokenError::Invalid));
        }
        for suffix in ["A", "=", "\n", "AAAA", &"A".repeat(GRANT_TOKEN_CHARACTERS_MAX)] {
            assert_eq!(open(&format!("{token}{suffix}")), Err(GrantTokenError::Invalid));
        }
        assert_eq!(open(&token).unwrap(), facts());
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let token = keyring.seal_grant_token(&eu, &facts()).unwrap();
        let sealed = URL_SAFE_NO_PAD.decode_to_vec(&token).unwrap();
        crate::fixtures::each_bit_flipped(&sealed, |altered| {
            let token = URL_SAFE_NO_PAD.encode_to_string(altered);
            assert_eq!(keyring.open_grant_token(&eu, &token), Err(GrantTokenError::Invalid));
        });
    }

    #[test]
    fn tokens_of_another_region_or_purpose_are_refused() {
        let (keyring, eu, us) = (keyring(), region("eu-central-1"), region("us-east-1"));
        let token = keyring.seal_grant_token(&eu, &facts()).unwrap();
        assert_eq!(keyring.open_grant_token(&us, &token), Err(GrantTokenError::Invalid));
        let versions = keyring.service_keys(ServicePurpose::Marker).unwrap();
        let forged = seal_with(1, versions.current().1, &eu, &facts(), &Fresh::draw().unwrap()).unwrap();
        assert_eq!(keyring.open_grant_token(&eu, &forged), Err(GrantTokenError::Invalid));
        assert_ne!(keyring.seal_grant_token(&eu, &facts()).unwrap(), token, "each is another one");
        assert_eq!(keyring.open_grant_token(&eu, &token).unwrap(), facts());
    }

    #[test]
    fn tags_tell_apart_what_is_not_the_same() {
        let key = facts().key_id;
        let multi = KeyId::from_parts(*key.as_bytes(), true);
        let arn = "arn:aws:iam::111122223333:root";
        let tags = [
            grantee_tag(&key, GranteeKind::Caller, arn),
            grantee_tag(&multi, GranteeKind::Caller, arn),
            grantee_tag(&key, GranteeKind::Service, arn),
            grantee_tag(&key, GranteeKind::Caller, ""),
            principal_tag(GranteeKind::Caller, arn),
            principal_tag(GranteeKind::Service, arn),
            named_grant_half(&[b"ab", b"c"]),
            named_grant_half(&[b"a", b"bc"]),
            named_grant_half(&[b"abc"]),
        ];
        for (at, tag) in tags.iter().enumerate() {
            assert!(!tags[at + 1..].contains(tag), "{at}");
        }
    }

    proptest! {
        #[test]
        fn tokens_round_trip(key: [u8; 16], multi_region: bool, grant: [u8; 32], serial: [u8; 16]) {
            let (keyring, eu) = (keyring(), region("eu-central-1"));
            let key_id = KeyId::from_parts(key, multi_region);
            let facts = GrantTokenFacts { key_id, grant_id: GrantId::from_bytes(grant), serial };
            let token = keyring.seal_grant_token(&eu, &facts).unwrap();
            prop_assert_eq!(token.len(), 152);
            prop_assert_eq!(keyring.open_grant_token(&eu, &token).unwrap(), facts);
        }

        #[test]
        fn what_strangers_send_is_invalid(text: String) {
            let (keyring, eu) = (keyring(), region("eu-central-1"));
            prop_assert_eq!(keyring.open_grant_token(&eu, &text), Err(GrantTokenError::Invalid));
        }
    }

    /// Computed with the Python package `cryptography`: `AESGCM(grant token key).encrypt(nonce, body, aad)`.
    #[test]
    fn golden_grant_token() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let (version, key) = keyring.service_keys(ServicePurpose::GrantToken).unwrap().current();
        let token = seal_with(version, key, &eu, &facts(), &fixed()).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.decode_to_vec(&token).unwrap(),
            hex("0100000001a0a1a2a3a4a5a6a7a8a9aaabacadaeafc0c1c2c3c4c5c6c7c8c9cacb2fa389544e29bf\
                 9e9c55cb51c4e85a0f7d07fd5e5b4fff43c7cc3faa68e4b97782350a2759970363a1d92472db60ad\
                 1c2cddfa0afeca6dc97f2c0137e28e38d7787a061a5d14d5deff373186ee095fd725")
        );
    }

    /// Computed with Python's `hashlib`.
    #[test]
    fn golden_tags() {
        let arn = "arn:aws:iam::111122223333:root";
        let grantee = grantee_tag(&facts().key_id, GranteeKind::Caller, arn);
        assert_eq!(grantee.to_vec(), hex("41159e8b3ba1d752f56a0f89b678921a"));
        assert_eq!(principal_tag(GranteeKind::Caller, arn).to_vec(), hex("e7c65f2567b2057979869a18097e92c7"));
        assert_eq!(named_grant_half(&[b"ab", b"c"]).to_vec(), hex("31a59bcc5e870c98a5f2e3e85a0980a3"));
    }
}

//! Envelopes for attested recipients: AWS's `CiphertextForRecipient`.
//!
//! `C = CMS EnvelopedData(k, iv, E)` with `k`, `iv` random, `E = AES-256-CBC(k, iv, plaintext ‖ PKCS #7 padding)` and
//! `RSAES-OAEP(recipient, k)` with SHA-256 and MGF1-SHA-256 (RFC 5652 section 6, RFC 8017 section 7.1). CBC authenticates
//! nothing: that nobody altered an answer is TLS's to see to, as it is with AWS.
//!
//! The layout is AWS's to the byte, in BER with indefinite lengths outside: the Nitro Enclaves SDK for C walks exactly
//! that, and OpenSSL reads it as well.
//!
//! A [`RecipientKey`] is a public key of somebody else. Whose it is, and whether to trust them, was found out by whoever
//! made it.

use std::fmt;

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use strongroom_types::Plaintext;
use zeroize::Zeroizing;

use crate::asymmetric::der::{element, one_sequence};
use crate::error::CryptoError;
use crate::random::random_array;

/// Of 2048 and of 4096 bits: what AWS's tools for enclaves make.
const MODULUS_BYTES_MIN: usize = 256;
const MODULUS_BYTES_MAX: usize = 512;

const CBC_BLOCK_BYTES: usize = 16;

/// `ContentInfo { id-envelopedData, [0] EnvelopedData { version 2`, all of it still open.
const HEAD: [u8; 20] = [
    0x30, 0x80, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03, 0xa0, 0x80, 0x30, 0x80,
    0x02, 0x01, 0x02,
];
/// `AlgorithmIdentifier { id-RSAES-OAEP, { [0] sha256, [1] { id-mgf1, sha256 } } }` (RFC 4055 section 4.1).
const OAEP_SHA256: [u8; 62] = [
    0x30, 0x3c, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07, 0x30, 0x2f, 0xa0, 0x0f,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c,
    0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
];
/// `EncryptedContentInfo { id-data`, still open.
const CONTENT_HEAD: [u8; 13] = [0x30, 0x80, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// `id-aes256-CBC`, whose parameter is the IV (RFC 3565 section 4.1).
const AES256_CBC: [u8; 11] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];
/// `[0]` of the encrypted content, still open.
const CONTENT: [u8; 2] = [0xa0, 0x80];
/// The ends of the five that are open.
const END: [u8; 10] = [0; 10];

/// The RSA key that an attested recipient wants its answer enveloped for.
pub struct RecipientKey {
    key: OaepPublicEncryptingKey,
    id: [u8; 32],
}

impl RecipientKey {
    /// Takes a SubjectPublicKeyInfo in DER (RFC 5280 section 4.1). `None` for everything but an RSA key of 2048 to 4096
    /// bits.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        one_sequence(der)?;
        let key = PublicEncryptingKey::from_der(der).ok()?;
        if !(MODULUS_BYTES_MIN..=MODULUS_BYTES_MAX).contains(&key.key_size_bytes()) {
            return None;
        }
        let key = OaepPublicEncryptingKey::new(key).ok()?;
        // RFC 7093 section 2, method 4.
        let id = digest(&SHA256, der).as_ref().try_into().ok()?;
        Some(Self { key, id })
    }

    /// Envelops a plaintext, each time under a fresh key, which is wiped.
    pub fn envelop(&self, plaintext: &Plaintext) -> Result<Vec<u8>, CryptoError> {
        let failed = |_| CryptoError::Module;
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(random_array()?);
        // Room for the padding: growing would leave an unwiped copy of the plaintext behind.
        let mut content = Zeroizing::new(Vec::with_capacity(plaintext.len() + CBC_BLOCK_BYTES));
        content.extend_from_slice(plaintext.expose());
        let cipher = UnboundCipherKey::new(&AES_256, &*key).and_then(PaddedBlockEncryptingKey::cbc_pkcs7);
        let context = cipher.map_err(failed)?.encrypt(&mut *content).map_err(failed)?;
        let DecryptionContext::Iv128(iv) = context else { return Err(CryptoError::Module) };
        let mut wrapped = vec![0; self.key.ciphertext_size()];
        let wrapped = self.key.encrypt(&OAEP_SHA256_MGF1SHA256, &*key, &mut wrapped, None).map_err(failed)?;
        let iv: &[u8; 16] = iv.as_ref();
        Ok(self.enveloped_data(wrapped, iv, &content))
    }

    /// Four KiB of plaintext and some more keep every length below 64 KiB, which is as far as `element` goes.
    fn enveloped_data(&self, wrapped: &[u8], iv: &[u8; 16], content: &[u8]) -> Vec<u8> {
        let version = element(0x02, &[2]);
        let id = element(0x80, &self.id);
        let recipient = [&version[..], &id, &OAEP_SHA256, &element(0x04, wrapped)].concat();
        let recipients = element(0x31, &element(0x30, &recipient));
        let cipher = element(0x30, &[&AES256_CBC[..], &element(0x04, iv)].concat());
        let content = element(0x04, content);
        [&HEAD[..], &recipients, &CONTENT_HEAD, &cipher, &CONTENT, &content, &END].concat()
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientKey({} bits)", self.key.key_size_bytes() * 8)
    }
}

/// Whether it is a signature over the message, `r ‖ s` of 48 bytes each, by the P-384 key in a SubjectPublicKeyInfo: ES384
/// (RFC 9053 section 2.1).
pub fn verify_es384(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_key).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::cipher::PaddedBlockDecryptingKey;
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    };

    use super::*;

    fn der_of(key: &PrivateDecryptingKey) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    fn p384(seedless: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm) -> (EcdsaKeyPair, Vec<u8>) {
        let pair = EcdsaKeyPair::generate(seedless).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let der = der.as_ref().to_vec();
        (pair, der)
    }

    /// Reads an element of which the tag is known, with whatever is behind it.
    fn take(tag: u8, bytes: &[u8]) -> (&[u8], &[u8]) {
        assert_eq!(bytes[0], tag);
        let (length, start) = match bytes[1] {
            0x81 => (usize::from(bytes[2]), 3),
            0x82 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            short => (usize::from(short), 2),
        };
        bytes[start..].split_at(length)
    }

    fn open(envelope: &[u8], private: PrivateDecryptingKey) -> Vec<u8> {
        let rest = envelope.strip_prefix(&HEAD).unwrap();
        let (recipients, rest) = take(0x31, rest);
        let (recipient, more) = take(0x30, recipients);
        assert!(more.is_empty());
        let (version, recipient) = take(0x02, recipient);
        assert_eq!(version, [2]);
        let (id, recipient) = take(0x80, recipient);
        assert_eq!(id.len(), 32);
        let (wrapped, more) = take(0x04, recipient.strip_prefix(&OAEP_SHA256).unwrap());
        assert!(more.is_empty());
        let (cipher, rest) = take(0x30, rest.strip_prefix(&CONTENT_HEAD).unwrap());
        let (iv, more) = take(0x04, cipher.strip_prefix(&AES256_CBC).unwrap());
        assert!(more.is_empty());
        let (content, end) = take(0x04, rest.strip_prefix(&CONTENT).unwrap());
        assert_eq!(end, END);

        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let mut key = vec![0; private.min_output_size()];
        let key = private.decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut key, None).unwrap();
        let cipher = UnboundCipherKey::new(&AES_256, key).unwrap();
        let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).unwrap();
        let iv: [u8; 16] = iv.try_into().unwrap();
        let mut content = content.to_vec();
        cipher.decrypt(&mut content, DecryptionContext::Iv128(iv.into())).unwrap().to_vec()
    }

    #[test]
    fn what_is_no_rsa_key_of_2048_to_4096_bits_is_refused() {
        let (_, elliptic) = p384(&ECDSA_P384_SHA384_FIXED_SIGNING);
        assert!(RecipientKey::from_der(&elliptic).is_none());
        assert!(RecipientKey::from_der(&[]).is_none());
        let good = der_of(&PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap());
        assert!(RecipientKey::from_der(&[&good[..], &[0]].concat()).is_none());
        assert!(RecipientKey::from_der(&good[..good.len() - 1]).is_none());
        // The bare RSAPublicKey, which is no SubjectPublicKeyInfo.
        assert!(RecipientKey::from_der(&good[24..]).is_none());
        assert!(RecipientKey::from_der(&good).is_some());
        let long = der_of(&PrivateDecryptingKey::generate(KeySize::Rsa8192).unwrap());
        assert!(RecipientKey::from_der(&long).is_none());
    }

    #[test]
    fn the_recipient_opens_its_envelope_of_any_size() {
        for size in [KeySize::Rsa2048, KeySize::Rsa3072, KeySize::Rsa4096] {
            let private = PrivateDecryptingKey::generate(size).unwrap();
            let key = RecipientKey::from_der(&der_of(&private)).unwrap();
            for length in [0, 1, 15, 16, 17, 32, 1024, 4096, 6144] {
                let text: Vec<u8> = (0..=255).cycle().take(length).collect();
                let envelope = key.envelop(&Plaintext::new(text.clone())).unwrap();
                assert_eq!(open(&envelope, private.clone()), text, "{length}");
                assert!(length < 16 || !envelope.windows(16).any(|window| window == &text[..16]));
            }
        }
    }

    #[test]
    fn no_two_envelopes_are_alike() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let key = RecipientKey::from_der(&der_of(&private)).unwrap();
        let envelop = || key.envelop(&Plaintext::new(vec![7; 32])).unwrap();
        assert_ne!(envelop(), envelop());
    }

    #[test]
    fn es384_is_p384_with_sha384_and_nothing_else() {
        let (pair, public) = p384(&ECDSA_P384_SHA384_FIXED_SIGNING);
        let signature = pair.sign(&SystemRandom::new(), b"message").unwrap();
        assert!(!verify_es384(&public, b"massage", signature.as_ref()));
        assert!(!verify_es384(&public, b"message", &signature.as_ref()[..95]));
        let (other, other_public) = p384(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let other_signature = other.sign(&SystemRandom::new(), b"message").unwrap();
        assert!(!verify_es384(&other_public, b"message", other_signature.as_ref()));
        assert!(!verify_es384(b"no key", b"message", signature.as_ref()));
        assert!(verify_es384(&public, b"message", signature.as_ref()));
    }

    #[test]
    fn debug_says_the_size_only() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let key = RecipientKey::from_der(&der_of(&private)).unwrap();
        assert_eq!(format!("{key:?}"), "RecipientKey(2048 bits)");
    }
}

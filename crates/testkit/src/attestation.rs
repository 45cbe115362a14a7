//! An authority like AWS's Nitro PKI, documents that it attests, and recipients that open what is enveloped for them.
//!
//! Payloads are made member by member, so that a test can leave one out, change it or say it twice, and still have it
//! signed.

use std::time::Duration;

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::Encoder;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, date_time_ymd,
};
use strongroom_types::Timestamp;

pub use rcgen;

/// Registers of an enclave that is not in debug mode: the index in every byte, but for the lower half of the last.
pub fn register(index: u8) -> Vec<u8> {
    let mut bytes = vec![index; 48];
    bytes[47] = 0xa0 | (index & 0x0f);
    bytes
}

/// A root, a CA below it, and a certificate that signs documents.
pub struct Authority {
    pub root: Vec<u8>,
    pub intermediate: Vec<u8>,
    pub certificate: Vec<u8>,
    signing: EcdsaKeyPair,
}

/// The certificates of an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Root,
    Intermediate,
    Leaf,
}

impl Authority {
    /// One as it should be: certificates are valid for an hour before and after.
    pub fn new(now: Timestamp) -> Self {
        Self::shaped(now, |_, _| {})
    }

    /// One whose certificates are changed before they are signed.
    pub fn shaped(now: Timestamp, shape: impl Fn(Role, &mut CertificateParams)) -> Self {
        let params = |role| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, format!("test.nitro-enclaves {role:?}"));
            let hour = Duration::from_secs(3600);
            set_validity(&mut params, now.saturating_sub(hour), now.saturating_add(hour));
            match role {
                Role::Root | Role::Intermediate => {
                    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
                }
                Role::Leaf => {
                    params.is_ca = IsCa::ExplicitNoCa;
                    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                }
            }
            shape(role, &mut params);
            params
        };
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let root = CertifiedIssuer::self_signed(params(Role::Root), key()).unwrap();
        let intermediate = CertifiedIssuer::signed_by(params(Role::Intermediate), key(), &root).unwrap();
        let leaf_key = key();
        let leaf = params(Role::Leaf).signed_by(&leaf_key, &intermediate).unwrap();
        let signing =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, leaf_key.serialized_der()).unwrap();
        Self {
            root: root.der().to_vec(),
            intermediate: intermediate.der().to_vec(),
            certificate: leaf.der().to_vec(),
            signing,
        }
    }

    /// One that was made before, with the key that signs documents in PKCS #8.
    pub fn open(root: &[u8], intermediate: &[u8], certificate: &[u8], key: &[u8]) -> Self {
        Self {
            root: root.to_vec(),
            intermediate: intermediate.to_vec(),
            certificate: certificate.to_vec(),
            signing: EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key).unwrap(),
        }
    }

    /// A certificate as files have it.
    pub fn pem(der: &[u8]) -> String {
        let text = base64_simd::STANDARD.encode_to_string(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// What an enclave's document says: registers 0 to 4 and 8 and the recipient's key.
    pub fn enclave(&self, now: Timestamp, public_key: &[u8]) -> Payload {
        self.payload(now, "pcrs", &[0, 1, 2, 3, 4, 8], public_key)
    }

    /// What an instance's document says.
    pub fn nitro_tpm(&self, now: Timestamp, public_key: &[u8]) -> Payload {
        self.payload(now, "nitrotpm_pcrs", &[0, 4, 7, 23], public_key)
    }

    fn payload(&self, now: Timestamp, registers: &'static str, indexes: &[u8], key: &[u8]) -> Payload {
        let values: Vec<_> = indexes.iter().map(|index| (*index, register(*index))).collect();
        Payload(vec![
            ("module_id", text("i-0123456789abcdef0-enc0123456789abcdef")),
            ("digest", text("SHA384")),
            ("timestamp", number(now.as_millis())),
            (registers, map(&values)),
            ("certificate", bytes(&self.certificate)),
            ("cabundle", list(&[&self.root, &self.intermediate])),
            ("public_key", bytes(key)),
            ("user_data", null()),
            ("nonce", null()),
        ])
    }

    pub fn sign(&self, payload: &Payload) -> Vec<u8> {
        self.sign_bytes(&payload.encode())
    }

    /// A COSE_Sign1 without a tag, as the hypervisor makes it.
    pub fn sign_bytes(&self, payload: &[u8]) -> Vec<u8> {
        let protected = made(|e| e.map(1)?.i64(1)?.i64(-35)?.ok());
        self.sign_parts(&protected, payload)
    }

    pub fn sign_parts(&self, protected: &[u8], payload: &[u8]) -> Vec<u8> {
        let signed =
            made(|e| e.array(4)?.str("Signature1")?.bytes(protected)?.bytes(&[])?.bytes(payload)?.ok());
        let signature = self.signing.sign(&SystemRandom::new(), &signed).unwrap();
        cose(protected, payload, signature.as_ref())
    }
}

pub fn cose(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    made(|e| e.array(4)?.bytes(protected)?.map(0)?.bytes(payload)?.bytes(signature)?.ok())
}

/// From when to when a certificate is valid.
pub fn set_validity(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let at = |time: Timestamp| date_time_ymd(1970, 1, 1) + Duration::from_secs(time.as_secs());
    params.not_before = at(from);
    params.not_after = at(to);
}

/// The members of a document, each with its value in CBOR, in order.
#[derive(Debug, Clone)]
pub struct Payload(pub Vec<(&'static str, Vec<u8>)>);

impl Payload {
    /// Puts another value there, or adds the member.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Vec<u8>) -> Self {
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
        self
    }

    /// Adds the member, whether it is there or not.
    #[must_use]
    pub fn with_another(mut self, name: &'static str, value: Vec<u8>) -> Self {
        self.0.push((name, value));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(other, _)| *other != name);
        self
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = made(|e| e.map(self.0.len() as u64)?.ok());
        for (name, value) in &self.0 {
            out.extend(text(name));
            out.extend(value);
        }
        out
    }
}

type Made = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

pub fn made(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Made) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Encoder::new(&mut out)).unwrap();
    out
}

pub fn bytes(value: &[u8]) -> Vec<u8> {
    made(|e| e.bytes(value)?.ok())
}

pub fn list(values: &[&[u8]]) -> Vec<u8> {
    let mut out = made(|e| e.array(values.len() as u64)?.ok());
    values.iter().for_each(|value| out.extend(bytes(value)));
    out
}

pub fn map(values: &[(u8, Vec<u8>)]) -> Vec<u8> {
    made(|e| {
        e.map(values.len() as u64)?;
        values.iter().try_for_each(|(index, value)| e.u8(*index)?.bytes(value)?.ok())
    })
}

pub fn null() -> Vec<u8> {
    made(|e| e.null()?.ok())
}

pub fn number(value: u64) -> Vec<u8> {
    made(|e| e.u64(value)?.ok())
}

pub fn text(value: &str) -> Vec<u8> {
    made(|e| e.str(value)?.ok())
}

/// Whoever is attested, with the private key that nobody else has.
pub struct Recipient {
    private: OaepPrivateDecryptingKey,
    pub public_key: Vec<u8>,
}

impl Default for Recipient {
    fn default() -> Self {
        Self::new()
    }
}

impl Recipient {
    pub fn new() -> Self {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = private.public_key().as_der().unwrap();
        let public_key = der.as_ref().to_vec();
        Self { private: OaepPrivateDecryptingKey::new(private).unwrap(), public_key }
    }

    /// Opens an envelope as AWS's Nitro Enclaves SDK does: it knows where things are. `openssl cms`, which knows the
    /// grammar, is asked by the conformance suite.
    pub fn open(&self, envelope: &[u8]) -> Vec<u8> {
        let wrapped = after(envelope, &[0x05, 0x00, 0x04, 0x82, 0x01, 0x00]);
        let mut key = vec![0; self.private.min_output_size()];
        let key = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, &wrapped[..256], &mut key, None).unwrap();
        let cipher =
            PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, key).unwrap()).unwrap();
        // The IV follows the cipher's name.
        let iv = after(&wrapped[256..], &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a, 0x04, 0x10]);
        let (iv, rest) = iv.split_first_chunk::<16>().unwrap();
        let content = rest.strip_prefix(&[0xa0, 0x80, 0x04]).unwrap();
        let (length, start) = match content[0] {
            0x81 => (usize::from(content[1]), 2),
            0x82 => (usize::from(u16::from_be_bytes([content[1], content[2]])), 3),
            short => (usize::from(short), 1),
        };
        let mut content = content[start..start + length].to_vec();
        cipher.decrypt(&mut content, DecryptionContext::Iv128(iv.into())).unwrap().to_vec()
    }
}

/// What follows the first occurrence of `mark`.
fn after<'b>(bytes: &'b [u8], mark: &[u8]) -> &'b [u8] {
    let at = bytes.windows(mark.len()).position(|window| window == mark).unwrap();
    &bytes[at + mark.len()..]
}

//! What a document says, once it is believed.

use std::collections::BTreeMap;

use hex_simd::AsciiCase;
use strongroom_crypto::RecipientKey;

use crate::document::{Document, Registers};

/// A verified document.
///
/// INVARIANT: made by [`Verifier::verify`](crate::Verifier::verify) alone, from a document that was signed under a trusted
/// root.
#[derive(Debug)]
pub struct Attestation {
    module_id: Box<str>,
    enclave: BTreeMap<u8, Box<str>>,
    nitro_tpm: BTreeMap<u8, Box<str>>,
    recipient: RecipientKey,
}

/// Who measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    Enclave,
    NitroTpm,
}

impl Attestation {
    pub(crate) fn new(document: &Document<'_>, recipient: RecipientKey) -> Self {
        Self {
            module_id: document.module_id.into(),
            enclave: in_hex(document.enclave.as_ref()),
            nitro_tpm: in_hex(document.nitro_tpm.as_ref()),
            recipient,
        }
    }

    /// Who issued the document.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// The key that answers are enveloped for.
    pub fn recipient(&self) -> &RecipientKey {
        &self.recipient
    }

    /// The registers with their indexes, in lower-case hex; none where the platform did not attest.
    pub fn registers(&self, platform: Platform) -> impl Iterator<Item = (u8, &str)> {
        self.of(platform).iter().map(|(index, hex)| (*index, &**hex))
    }

    /// The value of `kms:RecipientAttestation:` and a name in lower case (AWS KMS developer guide, "Condition keys for
    /// attested platforms"): `imagesha384`, `pcr8`, `nitrotpmpcr4`.
    pub fn measurement(&self, name: &str) -> Option<&str> {
        let (platform, index) = if name == "imagesha384" {
            (Platform::Enclave, 0)
        } else if let Some(index) = name.strip_prefix("nitrotpmpcr") {
            (Platform::NitroTpm, plain_number(index)?)
        } else {
            (Platform::Enclave, plain_number(name.strip_prefix("pcr")?)?)
        };
        self.of(platform).get(&index).map(|hex| &**hex)
    }

    fn of(&self, platform: Platform) -> &BTreeMap<u8, Box<str>> {
        match platform {
            Platform::Enclave => &self.enclave,
            Platform::NitroTpm => &self.nitro_tpm,
        }
    }
}

fn in_hex(registers: Option<&Registers<'_>>) -> BTreeMap<u8, Box<str>> {
    let hex = |bytes: &[u8]| hex_simd::encode_to_string(bytes, AsciiCase::Lower).into_boxed_str();
    registers.into_iter().flatten().map(|(index, bytes)| (*index, hex(bytes))).collect()
}

/// A number as one writes it: `00` and `+0` are none.
fn plain_number(text: &str) -> Option<u8> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

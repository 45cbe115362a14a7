//! Key derivation: one function per purpose, each with a label of its own.
//!
//! `K_OUT = KDF(K_IN, info)`, `info = label ‖ 00 ‖ be32(length) ‖ field ‖ … ‖ be32(bits)`: the counter mode of NIST
//! SP 800-108r1 section 4.1 with HMAC-SHA256, a 32-bit counter before the fixed input, and the output's length in
//! bits at its end. Fields carry their lengths, which the standard leaves open.
//!
//! Outputs are written in place: a key returned by value leaves copies behind on the stack.

use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use strongroom_types::{KeyId, MaterialId};

use crate::error::CryptoError;
use crate::fields::{encoded_len, push_field};
use crate::secret::{KEY_BYTES, SecretKey};

/// The key that seals one row.
///
/// `KDF(domain key, "strongroom/row/v1", salt 16)` → 32 bytes.
pub(crate) fn row_key(
    domain_key: &SecretKey,
    salt: &[u8; 16],
    out: &mut [u8; KEY_BYTES],
) -> Result<(), CryptoError> {
    derive(domain_key, "strongroom/row/v1", &[salt], out)
}

/// The key of the MACs that the row states are made of.
///
/// `KDF(row state service key, "strongroom/row-state/v1")` → 32 bytes.
pub(crate) fn row_state_key(service_key: &SecretKey, out: &mut [u8; KEY_BYTES]) -> Result<(), CryptoError> {
    derive(service_key, "strongroom/row-state/v1", &[], out)
}

/// The key that authenticates the anchor.
///
/// `KDF(row state service key, "strongroom/anchor/v1")` → 32 bytes.
pub(crate) fn anchor_key(service_key: &SecretKey, out: &mut [u8; KEY_BYTES]) -> Result<(), CryptoError> {
    derive(service_key, "strongroom/anchor/v1", &[], out)
}

/// The key that wraps one key material.
///
/// `KDF(domain key, "strongroom/material-wrap/v1", salt 16)` → 32 bytes.
pub(crate) fn material_wrapping_key(
    domain_key: &SecretKey,
    salt: &[u8; 16],
    out: &mut [u8; KEY_BYTES],
) -> Result<(), CryptoError> {
    derive(domain_key, "strongroom/material-wrap/v1", &[salt], out)
}

/// The key that seals one paging marker.
///
/// `KDF(marker service key, "strongroom/marker/v1", salt 16)` → 32 bytes.
pub(crate) fn marker_key(
    service_key: &SecretKey,
    salt: &[u8; 16],
    out: &mut [u8; KEY_BYTES],
) -> Result<(), CryptoError> {
    derive(service_key, "strongroom/marker/v1", &[salt], out)
}

/// The key that seals one grant token.
///
/// `KDF(grant token service key, "strongroom/grant-token/v1", salt 16)` → 32 bytes.
pub(crate) fn grant_token_key(
    service_key: &SecretKey,
    salt: &[u8; 16],
    out: &mut [u8; KEY_BYTES],
) -> Result<(), CryptoError> {
    derive(service_key, "strongroom/grant-token/v1", &[salt], out)
}

/// The key and the commitment of one ciphertext blob.
///
/// `KDF(material, "strongroom/blob/v1", key id 16, material id 32, salt 32)` → 64 bytes: key 32 ‖ commitment 32.
pub(crate) fn blob_key_and_commitment(
    material: &SecretKey,
    key_id: &KeyId,
    material_id: &MaterialId,
    salt: &[u8; 32],
    out: &mut [u8; 2 * KEY_BYTES],
) -> Result<(), CryptoError> {
    derive(material, "strongroom/blob/v1", &[key_id.as_bytes(), material_id.as_bytes(), salt], out)
}

fn derive(key: &SecretKey, label: &str, fields: &[&[u8]], out: &mut [u8]) -> Result<(), CryptoError> {
    let bits = u32::try_from(out.len() * 8).map_err(|_| CryptoError::Module)?;
    let mut info = Vec::with_capacity(label.len() + 1 + encoded_len(fields) + 4);
    info.extend_from_slice(label.as_bytes());
    info.push(0);
    for field in fields {
        push_field(&mut info, field);
    }
    info.extend_from_slice(&bits.to_be_bytes());
    counter_mode(key.expose(), &info, out)
}

fn counter_mode(key: &[u8], fixed_input: &[u8], out: &mut [u8]) -> Result<(), CryptoError> {
    let algorithm =
        get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).ok_or(CryptoError::Module)?;
    kbkdf_ctr_hmac(algorithm, key, fixed_input, out).map_err(|_| CryptoError::Module)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{hex, secret_key};

    /// NIST CAVP, KBKDFVS, counter mode, PRF HMAC_SHA256, CTRLOCATION BEFORE_FIXED, RLEN 32_BITS, count 0, L 128.
    #[test]
    fn cavp_counter_mode_vector_holds() {
        let key = hex("dd1d91b7d90b2bd3138533ce92b272fbf8a369316aefe242e659cc0ae238afe0");
        let fixed_input = hex("01322b96b30acd197979444e468e1c5c6859bf1b1cf951b7e725303e237e46b8\
                               64a145fab25e517b08f8683d0315bb2911d80a0e8aba17f3b413faac");
        let mut out = [0; 16];
        counter_mode(&key, &fixed_input, &mut out).unwrap();
        assert_eq!(out.to_vec(), hex("10621342bfb0fd40046c0e29f2cfdbf0"));
    }

    /// Computed with the Python package `cryptography`: `KBKDFHMAC(SHA256, CounterMode, length, rlen=4, llen=None,
    /// location=BeforeFixed, fixed=info)` over the info of the doc comments.
    #[test]
    fn every_purpose_has_its_golden_key() {
        let key = secret_key(0x0b);
        let salt = [0x5a; 16];
        let mut out = [0; 32];
        row_key(&key, &salt, &mut out).unwrap();
        assert_eq!(out.to_vec(), hex("926739f9d37b682be51b0678d7ad28d94c084558fe842495dcd1a4cc1a972702"));
        row_state_key(&key, &mut out).unwrap();
        assert_eq!(out.to_vec(), hex("f124aaba675a6e90c77df13bec5f3e8ca06c31d813575aa21ceb408009278e7d"));
        material_wrapping_key(&key, &salt, &mut out).unwrap();
        assert_eq!(out.to_vec(), hex("2fceb4b4511d9835b79bfdf8d68527d3566597891b92c73bb2fc344455034a84"));
        marker_key(&key, &salt, &mut out).unwrap();
        assert_eq!(out.to_vec(), hex("aec393bbfcb3dda2c210db1fbddaaafb6d9c29ffdf66c1018e7791c00782e48a"));
        grant_token_key(&key, &salt, &mut out).unwrap();
        assert_eq!(out.to_vec(), hex("edc1a4cf52bef3b4b1f722bb5999ee2e2f7bad4c2ec70a5c906ae50f2a996e8c"));
        let mut out = [0; 64];
        let key_id = KeyId::from_parts([0x1d; 16], false);
        let material_id = MaterialId::from_bytes([0x3e; 32]);
        blob_key_and_commitment(&key, &key_id, &material_id, &[0x5a; 32], &mut out).unwrap();
        assert_eq!(
            out.to_vec(),
            hex("1a4a229f241a29fc02d4b9ed5f9b1ae7be6975b81b17b0bb583268541ff98c8ace4349b41084c175\
                 f07b5f7bb46ab042e07dbe947461e0ad8e0a96b0ab4f8cc4")
        );
    }
}

//! AES-256-GCM (NIST SP 800-38D) with 12-byte nonces and 16-byte tags: the one cipher of every format here.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::error::CryptoError;
use crate::secret::KEY_BYTES;

pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;

/// `ciphertext_and_tag = AES-256-GCM(key, nonce, aad, plaintext)`, written to a place of exactly
/// `plaintext.len() + 16` bytes. SP 800-38D section 7.1.
pub(crate) fn seal(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    plaintext: &[u8],
    ciphertext_and_tag: &mut [u8],
) -> Result<(), CryptoError> {
    // Not in place: a copy of the plaintext in the output would outlive a failure, unwiped.
    let (ciphertext, tag) =
        ciphertext_and_tag.split_at_mut_checked(plaintext.len()).ok_or(CryptoError::Module)?;
    cipher(key)?
        .seal_out_of_place_scatter(nonce_of(nonce), Aad::from(aad), plaintext, ciphertext, &[], tag)
        .map_err(|_| CryptoError::Module)
}

/// The reverse of [`seal`] into `plaintext`, which is as long as the ciphertext; refuses what does not authenticate,
/// naming it `what`. SP 800-38D section 7.2.
pub(crate) fn open(
    what: &'static str,
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    (ciphertext, tag): (&[u8], &[u8; TAG_BYTES]),
    plaintext: &mut [u8],
) -> Result<(), CryptoError> {
    cipher(key)?
        .open_separate_gather(nonce_of(nonce), Aad::from(aad), ciphertext, tag, plaintext)
        .map_err(|_| CryptoError::NotAuthentic { what })
}

fn cipher(key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, CryptoError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| CryptoError::Module)
}

fn nonce_of(nonce: &[u8; NONCE_BYTES]) -> Nonce {
    Nonce::assume_unique_for_key(*nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::hex;

    fn check(key: &str, nonce: &str, aad: &str, plaintext: &str, sealed: &str) {
        let key: [u8; 32] = hex(key).try_into().unwrap();
        let nonce: [u8; 12] = hex(nonce).try_into().unwrap();
        let (aad, plaintext, expected) = (hex(aad), hex(plaintext), hex(sealed));
        let mut out = vec![0; plaintext.len() + TAG_BYTES];
        seal(&key, &nonce, &aad, &plaintext, &mut out).unwrap();
        assert_eq!(out, expected);

        let mut opened = vec![0; plaintext.len()];
        let (ciphertext, tag) = out.split_last_chunk().unwrap();
        let altered = [&aad[..], b"x"].concat();
        let refused = open("test", &key, &nonce, &altered, (ciphertext, tag), &mut opened);
        assert_eq!(refused, Err(CryptoError::NotAuthentic { what: "test" }));
        open("test", &key, &nonce, &aad, (ciphertext, tag), &mut opened).unwrap();
        assert_eq!(opened, plaintext);
    }

    /// McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, test cases 13 to 16.
    #[test]
    fn gcm_vectors_hold() {
        let zero_key = "00".repeat(32);
        let zero_nonce = "00".repeat(12);
        check(&zero_key, &zero_nonce, "", "", "530f8afbc74536b9a963b4f1c4cb738b");
        let case_14 = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
        check(&zero_key, &zero_nonce, "", &"00".repeat(16), case_14);

        let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
        let nonce = "cafebabefacedbaddecaf888";
        let plaintext = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
        let ciphertext = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                          8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
        let case_15 = format!("{ciphertext}b094dac5d93471bdec1a502270e3cc6c");
        check(key, nonce, "", plaintext, &case_15);
        let case_16 = format!("{}76fc6ece0f4e1768cddf8853bb2d551b", &ciphertext[..120]);
        check(key, nonce, "feedfacedeadbeeffeedfacedeadbeefabaddad2", &plaintext[..120], &case_16);
    }

    #[test]
    fn places_of_the_wrong_size_are_refused() {
        let (key, nonce) = ([0; 32], [0; 12]);
        for size in [0, 3, 18, 20] {
            assert_eq!(seal(&key, &nonce, b"", b"abc", &mut vec![0; size]), Err(CryptoError::Module));
        }
        assert!(open("test", &key, &nonce, b"", (b"abc", &[0; 16]), &mut [0; 4]).is_err());
    }
}

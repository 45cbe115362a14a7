//! Random bytes, all from AWS-LC (`RAND_bytes`: SP 800-90A CTR_DRBG with AES-256).
//!
//! There is no trait here and no parameter that takes a generator: what cannot be injected cannot be injected by
//! mistake. Golden tests build a [`Fresh`] by hand, which only test code can.

use k256::elliptic_curve::rand_core::{TryCryptoRng, TryRng};
use strongroom_types::limits::RANDOM_BYTES_MAX;
use strongroom_types::{Credential, Plaintext};
use zeroize::Zeroizing;

use crate::aead::NONCE_BYTES;
use crate::error::CryptoError;

/// `n` random bytes for a caller: GenerateRandom, and the plaintext of data keys. At most
/// [`RANDOM_BYTES_MAX`].
pub fn random_plaintext(n: usize) -> Result<Plaintext, CryptoError> {
    if n > RANDOM_BYTES_MAX {
        return Err(CryptoError::TooLarge { max_bytes: RANDOM_BYTES_MAX, what: "random plaintext" });
    }
    let mut plaintext = Plaintext::new(vec![0; n]);
    fill(plaintext.expose_mut())?;
    Ok(plaintext)
}

/// Sixteen bytes for an id. Not a secret.
pub fn random_id() -> Result<[u8; 16], CryptoError> {
    random_array()
}

/// `N` bytes for a salt, a nonce, an id. Not a secret: an array is not wiped.
pub fn random_array<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// `n` characters, each drawn evenly from `alphabet`: secret access keys and the like. The alphabet has 2 to 128
/// different ASCII characters; `n` is at most [`RANDOM_BYTES_MAX`].
pub fn random_text(alphabet: &str, n: usize) -> Result<Credential, CryptoError> {
    let letters = alphabet.as_bytes();
    let distinct =
        letters.iter().enumerate().all(|(at, letter)| !letters.iter().take(at).any(|l| l == letter));
    if !alphabet.is_ascii() || letters.len() < 2 || !distinct {
        return Err(CryptoError::Alphabet);
    }
    if n > RANDOM_BYTES_MAX {
        return Err(CryptoError::TooLarge { max_bytes: RANDOM_BYTES_MAX, what: "random text" });
    }
    let mut text = Credential::new(Vec::with_capacity(n));
    let mut drawn = Zeroizing::new([0_u8; 64]);
    while text.len() < n {
        fill(drawn.as_mut_slice())?;
        let missing = n - text.len();
        let picked = drawn.iter().filter_map(|byte| pick(letters, *byte)).take(missing);
        text.expose_mut().extend(picked);
    }
    Ok(text)
}

/// What one sealing draws: a salt and a nonce, in one call of the generator.
pub(crate) struct Fresh<const SALT: usize> {
    pub(crate) salt: [u8; SALT],
    pub(crate) nonce: [u8; NONCE_BYTES],
}

impl<const SALT: usize> Fresh<SALT> {
    pub(crate) fn draw() -> Result<Self, CryptoError> {
        // An array of `SALT + NONCE_BYTES` cannot be written in stable Rust; the longest salt has 32 bytes.
        let mut buffer = [0; 32 + NONCE_BYTES];
        let drawn = buffer.get_mut(..SALT + NONCE_BYTES).ok_or(CryptoError::Module)?;
        fill(drawn)?;
        let salt = drawn.first_chunk().ok_or(CryptoError::Module)?;
        let nonce = drawn.last_chunk().ok_or(CryptoError::Module)?;
        Ok(Self { salt: *salt, nonce: *nonce })
    }
}

/// AWS-LC's generator for libraries that ask for one.
pub(crate) struct AwsLcRng;

impl TryRng for AwsLcRng {
    type Error = CryptoError;

    fn try_next_u32(&mut self) -> Result<u32, CryptoError> {
        random_array().map(u32::from_le_bytes)
    }

    fn try_next_u64(&mut self) -> Result<u64, CryptoError> {
        random_array().map(u64::from_le_bytes)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        fill(bytes)
    }
}

impl TryCryptoRng for AwsLcRng {}

pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), CryptoError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| CryptoError::Module)
}

/// The letter that `byte` stands for, or none where taking the remainder would favour the first letters.
fn pick(letters: &[u8], byte: u8) -> Option<u8> {
    let byte = usize::from(byte);
    let even = 256 - 256 % letters.len();
    if byte < even { letters.get(byte % letters.len()).copied() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_plaintext_keeps_to_its_limit() {
        let error = random_plaintext(RANDOM_BYTES_MAX + 1).unwrap_err();
        assert_eq!(error, CryptoError::TooLarge { max_bytes: 1024, what: "random plaintext" });
        assert_eq!(random_plaintext(RANDOM_BYTES_MAX).unwrap().len(), 1024);
        assert!(random_plaintext(0).unwrap().is_empty());
    }

    #[test]
    fn no_two_draws_are_alike() {
        assert_ne!(random_plaintext(32).unwrap().expose(), random_plaintext(32).unwrap().expose());
        assert_ne!(random_id().unwrap(), random_id().unwrap());
        let (a, b) = (Fresh::<16>::draw().unwrap(), Fresh::<16>::draw().unwrap());
        assert_ne!(a.salt, b.salt);
        assert_ne!(a.nonce, b.nonce);
        let long = Fresh::<32>::draw().unwrap();
        assert_ne!(long.salt.last_chunk::<12>(), Some(&long.nonce));
    }

    #[test]
    fn bad_alphabets_are_refused() {
        for alphabet in ["", "a", "aba", "abcä"] {
            assert_eq!(random_text(alphabet, 8).unwrap_err(), CryptoError::Alphabet, "{alphabet}");
        }
    }

    #[test]
    fn random_text_keeps_to_its_length_and_alphabet() {
        assert!(matches!(random_text("ab", RANDOM_BYTES_MAX + 1), Err(CryptoError::TooLarge { .. })));
        for n in [0, 1, 40, 63, 64, 65, RANDOM_BYTES_MAX] {
            let text = random_text("ABCdef+/", n).unwrap();
            assert_eq!(text.len(), n);
            assert!(text.expose().iter().all(|b| b"ABCdef+/".contains(b)));
        }
    }

    #[test]
    fn every_letter_has_the_same_chance() {
        for count in 2..=128 {
            let letters: Vec<u8> = (0..count).collect();
            let mut chances = vec![0; usize::from(count)];
            for letter in (0..=255).filter_map(|byte| pick(&letters, byte)) {
                chances[usize::from(letter)] += 1;
            }
            assert!(chances.iter().all(|c| *c == chances[0] && *c > 0), "{count} letters: {chances:?}");
        }
    }
}

//! What AWS-LC can do and `aws-lc-rs` does not offer: Ed25519ph, ML-DSA over an external mu, and ML-KEM keys from their
//! seeds. The one crate of the workspace that holds `unsafe`.
//!
//! What it guarantees: lengths are types, so that no call reads or writes past its buffers; what AWS-LC allocates is freed
//! once; secrets that it hands out are wiped when they are dropped, and AWS-LC wipes what it frees itself.
//!
//! What it deliberately does not do: parse anything, know what a KMS key is, draw randomness of its own (ML-DSA's hedging
//! is drawn by AWS-LC). Only `crypto` may depend on it (`xtask/src/deps/rules.rs`).

use std::ffi::c_int;
use std::fmt;
use std::ptr::{self, NonNull};

#[cfg(feature = "fips")]
use aws_lc_fips_sys as lc;
#[cfg(not(feature = "fips"))]
use aws_lc_sys as lc;
use zeroize::Zeroizing;

/// Every call of AWS-LC that returns a status returns this for success.
const DONE: c_int = 1;

/// `d ‖ z` (FIPS 203 section 6.1).
pub const ML_KEM_SEED_BYTES: usize = 64;

/// The parameter sets of ML-DSA (FIPS 204).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MlDsa {
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

/// The parameter sets of ML-KEM (FIPS 203).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MlKem {
    MlKem512,
    MlKem768,
    MlKem1024,
}

impl MlDsa {
    const fn nid(self) -> c_int {
        match self {
            Self::MlDsa44 => lc::NID_MLDSA44,
            Self::MlDsa65 => lc::NID_MLDSA65,
            Self::MlDsa87 => lc::NID_MLDSA87,
        }
    }

    pub const fn signature_bytes(self) -> usize {
        match self {
            Self::MlDsa44 => 2420,
            Self::MlDsa65 => 3309,
            Self::MlDsa87 => 4627,
        }
    }

    pub const fn public_key_bytes(self) -> usize {
        match self {
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }
}

impl MlKem {
    const fn nid(self) -> c_int {
        match self {
            Self::MlKem512 => lc::NID_MLKEM512,
            Self::MlKem768 => lc::NID_MLKEM768,
            Self::MlKem1024 => lc::NID_MLKEM1024,
        }
    }

    pub const fn encapsulation_key_bytes(self) -> usize {
        match self {
            Self::MlKem512 => 800,
            Self::MlKem768 => 1184,
            Self::MlKem1024 => 1568,
        }
    }

    pub const fn decapsulation_key_bytes(self) -> usize {
        match self {
            Self::MlKem512 => 1632,
            Self::MlKem768 => 2400,
            Self::MlKem1024 => 3168,
        }
    }
}

/// `Ed25519ph(seed, digest)` with an empty context: `digest` is SHA-512 of the message (RFC 8032 section 5.1).
pub fn ed25519ph_sign(seed: &[u8; 32], digest: &[u8; 64]) -> Option<[u8; 64]> {
    let mut public = [0; 32];
    let mut private = Zeroizing::new([0; 64]);
    // SAFETY: the three buffers have the 32, 64 and 32 bytes that AWS-LC's header asks for.
    unsafe { lc::ED25519_keypair_from_seed(public.as_mut_ptr(), private.as_mut_ptr(), seed.as_ptr()) };
    let mut signature = [0; 64];
    // SAFETY: 64 bytes each; a context of length zero is not read.
    let status = unsafe {
        lc::ED25519ph_sign_digest(signature.as_mut_ptr(), digest.as_ptr(), private.as_ptr(), ptr::null(), 0)
    };
    (status == DONE).then_some(signature)
}

/// Whether `signature` is an Ed25519ph signature with an empty context over the message whose SHA-512 is `digest`.
pub fn ed25519ph_verify(public: &[u8; 32], digest: &[u8; 64], signature: &[u8; 64]) -> bool {
    // SAFETY: 64, 64 and 32 bytes; a context of length zero is not read.
    let status = unsafe {
        lc::ED25519ph_verify_digest(digest.as_ptr(), signature.as_ptr(), public.as_ptr(), ptr::null(), 0)
    };
    forget_errors();
    status == DONE
}

/// An ML-DSA private key that signs a `mu` which others have computed (FIPS 204 section 6.2, step 6 left out).
pub struct MlDsaKey {
    key: Key,
    set: MlDsa,
}

impl MlDsaKey {
    pub fn from_seed(set: MlDsa, seed: &[u8; 32]) -> Option<Self> {
        // SAFETY: `seed` has the length that is passed; the result is null or ours.
        let key = unsafe { lc::EVP_PKEY_pqdsa_new_raw_private_key(set.nid(), seed.as_ptr(), seed.len()) };
        Some(Self { key: Key::own(key)?, set })
    }

    pub fn sign_mu(&self, mu: &[u8; 64]) -> Option<Vec<u8>> {
        let context = Context::of(&self.key)?;
        // SAFETY: the context is alive.
        if unsafe { lc::EVP_PKEY_sign_init(context.0.as_ptr()) } != DONE {
            return None;
        }
        let mut signature = vec![0; self.set.signature_bytes()];
        let mut length = signature.len();
        // SAFETY: `length` is the room behind `signature`; for a key of this kind `EVP_PKEY_sign` takes a mu of 64 bytes.
        let status = unsafe {
            lc::EVP_PKEY_sign(
                context.0.as_ptr(),
                signature.as_mut_ptr(),
                &raw mut length,
                mu.as_ptr(),
                mu.len(),
            )
        };
        (status == DONE && length == signature.len()).then_some(signature)
    }
}

impl fmt::Debug for MlDsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlDsaKey(..)")
    }
}

/// Whether `signature` is one of `public` over `mu`.
pub fn ml_dsa_verify_mu(set: MlDsa, public: &[u8], mu: &[u8; 64], signature: &[u8]) -> bool {
    let verified = verify_mu(set, public, mu, signature).is_some();
    forget_errors();
    verified
}

fn verify_mu(set: MlDsa, public: &[u8], mu: &[u8; 64], signature: &[u8]) -> Option<()> {
    // SAFETY: `public` has the length that is passed, which AWS-LC compares with the set's; the result is null or ours.
    let key = unsafe { lc::EVP_PKEY_pqdsa_new_raw_public_key(set.nid(), public.as_ptr(), public.len()) };
    let key = Key::own(key)?;
    let context = Context::of(&key)?;
    // SAFETY: the context is alive.
    if unsafe { lc::EVP_PKEY_verify_init(context.0.as_ptr()) } != DONE {
        return None;
    }
    // SAFETY: both buffers have the lengths that are passed.
    let status = unsafe {
        lc::EVP_PKEY_verify(context.0.as_ptr(), signature.as_ptr(), signature.len(), mu.as_ptr(), mu.len())
    };
    (status == DONE).then_some(())
}

/// What an ML-KEM seed stands for.
pub struct ExpandedMlKem {
    pub decapsulation_key: Zeroizing<Vec<u8>>,
    pub encapsulation_key: Vec<u8>,
}

/// `ML-KEM.KeyGen_internal(d, z)` (FIPS 203 section 6.1) for the seed `d ‖ z`.
pub fn ml_kem_expand(set: MlKem, seed: &[u8; ML_KEM_SEED_BYTES]) -> Option<ExpandedMlKem> {
    let expanded = expand(set, seed);
    forget_errors();
    expanded
}

fn expand(set: MlKem, seed: &[u8; ML_KEM_SEED_BYTES]) -> Option<ExpandedMlKem> {
    let context = Context::for_kem(set)?;
    let mut key = ptr::null_mut();
    let mut length = seed.len();
    // SAFETY: the context is alive, `length` is that of `seed`, and AWS-LC makes the key because there is none.
    let status = unsafe {
        lc::EVP_PKEY_keygen_deterministic(context.0.as_ptr(), &raw mut key, seed.as_ptr(), &raw mut length)
    };
    let key = Key::own(key)?;
    if status != DONE {
        return None;
    }
    let mut decapsulation_key = Zeroizing::new(vec![0; set.decapsulation_key_bytes()]);
    let mut length = decapsulation_key.len();
    // SAFETY: `length` is the room behind the buffer.
    let status = unsafe {
        lc::EVP_PKEY_get_raw_private_key(key.0.as_ptr(), decapsulation_key.as_mut_ptr(), &raw mut length)
    };
    if status != DONE || length != decapsulation_key.len() {
        return None;
    }
    let mut encapsulation_key = vec![0; set.encapsulation_key_bytes()];
    let mut length = encapsulation_key.len();
    // SAFETY: `length` is the room behind the buffer.
    let status = unsafe {
        lc::EVP_PKEY_get_raw_public_key(key.0.as_ptr(), encapsulation_key.as_mut_ptr(), &raw mut length)
    };
    (status == DONE && length == encapsulation_key.len())
        .then_some(ExpandedMlKem { decapsulation_key, encapsulation_key })
}

/// A key of AWS-LC's that is freed, and thereby wiped, when dropped.
struct Key(NonNull<lc::EVP_PKEY>);

// SAFETY: AWS-LC's header (`evp.h`): a key may be used by several threads at once by functions that do not change it, and
// nothing here changes one after it was made.
unsafe impl Send for Key {}
// SAFETY: as above.
unsafe impl Sync for Key {}

impl Key {
    fn own(key: *mut lc::EVP_PKEY) -> Option<Self> {
        NonNull::new(key).map(Self)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: it is ours and nobody has freed it.
        unsafe { lc::EVP_PKEY_free(self.0.as_ptr()) }
    }
}

struct Context(NonNull<lc::EVP_PKEY_CTX>);

impl Context {
    /// The context counts itself among the key's owners, so it may outlive `key`.
    fn of(key: &Key) -> Option<Self> {
        // SAFETY: the key is alive; a null engine is AWS-LC's own.
        let context = unsafe { lc::EVP_PKEY_CTX_new(key.0.as_ptr(), ptr::null_mut()) };
        NonNull::new(context).map(Self)
    }

    /// For making keys of this set.
    fn for_kem(set: MlKem) -> Option<Self> {
        // SAFETY: a null engine is AWS-LC's own; the result is null or ours.
        let context = unsafe { lc::EVP_PKEY_CTX_new_id(lc::EVP_PKEY_KEM, ptr::null_mut()) };
        let context = NonNull::new(context).map(Self)?;
        // SAFETY: the context is alive.
        if unsafe { lc::EVP_PKEY_keygen_init(context.0.as_ptr()) } != DONE {
            return None;
        }
        // SAFETY: as above.
        let status = unsafe { lc::EVP_PKEY_CTX_kem_set_params(context.0.as_ptr(), set.nid()) };
        (status == DONE).then_some(context)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it is ours and nobody has freed it.
        unsafe { lc::EVP_PKEY_CTX_free(self.0.as_ptr()) }
    }
}

/// AWS-LC keeps a queue of errors per thread. What others sent must not fill it.
fn forget_errors() {
    // SAFETY: no arguments; the queue is the thread's own.
    unsafe { lc::ERR_clear_error() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        hex_simd::decode_to_vec(text).unwrap().try_into().unwrap()
    }

    /// RFC 8032 section 7.3, "TEST abc". The digest is SHA-512("abc"), FIPS 180-4.
    #[test]
    fn rfc_8032_ed25519ph_vector_holds() {
        let seed = hex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42");
        let public = hex("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf");
        let digest = hex("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                          2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
        let expected: [u8; 64] = hex("98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41\
                                      31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406");
        assert_eq!(ed25519ph_sign(&seed, &digest).unwrap(), expected);
        assert!(ed25519ph_verify(&public, &digest, &expected));
        for at in [0, 31, 32, 63] {
            let mut altered = expected;
            altered[at] ^= 1;
            assert!(!ed25519ph_verify(&public, &digest, &altered));
        }
        assert!(!ed25519ph_verify(&public, &[0; 64], &expected));
    }

    #[test]
    fn a_mu_is_signed_and_verified_by_its_own_key_alone() {
        for set in [MlDsa::MlDsa44, MlDsa::MlDsa65, MlDsa::MlDsa87] {
            let key = MlDsaKey::from_seed(set, &[7; 32]).unwrap();
            let signature = key.sign_mu(&[9; 64]).unwrap();
            assert_eq!(signature.len(), set.signature_bytes());
            let mut public = vec![0; set.public_key_bytes()];
            let mut length = public.len();
            // SAFETY: `length` is the room behind the buffer.
            let status = unsafe {
                lc::EVP_PKEY_get_raw_public_key(key.key.0.as_ptr(), public.as_mut_ptr(), &raw mut length)
            };
            assert_eq!((status, length), (DONE, public.len()));
            assert!(!ml_dsa_verify_mu(set, &public, &[8; 64], &signature));
            assert!(!ml_dsa_verify_mu(set, &public, &[9; 64], &signature[1..]));
            assert!(!ml_dsa_verify_mu(set, &public[1..], &[9; 64], &signature));
            assert!(!ml_dsa_verify_mu(set, &[], &[9; 64], &[]));
            assert!(ml_dsa_verify_mu(set, &public, &[9; 64], &signature));
            assert_eq!(format!("{key:?}"), "MlDsaKey(..)");
        }
    }

    #[test]
    fn a_seed_expands_always_alike() {
        for set in [MlKem::MlKem512, MlKem::MlKem768, MlKem::MlKem1024] {
            let expand = |seed| ml_kem_expand(set, &[seed; ML_KEM_SEED_BYTES]).unwrap();
            let (one, same, other) = (expand(1), expand(1), expand(2));
            assert_eq!(one.decapsulation_key, same.decapsulation_key);
            assert_eq!(one.encapsulation_key, same.encapsulation_key);
            assert_ne!(one.encapsulation_key, other.encapsulation_key);
            assert_eq!(one.encapsulation_key.len(), set.encapsulation_key_bytes());
        }
    }
}

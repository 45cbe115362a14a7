//! The signing key, and the signature over a string to sign.

use std::fmt;

use aws_lc_rs::hmac;
use hex_simd::AsciiCase;
use strongroom_types::Credential;
use zeroize::{Zeroize, Zeroizing};

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const TERMINATOR: &str = "aws4_request";

/// A signature as it travels: 64 lower-case hexadecimal digits.
pub(crate) type Signature = [u8; 64];

/// A derived signing key, ready to compute HMACs. Good for one secret, day, region and service.
///
/// `HMAC(HMAC(HMAC(HMAC("AWS4" ‖ secret, date), region), service), "aws4_request")`, HMAC-SHA256 throughout (IAM user
/// guide, "Create a signed AWS API request", step 4).
///
/// The intermediate keys are wiped here. The key itself lives as an HMAC state inside AWS-LC's `HMAC_CTX`, which is
/// cleansed when it is dropped (`HMAC_CTX_cleanup`). It is boxed before anyone holds it, so that passing it on moves a
/// pointer and leaves no copies of the state behind; the one move into the box is outside our reach.
pub struct SigningKey(Box<hmac::Key>);

impl SigningKey {
    /// `date` is the day of the credential scope, `20150830`.
    pub fn derive(secret: &Credential, date: &str, region: &str, service: &str) -> Self {
        let mut prefixed = Zeroizing::new(Vec::with_capacity(secret.len() + 4));
        prefixed.extend_from_slice(b"AWS4");
        prefixed.extend_from_slice(secret.expose());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &prefixed);
        for message in [date, region, service, TERMINATOR] {
            let mut derived = mac(&key, message.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, &derived);
            derived.zeroize();
        }
        Self(Box::new(key))
    }

    /// The signature of a string to sign.
    pub(crate) fn sign(&self, string_to_sign: &[u8]) -> Signature {
        let mut signature = [0; 64];
        let _ = hex_simd::encode(
            &mac(&self.0, string_to_sign),
            hex_simd::Out::from_slice(&mut signature),
            AsciiCase::Lower,
        );
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

fn mac(key: &hmac::Key, message: &[u8]) -> [u8; 32] {
    let mut tag = [0; 32];
    let written = hmac::sign_to_buffer(key, message, &mut tag).map(|tag| tag.len());
    // INVARIANT: HMAC-SHA256 writes exactly 32 bytes. A key or signature of zeros must never come to be used.
    assert!(matches!(written, Ok(32)), "HMAC-SHA256 did not give 32 bytes");
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails to compile (ambiguous impls) if `$type` ever implements `$trait`.
    macro_rules! assert_absent {
        ($type:ty: $($bound:path),+) => {$(
            const _: fn() = || {
                trait Ambiguous<A> { fn some() {} }
                impl<T: ?Sized> Ambiguous<()> for T {}
                struct Present;
                impl<T: ?Sized + $bound> Ambiguous<Present> for T {}
                let _ = <$type as Ambiguous<_>>::some;
            };
        )+};
    }

    assert_absent!(SigningKey: Clone, fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);

    fn key(secret: &str, date: &str) -> SigningKey {
        SigningKey::derive(&Credential::new(secret.as_bytes().to_vec()), date, "us-east-1", "iam")
    }

    #[test]
    fn debug_says_the_kind_only() {
        assert_eq!(format!("{:?}", key("sesame", "20150830")), "SigningKey(..)");
    }

    #[test]
    fn every_part_of_the_scope_makes_another_key() {
        let one = key("a", "20150830").sign(b"text");
        assert_ne!(one, key("b", "20150830").sign(b"text"));
        assert_ne!(one, key("a", "20150831").sign(b"text"));
        let secret = Credential::new(b"a".to_vec());
        assert_ne!(one, SigningKey::derive(&secret, "20150830", "us-east-2", "iam").sign(b"text"));
        assert_ne!(one, SigningKey::derive(&secret, "20150830", "us-east-1", "sts").sign(b"text"));
    }

    /// AWS General Reference, "Task 3: Calculate the signature for AWS Signature Version 4", the example request.
    #[test]
    fn published_example_has_its_signature() {
        let string_to_sign = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
            f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        let signature =
            key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830").sign(string_to_sign.as_bytes());
        assert_eq!(&signature, b"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    }
}

//! What kinds of keys there are, and what each is for.

use std::fmt;

macro_rules! named_codes {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $code:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// AWS's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// What stands for it at rest.
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code),+ }
            }

            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named_codes! {
    /// What kind of key it is (AWS KMS developer guide, "Key spec reference"). The codes are part of the formats of rows
    /// and of wrapped materials.
    KeySpec {
        SymmetricDefault = 0 "SYMMETRIC_DEFAULT",
        Hmac224 = 1 "HMAC_224",
        Hmac256 = 2 "HMAC_256",
        Hmac384 = 3 "HMAC_384",
        Hmac512 = 4 "HMAC_512",
        Rsa2048 = 5 "RSA_2048",
        Rsa3072 = 6 "RSA_3072",
        Rsa4096 = 7 "RSA_4096",
        EccNistP256 = 8 "ECC_NIST_P256",
        EccNistP384 = 9 "ECC_NIST_P384",
        EccNistP521 = 10 "ECC_NIST_P521",
        EccSecgP256k1 = 11 "ECC_SECG_P256K1",
        EccNistEdwards25519 = 12 "ECC_NIST_EDWARDS25519",
        MlDsa44 = 13 "ML_DSA_44",
        MlDsa65 = 14 "ML_DSA_65",
        MlDsa87 = 15 "ML_DSA_87",
        MlKem512 = 16 "ML_KEM_512",
        MlKem768 = 17 "ML_KEM_768",
        MlKem1024 = 18 "ML_KEM_1024",
        Sm2 = 19 "SM2",
    }
}

named_codes! {
    /// What a key is for. It never changes. The codes are part of the format of rows.
    KeyUsage {
        EncryptDecrypt = 0 "ENCRYPT_DECRYPT",
        SignVerify = 1 "SIGN_VERIFY",
        GenerateVerifyMac = 2 "GENERATE_VERIFY_MAC",
        KeyAgreement = 3 "KEY_AGREEMENT",
        EncapsulateDecapsulate = 4 "ENCAPSULATE_DECAPSULATE",
    }
}

impl KeySpec {
    /// What keys of this spec may be made for.
    pub const fn usages(self) -> &'static [KeyUsage] {
        use KeyUsage::{EncapsulateDecapsulate, EncryptDecrypt, GenerateVerifyMac, KeyAgreement, SignVerify};
        match self {
            Self::SymmetricDefault => &[EncryptDecrypt],
            Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => &[GenerateVerifyMac],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[EncryptDecrypt, SignVerify],
            Self::EccNistP256 | Self::EccNistP384 | Self::EccNistP521 => &[SignVerify, KeyAgreement],
            Self::EccSecgP256k1
            | Self::EccNistEdwards25519
            | Self::MlDsa44
            | Self::MlDsa65
            | Self::MlDsa87 => &[SignVerify],
            Self::MlKem512 | Self::MlKem768 | Self::MlKem1024 => &[EncapsulateDecapsulate],
            Self::Sm2 => &[EncryptDecrypt, SignVerify, KeyAgreement],
        }
    }

    /// Whether its keys have a public half.
    pub const fn is_asymmetric(self) -> bool {
        !matches!(
            self,
            Self::SymmetricDefault | Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_specs_places_and_come_back() {
        for (at, spec) in KeySpec::ALL.iter().enumerate() {
            assert_eq!(usize::from(spec.code()), at);
            assert_eq!(KeySpec::from_code(spec.code()), Some(*spec));
            assert!(!spec.usages().is_empty());
        }
        for (at, usage) in KeyUsage::ALL.iter().enumerate() {
            assert_eq!(usize::from(usage.code()), at);
            assert_eq!(KeyUsage::from_code(usage.code()), Some(*usage));
        }
        assert_eq!((KeySpec::from_code(20), KeyUsage::from_code(5)), (None, None));
    }
}

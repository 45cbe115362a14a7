//! Two of the three kinds of secret. The third, `KeyMaterial`, lives in `crypto` and never leaves it.
//!
//! None of them implements `Clone`, `Display`, `Serialize`, `Deref` or `AsRef`; `Debug` says the kind, never the
//! content; equality, where there is any, is constant-time and lives with its user. Reading is spelled `expose`.

use std::fmt;

use zeroize::Zeroizing;

/// The caller's plaintext: comes in or goes out once, through `wire`.
pub struct Plaintext(Zeroizing<Vec<u8>>);

/// A credential: a signing secret, a passphrase, a PIN.
pub struct Credential(Zeroizing<Vec<u8>>);

macro_rules! secret {
    ($name:ident) => {
        impl $name {
            /// Takes the bytes over; they are wiped when this value is dropped.
            pub fn new(bytes: Vec<u8>) -> Self {
                Self(Zeroizing::new(bytes))
            }

            /// The secret bytes themselves.
            pub fn expose(&self) -> &[u8] {
                &self.0
            }

            /// The secret bytes, to be written in place. The vector must not be grown past its capacity: growing
            /// leaves an unwiped copy behind.
            pub fn expose_mut(&mut self) -> &mut Vec<u8> {
                &mut self.0
            }

            pub fn len(&self) -> usize {
                self.0.len()
            }

            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret!(Plaintext);
secret!(Credential);

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

    assert_absent!(Plaintext: Clone, std::fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq, crate::LogSafe);
    assert_absent!(Credential: Clone, std::fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq, crate::LogSafe);

    #[test]
    fn debug_says_the_kind_only() {
        assert_eq!(format!("{:?}", Plaintext::new(b"sesame".to_vec())), "Plaintext(..)");
        assert_eq!(format!("{:?}", Credential::new(b"sesame".to_vec())), "Credential(..)");
    }
}

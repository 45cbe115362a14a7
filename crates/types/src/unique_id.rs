//! The unique id of a user or a role.

use std::fmt;

use crate::id::ParseIdError;
use crate::log_safe::LogSafe;

/// `AIDA` (a user) or `AROA` (a role) and seventeen characters of `[A-Z2-7]`: another one for each user and role that is
/// made, even under the same name (IAM user guide, "Unique identifiers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueId([u8; 21]);

/// What a unique id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UniqueIdKind {
    Role,
    User,
}

impl UniqueIdKind {
    const fn prefix(self) -> &'static [u8; 4] {
        match self {
            Self::Role => b"AROA",
            Self::User => b"AIDA",
        }
    }
}

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl UniqueId {
    /// Eighty-five of the bits, five for each character.
    pub fn from_random(kind: UniqueIdKind, random: [u8; 16]) -> Self {
        let mut bits = u128::from_be_bytes(random);
        let mut id = [0; 21];
        for (place, byte) in id.iter_mut().enumerate() {
            *byte = match kind.prefix().get(place) {
                Some(prefix) => *prefix,
                None => {
                    let digit = usize::try_from(bits & 31).unwrap_or_default();
                    bits >>= 5;
                    ALPHABET.get(digit).copied().unwrap_or(b'A')
                }
            };
        }
        Self(id)
    }

    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let bad = || ParseIdError::new("a unique id", text);
        let id: [u8; 21] = text.as_bytes().try_into().map_err(|_| bad())?;
        let (prefix, rest) = id.split_at(4);
        let is_known = [UniqueIdKind::Role, UniqueIdKind::User].iter().any(|kind| prefix == kind.prefix());
        if !is_known || !rest.iter().all(|byte| ALPHABET.contains(byte)) {
            return Err(bad());
        }
        Ok(Self(id))
    }

    pub fn kind(&self) -> UniqueIdKind {
        if self.0.starts_with(UniqueIdKind::User.prefix()) { UniqueIdKind::User } else { UniqueIdKind::Role }
    }

    pub fn as_str(&self) -> &str {
        // INVARIANT: made of ASCII characters in both places that make one.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl LogSafe for UniqueId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_unique_id_is_refused() {
        for text in [
            "",
            "AIDA",
            "AIDAAAAAAAAAAAAAAAAAA1",
            "ABCDAAAAAAAAAAAAAAAAA",
            "AIDAAAAAAAAAAAAAAAAA0",
            "aidaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(UniqueId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn random_ids_are_read_back() {
        for (kind, prefix) in [(UniqueIdKind::User, "AIDA"), (UniqueIdKind::Role, "AROA")] {
            for random in [[0; 16], [0xff; 16], *b"0123456789abcdef"] {
                let id = UniqueId::from_random(kind, random);
                assert!(id.as_str().starts_with(prefix));
                assert_eq!((UniqueId::parse(id.as_str()).ok(), id.kind()), (Some(id), kind));
            }
        }
        assert_eq!(UniqueId::from_random(UniqueIdKind::User, [0; 16]).as_str(), "AIDAAAAAAAAAAAAAAAAAA");
    }
}

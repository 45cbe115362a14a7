//! What every root holder is and does.

use std::fmt;

use strongroom_types::LogSafe;
use strongroom_types::limits::ROOT_SECRET_BYTES_MAX;

use crate::fields::push_field;
use crate::keyring::{Scope, ServicePurpose};
use crate::locked::{Holding, SLOT_BYTES, Slot};
use crate::root::RootError;

/// Something that can wrap small secrets and unwrap them again.
///
/// An implementor outside this crate moves [`RootSecret`]s about but cannot read them.
pub trait RootHolder: Send + Sync {
    /// Which root this is. Every wrapped secret names it.
    fn root_id(&self) -> RootId;

    /// Wraps a secret so that it opens for this purpose only.
    fn wrap(&self, purpose: &RootPurpose<'_>, secret: &RootSecret) -> Result<Vec<u8>, RootError>;

    /// Opens what [`Self::wrap`] made under this root for this purpose.
    fn unwrap(&self, purpose: &RootPurpose<'_>, wrapped: &[u8]) -> Result<RootSecret, RootError>;
}

/// The name of a root key: sixteen random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootId([u8; 16]);

impl RootId {
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl LogSafe for RootId {}

/// What a wrapped secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootPurpose<'a> {
    /// The key of one backup file.
    Backup,
    DomainKey {
        scope: Scope<'a>,
        version: u32,
    },
    ServiceKey {
        purpose: ServicePurpose,
        version: u32,
    },
}

impl RootPurpose<'_> {
    /// `"domain" ‖ scope ‖ be32(version)`, `"service" ‖ purpose ‖ be32(version)` or `"backup" ‖ "file" ‖ be32(1)`, each
    /// length-prefixed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, name, version) = match self {
            Self::Backup => ("backup", "file", &1),
            Self::DomainKey { scope, version } => ("domain", scope.as_str(), version),
            Self::ServiceKey { purpose, version } => ("service", purpose.as_str(), version),
        };
        let mut bytes = Vec::new();
        push_field(&mut bytes, kind.as_bytes());
        push_field(&mut bytes, name.as_bytes());
        push_field(&mut bytes, &version.to_be_bytes());
        bytes
    }
}

/// A secret on its way to a root holder or back: one to 64 bytes, in locked memory, wiped when dropped.
pub struct RootSecret {
    /// INVARIANT: at most the slot's.
    length: usize,
    slot: Slot,
}

const _: () = assert!(ROOT_SECRET_BYTES_MAX <= SLOT_BYTES);

impl RootSecret {
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, RootError> {
        if !(1..=ROOT_SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Err(RootError::SecretLength);
        }
        let mut secret = Self { length: bytes.len(), slot: Slot::new(Holding::Ring) };
        secret.expose_mut().copy_from_slice(bytes);
        Ok(secret)
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.slot.halves().as_flattened().get(..self.length).unwrap_or_default()
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        self.slot.halves_mut().as_flattened_mut().get_mut(..self.length).unwrap_or_default()
    }
}

impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::assert_absent;

    assert_absent!(RootSecret: Clone, std::fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);

    #[test]
    fn secrets_keep_to_their_length() {
        for length in [0, ROOT_SECRET_BYTES_MAX + 1] {
            assert!(matches!(RootSecret::new(&vec![1; length]), Err(RootError::SecretLength)));
        }
        assert_eq!(RootSecret::new(&[1; ROOT_SECRET_BYTES_MAX]).unwrap().expose(), [1; 64]);
    }

    #[test]
    fn debug_says_the_kind_only() {
        assert_eq!(format!("{:?}", RootSecret::new(b"sesame").unwrap()), "RootSecret(..)");
    }

    #[test]
    fn purposes_have_distinct_fixed_bytes() {
        let domain = RootPurpose::DomainKey { scope: Scope::Global, version: 1 };
        assert_eq!(domain.to_bytes(), b"\0\0\0\x06domain\0\0\0\x06global\0\0\0\x04\0\0\0\x01");
        let service = RootPurpose::ServiceKey { purpose: ServicePurpose::Marker, version: 258 };
        assert_eq!(service.to_bytes(), b"\0\0\0\x07service\0\0\0\x06marker\0\0\0\x04\0\0\x01\x02");
        assert_eq!(RootPurpose::Backup.to_bytes(), b"\0\0\0\x06backup\0\0\0\x04file\0\0\0\x04\0\0\0\x01");
    }

    #[test]
    fn root_ids_are_32_hex_digits() {
        assert_eq!(RootId::from_bytes([0x0a; 16]).to_string(), "0a".repeat(16));
    }
}

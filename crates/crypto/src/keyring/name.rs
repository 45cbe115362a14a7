//! What the keys of a keyring are called.

use std::fmt;
use std::str::FromStr;

use strongroom_types::{LogSafe, RegionName};

use crate::root::RootPurpose;

/// Whose domain keys: a region's, or those of the rows that belong to no region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope<'a> {
    Global,
    Region(&'a RegionName),
}

impl<'a> Scope<'a> {
    /// The region's name, or `global`, which no region is called.
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Global => GLOBAL,
            Self::Region(region) => region.as_str(),
        }
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl LogSafe for Scope<'_> {}

const GLOBAL: &str = "global";

/// What a service key is for. One key never serves two purposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServicePurpose {
    /// The Ed25519 seed that signs audit checkpoints.
    Checkpoint,
    /// Grant tokens.
    GrantToken,
    /// Import tokens, valid for 24 hours; the key is destroyed after that.
    ImportToken,
    /// Ids of key material, kept for ever.
    MaterialId,
    /// Paging markers, valid for one day.
    Marker,
    /// The set-hash of each shard's rows, kept for ever.
    RowState,
    /// Session tokens, valid for up to 36 hours.
    SessionToken,
}

impl ServicePurpose {
    pub const ALL: [Self; 7] = [
        Self::Checkpoint,
        Self::GrantToken,
        Self::ImportToken,
        Self::MaterialId,
        Self::Marker,
        Self::RowState,
        Self::SessionToken,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::GrantToken => "grant-token",
            Self::ImportToken => "import-token",
            Self::MaterialId => "material-id",
            Self::Marker => "marker",
            Self::RowState => "row-state",
            Self::SessionToken => "session-token",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text)
    }
}

impl fmt::Display for ServicePurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl LogSafe for ServicePurpose {}

/// The name of one key of the ring, which is also the address of the row that keeps it: `keyring/<region or
/// global>/domain/<version>` or `keyring/global/service/<purpose>/<version>`. Versions count from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyringName {
    GlobalDomain { version: u32 },
    RegionDomain { region: RegionName, version: u32 },
    Service { purpose: ServicePurpose, version: u32 },
}

/// A text that is not the address of a keyring row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not the address of a keyring row")]
pub struct KeyringNameError {
    found: String,
}

impl KeyringName {
    pub fn parse(text: &str) -> Result<Self, KeyringNameError> {
        // An address may be as long as a row's; its beginning is enough to recognise it.
        Self::parse_parts(text).ok_or_else(|| KeyringNameError { found: text.chars().take(128).collect() })
    }

    pub(crate) fn domain(scope: Scope<'_>, version: u32) -> Self {
        match scope {
            Scope::Global => Self::GlobalDomain { version },
            Scope::Region(region) => Self::RegionDomain { region: region.clone(), version },
        }
    }

    /// The version, if this is a domain key of that scope.
    pub fn domain_version(&self, scope: Scope<'_>) -> Option<u32> {
        match self {
            Self::GlobalDomain { version } | Self::RegionDomain { version, .. } => {
                (self.scope() == scope).then_some(*version)
            }
            Self::Service { .. } => None,
        }
    }

    /// What the rows of a scope's domain keys begin with.
    pub fn domain_prefix(scope: Scope<'_>) -> String {
        format!("keyring/{scope}/domain/")
    }

    /// The scope of the row that keeps this key.
    pub fn scope(&self) -> Scope<'_> {
        match self {
            Self::GlobalDomain { .. } | Self::Service { .. } => Scope::Global,
            Self::RegionDomain { region, .. } => Scope::Region(region),
        }
    }

    /// What the root holder is told to bind the wrapped key to.
    pub fn root_purpose(&self) -> RootPurpose<'_> {
        match self {
            Self::GlobalDomain { version } => {
                RootPurpose::DomainKey { scope: Scope::Global, version: *version }
            }
            Self::RegionDomain { region, version } => {
                RootPurpose::DomainKey { scope: Scope::Region(region), version: *version }
            }
            Self::Service { purpose, version } => {
                RootPurpose::ServiceKey { purpose: *purpose, version: *version }
            }
        }
    }

    fn parse_parts(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("keyring/")?.split('/');
        let (scope, kind, third) = (parts.next()?, parts.next()?, parts.next()?);
        let name = match (scope, kind) {
            (GLOBAL, "service") => Self::Service {
                purpose: ServicePurpose::parse(third)?,
                version: parse_version(parts.next()?)?,
            },
            (GLOBAL, "domain") => Self::GlobalDomain { version: parse_version(third)? },
            (region, "domain") => {
                Self::RegionDomain { region: RegionName::parse(region).ok()?, version: parse_version(third)? }
            }
            _ => return None,
        };
        parts.next().is_none().then_some(name)
    }
}

impl fmt::Display for KeyringName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GlobalDomain { version } => write!(f, "keyring/{GLOBAL}/domain/{version}"),
            Self::RegionDomain { region, version } => write!(f, "keyring/{region}/domain/{version}"),
            Self::Service { purpose, version } => write!(f, "keyring/{GLOBAL}/service/{purpose}/{version}"),
        }
    }
}

impl FromStr for KeyringName {
    type Err = KeyringNameError;

    fn from_str(text: &str) -> Result<Self, KeyringNameError> {
        Self::parse(text)
    }
}

impl LogSafe for KeyringName {}

/// A version as [`fmt::Display`] writes it: no sign, no leading zero, not 0.
fn parse_version(text: &str) -> Option<u32> {
    let canonical =
        text.starts_with(|c: char| matches!(c, '1'..='9')) && text.bytes().all(|b| b.is_ascii_digit());
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::region;

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            "keyring",
            "keyring/",
            "keyring/global/domain",
            "keyring/global/domain/",
            "keyring/global/domain/0",
            "keyring/global/domain/01",
            "keyring/global/domain/+1",
            "keyring/global/domain/4294967296",
            "keyring/global/domain/1/",
            "keyring/global/domain/1/2",
            "keyring/Global/domain/1",
            "keyring//domain/1",
            "keyring/us-east-1/service/marker/1",
            "keyring/global/service/marker",
            "keyring/global/service/marker/0",
            "keyring/global/service/markers/1",
            "keyring/global/service/marker/1/1",
            "keyring/global/root/1",
            "keys/global/domain/1",
            " keyring/global/domain/1",
        ] {
            assert!(KeyringName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_round_trip() {
        let mut names = vec![
            KeyringName::GlobalDomain { version: 1 },
            KeyringName::RegionDomain { region: region("us-east-1"), version: u32::MAX },
        ];
        names.extend(ServicePurpose::ALL.map(|purpose| KeyringName::Service { purpose, version: 12 }));
        for name in names {
            assert_eq!(name.to_string().parse(), Ok(name.clone()));
            assert!(name.to_string().starts_with(&format!("keyring/{}/", name.scope())));
        }
    }

    #[test]
    fn domain_keys_know_their_scope() {
        let (eu, us) = (region("eu-central-1"), region("us-east-1"));
        let name = KeyringName::domain(Scope::Region(&eu), 3);
        assert_eq!(name.domain_version(Scope::Region(&us)), None);
        assert_eq!(name.domain_version(Scope::Global), None);
        assert_eq!(name.domain_version(Scope::Region(&eu)), Some(3));
        assert!(name.to_string().starts_with(&KeyringName::domain_prefix(Scope::Region(&eu))));
        let service = KeyringName::Service { purpose: ServicePurpose::Marker, version: 3 };
        assert_eq!(service.domain_version(Scope::Global), None);
    }

    #[test]
    fn addresses_are_as_documented() {
        for text in [
            "keyring/global/domain/1",
            "keyring/eu-central-1/domain/2",
            "keyring/global/service/checkpoint/1",
            "keyring/global/service/grant-token/1",
            "keyring/global/service/import-token/1",
            "keyring/global/service/marker/1",
            "keyring/global/service/material-id/1",
            "keyring/global/service/session-token/1",
        ] {
            assert_eq!(KeyringName::parse(text).unwrap().to_string(), text);
        }
    }
}

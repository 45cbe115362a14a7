//! Where a row stands: `<table>/<region or global>/<rest>`.
//!
//! Ids only, never a name with a path in it, with one exception that docs/security.md states: alias names, which
//! clients choose, are part of their row's address and so visible to whoever reads the store.

use std::fmt;

use strongroom_crypto::Scope;
use strongroom_types::RegionName;

/// The tables. Their names are part of the format: they stand in addresses and in what is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    AccessKey,
    Account,
    AccountKey,
    Alias,
    Deployment,
    DomainKey,
    Grant,
    Identity,
    IdentityName,
    Key,
    KeyUsage,
    OrphanedGrants,
    Outbox,
    Retirable,
    State,
    UsageTracking,
}

impl Table {
    pub const ALL: [Self; 16] = [
        Self::AccessKey,
        Self::Account,
        Self::AccountKey,
        Self::Alias,
        Self::Deployment,
        Self::DomainKey,
        Self::Grant,
        Self::Identity,
        Self::IdentityName,
        Self::Key,
        Self::KeyUsage,
        Self::OrphanedGrants,
        Self::Outbox,
        Self::Retirable,
        Self::State,
        Self::UsageTracking,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessKey => "access-key",
            Self::Account => "account",
            Self::AccountKey => "account-key",
            Self::Alias => "alias",
            Self::Deployment => "deployment",
            Self::DomainKey => "domain-key",
            Self::Grant => "grant",
            Self::Identity => "identity",
            Self::IdentityName => "identity-name",
            Self::Key => "key",
            Self::KeyUsage => "key-usage",
            Self::OrphanedGrants => "orphaned-grants",
            Self::Outbox => "outbox",
            Self::Retirable => "retirable",
            Self::State => "state",
            Self::UsageTracking => "usage-tracking",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// The shard a row belongs to: its domain key seals it and its state row counts it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowScope {
    Global,
    Region(RegionName),
}

impl RowScope {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Global => "global",
            Self::Region(region) => region.as_str(),
        }
    }

    pub fn to_crypto(&self) -> Scope<'_> {
        match self {
            Self::Global => Scope::Global,
            Self::Region(region) => Scope::Region(region),
        }
    }
}

/// A row's full address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    table: Table,
    scope: RowScope,
    text: String,
}

impl Address {
    pub(crate) fn new(table: Table, scope: RowScope, rest: fmt::Arguments<'_>) -> Self {
        let text = format!("{}/{}/{rest}", table.name(), scope.as_str());
        Self { table, scope, text }
    }

    /// What all rows of a table in a scope begin with.
    pub(crate) fn prefix(table: Table, scope: &RowScope) -> String {
        format!("{}/{}/", table.name(), scope.as_str())
    }

    /// Reads an address back from its text, as `check` does with every row of the store.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(3, '/');
        let table = Table::from_name(fields.next()?)?;
        let scope = match fields.next()? {
            "global" => RowScope::Global,
            region => RowScope::Region(RegionName::parse(region).ok()?),
        };
        fields.next().filter(|rest| !rest.is_empty())?;
        Some(Self { table, scope, text: text.to_owned() })
    }

    pub fn table(&self) -> Table {
        self.table
    }

    pub fn scope(&self) -> &RowScope {
        &self.scope
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands after table and scope.
    pub fn rest(&self) -> &str {
        self.text.splitn(3, '/').nth(2).unwrap_or_default()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_texts_are_no_addresses() {
        for text in
            ["", "key", "key/us-east-1", "key/us-east-1/", "keys/us-east-1/x", "key/US/x", "/global/x"]
        {
            assert!(Address::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn addresses_read_back() {
        let region = RegionName::parse("us-east-1").unwrap();
        let address = Address::new(Table::Alias, RowScope::Region(region), format_args!("1/alias/a/b"));
        assert_eq!(address.as_str(), "alias/us-east-1/1/alias/a/b");
        assert_eq!(Address::parse(address.as_str()), Some(address.clone()));
        assert_eq!(address.rest(), "1/alias/a/b");
        for table in Table::ALL {
            assert_eq!(Table::from_name(table.name()), Some(table));
        }
    }
}

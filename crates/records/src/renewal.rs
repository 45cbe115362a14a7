//! Renewal: moving the rows of a shard under its newest domain key, and finding out that nothing is left under older ones.
//!
//! A [`Renewal`] is one pass over all rows of a shard, in bounded steps, beside everything else. Rows under older domain
//! keys are written again with the value that they have, each only against the version that was read, and a key's
//! materials are wrapped again with its row. A pass holds nothing that must survive: after a crash the next one begins
//! anew and finds what is left. Ciphertext blobs hang from material alone and are not touched.
//!
//! What proves that an older version may be destroyed is a whole pass that met nothing under it ([`Unreferenced`]). That is
//! enough because nothing new can come: the state row is looked at first, and once it is under the newest version a group
//! was committed in the epoch of that version, after which the committing thread refuses batches that were sealed
//! earlier. Records of changes (`outbox`) are not moved, because the drainer deletes them soon; they count.

use strongroom_crypto::{KeyringEntry, KeyringName, RootHolder, sealed_domain_key_version, sealed_tag};
use strongroom_store::Row as StoredRow;

use crate::address::{Address, RowScope, Table};
use crate::error::{CommitError, RecordsError};
use crate::records::Records;
use crate::sealed::{cell, open, parse};
use crate::tables::Row;
use crate::tables::grant::GrantRow;
use crate::tables::key::KeyRow;
use crate::tables::state::StateRow;
use crate::writes::{Mark, Writes};

/// Rows read at once, which is also the most that one batch writes again.
const PAGE_ROWS: usize = 50;

/// One pass over a shard.
#[derive(Debug)]
pub struct Renewal {
    scope: RowScope,
    /// The version that everything is moved under.
    version: u32,
    /// Older versions that the keyring held when the pass began.
    older: Vec<u32>,
    /// `None` until the state row has been looked at.
    table: Option<usize>,
    after: Option<String>,
    renewed: Renewed,
}

/// What a pass has met so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Rows that were moved.
    pub moved: u64,
    /// Rows that are still under an older version, or of which it cannot be told.
    pub left: u64,
}

/// The proof that nothing refers to some older domain keys any more. Made by [`Renewal::unreferenced`] alone.
#[derive(Debug)]
pub struct Unreferenced {
    scope: RowScope,
    versions: Vec<u32>,
}

/// How a row stands to the newest domain key.
enum Standing {
    Current,
    Left,
    Moving,
}

impl Renewal {
    /// The scope that is walked.
    pub fn scope(&self) -> &RowScope {
        &self.scope
    }

    pub fn renewed(&self) -> Renewed {
        self.renewed
    }

    pub fn is_done(&self) -> bool {
        self.table.is_some_and(|table| table >= Table::ALL.len())
    }

    /// After a whole pass that met nothing under older versions: those.
    pub fn unreferenced(&self) -> Option<Unreferenced> {
        let is_clean = self.is_done() && self.renewed == Renewed::default() && !self.older.is_empty();
        is_clean.then(|| Unreferenced { scope: self.scope.clone(), versions: self.older.clone() })
    }

    fn advance(&mut self, page_end: Option<String>) {
        if page_end.is_none() {
            self.table = self.table.map(|table| table + 1);
        }
        self.after = page_end;
    }
}

impl Unreferenced {
    pub fn scope(&self) -> &RowScope {
        &self.scope
    }

    pub fn versions(&self) -> &[u32] {
        &self.versions
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = KeyringName> + '_ {
        self.versions.iter().map(|version| match self.scope.clone() {
            RowScope::Global => KeyringName::GlobalDomain { version: *version },
            RowScope::Region(region) => KeyringName::RegionDomain { region, version: *version },
        })
    }
}

impl Records {
    /// Begins a pass over a shard; `None` if there is no older domain key.
    pub fn renewal(&self, scope: &RowScope) -> Result<Option<Renewal>, RecordsError> {
        let mut older = self.domain_key_versions(scope)?;
        let Some(version) = older.pop().filter(|_| !older.is_empty()) else { return Ok(None) };
        let (scope, renewed) = (scope.clone(), Renewed::default());
        Ok(Some(Renewal { scope, version, older, table: None, after: None, renewed }))
    }

    /// The versions of a scope's domain key that this process holds, ascending; the last one seals.
    pub fn domain_key_versions(&self, scope: &RowScope) -> Result<Vec<u32>, RecordsError> {
        self.keyring.domain_key_versions(scope.to_crypto()).map_err(|error| domain_keys(scope, error))
    }

    /// Makes and wraps the next version of a scope's domain key, to be stored by [`Writes::create_domain_key`].
    pub fn next_domain_key(
        &self,
        root: &dyn RootHolder,
        scope: &RowScope,
    ) -> Result<KeyringEntry, RecordsError> {
        self.keyring.next_domain_key(root, scope.to_crypto()).map_err(|error| domain_keys(scope, error))
    }

    /// Makes the domain keys in memory those of the store, whatever became of a commit that stored or destroyed some.
    pub fn take_up_domain_keys(&self, root: &dyn RootHolder, scope: &RowScope) -> Result<(), RecordsError> {
        let prefix = KeyringName::domain_prefix(scope.to_crypto());
        let mut entries = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(&prefix, after.as_deref(), PAGE_ROWS)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (address, row) in page {
                let name = KeyringName::parse(&address).map_err(|source| {
                    RecordsError::bad_row(&address, "its address is not of the keyring", source)
                })?;
                entries.push(KeyringEntry { name, wrapped: row.value });
            }
        }
        let taken_up = self.keyring.take_up_domain_keys(root, scope.to_crypto(), &entries);
        taken_up.map_err(|error| domain_keys(scope, error))
    }

    /// One step of a pass: reads at most fifty rows and moves those that have to be. An error leaves the pass where it
    /// was, to be tried again.
    pub fn renew(&self, renewal: &mut Renewal) -> Result<(), RecordsError> {
        let Some(place) = renewal.table else {
            self.renew_state(renewal)?;
            renewal.table = Some(0);
            return Ok(());
        };
        let Some(&table) = Table::ALL.get(place) else { return Ok(()) };
        if table == Table::State {
            renewal.advance(None);
            return Ok(());
        }
        let prefix = Address::prefix(table, &renewal.scope);
        let page = self.store.scan(&prefix, renewal.after.as_deref(), PAGE_ROWS)?;
        let page_end = page.last().map(|(address, _)| address.clone());
        let renewed = self.renew_page(renewal.version, table, page)?;
        renewal.renewed.moved += renewed.moved;
        renewal.renewed.left += renewed.left;
        renewal.advance(page_end);
        Ok(())
    }

    /// The state row is sealed anew with every group that touches its shard, so an empty one will do.
    fn renew_state(&self, renewal: &mut Renewal) -> Result<(), RecordsError> {
        let address = StateRow::address(&renewal.scope);
        let row = self.store.get(address.as_str())?;
        let row = row.ok_or_else(|| RecordsError::MissingRow { address: address.to_string() })?;
        if sealed_domain_key_version(&row.value) == Some(renewal.version) {
            return Ok(());
        }
        let mut writes = Writes::default();
        writes.touch(renewal.scope.clone());
        self.commit_renewed(writes)?;
        renewal.renewed.moved += 1;
        Ok(())
    }

    fn renew_page(
        &self,
        version: u32,
        table: Table,
        page: Vec<(String, StoredRow)>,
    ) -> Result<Renewed, RecordsError> {
        let (mut renewed, mut writes) = (Renewed::default(), Writes::default());
        for (text, row) in page {
            match self.renew_row(version, table, &text, &row, &mut writes) {
                Ok(Standing::Current | Standing::Moving) => {}
                Ok(Standing::Left) => renewed.left += 1,
                Err(error) => {
                    renewed.left += 1;
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(row = text, error, "a row cannot be moved under the newest domain key");
                }
            }
        }
        let moving = writes.len() as u64;
        if moving == 0 {
            return Ok(renewed);
        }
        match self.commit_renewed(writes)? {
            true => renewed.moved += moving,
            false => renewed.left += moving,
        }
        Ok(renewed)
    }

    fn renew_row(
        &self,
        version: u32,
        table: Table,
        text: &str,
        row: &StoredRow,
        writes: &mut Writes,
    ) -> Result<Standing, RecordsError> {
        let is_current = sealed_domain_key_version(&row.value) == Some(version);
        let address = parse(text)?;
        // Sealing it anew would make it look like one of ours.
        self.check_trusted(&address)?;
        let mark = Mark { version: row.version, tag: sealed_tag(&row.value).unwrap_or_default() };
        match table {
            // A key's materials are looked at even if its row is current: to destroy what one of them needs is to lose it.
            Table::Key => {
                let loaded = open::<KeyRow>(&self.keyring, &address, row)?;
                if is_current && loaded.is_wrapped_under(version) {
                    return Ok(Standing::Current);
                }
                let mut key = (*loaded).clone();
                key.rewrap(&self.keyring);
                if !key.is_wrapped_under(version) {
                    // `rewrap` has named the material.
                    return Ok(Standing::Left);
                }
                writes.seal_again(address, mark, key.encode());
            }
            _ if is_current => return Ok(Standing::Current),
            // Decoded, so that whoever keeps grants in memory keeps them.
            Table::Grant => {
                let loaded = open::<GrantRow>(&self.keyring, &address, row)?;
                writes.update(&loaded, (*loaded).clone());
            }
            Table::Outbox => return Ok(Standing::Left),
            Table::AccessKey
            | Table::Account
            | Table::AccountKey
            | Table::Alias
            | Table::Deployment
            | Table::DomainKey
            | Table::KeyUsage
            | Table::OrphanedGrants
            | Table::Retirable
            | Table::Identity
            | Table::IdentityName
            | Table::State
            | Table::UsageTracking => {
                let opened = self.keyring.open_row(&cell(&address, row.version), &row.value);
                let plain =
                    opened.map_err(|source| RecordsError::bad_row(text, "it does not open", source))?;
                writes.seal_again(address, mark, plain);
            }
        }
        Ok(Standing::Moving)
    }

    /// Whether the rows were moved; a row that changed meanwhile is met again by the next pass.
    fn commit_renewed(&self, writes: Writes) -> Result<bool, RecordsError> {
        match self.commit_blocking(writes, Vec::new()) {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(CommitError::Failed(error)) => Err(error),
            // After an unknown outcome the rows are as they were or moved: the next reading tells.
            Err(CommitError::Closed | CommitError::Unknown) => Err(RecordsError::NotWritten),
        }
    }
}

fn domain_keys(scope: &RowScope, source: impl Into<strongroom_crypto::KeyringError>) -> RecordsError {
    RecordsError::DomainKeys { scope: scope.as_str().to_owned(), source: source.into() }
}

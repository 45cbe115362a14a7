//! The offline check: every row opens and is of its version, indexes agree both ways, every material opens, and every
//! shard holds exactly the rows that its state row says.
//!
//! It reads page by page and looks the other side of each index up, so memory does not grow with the store. It
//! repairs nothing.

use std::collections::BTreeMap;
use std::fmt;

use strongroom_crypto::{Keyring, SetHash, sealed_tag};
use strongroom_store::{Row as StoredRow, Store};
use strongroom_types::RegionName;

use crate::address::{Address, RowScope, Table};
use crate::error::RecordsError;
use crate::sealed::{load, open};
use crate::states::{load_states, row_mac, scopes};
use crate::tables::Row;
use crate::tables::access_key::AccessKeyRow;
use crate::tables::account::AccountRow;
use crate::tables::account_key::AccountKeyRow;
use crate::tables::alias::AliasRow;
use crate::tables::deployment::DeploymentRow;
use crate::tables::domain_key::DomainKeyRow;
use crate::tables::grant::GrantRow;
use crate::tables::identity::IdentityRow;
use crate::tables::identity_name::IdentityNameRow;
use crate::tables::key::KeyRow;
use crate::tables::key_usage::KeyUsageRow;
use crate::tables::orphaned_grants::OrphanedGrantsRow;
use crate::tables::outbox::OutboxRow;
use crate::tables::retirable::RetirableRow;
use crate::tables::state::StateRow;
use crate::tables::usage_tracking::UsageTrackingRow;
use crate::walk::Move;
use crate::writes::{Loaded, Mark};

const PAGE_ROWS: usize = 500;
/// Problems beyond this are counted, not listed.
const PROBLEMS_LISTED_MAX: usize = 1000;

/// What the check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows by table, `keyring` among them.
    pub rows: BTreeMap<&'static str, u64>,
    /// Key materials that opened.
    pub materials: u64,
    pub problems: Vec<String>,
    pub problems_total: u64,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.problems_total == 0
    }

    pub(crate) fn problem(&mut self, text: String) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(text);
        }
    }
}

pub(crate) struct Check<'a> {
    store: &'a dyn Store,
    keyring: &'a Keyring,
    pub(crate) report: Report,
    pub(crate) found: BTreeMap<RowScope, Move>,
}

/// Walks the whole store. `progress` is told how many rows have been read. Only a store that cannot be read at all is
/// an error; everything else is a problem in the report.
pub fn check(
    store: &dyn Store,
    keyring: &Keyring,
    regions: &[RegionName],
    progress: &mut dyn FnMut(u64),
) -> Result<Report, RecordsError> {
    let mut check = Check::new(store, keyring, regions);
    if let Err(error) = store.integrity_check() {
        check.report.problem(chain(&error));
    }
    let mut after: Option<String> = None;
    let mut read = 0_u64;
    loop {
        let page = store.scan("", after.as_deref(), PAGE_ROWS)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        for (address, row) in &page {
            check.row(address, row)?;
        }
        read = read.saturating_add(page.len() as u64);
        progress(read);
    }
    check.states(regions)?;
    Ok(check.report)
}

impl<'a> Check<'a> {
    pub(crate) fn new(store: &'a dyn Store, keyring: &'a Keyring, regions: &[RegionName]) -> Self {
        let found = scopes(regions).map(|scope| (scope, Move::default())).collect();
        Self { store, keyring, report: Report::default(), found }
    }

    pub(crate) fn row(&mut self, text: &str, row: &StoredRow) -> Result<(), RecordsError> {
        if text.starts_with("keyring/") {
            // Opened with the root key before the check began: a keyring that does not open ends there.
            *self.report.rows.entry("keyring").or_default() += 1;
            return Ok(());
        }
        let Some(address) = Address::parse(text) else {
            self.report.problem(format!("row `{text}` is not of any table"));
            return Ok(());
        };
        *self.report.rows.entry(address.table().name()).or_default() += 1;
        if !self.found.contains_key(address.scope()) {
            self.report.problem(format!("row `{text}` is of a region that this deployment does not have"));
            return Ok(());
        }
        self.count(&address, row)?;
        match address.table() {
            Table::AccessKey => self.opens::<AccessKeyRow>(&address, row).map(|_| ()),
            Table::Account => self.opens::<AccountRow>(&address, row).map(|_| ()),
            Table::Deployment => self.opens::<DeploymentRow>(&address, row).map(|_| ()),
            Table::DomainKey => self.opens::<DomainKeyRow>(&address, row).map(|_| ()),
            Table::Outbox => self.opens::<OutboxRow>(&address, row).map(|_| ()),
            Table::State => self.opens::<StateRow>(&address, row).map(|_| ()),
            Table::UsageTracking => self.opens::<UsageTrackingRow>(&address, row).map(|_| ()),
            Table::AccountKey => match self.opens::<AccountKeyRow>(&address, row) {
                Some(index) => return self.account_key(&index),
                None => None,
            },
            Table::Alias => match self.opens::<AliasRow>(&address, row) {
                Some(alias) => return self.alias(&alias),
                None => None,
            },
            Table::Grant => match self.opens::<GrantRow>(&address, row) {
                Some(grant) => return self.grant(&grant),
                None => None,
            },
            Table::KeyUsage => match self.opens::<KeyUsageRow>(&address, row) {
                Some(usage) => return self.key_usage(&usage),
                None => None,
            },
            Table::OrphanedGrants => match self.opens::<OrphanedGrantsRow>(&address, row) {
                Some(orphaned) => return self.orphaned_grants(&orphaned),
                None => None,
            },
            Table::Retirable => match self.opens::<RetirableRow>(&address, row) {
                Some(index) => return self.retirable(&index),
                None => None,
            },
            Table::Identity => match self.opens::<IdentityRow>(&address, row) {
                Some(identity) => return self.identity(&identity),
                None => None,
            },
            Table::IdentityName => match self.opens::<IdentityNameRow>(&address, row) {
                Some(name) => return self.identity_name(&name),
                None => None,
            },
            Table::Key => match self.opens::<KeyRow>(&address, row) {
                Some(key) => return self.key(&key),
                None => None,
            },
        };
        Ok(())
    }

    /// Adds a row to what its shard was found to hold. The state rows themselves are not counted.
    fn count(&mut self, address: &Address, row: &StoredRow) -> Result<(), RecordsError> {
        if address.table() == Table::State {
            return Ok(());
        }
        let mac = stored_mac(self.keyring, address, row)?;
        if let Some(found) = self.found.get_mut(address.scope()) {
            found.add(&Move { hash: SetHash::from_bytes(mac), rows: 1 });
        }
        Ok(())
    }

    fn opens<R: Row>(&mut self, address: &Address, row: &StoredRow) -> Option<Loaded<R>> {
        open(self.keyring, address, row).map_err(|error| self.report.problem(chain(&error))).ok()
    }

    /// The other side of an index. That it does not open is reported where the walk meets it, not here.
    fn other<R: Row>(&self, address: &Address) -> Result<Option<Loaded<R>>, RecordsError> {
        match load(self.store, self.keyring, address) {
            Err(RecordsError::BadRow { .. }) => Ok(None),
            other => other,
        }
    }

    fn account_key(&mut self, index: &Loaded<AccountKeyRow>) -> Result<(), RecordsError> {
        let RowScope::Region(region) = index.address().scope() else { return Ok(()) };
        let key = self.other::<KeyRow>(&KeyRow::address(region, &index.key_id))?;
        let agrees = key.is_some_and(|key| {
            AccountKeyRow::address(region, key.account(), &key.key_id()) == *index.address()
        });
        if !agrees {
            self.report.problem(format!("index row `{}` has no key", index.address()));
        }
        Ok(())
    }

    fn alias(&mut self, alias: &Loaded<AliasRow>) -> Result<(), RecordsError> {
        let RowScope::Region(region) = alias.address().scope() else { return Ok(()) };
        let key = self.other::<KeyRow>(&KeyRow::address(region, &alias.target))?;
        let name = AliasRow::parse_address(alias.address());
        let agrees = key
            .zip(name)
            .is_some_and(|(key, (account, name))| key.account() == account && key.aliases().contains(&name));
        if !agrees {
            self.report.problem(format!("alias row `{}` is not listed by its target", alias.address()));
        }
        Ok(())
    }

    /// A grant belongs to its key, or to one that was destroyed and whose grants are being removed.
    fn grant(&mut self, grant: &Loaded<GrantRow>) -> Result<(), RecordsError> {
        let RowScope::Region(region) = grant.address().scope() else { return Ok(()) };
        let key = self.other::<KeyRow>(&KeyRow::address(region, &grant.key_id))?;
        if !key.is_some_and(|key| grant.is_of(&key)) {
            let orphaned = OrphanedGrantsRow::address(region, &grant.key_id, grant.key_created);
            if self.other::<OrphanedGrantsRow>(&orphaned)?.is_none() {
                self.report.problem(format!("grant row `{}` has no key", grant.address()));
            }
        }
        if let Some(retiring) = &grant.retiring {
            let index = RetirableRow::address(region, retiring, &grant.key_id, &grant.grant_id);
            if self.other::<RetirableRow>(&index)?.is_none() {
                self.report.problem(format!(
                    "grant row `{}` is not in the index of its retiring principal",
                    grant.address()
                ));
            }
        }
        Ok(())
    }

    fn orphaned_grants(&mut self, orphaned: &Loaded<OrphanedGrantsRow>) -> Result<(), RecordsError> {
        let RowScope::Region(region) = orphaned.address().scope() else { return Ok(()) };
        let key = self.other::<KeyRow>(&KeyRow::address(region, &orphaned.key_id))?;
        if key.is_some_and(|key| key.created() == orphaned.key_created) {
            self.report.problem(format!("row `{}` is of a key that is there", orphaned.address()));
        }
        Ok(())
    }

    fn key_usage(&mut self, usage: &Loaded<KeyUsageRow>) -> Result<(), RecordsError> {
        let RowScope::Region(region) = usage.address().scope() else { return Ok(()) };
        if self.other::<KeyRow>(&KeyRow::address(region, &usage.key_id))?.is_none() {
            self.report.problem(format!("usage row `{}` has no key", usage.address()));
        }
        Ok(())
    }

    fn retirable(&mut self, index: &Loaded<RetirableRow>) -> Result<(), RecordsError> {
        let RowScope::Region(region) = index.address().scope() else { return Ok(()) };
        let grant = GrantRow::address(region, &index.key_id, &index.grant_id);
        let grant = self.other::<GrantRow>(&grant)?;
        if !grant.is_some_and(|grant| grant.retiring.as_ref() == Some(&index.retiring)) {
            self.report.problem(format!("index row `{}` has no grant", index.address()));
        }
        Ok(())
    }

    /// Grants that do not open are reported where the walk meets them.
    fn count_grants(&self, key: &KeyRow) -> Result<u32, RecordsError> {
        let prefix = GrantRow::prefix(key.region(), &key.key_id());
        let (mut count, mut after): (u32, Option<String>) = (0, None);
        loop {
            let page = self.store.scan(&prefix, after.as_deref(), PAGE_ROWS)?;
            let Some((last, _)) = page.last() else { return Ok(count) };
            after = Some(last.clone());
            for (text, row) in &page {
                let grant = Address::parse(text)
                    .and_then(|address| open::<GrantRow>(self.keyring, &address, row).ok());
                count = count.saturating_add(u32::from(grant.is_some_and(|grant| grant.is_of(key))));
            }
        }
    }

    fn identity(&mut self, identity: &Loaded<IdentityRow>) -> Result<(), RecordsError> {
        let (id, name) = (identity.unique_id(), identity.name());
        let address = IdentityNameRow::address(identity.account(), id.kind(), name);
        if self.other::<IdentityNameRow>(&address)?.is_none_or(|name| name.unique_id != id) {
            self.report.problem(format!("identity row `{}` has no name of its own", identity.address()));
        }
        Ok(())
    }

    fn identity_name(&mut self, name: &Loaded<IdentityNameRow>) -> Result<(), RecordsError> {
        let identity = self.other::<IdentityRow>(&IdentityRow::address(&name.unique_id))?;
        let agrees = identity.is_some_and(|identity| {
            let id = identity.unique_id();
            IdentityNameRow::address(identity.account(), id.kind(), identity.name()) == *name.address()
        });
        if !agrees {
            self.report.problem(format!("name row `{}` has no identity", name.address()));
        }
        Ok(())
    }

    fn key(&mut self, key: &Loaded<KeyRow>) -> Result<(), RecordsError> {
        let (region, account) = (key.region(), key.account());
        let index = AccountKeyRow::address(region, account, &key.key_id());
        if self.other::<AccountKeyRow>(&index)?.is_none() {
            self.report.problem(format!("key row `{}` is in no index", key.address()));
        }
        for name in key.aliases() {
            let alias = self.other::<AliasRow>(&AliasRow::address(region, account, name))?;
            if alias.is_none_or(|alias| alias.target != key.key_id()) {
                self.report.problem(format!(
                    "key row `{}` lists alias `{name}`, which is not its own",
                    key.address()
                ));
            }
        }
        let (counted, found) = (key.grants(), self.count_grants(key)?);
        if counted != found {
            self.report
                .problem(format!("key row `{}` counts {counted} grants and has {found}", key.address()));
        }
        for material in key.materials() {
            let checked = self.keyring.check_material(
                region,
                &key.key_id(),
                &material.id,
                &material.wrapped,
                key.public_key(),
            );
            match checked {
                Ok(()) => self.report.materials += 1,
                Err(error) => {
                    self.report.problem(format!(
                        "material {} of `{}`: {}",
                        material.id,
                        key.address(),
                        chain(&error)
                    ));
                }
            }
        }
        Ok(())
    }

    /// Compares what was found in each shard with what its state row says.
    fn states(&mut self, regions: &[RegionName]) -> Result<(), RecordsError> {
        let states = match load_states(self.store, self.keyring, regions) {
            Ok(states) => states,
            Err(error @ (RecordsError::BadRow { .. } | RecordsError::MissingRow { .. })) => {
                self.report.problem(chain(&error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for (scope, found) in std::mem::take(&mut self.found) {
            let Some(problem) =
                states.row(&scope).and_then(|state| ShardProblem::find(&scope, state, &found))
            else {
                continue;
            };
            self.report.problem(problem.to_string());
            if let Some(extra) = problem.extra_row(self.store, self.keyring)? {
                self.report.problem(extra_row_text(&extra));
            }
        }
        Ok(())
    }
}

/// A shard that holds other rows than its state row says.
#[derive(Debug, Clone)]
pub(crate) struct ShardProblem {
    scope: RowScope,
    expected_rows: u64,
    found_rows: i64,
    /// What the rows found and the rows expected differ by.
    difference: SetHash,
}

impl ShardProblem {
    pub(crate) fn find(scope: &RowScope, state: &StateRow, found: &Move) -> Option<Self> {
        let mut difference = SetHash::from_bytes(state.set_hash);
        difference.xor(found.hash.as_bytes());
        let is_number_right = i64::try_from(state.rows).is_ok_and(|rows| rows == found.rows);
        let is_right = is_number_right && difference == SetHash::default();
        (!is_right).then(|| Self {
            scope: scope.clone(),
            expected_rows: state.rows,
            found_rows: found.rows,
            difference,
        })
    }

    /// The row that is too many, if there is just one: the difference is its own hash then. (Where the state itself was
    /// put back, it is a row that was written since.) Of a row that is missing, or that stands in another one's place,
    /// nothing here says which it is.
    pub(crate) fn extra_row(
        &self,
        store: &dyn Store,
        keyring: &Keyring,
    ) -> Result<Option<Address>, RecordsError> {
        let mut after: Option<String> = None;
        loop {
            let page = store.scan("", after.as_deref(), PAGE_ROWS)?;
            let Some((last, _)) = page.last() else { return Ok(None) };
            after = Some(last.clone());
            for (text, row) in &page {
                let address = Address::parse(text)
                    .filter(|address| *address.scope() == self.scope && address.table() != Table::State);
                if let Some(address) = address
                    && stored_mac(keyring, &address, row)? == *self.difference.as_bytes()
                {
                    return Ok(Some(address));
                }
            }
        }
    }
}

impl fmt::Display for ShardProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, expected, found) = (self.scope.as_str(), self.expected_rows, self.found_rows);
        if i64::try_from(expected).is_ok_and(|expected| expected == found) {
            write!(
                f,
                "shard `{name}` holds a row that is not the one last written: an old row was put back, or one was replaced"
            )
        } else {
            write!(f, "shard `{name}` should hold {expected} rows and holds {found}")
        }
    }
}

pub(crate) fn extra_row_text(address: &Address) -> String {
    format!(
        "row `{address}` is unknown to the state of its shard: it was deleted and put back, or the state is an old one"
    )
}

fn stored_mac(keyring: &Keyring, address: &Address, row: &StoredRow) -> Result<[u8; 32], RecordsError> {
    let tag = sealed_tag(&row.value).unwrap_or_default();
    row_mac(keyring, address, Mark { version: row.version, tag })
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

//! How an operation reaches rows, before anything is decided.

use std::sync::Arc;

use strongroom_crypto::{GrantTokenError, GrantTokenFacts};
use strongroom_policy::{
    Action, GrantFacts, GrantOperation, GrantPrincipal, IdentityKind, KeyPolicy, LockoutQuestion,
    PolicyIdentity, Principal, RoleSession, would_lock_out,
};
use strongroom_records::{
    AccountKeyRow, AccountRow, AliasRow, GrantRow, IdentityNameRow, KeyRow, KeyUse, Loaded, Readiness,
    Records, RecordsError, RetirableRow, Seen,
};
use strongroom_types::{
    AccountId, AliasName, GrantId, KeyArn, KeyId, RegionName, Timestamp, UniqueId, UniqueIdKind, limits,
};
use strongroom_wire::ErrorKind;

use crate::caller::Caller;
use crate::facts::{CheckFacts, LazyFacts, RequestFacts, Setting};
use crate::fault::Fault;
use crate::operation::{Grant, Key, World};
use crate::parts::Parts;
use crate::usage::{Idleness, KeyUses, UsageError};

/// Index rows read at once.
const RETIRABLE_PAGE_ROWS: usize = 200;
/// Grants read at once.
const GRANTS_PAGE_ROWS: usize = 200;

/// What the caller's grants say.
pub(crate) enum Granted {
    /// They must be read first, where that may take its time.
    MustRead,
    No,
    Yes,
}

/// A page of the grants that somebody may retire.
pub struct RetirableGrants {
    /// Each with its place in the index.
    pub grants: Vec<(String, Key, Grant)>,
    /// The last place that was looked at; `None` at the end of the index.
    pub last: Option<String>,
}

/// The only road to rows. The pipeline hands it to [`Operation::targets`](crate::Operation::targets) and keeps account
/// of every row, and every absence, that was seen through it: a change is committed only if all of it still holds.
pub struct Reader<'a> {
    records: &'a Records,
    usage: &'a KeyUses,
    caller: &'a Caller,
    setting: &'a Setting<'a>,
    world: &'a World<'a>,
    seen: Option<Vec<Seen>>,
}

impl<'a> Reader<'a> {
    /// `tracks`: whether what is seen matters later, that is, whether the operation can change anything.
    pub(crate) fn new(
        parts: &'a Parts,
        caller: &'a Caller,
        setting: &'a Setting<'a>,
        world: &'a World<'a>,
        tracks: bool,
    ) -> Self {
        let Parts { records, usage, .. } = parts;
        Self { records, usage, caller, setting, world, seen: tracks.then(Vec::new) }
    }

    pub(crate) fn into_seen(self) -> Vec<Seen> {
        self.seen.unwrap_or_default()
    }

    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    pub fn world(&self) -> &'a World<'a> {
        self.world
    }

    /// Whether the caller could not change a key's policy any more if it were this one (see
    /// [`would_lock_out`]), in a request from the same place with these facts.
    pub fn would_lock_out(
        &self,
        policy: &KeyPolicy,
        key: &KeyArn,
        row: Option<&KeyRow>,
        facts: RequestFacts<'_>,
    ) -> bool {
        let ask = || facts;
        let facts = CheckFacts {
            action: Action::PutKeyPolicy,
            attestation: None,
            caller: self.caller,
            idleness: self.idleness(),
            key: row,
            re_encrypts_on_same_key: None,
            request: LazyFacts::new(&ask),
            setting: self.setting,
        };
        let (policies, principal) = (self.caller.policies(), self.caller.principal());
        would_lock_out(policy, &LockoutQuestion { facts: &facts, key, policies, principal })
    }

    /// The region that was asked.
    pub fn region(&self) -> &'a RegionName {
        self.caller.region()
    }

    /// A key of the region that was asked.
    pub fn key(&mut self, key_id: &KeyId) -> Result<Option<Arc<Loaded<KeyRow>>>, RecordsError> {
        let key = self.records.key(self.region(), key_id)?;
        if let Some(seen) = &mut self.seen {
            seen.push(match &key {
                Some(key) => key.seen(),
                None => Seen::absent(KeyRow::address(self.caller.region(), key_id)),
            });
        }
        Ok(key)
    }

    /// When the key was last used; `None` if that is not known of any use. Nobody's change depends on it, so it is not
    /// tracked.
    pub fn last_use(&self, key: &Key) -> Result<Option<KeyUse>, UsageError> {
        self.usage.last_use(self.records, key)
    }

    /// Since when the uses of the key are known without a gap.
    pub fn tracked_since(&self, key: &Key) -> Timestamp {
        self.usage.tracked_since(key)
    }

    pub(crate) fn idleness(&self) -> Idleness<'a> {
        Idleness::new(self.usage, self.records)
    }

    /// An alias of the region that was asked.
    pub fn alias(
        &mut self,
        account: AccountId,
        name: &AliasName,
    ) -> Result<Option<Arc<Loaded<AliasRow>>>, RecordsError> {
        let alias = self.records.alias(self.region(), account, name)?;
        if let Some(seen) = &mut self.seen {
            seen.push(match &alias {
                Some(alias) => alias.seen(),
                None => Seen::absent(AliasRow::address(self.caller.region(), account, name)),
            });
        }
        Ok(alias)
    }

    /// A key as the store has it at this moment. Two rows from memory may be of two moments, on both sides of a commit:
    /// whoever finds that they contradict each other asks again here before accusing the store.
    pub fn stored_key(&mut self, key_id: &KeyId) -> Result<Option<Arc<Loaded<KeyRow>>>, RecordsError> {
        let key = self.records.load::<KeyRow>(&KeyRow::address(self.region(), key_id))?;
        if let (Some(seen), Some(key)) = (&mut self.seen, &key) {
            seen.push(key.seen());
        }
        Ok(key.map(Arc::new))
    }

    /// An alias as the store has it at this moment.
    pub fn stored_alias(
        &mut self,
        account: AccountId,
        name: &AliasName,
    ) -> Result<Option<Arc<Loaded<AliasRow>>>, RecordsError> {
        let alias = self.records.load::<AliasRow>(&AliasRow::address(self.region(), account, name))?;
        if let (Some(seen), Some(alias)) = (&mut self.seen, &alias) {
            seen.push(alias.seen());
        }
        Ok(alias.map(Arc::new))
    }

    /// Whether the deployment has this account. Accounts are only ever added, so this need not be tracked.
    pub fn has_account(&self, account: AccountId) -> Result<bool, RecordsError> {
        Ok(self.records.load::<AccountRow>(&AccountRow::address(account))?.is_some())
    }

    /// The user or role that a policy names, if there is one. Identities change only while nobody serves, so this need
    /// not be tracked.
    pub fn unique_id(&self, named: &PolicyIdentity) -> Result<Option<UniqueId>, RecordsError> {
        let kind = match named.kind {
            IdentityKind::AssumedRole | IdentityKind::Role => UniqueIdKind::Role,
            IdentityKind::User => UniqueIdKind::User,
        };
        let address = IdentityNameRow::address(named.account, kind, named.bare_name());
        let Some(name) = self.records.load::<IdentityNameRow>(&address)? else { return Ok(None) };
        let identity = self.records.identity(&name.unique_id)?;
        // ARNs are exact in case and path, whatever the uniqueness of names says.
        Ok(identity.filter(|identity| named.has_name(identity.path_and_name())).map(|_| name.unique_id))
    }

    /// The ARN of whom a grant names by a unique id; `None` if there is nobody with it any more.
    pub fn arn_of(&self, name: &str) -> Result<Option<String>, RecordsError> {
        let (id, session) = match name.split_once(':') {
            Some((id, session)) => (id, Some(session)),
            None => (name, None),
        };
        let Ok(id) = UniqueId::parse(id) else { return Ok(None) };
        let Some(row) = self.records.identity(&id)? else { return Ok(None) };
        let (identity, partition) = (row.to_identity(), self.region().partition());
        Ok(Some(match (id.kind(), session) {
            (UniqueIdKind::User, _) => Principal::User(identity).arn(partition),
            (UniqueIdKind::Role, None) => identity.role_arn(partition),
            (UniqueIdKind::Role, Some(session)) => {
                Principal::RoleSession(RoleSession { role: identity, session: session.into() }).arn(partition)
            }
        }))
    }

    /// A page of an account's keys, in the order of their ids, strictly after `after`.
    pub fn account_keys(
        &self,
        account: AccountId,
        after: Option<&KeyId>,
        limit: usize,
    ) -> Result<Vec<KeyId>, RecordsError> {
        let prefix = AccountKeyRow::prefix(self.region(), account);
        let after = after.map(|key_id| AccountKeyRow::address(self.region(), account, key_id));
        let rows = self.records.scan::<AccountKeyRow>(&prefix, after.as_ref().map(|a| a.as_str()), limit)?;
        Ok(rows.iter().map(|row| row.key_id).collect())
    }

    /// A page of an account's aliases, in the order of their names, strictly after `after`.
    pub fn aliases(
        &self,
        account: AccountId,
        after: Option<&AliasName>,
        limit: usize,
    ) -> Result<Vec<Loaded<AliasRow>>, RecordsError> {
        let prefix = AliasRow::prefix(self.region(), account);
        let after = after.map(|name| AliasRow::address(self.region(), account, name));
        self.records.scan(&prefix, after.as_ref().map(|a| a.as_str()), limit)
    }

    /// A grant on the key, from the store.
    pub fn grant(&mut self, key: &Key, id: &GrantId) -> Result<Option<Grant>, RecordsError> {
        let grant = self.records.grant(key, id)?.map(Arc::new);
        if let Some(seen) = &mut self.seen {
            seen.push(match &grant {
                Some(grant) => grant.seen(),
                None => Seen::absent(GrantRow::address(key.region(), &key.key_id(), id)),
            });
        }
        Ok(grant)
    }

    /// The same, for those who only show it.
    pub fn grant_untracked(&self, key: &Key, id: &GrantId) -> Result<Option<Loaded<GrantRow>>, RecordsError> {
        self.records.grant(key, id)
    }

    /// A grant's row in the index of those who may retire it.
    pub fn retirable(&mut self, grant: &Grant) -> Result<Option<Loaded<RetirableRow>>, RecordsError> {
        let row = self.records.retirable_of(self.caller.region(), grant)?;
        if let (Some(seen), Some(row)) = (&mut self.seen, &row) {
            seen.push(row.seen());
        }
        Ok(row)
    }

    /// A page of the grants on a key, of all grantees or of one, in the order of their ids, strictly after `after`.
    pub fn grants_of_key(
        &self,
        key: &Key,
        grantee: Option<&GrantPrincipal>,
        after: Option<&GrantId>,
        limit: usize,
    ) -> Result<Vec<Loaded<GrantRow>>, RecordsError> {
        let (region, key_id) = (key.region(), key.key_id());
        let prefix = match grantee {
            Some(grantee) => {
                GrantRow::grantee_prefix(region, &key_id, GrantRow::grantee_tag(&key_id, grantee))
            }
            None => GrantRow::prefix(region, &key_id),
        };
        let mut after = after.map(|id| GrantRow::address(region, &key_id, id));
        let mut found = Vec::new();
        loop {
            let page = self.records.scan::<GrantRow>(
                &prefix,
                after.as_ref().map(|address| address.as_str()),
                GRANTS_PAGE_ROWS,
            )?;
            let is_last = page.len() < GRANTS_PAGE_ROWS;
            after = page.last().map(|grant| grant.address().clone());
            let is_wanted = |grant: &Loaded<GrantRow>| {
                grant.is_of(key) && grantee.is_none_or(|grantee| grant.grantee == *grantee)
            };
            found.extend(page.into_iter().filter(is_wanted));
            if is_last || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// A page of the grants that this principal may retire, in the order of the index, strictly after `after`. Those of
    /// destroyed keys are passed over, and only so many are looked at: a page may be short and not be the last.
    pub fn retirable_grants(
        &self,
        retiring: &GrantPrincipal,
        after: Option<&str>,
        limit: usize,
    ) -> Result<RetirableGrants, RecordsError> {
        let region = self.caller.region();
        let prefix = RetirableRow::prefix(region, retiring);
        let mut grants = Vec::new();
        let mut last = after.map(|place| format!("{prefix}{place}"));
        let mut looked_at = 0;
        while looked_at < limits::LIST_RETIRABLE_ROWS_MAX {
            let page = self.records.scan::<RetirableRow>(&prefix, last.as_deref(), RETIRABLE_PAGE_ROWS)?;
            let is_last = page.len() < RETIRABLE_PAGE_ROWS;
            for row in page {
                let address = row.address().as_str();
                let place = address.strip_prefix(&prefix).unwrap_or_default().to_owned();
                last = Some(address.to_owned());
                looked_at += 1;
                if row.retiring != *retiring {
                    continue;
                }
                let Some(key) = self.records.key(region, &row.key_id)? else { continue };
                let Some(grant) = self.records.grant(&key, &row.grant_id)? else { continue };
                grants.push((place.clone(), key, Arc::new(grant)));
                if grants.len() == limit {
                    return Ok(RetirableGrants { grants, last: Some(place) });
                }
            }
            if is_last {
                return Ok(RetirableGrants { grants, last: None });
            }
        }
        let last = last.as_deref().and_then(|address| address.strip_prefix(&prefix)).map(str::to_owned);
        Ok(RetirableGrants { grants, last })
    }

    /// What a grant token says that this service made for a grant of this region.
    pub fn open_grant_token(&self, token: &str) -> Result<GrantTokenFacts, Fault> {
        self.world.keyring.open_grant_token(self.caller.region(), token).map_err(|error| match error {
            GrantTokenError::Invalid => Self::invalid_grant_token(),
            failed @ GrantTokenError::Crypto(_) => Fault::internal(failed),
        })
    }

    /// The grant that a token is of, if there still is one on this key.
    pub fn grant_of_token(&mut self, facts: &GrantTokenFacts, key: &Key) -> Result<Grant, Fault> {
        let grant = self.grant(key, &facts.grant_id).map_err(Fault::internal)?;
        grant.filter(|grant| grant.serial == facts.serial).ok_or_else(Self::invalid_grant_token)
    }

    /// One answer for every token that is not of a grant here: made by nobody of us, of another key or region, or of a
    /// grant that is gone.
    pub fn invalid_grant_token() -> Fault {
        Fault::new(ErrorKind::InvalidGrantToken, "The grant token is not valid.")
    }

    /// Refuses a token that is not of a grant on one of these keys.
    pub(crate) fn check_grant_tokens(&mut self, tokens: &[String], keys: &[Key]) -> Result<(), Fault> {
        for token in tokens {
            let facts = self.open_grant_token(token)?;
            let key = keys.iter().find(|key| key.key_id() == facts.key_id);
            self.grant_of_token(&facts, key.ok_or_else(Self::invalid_grant_token)?)?;
        }
        Ok(())
    }

    /// Whether a grant on the key to one of these names allows the caller this. The grant that does has been seen.
    pub(crate) fn find_grant(
        &mut self,
        key: &Key,
        operation: GrantOperation,
        facts: &GrantFacts<'_>,
        names: &[&str],
        may_read_many: bool,
    ) -> Result<Granted, Fault> {
        for name in names {
            let readiness = self.records.grantee_grants(key, name, may_read_many);
            let grants = match readiness.map_err(Fault::internal)? {
                Readiness::MustRead => return Ok(Granted::MustRead),
                Readiness::Ready(grants) => grants,
            };
            if let Some(grant) = grants.find(key, names, operation, facts) {
                if let Some(seen) = &mut self.seen {
                    seen.push(grant.seen());
                }
                return Ok(Granted::Yes);
            }
        }
        Ok(Granted::No)
    }
}

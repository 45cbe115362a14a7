//! How an operation reaches rows, before anything is decided.

use std::sync::Arc;

use strongroom_policy::{Action, KeyPolicy, LockoutQuestion, would_lock_out};
use strongroom_records::{AccountKeyRow, AccountRow, AliasRow, KeyRow, Loaded, Records, RecordsError, Seen};
use strongroom_types::{AccountId, AliasName, KeyArn, KeyId, RegionName};

use crate::caller::Caller;
use crate::facts::{CheckFacts, LazyFacts, RequestFacts, Setting};
use crate::operation::World;

/// The only road to rows. The pipeline hands it to [`Operation::targets`](crate::Operation::targets) and keeps account
/// of every row, and every absence, that was seen through it: a change is committed only if all of it still holds.
pub struct Reader<'a> {
    records: &'a Records,
    caller: &'a Caller,
    setting: &'a Setting<'a>,
    world: &'a World<'a>,
    seen: Option<Vec<Seen>>,
}

impl<'a> Reader<'a> {
    /// `tracks`: whether what is seen matters later, that is, whether the operation can change anything.
    pub(crate) fn new(
        records: &'a Records,
        caller: &'a Caller,
        setting: &'a Setting<'a>,
        world: &'a World<'a>,
        tracks: bool,
    ) -> Self {
        Self { records, caller, setting, world, seen: tracks.then(Vec::new) }
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
            caller: self.caller,
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
}

//! Access keys, changed while nobody serves: for whoever has lost one, and for whoever changes them in time.
//!
//! A principal has up to two access keys, as AWS has it: `rotate` adds the second, programs change over, `retire` takes
//! the first away. `reset` is for when one was lost or seen by others: it takes all away and makes a new one, in one
//! batch, so that at no moment an old one is good beside the new one. A key that was taken away is refused from the next
//! start of the server on; nobody serves meanwhile.
//!
//! The new secret is written to the disk before the store is changed and put in the place of the credentials file
//! afterwards: a process killed between the two leaves it in `credentials.new`.

use std::borrow::Cow;
use std::path::PathBuf;

use strongroom_audit::{Field, Value};
use strongroom_records::{AccessKeyRow, AccountRow, Loaded, PrincipalRow, Records, Row, Writes};
use strongroom_types::limits::{ACCESS_KEYS_PER_PRINCIPAL_MAX, SCAN_ROWS_MAX};
use strongroom_types::{AccessKeyId, AccountId, Timestamp, UniqueId};

use crate::assembly::{AskPassphrase, Places, io_at};
use crate::credentials_file::{CredentialsDraft, PROFILE_OPERATOR, PROFILE_ROOT, names_access_key};
use crate::initialise::NewCredential;
use crate::offline::{Offline, OfflineError};

/// Whose access keys are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalName {
    Operator,
    /// The root user of an account; of the only one, if none is named.
    Root(Option<AccountId>),
}

/// An access key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub created: Timestamp,
    pub id: String,
    /// `None` is the operator, or a user.
    pub root_of: Option<AccountId>,
    /// The unique id of the user whose it is.
    pub user: Option<UniqueId>,
}

/// What a new access key has replaced or stands beside.
#[derive(Debug)]
pub struct Rotated {
    pub made: AccessKeyId,
    /// Those that are still good, or, after a reset, those that were taken away.
    pub others: Vec<String>,
    pub profile: String,
}

/// The access keys of a deployment that nobody serves. [`Self::close`] brings the records of changes to the journal.
pub struct Credentials {
    file: PathBuf,
    offline: Offline,
}

impl Credentials {
    pub fn open(places: &Places, passphrase: Option<AskPassphrase<'_>>) -> Result<Self, OfflineError> {
        Ok(Self { file: places.credentials(), offline: Offline::open(places, passphrase)? })
    }

    /// The operator's first, then those of the accounts' root users, then those of users, the oldest first.
    pub fn list(&self) -> Result<Vec<AccessKey>, OfflineError> {
        let mut keys: Vec<AccessKey> = self.rows()?.iter().map(shown).collect();
        keys.sort_by(|a, b| {
            (a.user, a.root_of, a.created, &a.id).cmp(&(b.user, b.root_of, b.created, &b.id))
        });
        Ok(keys)
    }

    /// Takes every access key of the principal away and makes a new one.
    pub fn reset(&self, name: PrincipalName) -> Result<Rotated, OfflineError> {
        let principal = self.principal(name)?;
        let old = self.rows_of(principal)?;
        let mut writes = Writes::default();
        old.iter().for_each(|row| writes.delete(row));
        self.make(principal, "ResetCredential", writes, &old)
    }

    /// Makes a second access key beside the first.
    pub fn rotate(&self, name: PrincipalName) -> Result<Rotated, OfflineError> {
        let principal = self.principal(name)?;
        let old = self.rows_of(principal)?;
        if old.len() >= ACCESS_KEYS_PER_PRINCIPAL_MAX {
            return Err(OfflineError::TooManyAccessKeys);
        }
        self.make(principal, "RotateCredential", Writes::default(), &old)
    }

    /// Takes an access key away, but not the last one of its principal.
    pub fn retire(&self, id: &AccessKeyId) -> Result<AccessKey, OfflineError> {
        let rows = self.rows()?;
        let row = rows.iter().find(|row| row.access_key_id == id.as_str());
        let row = row.ok_or_else(|| OfflineError::NoAccessKey { id: id.clone() })?;
        if rows.iter().filter(|other| other.principal == row.principal).count() < 2 {
            return Err(OfflineError::LastAccessKey { id: id.clone() });
        }
        let mut writes = Writes::default();
        writes.delete(row);
        let mut details = vec![(Cow::Borrowed("retiredAccessKeyId"), Value::from(id.as_str()))];
        details.extend(principal_details(row.principal));
        self.offline.commit(writes, "RetireCredential", details)?;
        Ok(shown(row))
    }

    /// Whether the credentials file of the root directory names this access key.
    pub fn is_named_in_file(&self, id: &AccessKeyId) -> bool {
        names_access_key(&self.file, id.as_str())
    }

    pub fn close(self) -> Result<(), OfflineError> {
        self.offline.close()
    }

    fn make(
        &self,
        principal: PrincipalRow,
        event: &'static str,
        mut writes: Writes,
        old: &[Loaded<AccessKeyRow>],
    ) -> Result<Rotated, OfflineError> {
        let new = NewCredential::random()?;
        let profile = self.profile(principal)?;
        let draft =
            CredentialsDraft::write(&self.file, &profile, &new).map_err(io_at("write", &self.file))?;
        let NewCredential { access_key_id: made, secret } = new;
        let created = self.offline.env.now();
        let access_key_id = made.as_str().to_owned();
        writes
            .create(AccessKeyRow::address(&made), AccessKeyRow { access_key_id, principal, secret, created });
        let others: Vec<String> = old.iter().map(|row| row.access_key_id.clone()).collect();
        let listed: Vec<Value<'_>> = others.iter().map(|id| Value::from(id.as_str())).collect();
        let mut details: Vec<Field<'_>> = vec![
            (Cow::Borrowed("accessKeyId"), Value::from(made.as_str())),
            (Cow::Borrowed("earlierAccessKeyIds"), Value::List(listed.into())),
        ];
        details.extend(principal_details(principal));
        self.offline.commit(writes, event, details)?;
        draft
            .install()
            .map_err(|source| OfflineError::CredentialsNotInstalled { path: self.file.clone(), source })?;
        Ok(Rotated { made, others, profile })
    }

    fn principal(&self, name: PrincipalName) -> Result<PrincipalRow, OfflineError> {
        let PrincipalName::Root(named) = name else { return Ok(PrincipalRow::Operator) };
        let accounts = self.accounts()?;
        match (named, accounts.as_slice()) {
            (Some(account), all) if all.contains(&account) => Ok(PrincipalRow::AccountRoot { account }),
            (Some(account), _) => Err(OfflineError::NoAccount { account }),
            (None, [account]) => Ok(PrincipalRow::AccountRoot { account: *account }),
            (None, _) => Err(OfflineError::SeveralAccounts),
        }
    }

    /// The root user of the oldest account is `default`; those of others are called by their account.
    fn profile(&self, principal: PrincipalRow) -> Result<String, OfflineError> {
        Ok(match principal {
            PrincipalRow::Operator => PROFILE_OPERATOR.to_owned(),
            PrincipalRow::AccountRoot { account } if self.accounts()?.first() == Some(&account) => {
                PROFILE_ROOT.to_owned()
            }
            PrincipalRow::AccountRoot { account } => account.to_string(),
            PrincipalRow::User { account, unique_id } => format!("{account}/{unique_id}"),
        })
    }

    /// The oldest first.
    fn accounts(&self) -> Result<Vec<AccountId>, OfflineError> {
        let records = &self.offline.running.records;
        let mut rows = every_row::<AccountRow>(records, "account/global/")?;
        rows.sort_by_key(|row| (row.created, row.account));
        Ok(rows.iter().map(|row| row.account).collect())
    }

    fn rows_of(&self, principal: PrincipalRow) -> Result<Vec<Loaded<AccessKeyRow>>, OfflineError> {
        Ok(self.rows()?.into_iter().filter(|row| row.principal == principal).collect())
    }

    fn rows(&self) -> Result<Vec<Loaded<AccessKeyRow>>, OfflineError> {
        access_key_rows(&self.offline.running.records)
    }
}

/// All access keys of a deployment.
pub(crate) fn access_key_rows(records: &Records) -> Result<Vec<Loaded<AccessKeyRow>>, OfflineError> {
    every_row(records, "access-key/global/")
}

/// All rows whose addresses begin with `prefix`, however many pages they are.
pub(crate) fn every_row<R: Row>(records: &Records, prefix: &str) -> Result<Vec<Loaded<R>>, OfflineError> {
    let mut rows: Vec<Loaded<R>> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.address().as_str());
        let page = records.scan(prefix, after, SCAN_ROWS_MAX)?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

fn shown(row: &Loaded<AccessKeyRow>) -> AccessKey {
    let root_of = match row.principal {
        PrincipalRow::AccountRoot { account } => Some(account),
        PrincipalRow::Operator | PrincipalRow::User { .. } => None,
    };
    let user = match row.principal {
        PrincipalRow::User { unique_id, .. } => Some(unique_id),
        PrincipalRow::AccountRoot { .. } | PrincipalRow::Operator => None,
    };
    AccessKey { created: row.created, id: row.access_key_id.clone(), root_of, user }
}

fn principal_details(principal: PrincipalRow) -> Vec<Field<'static>> {
    let named = |value: String| (Cow::Borrowed("principal"), Value::from(value));
    match principal {
        PrincipalRow::AccountRoot { account } => {
            vec![named("root".to_owned()), (Cow::Borrowed("accountId"), Value::from(account.to_string()))]
        }
        PrincipalRow::Operator => vec![named("operator".to_owned())],
        PrincipalRow::User { account, unique_id } => {
            vec![named(unique_id.to_string()), (Cow::Borrowed("accountId"), Value::from(account.to_string()))]
        }
    }
}

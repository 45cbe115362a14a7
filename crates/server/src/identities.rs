//! Accounts, users and roles, from a file, while nobody serves.
//!
//! The file (TOML) says how things are to be: what is there already is changed to that, what is missing is made, and what
//! the file does not speak of stays. A user or a role goes with `delete = true`, and with a user its access keys. One that
//! is made again under the same name is another one: key policies that meant the first do not mean it.
//!
//! The whole file is checked before anything is changed. Then each account, user and role is changed in one batch with its
//! record. Secrets of new access keys go to the credentials file, as in [`crate::credentials`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use strongroom_audit::{Field, Value};
use strongroom_records::{
    AccessKeyRow, AccountRow, IdentityNameRow, IdentityRow, Loaded, NamedPolicy, NewIdentity, PrincipalRow,
    Writes,
};
use strongroom_types::limits::{
    IDENTITY_NAME_CHARACTERS_MAX, IDENTITY_PATH_CHARACTERS_MAX, IDENTITY_POLICIES_MAX,
    IDENTITY_POLICY_BYTES_MAX, SEED_BYTES_MAX, TAGS_PER_KEY_MAX,
};
use strongroom_types::{AccountId, Tag, TagKey, TagValue, UniqueId, UniqueIdKind};

use crate::assembly::{AskPassphrase, Places, io_at};
use crate::credentials::{access_key_rows, every_row};
use crate::credentials_file::CredentialsDraft;
use crate::initialise::NewCredential;
use crate::offline::{Offline, OfflineError};

/// Why a file of identities was not applied.
#[derive(Debug, thiserror::Error)]
pub enum IdentitiesError {
    #[error("`{}`, line {line}: {problem}", path.display())]
    Form { path: PathBuf, line: usize, problem: String },
    #[error(transparent)]
    Offline(#[from] OfflineError),
    #[error("cannot read `{}`; check its path and permissions", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{what}: {problem}; nothing was changed")]
    Refused { what: String, problem: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    #[serde(default)]
    account: Vec<AccountTable>,
    #[serde(default)]
    user: Vec<IdentityTable>,
    #[serde(default)]
    role: Vec<IdentityTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountTable {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityTable {
    /// Whether a user has an access key.
    access_key: Option<bool>,
    account: Option<String>,
    boundary: Option<String>,
    #[serde(default)]
    delete: bool,
    name: String,
    path: Option<String>,
    #[serde(default)]
    policies: BTreeMap<String, String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// An identity as the file wants it, checked.
struct Wanted {
    account: AccountId,
    boundary: Option<String>,
    has_access_key: bool,
    is_deleted: bool,
    kind: UniqueIdKind,
    path_and_name: String,
    policies: Vec<NamedPolicy>,
    tags: Vec<Tag>,
}

/// What was done, one line for each.
type Applied = Vec<String>;

/// Applies a file.
pub fn apply_identities(
    places: &Places,
    passphrase: Option<AskPassphrase<'_>>,
    path: &Path,
) -> Result<Vec<String>, IdentitiesError> {
    let file = read(path)?;
    let applier = Applier { credentials: places.credentials(), offline: Offline::open(places, passphrase)? };
    let applied = applier.apply(file);
    // What was committed reaches the journal, whatever came after.
    let closed = applier.offline.close();
    let applied = applied?;
    closed?;
    Ok(applied)
}

/// The users and roles of a deployment, one line for each.
pub fn list_identities(
    places: &Places,
    passphrase: Option<AskPassphrase<'_>>,
) -> Result<Vec<String>, OfflineError> {
    let offline = Offline::open(places, passphrase)?;
    let rows = every_row::<IdentityRow>(&offline.running.records, &IdentityRow::prefix())?;
    offline.close()?;
    let line = |row: &Loaded<IdentityRow>| {
        let (id, account) = (row.unique_id(), row.account());
        format!("{id}  {account}  {}/{}", kind_name(id.kind()), row.path_and_name())
    };
    Ok(rows.iter().map(line).collect())
}

fn kind_name(kind: UniqueIdKind) -> &'static str {
    match kind {
        UniqueIdKind::Role => "role",
        UniqueIdKind::User => "user",
    }
}

fn read(path: &Path) -> Result<IdentityFile, IdentitiesError> {
    let failed = |source| IdentitiesError::Read { path: path.to_owned(), source };
    let limit = u64::try_from(SEED_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(limit.saturating_add(1)).read_to_string(&mut text).map_err(failed)?;
    if text.len() > SEED_BYTES_MAX {
        let problem = format!("it is larger than {SEED_BYTES_MAX} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, problem)));
    }
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let problem = error.message().replace('\n', "; ");
        IdentitiesError::Form { path: path.to_owned(), line, problem }
    })
}

struct Applier {
    credentials: PathBuf,
    offline: Offline,
}

impl Applier {
    fn apply(&self, file: IdentityFile) -> Result<Applied, IdentitiesError> {
        let IdentityFile { account, user, role } = file;
        let mut accounts = self.accounts()?;
        let mut new_accounts = Vec::new();
        for AccountTable { id } in account {
            let id = AccountId::parse(&id).map_err(|error| refused(format!("account `{id}`"), error))?;
            if !accounts.contains(&id) {
                accounts.push(id);
                new_accounts.push(id);
            }
        }
        let users = user.into_iter().map(|table| (UniqueIdKind::User, table));
        let roles = role.into_iter().map(|table| (UniqueIdKind::Role, table));
        let mut names = HashSet::new();
        let mut wanted = Vec::new();
        for (kind, table) in users.chain(roles) {
            let what = format!("{} `{}`", kind_name(kind), table.name);
            let one = table.check(kind, &accounts).map_err(|problem| refused(&what, problem))?;
            if !names.insert((one.account, kind, one.name().to_ascii_lowercase())) {
                return Err(refused(what, "the file has it twice"));
            }
            one.compile().map_err(|problem| refused(what, problem))?;
            wanted.push(one);
        }
        let mut applied = Applied::new();
        for account in new_accounts {
            self.make_account(account)?;
            applied.push(format!("account {account} is made; its root user's profile is `{account}`"));
        }
        for one in &wanted {
            applied.push(self.apply_one(one)?);
        }
        Ok(applied)
    }

    fn accounts(&self) -> Result<Vec<AccountId>, OfflineError> {
        let records = &self.offline.running.records;
        let rows = every_row::<AccountRow>(records, "account/global/")?;
        Ok(rows.iter().map(|row| row.account).collect())
    }

    fn make_account(&self, account: AccountId) -> Result<(), OfflineError> {
        let mut writes = Writes::default();
        let created = self.offline.env.now();
        writes.create(AccountRow::address(account), AccountRow { account, created });
        let principal = PrincipalRow::AccountRoot { account };
        let draft = self.add_access_key(principal, &account.to_string(), &mut writes)?;
        let details = vec![(Cow::Borrowed("accountId"), Value::from(account.to_string()))];
        self.offline.commit(writes, "CreateAccount", details)?;
        self.install(draft)
    }

    /// A new access key among the writes, its secret in a draft of the credentials file.
    fn add_access_key(
        &self,
        principal: PrincipalRow,
        profile: &str,
        writes: &mut Writes,
    ) -> Result<CredentialsDraft, OfflineError> {
        let new = NewCredential::random()?;
        let path = &self.credentials;
        let draft = CredentialsDraft::write(path, profile, &new).map_err(io_at("write", path))?;
        let NewCredential { access_key_id: id, secret } = new;
        let created = self.offline.env.now();
        let row = AccessKeyRow { access_key_id: id.as_str().to_owned(), principal, secret, created };
        writes.create(AccessKeyRow::address(&id), row);
        Ok(draft)
    }

    fn install(&self, draft: CredentialsDraft) -> Result<(), OfflineError> {
        let path = self.credentials.clone();
        draft.install().map_err(|source| OfflineError::CredentialsNotInstalled { path, source })
    }

    fn apply_one(&self, wanted: &Wanted) -> Result<String, IdentitiesError> {
        let records = &self.offline.running.records;
        let address = IdentityNameRow::address(wanted.account, wanted.kind, wanted.name());
        let name = records.load::<IdentityNameRow>(&address).map_err(OfflineError::from)?;
        let existing = match &name {
            Some(name) => records
                .load::<IdentityRow>(&IdentityRow::address(&name.unique_id))
                .map_err(OfflineError::from)?,
            None => None,
        };
        let what = format!("{} {}/{}", kind_name(wanted.kind), wanted.account, wanted.path_and_name);
        match (wanted.is_deleted, existing, name) {
            (true, Some(identity), Some(name)) => {
                self.delete(&identity, &name)?;
                Ok(format!("{what} is deleted"))
            }
            (true, _, _) => Ok(format!("{what} was not there")),
            (false, Some(identity), _) => Ok(format!("{what}: {}", self.change(wanted, &identity)?)),
            (false, None, _) => Ok(format!("{what} is made{}", self.make(wanted)?)),
        }
    }

    fn make(&self, wanted: &Wanted) -> Result<String, IdentitiesError> {
        let unique_id = UniqueId::from_random(wanted.kind, self.offline.env.random_id());
        let created = self.offline.env.now();
        let row =
            wanted.row(unique_id, created).map_err(|problem| refused(&wanted.path_and_name, problem))?;
        let mut writes = Writes::default();
        writes.create(IdentityRow::address(&unique_id), row);
        let address = IdentityNameRow::address(wanted.account, wanted.kind, wanted.name());
        writes.create(address, IdentityNameRow { unique_id });
        let name = match wanted.kind {
            UniqueIdKind::Role => "CreateRole",
            UniqueIdKind::User => "CreateUser",
        };
        if !wanted.has_access_key {
            self.offline.commit(writes, name, wanted.details(unique_id))?;
            return Ok(String::new());
        }
        let profile = wanted.profile();
        let principal = PrincipalRow::User { account: wanted.account, unique_id };
        let draft = self.add_access_key(principal, &profile, &mut writes)?;
        self.offline.commit(writes, name, wanted.details(unique_id))?;
        self.install(draft)?;
        Ok(format!("; its profile is `{profile}`"))
    }

    fn change(&self, wanted: &Wanted, identity: &Loaded<IdentityRow>) -> Result<String, IdentitiesError> {
        let unique_id = identity.unique_id();
        let row = wanted
            .row(unique_id, identity.created())
            .map_err(|problem| refused(&wanted.path_and_name, problem))?;
        let mut writes = Writes::default();
        let mut done = Vec::new();
        if !wanted.is_as(identity) {
            writes.update(identity, row);
            done.push("is changed".to_owned());
        }
        let keys = self.access_keys_of(unique_id)?;
        let mut draft = None;
        if wanted.has_access_key && keys.is_empty() {
            let (profile, account) = (wanted.profile(), wanted.account);
            let principal = PrincipalRow::User { account, unique_id };
            draft = Some(self.add_access_key(principal, &profile, &mut writes)?);
            done.push(format!("has an access key, profile `{profile}`"));
        }
        if !wanted.has_access_key && !keys.is_empty() {
            keys.iter().for_each(|key| writes.delete(key));
            done.push("has no access key any more".to_owned());
        }
        if done.is_empty() {
            return Ok("is as it should be".to_owned());
        }
        let name = match wanted.kind {
            UniqueIdKind::Role => "UpdateRole",
            UniqueIdKind::User => "UpdateUser",
        };
        self.offline.commit(writes, name, wanted.details(unique_id))?;
        draft.map_or(Ok(()), |draft| self.install(draft))?;
        Ok(done.join(", "))
    }

    fn delete(
        &self,
        identity: &Loaded<IdentityRow>,
        name: &Loaded<IdentityNameRow>,
    ) -> Result<(), OfflineError> {
        let unique_id = identity.unique_id();
        let mut writes = Writes::default();
        writes.delete(identity);
        writes.delete(name);
        self.access_keys_of(unique_id)?.iter().for_each(|key| writes.delete(key));
        let event = match unique_id.kind() {
            UniqueIdKind::Role => "DeleteRole",
            UniqueIdKind::User => "DeleteUser",
        };
        self.offline.commit(writes, event, details(identity.account(), identity.path_and_name(), unique_id))
    }

    fn access_keys_of(&self, user: UniqueId) -> Result<Vec<Loaded<AccessKeyRow>>, OfflineError> {
        let mut rows = access_key_rows(&self.offline.running.records)?;
        rows.retain(|row| matches!(row.principal, PrincipalRow::User { unique_id, .. } if unique_id == user));
        Ok(rows)
    }
}

impl IdentityTable {
    fn check(self, kind: UniqueIdKind, accounts: &[AccountId]) -> Result<Wanted, String> {
        let Self { access_key, account, boundary, delete, name, path, policies, tags } = self;
        let account = match (account, accounts) {
            (Some(id), _) => AccountId::parse(&id).map_err(|error| error.to_string())?,
            (None, [only]) => *only,
            (None, _) => return Err("there are several accounts: say which".to_owned()),
        };
        if !accounts.contains(&account) {
            return Err(format!("there is no account `{account}`; `[[account]]` makes one"));
        }
        if access_key == Some(true) && kind == UniqueIdKind::Role {
            return Err("a role has no access key".to_owned());
        }
        if policies.len() > IDENTITY_POLICIES_MAX {
            return Err(format!("there are more than {IDENTITY_POLICIES_MAX} policies"));
        }
        let texts = policies.values().chain(&boundary);
        if texts.into_iter().any(|text| text.len() > IDENTITY_POLICY_BYTES_MAX) {
            return Err(format!("a policy has more than {IDENTITY_POLICY_BYTES_MAX} bytes"));
        }
        if tags.len() > TAGS_PER_KEY_MAX {
            return Err(format!("there are more than {TAGS_PER_KEY_MAX} tags"));
        }
        let tag = |(key, value): (String, String)| {
            let problem = |error: &dyn Display| error.to_string();
            let key = TagKey::parse(&key).map_err(|error| problem(&error))?;
            Ok::<_, String>(Tag { key, value: TagValue::parse(&value).map_err(|error| problem(&error))? })
        };
        let mut tags = tags.into_iter().map(tag).collect::<Result<Vec<_>, _>>()?;
        tags.sort_by(|one, next| one.key.cmp(&next.key));
        let policies = policies.into_iter().map(|(name, text)| NamedPolicy { name, text }).collect();
        Ok(Wanted {
            account,
            boundary,
            has_access_key: access_key.unwrap_or(kind == UniqueIdKind::User),
            is_deleted: delete,
            kind,
            path_and_name: path_and_name(path.as_deref().unwrap_or("/"), &name)?,
            policies,
            tags,
        })
    }
}

/// IAM user guide, "IAM and AWS STS quotas": names of `[\w+=,.@-]`, paths of visible ASCII between slashes. Characters with
/// a meaning in policies are left out of paths.
fn path_and_name(path: &str, name: &str) -> Result<String, String> {
    let is_name = (1..=IDENTITY_NAME_CHARACTERS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    if !is_name {
        return Err("this is no name for an identity".to_owned());
    }
    let is_step = |step: &str| {
        !step.is_empty()
            && step.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'?' | b':' | b'$'))
    };
    let inner = match path.strip_prefix('/') {
        Some("") => return Ok(name.to_owned()),
        Some(rest) => rest.strip_suffix('/').filter(|inner| inner.split('/').all(is_step)),
        None => None,
    };
    match inner.filter(|_| path.len() <= IDENTITY_PATH_CHARACTERS_MAX) {
        Some(inner) => Ok(format!("{inner}/{name}")),
        None => Err(format!("`{path}` is no path: `/`, or `/like/this/`")),
    }
}

impl Wanted {
    fn name(&self) -> &str {
        self.path_and_name.rsplit('/').next().unwrap_or_default()
    }

    /// Under which its access key stands in the credentials file.
    fn profile(&self) -> String {
        format!("{}/{}", self.account, self.name())
    }

    /// Whether its policies are policies.
    fn compile(&self) -> Result<(), String> {
        self.row(UniqueId::from_random(self.kind, [0; 16]), self::epoch()).map(|_| ())
    }

    fn row(&self, unique_id: UniqueId, created: strongroom_types::Timestamp) -> Result<IdentityRow, String> {
        let row = IdentityRow::new(NewIdentity {
            unique_id,
            account: self.account,
            path_and_name: self.path_and_name.clone(),
            created,
            tags: self.tags.clone(),
            policies: self.policies.clone(),
            boundary: self.boundary.clone(),
        });
        row.map_err(|error| error.to_string())
    }

    fn is_as(&self, row: &IdentityRow) -> bool {
        row.path_and_name() == self.path_and_name
            && row.tags() == self.tags
            && row.policy_texts() == self.policies
            && row.boundary_text() == self.boundary.as_deref()
    }

    fn details(&self, unique_id: UniqueId) -> Vec<Field<'_>> {
        details(self.account, &self.path_and_name, unique_id)
    }
}

fn epoch() -> strongroom_types::Timestamp {
    strongroom_types::Timestamp::from_secs(0)
}

fn details(account: AccountId, path_and_name: &str, unique_id: UniqueId) -> Vec<Field<'_>> {
    vec![
        (Cow::Borrowed("accountId"), Value::from(account.to_string())),
        (Cow::Borrowed("name"), Value::from(path_and_name)),
        (Cow::Borrowed("uniqueId"), Value::from(unique_id.to_string())),
    ]
}

fn refused(what: impl Display, problem: impl Display) -> IdentitiesError {
    IdentitiesError::Refused { what: what.to_string(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_iam_s() {
        for (path, name) in [
            ("/", ""),
            ("/", "a b"),
            ("/", "a/b"),
            ("/", "é"),
            ("/", &*"n".repeat(IDENTITY_NAME_CHARACTERS_MAX + 1)),
            ("", "a"),
            ("team", "a"),
            ("/team", "a"),
            ("//", "a"),
            ("/t*m/", "a"),
            ("/t:m/", "a"),
            (&*format!("/{}/", "p".repeat(IDENTITY_PATH_CHARACTERS_MAX - 1)), "a"),
        ] {
            assert!(path_and_name(path, name).is_err(), "{path} {name}");
        }
        assert_eq!(path_and_name("/", "Bob+=,.@-_").unwrap(), "Bob+=,.@-_");
        assert_eq!(path_and_name("/team/red/", "Bob").unwrap(), "team/red/Bob");
        assert!(path_and_name("/", &"n".repeat(IDENTITY_NAME_CHARACTERS_MAX)).is_ok());
        assert!(path_and_name(&format!("/{}/", "p".repeat(IDENTITY_PATH_CHARACTERS_MAX - 2)), "a").is_ok());
    }
}

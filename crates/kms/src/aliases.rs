//! CreateAlias, DeleteAlias, ListAliases and UpdateAlias.
//!
//! Whoever changes an alias needs the action on the alias, by identity policy alone, and on every key that it is about.

use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, Weight, World,
};
use strongroom_policy::{Action, KeyNamed};
use strongroom_records::{AliasRow, KeyRow, Loaded, Writes};
use strongroom_types::{AccountId, AliasArn, AliasName, KeyId, Timestamp, limits};
use strongroom_wire::{
    AliasListEntry, CreateAliasRequest, DeleteAliasRequest, ErrorKind, ListAliasesReply, ListAliasesRequest,
    NoReply, UpdateAliasRequest,
};

use crate::fault;
use crate::lifecycle::{self, StateClass};
use crate::lookup::{self, Accept};
use crate::paging::{List, page_size};

pub(crate) struct CreateAlias;
pub(crate) struct DeleteAlias;
pub(crate) struct ListAliases;
pub(crate) struct UpdateAlias;

/// An alias that a request names, in the caller's account and region.
fn named(text: &str, account: AccountId, reader: &Reader<'_>) -> Result<AliasArn, Fault> {
    Ok(AliasArn { region: reader.region().clone(), account, name: own_name(text)? })
}

/// The name of an alias that a caller may have: not one of AWS's own.
pub(crate) fn own_name(text: &str) -> Result<AliasName, Fault> {
    if !text.starts_with(AliasName::PREFIX) {
        return Err(fault::validation(
            "Alias must start with the prefix \"alias/\". \
             Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        ));
    }
    let name = AliasName::parse(text)
        .map_err(|_| fault::validation(format!("{text} contains invalid characters for an alias")))?;
    if name.is_reserved() {
        return Err(Fault::bare(ErrorKind::NotAuthorized));
    }
    Ok(name)
}

/// The action on the alias and on its key.
fn both(action: Action, arn: &AliasArn, key: &Arc<Loaded<KeyRow>>) -> Checks {
    let on_alias = Check::Alias { action, arn: arn.clone() };
    Checks::two(on_alias, Check::key(action, key))
}

/// The key that an alias is to point to.
fn new_target(text: &str, action: Action, reader: &mut Reader<'_>) -> Result<Arc<Loaded<KeyRow>>, Fault> {
    if text.contains(AliasName::PREFIX) {
        return Err(fault::validation("Aliases must refer to keys. Not aliases"));
    }
    lookup::find(reader, text, Accept::KeysOnly, action)
}

/// Refuses more aliases than a key may have.
pub(crate) fn check_count(aliases: usize) -> Result<(), Fault> {
    let max = limits::ALIASES_PER_KEY_MAX;
    if aliases > max {
        return Err(fault::limit_exceeded(format!("A key can have at most {max} aliases.")));
    }
    Ok(())
}

/// The row of a new alias.
pub(crate) fn write_new(arn: &AliasArn, target: KeyId, now: Timestamp, writes: &mut Writes) {
    let alias = AliasRow { target, created: now, updated: now };
    writes.create(AliasRow::address(&arn.region, arn.account, &arn.name), alias);
}

pub(crate) struct NewAlias {
    arn: AliasArn,
    existing: Option<Arc<Loaded<AliasRow>>>,
    target: Arc<Loaded<KeyRow>>,
}

impl Operation for CreateAlias {
    type Request = CreateAliasRequest;
    type Rows = NewAlias;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<NewAlias>, Fault> {
        let account = lookup::caller_account(reader, Action::CreateAlias)?;
        let arn = named(&request.alias_name, account, reader)?;
        let target = new_target(&request.target_key_id, Action::CreateAlias, reader)?;
        let existing = reader.alias(account, &arn.name).map_err(fault::records)?;
        let checks = both(Action::CreateAlias, &arn, &target);
        Ok(Targets { rows: NewAlias { arn, existing, target }, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let NewAlias { arn, existing, target } = permit.rows();
        lifecycle::check(target, StateClass::Edit)?;
        if existing.is_some() {
            return Err(fault::alias_exists(arn));
        }
        check_count(target.aliases().len() + 1)?;
        let now = world.env.now();
        let mut key = (***target).clone();
        key.add_alias(arn.name.clone());
        let mut writes = Writes::default();
        write_new(arn, target.key_id(), now, &mut writes);
        writes.update(target, key);
        Ok(changed(arn, writes))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![
            ("aliasName", Value::from(request.alias_name.as_str())),
            ("targetKeyId", Value::from(request.target_key_id.as_str())),
        ]
    }
}

/// An alias that is there, and the key that it points to.
pub(crate) struct OldAlias {
    arn: AliasArn,
    alias: Arc<Loaded<AliasRow>>,
    target: Arc<Loaded<KeyRow>>,
}

impl OldAlias {
    fn find(name: &str, action: Action, reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let account = lookup::caller_account(reader, action)?;
        let arn = named(name, account, reader)?;
        let found = lookup::alias_and_key(reader, account, &arn.name)?;
        let (alias, target) = found.ok_or_else(|| fault::alias_not_found(&arn))?;
        Ok(Self { arn, alias, target })
    }
}

impl Operation for DeleteAlias {
    type Request = DeleteAliasRequest;
    type Rows = OldAlias;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<OldAlias>, Fault> {
        let old = OldAlias::find(&request.alias_name, Action::DeleteAlias, reader)?;
        let checks = both(Action::DeleteAlias, &old.arn, &old.target);
        Ok(Targets { rows: old, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let OldAlias { arn, alias, target } = permit.rows();
        let mut key = (***target).clone();
        key.remove_alias(&arn.name);
        let mut writes = Writes::default();
        writes.delete(alias);
        writes.update(target, key);
        Ok(changed(arn, writes))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("aliasName", Value::from(request.alias_name.as_str()))]
    }
}

/// An alias that is there, and the key that it is to point to.
pub(crate) struct MovedAlias {
    old: OldAlias,
    target: Arc<Loaded<KeyRow>>,
}

impl Operation for UpdateAlias {
    type Request = UpdateAliasRequest;
    type Rows = MovedAlias;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<MovedAlias>, Fault> {
        let old = OldAlias::find(&request.alias_name, Action::UpdateAlias, reader)?;
        let target = new_target(&request.target_key_id, Action::UpdateAlias, reader)?;
        let on_alias = Check::Alias { action: Action::UpdateAlias, arn: old.arn.clone() };
        let on_old = Check::key(Action::UpdateAlias, &old.target);
        let checks = Checks::three(on_alias, on_old, Check::key(Action::UpdateAlias, &target));
        Ok(Targets { rows: MovedAlias { old, target }, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    /// The old key may be in any state: an alias can be taken away from a key that is to be deleted.
    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let MovedAlias { old: OldAlias { arn, alias, target: old }, target: new } = permit.rows();
        lifecycle::check(new, StateClass::Edit)?;
        check_alike(old, new)?;
        let mut writes = Writes::default();
        if new.key_id() != old.key_id() {
            check_count(new.aliases().len() + 1)?;
            let (mut old_row, mut new_row) = ((***old).clone(), (***new).clone());
            old_row.remove_alias(&arn.name);
            new_row.add_alias(arn.name.clone());
            writes.update(old, old_row);
            writes.update(new, new_row);
        }
        let updated = world.env.now();
        writes.update(alias, AliasRow { target: new.key_id(), created: alias.created, updated });
        let key_id = ("keyId", Value::from(new.arn_text().to_owned()));
        Ok(Done { response_elements: Some(vec![key_id]), ..changed(arn, writes) })
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![
            ("aliasName", Value::from(request.alias_name.as_str())),
            ("targetKeyId", Value::from(request.target_key_id.as_str())),
        ]
    }
}

/// An alias stays with keys of one kind (symmetric, asymmetric, HMAC) and one usage (AWS KMS API reference, UpdateAlias).
/// The usage tells symmetric keys from HMAC keys.
fn check_alike(old: &KeyRow, new: &KeyRow) -> Result<(), Fault> {
    if old.usage() == new.usage() && old.spec().is_asymmetric() == new.spec().is_asymmetric() {
        return Ok(());
    }
    let message = "Aliases can only be updated to KMS keys of the same type and with the same KeyUsage.";
    Err(fault::validation(message))
}

fn changed(arn: &AliasArn, writes: Writes) -> Done<NoReply> {
    let mut done = Done::reply(NoReply);
    done.writes = writes;
    done.resources = vec![arn.to_string()];
    done
}

/// One page of aliases: of the account, or of one key.
pub(crate) struct AliasPage {
    account: AccountId,
    aliases: Vec<(AliasName, AliasRow)>,
    truncated: bool,
}

impl Operation for ListAliases {
    type Request = ListAliasesRequest;
    type Rows = AliasPage;
    type Reply = ListAliasesReply;

    const KIND: Kind = Kind::Read;

    fn weight(_: &Self::Request) -> Weight {
        Weight::Heavy
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<AliasPage>, Fault> {
        let account = lookup::caller_account(reader, Action::ListAliases)?;
        let size = page_size(request.limit, limits::LIST_ALIASES_DEFAULT, limits::LIST_ALIASES_MAX)?;
        let after = match &request.marker {
            Some(marker) => {
                let position = list_of(reader.caller(), account, request).open(marker, reader.world())?;
                Some(AliasName::parse(&position).map_err(|_| fault::invalid_marker())?)
            }
            None => None,
        };
        let mut aliases = match &request.key_id {
            Some(text) => {
                let key = lookup::find(reader, text, Accept::KeysOnly, Action::ListAliases)?;
                if key.account() != account {
                    return Err(lookup::foreign(reader, Action::ListAliases, KeyNamed::ByRequest));
                }
                aliases_of(&key, after.as_ref(), size + 1, reader)?
            }
            None => aliases_of_account(account, after.as_ref(), size + 1, reader)?,
        };
        let truncated = aliases.len() > size;
        aliases.truncate(size);
        let check = Check::Account { action: Action::ListAliases };
        Ok(Targets { rows: AliasPage { account, aliases, truncated }, checks: Checks::one(check) })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let page = permit.rows();
        let list = list_of(permit.caller(), page.account, permit.request());
        let next_marker = match page.aliases.last() {
            Some((name, _)) if page.truncated => Some(list.seal(name.as_str(), world)?),
            _ => None,
        };
        let region = permit.caller().region();
        let entry = |(name, row): &(AliasName, AliasRow)| {
            let arn = AliasArn { region: region.clone(), account: page.account, name: name.clone() };
            AliasListEntry {
                alias_name: Some(name.to_string()),
                alias_arn: Some(arn.to_string()),
                target_key_id: Some(row.target.to_string()),
                creation_date: Some(row.created),
                last_updated_date: Some(row.updated),
            }
        };
        Ok(Done::reply(ListAliasesReply {
            aliases: Some(page.aliases.iter().map(entry).collect()),
            next_marker,
            truncated: Some(page.truncated),
        }))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let key_id = request.key_id.as_deref().map(|key_id| ("keyId", Value::from(key_id)));
        let limit = request.limit.map(|limit| ("limit", Value::Integer(limit.into())));
        key_id.into_iter().chain(limit).collect()
    }
}

fn aliases_of_account(
    account: AccountId,
    after: Option<&AliasName>,
    limit: usize,
    reader: &Reader<'_>,
) -> Result<Vec<(AliasName, AliasRow)>, Fault> {
    let rows = reader.aliases(account, after, limit).map_err(fault::records)?;
    let named = |row: &Loaded<AliasRow>| Some((AliasRow::parse_address(row.address())?.1, (**row).clone()));
    Ok(rows.iter().filter_map(named).collect())
}

/// A key lists its own aliases, sorted.
fn aliases_of(
    key: &KeyRow,
    after: Option<&AliasName>,
    limit: usize,
    reader: &mut Reader<'_>,
) -> Result<Vec<(AliasName, AliasRow)>, Fault> {
    let names = key.aliases().iter().filter(|name| after.is_none_or(|after| *name > after));
    let mut found = Vec::new();
    for name in names.take(limit) {
        // Absent when it was deleted between the reading of the key and now.
        if let Some(row) = reader.alias(key.account(), name).map_err(fault::records)? {
            found.push((name.clone(), (**row).clone()));
        }
    }
    Ok(found)
}

/// The list that a ListAliases request pages through: of the account, or of the one key it names.
fn list_of<'a>(
    caller: &'a strongroom_pipeline::Caller,
    account: AccountId,
    request: &'a ListAliasesRequest,
) -> List<'a> {
    let parameters = request.key_id.as_deref().unwrap_or_default().as_bytes();
    List { caller, account, operation: "ListAliases", parameters }
}

//! From what a request calls a key to the key's row.
//!
//! What a caller learns about keys that are not there is what AWS reveals: of its own account, that the key does not
//! exist; of another account, nothing but that it may not.

use std::sync::Arc;

use strongroom_pipeline::{Fault, Reader};
use strongroom_policy::{
    AccessDenied, Action, DenyReason, IdentitySide, KeyNamed, KeyPolicyVerdict, Request, Resource,
};
use strongroom_records::{AliasRow, KeyRow, Loaded, RecordsError};
use strongroom_types::{
    AccountId, AliasArn, AliasName, KeyArn, KeyId, KeyReference, KeyReferenceError, limits,
};
use strongroom_wire::ErrorKind;

use crate::fault;

/// Which forms an operation accepts (AWS KMS API reference, each operation's KeyId).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    /// Key id, key ARN, alias name, alias ARN.
    Any,
    /// Key id and key ARN.
    KeysOnly,
}

/// Finds the key that `text` names. `action` is what the caller is about to ask for: a refusal names it.
pub(crate) fn find(
    reader: &mut Reader<'_>,
    text: &str,
    accept: Accept,
    action: Action,
) -> Result<Arc<Loaded<KeyRow>>, Fault> {
    let reference = parse(reader, text)?;
    if accept == Accept::KeysOnly && reference.alias().is_some() {
        return Err(fault::invalid_key_id(text));
    }
    match reference {
        KeyReference::Id(key_id) => {
            let account = own_account(reader, action)?;
            key_of(reader, account, key_id, action)
        }
        KeyReference::Arn(arn) => key_of(reader, arn.account, arn.key_id, action),
        KeyReference::Alias(name) => {
            let account = own_account(reader, action)?;
            key_by_alias(reader, account, name, action)
        }
        KeyReference::AliasArn(arn) => key_by_alias(reader, arn.account, arn.name, action),
    }
}

/// The account of the caller; a caller without one can name no key by a bare id.
fn own_account(reader: &Reader<'_>, action: Action) -> Result<AccountId, Fault> {
    reader.caller().account().ok_or_else(|| foreign(reader, action, KeyNamed::ByRequest))
}

/// The account that an action about no key is about: the caller's. A caller without one may do nothing of the kind.
pub(crate) fn caller_account(reader: &Reader<'_>, action: Action) -> Result<AccountId, Fault> {
    reader.caller().account().ok_or_else(|| not_allowed(reader, action))
}

/// The refusal of an action that is about no key.
pub(crate) fn not_allowed(reader: &Reader<'_>, action: Action) -> Fault {
    let principal = reader.caller().principal();
    let identity = IdentitySide::SILENT;
    let request = Request { action, identity, principal, resource: Resource::Account };
    access_denied(reader, &request, DenyReason::NoIdentityPolicyAllows)
}

fn access_denied(reader: &Reader<'_>, request: &Request<'_>, reason: DenyReason) -> Fault {
    let message = AccessDenied::new(reader.caller().arn(), request, reason).to_string();
    Fault::new(ErrorKind::AccessDenied, message)
}

/// The refusal that tells a caller nothing about a key it may not know of.
pub(crate) fn foreign(reader: &Reader<'_>, action: Action, named: KeyNamed) -> Fault {
    let principal = reader.caller().principal();
    let identity = IdentitySide::SILENT;
    // The message names no resource, so any will do: neither the key nor its account is revealed.
    let resource = match named {
        KeyNamed::ByCiphertext => Resource::Ciphertext,
        KeyNamed::ByRequest => {
            Resource::Key { arn: &nobodys_key(reader), named, verdict: KeyPolicyVerdict::NoMatch }
        }
    };
    let request = Request { action, identity, principal, resource };
    access_denied(reader, &request, DenyReason::ForeignKey)
}

fn nobodys_key(reader: &Reader<'_>) -> KeyArn {
    let key_id = KeyId::from_parts([0; 16], false);
    KeyArn { region: reader.region().clone(), account: AccountId::NONE, key_id }
}

pub(crate) fn parse(reader: &Reader<'_>, text: &str) -> Result<KeyReference, Fault> {
    let reference = KeyReference::parse(text).map_err(|error| match error {
        KeyReferenceError::InvalidAlias(_) | KeyReferenceError::InvalidKeyId(_) => {
            fault::invalid_key_id(text)
        }
        KeyReferenceError::InvalidArn(_) | KeyReferenceError::WrongPartition(_) => fault::invalid_arn(text),
    })?;
    match reference.region() {
        Some(region) if region != reader.region() => Err(fault::arn_of_other_region(region)),
        _ => Ok(reference),
    }
}

fn key_of(
    reader: &mut Reader<'_>,
    account: AccountId,
    key_id: KeyId,
    action: Action,
) -> Result<Arc<Loaded<KeyRow>>, Fault> {
    match reader.key(&key_id).map_err(fault::records)? {
        Some(key) if key.account() == account => Ok(key),
        _ if reader.caller().account() == Some(account) => {
            Err(fault::key_not_found(&KeyArn { region: reader.region().clone(), account, key_id }))
        }
        _ => Err(foreign(reader, action, KeyNamed::ByRequest)),
    }
}

fn key_by_alias(
    reader: &mut Reader<'_>,
    account: AccountId,
    name: AliasName,
    action: Action,
) -> Result<Arc<Loaded<KeyRow>>, Fault> {
    match alias_and_key(reader, account, &name)? {
        Some((_, key)) => Ok(key),
        None if reader.caller().account() == Some(account) => {
            Err(fault::alias_not_found(&AliasArn { region: reader.region().clone(), account, name }))
        }
        None => Err(foreign(reader, action, KeyNamed::ByRequest)),
    }
}

/// An alias and the key that it names.
pub(crate) type Alias = (Arc<Loaded<AliasRow>>, Arc<Loaded<KeyRow>>);

/// Finds an alias and its key, which lists it: both sides change in one batch. But they are read one after the other, and
/// the alias may be moved or its key be destroyed in between; then they are looked for again. Only if the store itself has
/// the one without the other was an alias put back, or a key removed, by somebody.
pub(crate) fn alias_and_key(
    reader: &mut Reader<'_>,
    account: AccountId,
    name: &AliasName,
) -> Result<Option<Alias>, Fault> {
    let lists = |key: &KeyRow| key.account() == account && key.aliases().binary_search(name).is_ok();
    let Some(mut alias) = reader.alias(account, name).map_err(fault::records)? else { return Ok(None) };
    if let Some(key) = reader.key(&alias.target).map_err(fault::records)?.filter(|key| lists(key)) {
        return Ok(Some((alias, key)));
    }
    for _ in 0..limits::DECISION_ATTEMPTS_MAX {
        // In this order: an alias that is still the same after the key was read was the same when the key was read.
        let key = reader.stored_key(&alias.target).map_err(fault::records)?;
        if let Some(key) = key.as_ref().filter(|key| lists(key)) {
            return Ok(Some((alias, Arc::clone(key))));
        }
        let Some(again) = reader.stored_alias(account, name).map_err(fault::records)? else {
            return Ok(None);
        };
        if again.version() == alias.version() {
            return Err(fault::records(contradiction(reader, &alias, key.is_some())));
        }
        alias = again;
    }
    Err(fault::too_many_changes())
}

fn contradiction(reader: &Reader<'_>, alias: &Loaded<AliasRow>, has_key: bool) -> RecordsError {
    if has_key {
        let address = alias.address().to_string();
        return RecordsError::BadRow { address, reason: "its target does not list it", source: None };
    }
    RecordsError::MissingRow { address: KeyRow::address(reader.region(), &alias.target).to_string() }
}

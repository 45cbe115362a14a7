//! RetireGrant and RevokeGrant: the end of a grant, by whom it names or by the key's administrators.

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::{Action, KeyNamed};
use strongroom_records::{Loaded, RetirableRow};
use strongroom_types::GrantId;
use strongroom_wire::{NoReply, RetireGrantRequest, RevokeGrantRequest};

use super::{Grant, Key, parse_id};
use crate::encryption::push_dry_run;
use crate::fault;
use crate::lookup::{self, Accept};
use crate::policies::key_changed;

pub(crate) struct RetireGrant;
pub(crate) struct RevokeGrant;

/// A grant that is to end, with all that names it.
pub(crate) struct Ending {
    key: Key,
    grant: Grant,
    index: Option<Loaded<RetirableRow>>,
}

impl Ending {
    fn read(key: Key, grant: Grant, reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let index = reader.retirable(&grant).map_err(fault::records)?;
        Ok(Self { key, grant, index })
    }

    fn end(&self, dry_run: Option<bool>) -> Result<Done<NoReply>, Fault> {
        if dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let mut done = key_changed(&self.key);
        let mut key = (**self.key).clone();
        key.discount_grant();
        done.writes.update(&self.key, key);
        done.writes.delete(&self.grant);
        if let Some(index) = &self.index {
            done.writes.delete(index);
        }
        Ok(done)
    }
}

/// The grant that a RevokeGrant names, if there is one.
pub(crate) struct Revoked {
    id: GrantId,
    ending: Option<Ending>,
}

impl Operation for RevokeGrant {
    type Request = RevokeGrantRequest;
    type Rows = Revoked;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Revoked>, Fault> {
        let id = parse_id(&request.grant_id)?;
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::RevokeGrant)?;
        let checks = Checks::one(Check::key(Action::RevokeGrant, &key));
        let grant = reader.grant(&key, &id).map_err(fault::records)?;
        let ending = grant.map(|grant| Ending::read(key, grant, reader)).transpose()?;
        Ok(Targets { rows: Revoked { id, ending }, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let Revoked { id, ending } = permit.rows();
        let ending = ending.as_ref().ok_or_else(|| fault::grant_not_found(id))?;
        ending.end(permit.request().dry_run)
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let mut out = vec![
            ("keyId", Value::from(request.key_id.as_str())),
            ("grantId", Value::from(request.grant_id.as_str())),
        ];
        push_dry_run(&mut out, request.dry_run);
        out
    }
}

impl Operation for RetireGrant {
    type Request = RetireGrantRequest;
    type Rows = Ending;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Ending>, Fault> {
        let (key, grant) = match (&request.grant_token, &request.key_id, &request.grant_id) {
            (Some(token), None, None) => by_token(token, reader)?,
            (None, Some(key_id), Some(grant_id)) => by_id(key_id, grant_id, reader)?,
            _ => {
                let message = "Please specify either a grant token, or a key ARN and a grant ID.";
                return Err(fault::validation(message));
            }
        };
        let checks = Checks::one(Check::Retire { key: key.clone(), grant: grant.clone() });
        Ok(Targets { rows: Ending::read(key, grant, reader)?, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let ending = permit.rows();
        let mut done = ending.end(permit.request().dry_run)?;
        done.additional_data = vec![("grantId", Value::from(ending.grant.grant_id.to_string()))];
        Ok(done)
    }

    /// CloudTrail tells of none: the grant is in the additional data.
    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let mut out = Vec::new();
        push_dry_run(&mut out, request.dry_run);
        out
    }
}

/// The grant of a token. One that is of no grant any more, or of no key, is not valid.
fn by_token(token: &str, reader: &mut Reader<'_>) -> Result<(Key, Grant), Fault> {
    let facts = reader.open_grant_token(token)?;
    let key = reader.key(&facts.key_id).map_err(fault::records)?;
    let key = key.ok_or_else(Reader::invalid_grant_token)?;
    let grant = reader.grant_of_token(&facts, &key)?;
    Ok((key, grant))
}

/// Of another account's key a caller does not learn which grants there are.
fn by_id(key_id: &str, grant_id: &str, reader: &mut Reader<'_>) -> Result<(Key, Grant), Fault> {
    let id = parse_id(grant_id)?;
    let key = lookup::find(reader, key_id, Accept::KeysOnly, Action::RetireGrant)?;
    match reader.grant(&key, &id).map_err(fault::records)? {
        Some(grant) => Ok((key, grant)),
        None if reader.caller().account() == Some(key.account()) => Err(fault::grant_not_found(&id)),
        None => Err(lookup::foreign(reader, Action::RetireGrant, KeyNamed::ByRequest)),
    }
}

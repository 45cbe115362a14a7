//! ListGrants and ListRetirableGrants.

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, Weight, World,
};
use strongroom_policy::{Action, GrantPrincipal, PolicyIdentity, PolicyPrincipal};
use strongroom_records::{GrantRow, Loaded};
use strongroom_types::{AccountId, GrantId, limits};
use strongroom_wire::{ListGrantsReply, ListGrantsRequest, ListRetirableGrantsRequest};

use super::{Grant, Key, Named, NamedPrincipal, Names, entry, one_of, parse_id, push_text, service};
use crate::fault;
use crate::lookup::{self, Accept};
use crate::paging::{List, page_size};

pub(crate) struct ListGrants;
pub(crate) struct ListRetirableGrants;

/// Which of a key's grants are asked for.
struct Filter {
    id: Option<GrantId>,
    grantee: Option<GrantPrincipal>,
}

impl Filter {
    fn read(request: &ListGrantsRequest, reader: &Reader<'_>) -> Result<Self, Fault> {
        let id = request.grant_id.as_deref().map(parse_id).transpose()?;
        let grantee = one_of(
            request.grantee_principal.as_ref(),
            request.grantee_service_principal.as_ref(),
            ("GranteePrincipal", "GranteeServicePrincipal"),
        )?;
        let grantee = match grantee {
            Some(Named::Arn(text)) => Some(NamedPrincipal::read(text, reader)?.principal),
            Some(Named::Service(text)) => Some(service(text, "granteeServicePrincipal")?),
            None => None,
        };
        Ok(Self { id, grantee })
    }
}

/// One page of a key's grants.
pub(crate) struct GrantPage {
    account: AccountId,
    key: Key,
    grants: Vec<Loaded<GrantRow>>,
    names: Names,
    truncated: bool,
}

impl Operation for ListGrants {
    type Request = ListGrantsRequest;
    type Rows = GrantPage;
    type Reply = ListGrantsReply;

    const KIND: Kind = Kind::Read;

    fn weight(_: &Self::Request) -> Weight {
        Weight::Heavy
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<GrantPage>, Fault> {
        let account = lookup::caller_account(reader, Action::ListGrants)?;
        let size = page_size(request.limit, limits::LIST_GRANTS_DEFAULT, limits::LIST_GRANTS_MAX)?;
        let filter = Filter::read(request, reader)?;
        let after = match &request.marker {
            Some(marker) => {
                let parameters = list_parameters(request);
                let list = list_of(reader.caller(), account, &parameters);
                let position = list.open(marker, reader.world())?;
                Some(GrantId::parse(&position).map_err(|_| fault::invalid_marker())?)
            }
            None => None,
        };
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::ListGrants)?;
        let checks = Checks::one(Check::key(Action::ListGrants, &key));
        let grantee = filter.grantee.as_ref();
        let mut grants = match filter.id {
            Some(id) => one_grant(&key, &id, grantee, after.as_ref(), reader)?,
            None => reader.grants_of_key(&key, grantee, after.as_ref(), size + 1).map_err(fault::records)?,
        };
        let truncated = grants.len() > size;
        grants.truncate(size);
        let names = Names::read(grants.iter().map(|grant| &**grant), reader)?;
        Ok(Targets { rows: GrantPage { account, key, grants, names, truncated }, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let page = permit.rows();
        let parameters = list_parameters(permit.request());
        let list = list_of(permit.caller(), page.account, &parameters);
        let next_marker = match page.grants.last() {
            Some(last) if page.truncated => Some(list.seal(&last.grant_id.to_string(), world)?),
            _ => None,
        };
        Ok(Done::reply(ListGrantsReply {
            grants: Some(page.grants.iter().map(|grant| entry(grant, &page.key, &page.names)).collect()),
            next_marker,
            truncated: Some(page.truncated),
        }))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let mut out = vec![("keyId", Value::from(request.key_id.as_str()))];
        push_text(&mut out, "grantId", request.grant_id.as_ref());
        push_text(&mut out, "granteePrincipal", request.grantee_principal.as_ref());
        push_text(&mut out, "granteeServicePrincipal", request.grantee_service_principal.as_ref());
        out.extend(request.limit.map(|limit| ("limit", Value::Integer(limit.into()))));
        out
    }
}

/// The one grant of this id, if it is what else was asked for.
fn one_grant(
    key: &Key,
    id: &GrantId,
    grantee: Option<&GrantPrincipal>,
    after: Option<&GrantId>,
    reader: &Reader<'_>,
) -> Result<Vec<Loaded<GrantRow>>, Fault> {
    let found = reader.grant_untracked(key, id).map_err(fault::records)?;
    let is_wanted = |grant: &Loaded<GrantRow>| {
        grantee.is_none_or(|grantee| grant.grantee == *grantee) && after.is_none_or(|after| id > after)
    };
    Ok(found.filter(is_wanted).into_iter().collect())
}

/// What chose the list, each part behind its length.
fn list_parameters(request: &ListGrantsRequest) -> Vec<u8> {
    let ListGrantsRequest { key_id, grant_id, grantee_principal, grantee_service_principal, .. } = request;
    let mut out = Vec::new();
    let parts = [grant_id, grantee_principal, grantee_service_principal];
    for part in parts.into_iter().map(|part| part.as_deref().unwrap_or_default()).chain([key_id.as_str()]) {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

fn list_of<'a>(
    caller: &'a strongroom_pipeline::Caller,
    account: AccountId,
    parameters: &'a [u8],
) -> List<'a> {
    List { caller, account, operation: "ListGrants", parameters }
}

/// One page of the grants that a principal may retire, on whatever keys.
pub(crate) struct RetirablePage {
    account: AccountId,
    grants: Vec<(Key, Grant)>,
    names: Names,
    retiring: GrantPrincipal,
    /// Where the next page begins; `None` if there is none.
    last: Option<String>,
}

impl Operation for ListRetirableGrants {
    type Request = ListRetirableGrantsRequest;
    type Rows = RetirablePage;
    type Reply = ListGrantsReply;

    const KIND: Kind = Kind::Read;

    fn weight(_: &Self::Request) -> Weight {
        Weight::Heavy
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<RetirablePage>, Fault> {
        let account = lookup::caller_account(reader, Action::ListRetirableGrants)?;
        let size = page_size(request.limit, limits::LIST_GRANTS_DEFAULT, limits::LIST_GRANTS_MAX)?;
        let retiring = own_retiring(request, account, reader)?;
        let after = match &request.marker {
            Some(marker) => {
                Some(retirable_list(reader.caller(), account, &retiring).open(marker, reader.world())?)
            }
            None => None,
        };
        let page = reader.retirable_grants(&retiring, after.as_deref(), size + 1).map_err(fault::records)?;
        let mut grants = page.grants;
        let mut last = page.last;
        if grants.len() > size {
            grants.truncate(size);
            last = grants.last().map(|(place, ..)| place.clone());
        }
        let grants: Vec<_> = grants.into_iter().map(|(_, key, grant)| (key, grant)).collect();
        let names = Names::read(grants.iter().map(|(_, grant)| &***grant), reader)?;
        let check = Check::Account { action: Action::ListRetirableGrants };
        Ok(Targets {
            rows: RetirablePage { account, grants, names, retiring, last },
            checks: Checks::one(check),
        })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let page = permit.rows();
        let next_marker = match &page.last {
            Some(last) => {
                Some(retirable_list(permit.caller(), page.account, &page.retiring).seal(last, world)?)
            }
            None => None,
        };
        Ok(Done::reply(ListGrantsReply {
            grants: Some(page.grants.iter().map(|(key, grant)| entry(grant, key, &page.names)).collect()),
            truncated: Some(next_marker.is_some()),
            next_marker,
        }))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let mut out = Vec::new();
        push_text(&mut out, "retiringPrincipal", request.retiring_principal.as_ref());
        push_text(&mut out, "retiringServicePrincipal", request.retiring_service_principal.as_ref());
        out.extend(request.limit.map(|limit| ("limit", Value::Integer(limit.into()))));
        out
    }
}

fn retiring_of(request: &ListRetirableGrantsRequest, reader: &Reader<'_>) -> Result<NamedPrincipal, Fault> {
    let named = one_of(
        request.retiring_principal.as_ref(),
        request.retiring_service_principal.as_ref(),
        ("RetiringPrincipal", "RetiringServicePrincipal"),
    )?;
    match named {
        Some(Named::Arn(text)) => NamedPrincipal::read(text, reader),
        Some(Named::Service(text)) => {
            let principal = service(text, "retiringServicePrincipal")?;
            Ok(NamedPrincipal { principal, parsed: None, exists: true })
        }
        None => {
            let message = "Please specify either RetiringPrincipal or RetiringServicePrincipal.";
            Err(fault::validation(message))
        }
    }
}

/// The principal whose grants are asked for, who must be of the caller's account. Services ask for their own, and no
/// caller is one.
fn own_retiring(
    request: &ListRetirableGrantsRequest,
    account: AccountId,
    reader: &Reader<'_>,
) -> Result<GrantPrincipal, Fault> {
    let NamedPrincipal { principal, parsed, exists: _ } = retiring_of(request, reader)?;
    let owner = match parsed {
        Some(
            PolicyPrincipal::Account { account, .. }
            | PolicyPrincipal::Identity(PolicyIdentity { account, .. }),
        ) => Some(account),
        Some(PolicyPrincipal::Anyone | PolicyPrincipal::Outsider(_) | PolicyPrincipal::Service(_)) | None => {
            None
        }
    };
    match (&principal, owner) {
        (_, Some(owner)) if owner == account => Ok(principal),
        (GrantPrincipal::Caller(text), None) => Err(fault::unknown_principal(text)),
        _ => Err(lookup::not_allowed(reader, Action::ListRetirableGrants)),
    }
}

fn retirable_list<'a>(
    caller: &'a strongroom_pipeline::Caller,
    account: AccountId,
    retiring: &'a GrantPrincipal,
) -> List<'a> {
    List { caller, account, operation: "ListRetirableGrants", parameters: retiring.as_str().as_bytes() }
}

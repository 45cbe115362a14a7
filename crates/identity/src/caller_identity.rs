//! GetCallerIdentity.

use strongroom_audit::Value;
use strongroom_pipeline::{
    Caller, Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::Action;
use strongroom_wire::{GetCallerIdentityReply, GetCallerIdentityRequest};

/// Tells a caller who they are. No permission is needed, and none can be taken away: whoever could sign the request
/// learns nothing that a refusal would not tell them (AWS STS API reference, GetCallerIdentity).
pub(crate) struct GetCallerIdentity;

impl Operation for GetCallerIdentity {
    type Request = GetCallerIdentityRequest;
    /// The caller, which the permit holds, is all that it needs.
    type Rows = ();
    type Reply = GetCallerIdentityReply;

    const KIND: Kind = Kind::Read;

    fn targets(_: &Self::Request, _: &mut Reader<'_>) -> Result<Targets<()>, Fault> {
        Ok(Targets { rows: (), checks: Checks::one(Check::AnyCaller) })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        Ok(Done::reply(identity(permit.caller())))
    }

    fn parameters(_: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        Vec::new()
    }
}

/// The operator is of no account and has no unique id.
fn identity(caller: &Caller) -> GetCallerIdentityReply {
    let account = caller.account().map(|account| account.to_string()).unwrap_or_default();
    let user_id = caller.user_id().unwrap_or("operator").to_owned();
    GetCallerIdentityReply { account, arn: caller.arn().to_owned(), user_id }
}

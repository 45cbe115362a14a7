//! Authorize and run: the only place where a [`Permit`] or a [`JobPermit`] is minted.

use std::sync::Arc;

use strongroom_policy::{
    AccessDenied, Action, Decision, KeyNamed, Question, Request, Resource, RetireQuestion, decide,
    decide_retirement, open_to_grants,
};
use strongroom_records::Seen;
use strongroom_wire::ErrorKind;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::job::{Job, JobDone, JobError, JobReader};
use crate::operation::{Check, Done, Grant, Key, Kind, Operation, World};
use crate::parts::Parts;
use crate::permit::{JobPermit, Permit};
use crate::reader::{Granted, Reader};

/// What came of one attempt at an operation.
pub(crate) struct Ran<Reply> {
    /// The keys that were decided on, for the record.
    pub(crate) keys: Vec<Key>,
    pub(crate) result: Result<(Done<Reply>, Vec<Seen>), Fault>,
}

/// Whether the thread that decides may take its time over the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    BesideEventLoops,
    OnEventLoop,
}

/// Why a check was not passed.
enum Stop {
    Fault(Fault),
    /// It cannot be told here: too much must be read first.
    MustRead,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// One attempt: load what the operation is about, decide, run. `None`: it must be made beside the event loops.
pub(crate) fn decide_and_run<Op: Operation>(
    parts: &Parts,
    caller: &Caller,
    request: &Arc<Op::Request>,
    place: Place,
) -> Option<Ran<Op::Reply>> {
    let world = World { env: &*parts.env, keyring: &parts.keyring };
    let mut reader = Reader::new(&parts.records, caller, &world, Op::KIND == Kind::Change);
    let targets = match Op::targets(request, &mut reader) {
        Ok(targets) => targets,
        Err(fault) => return Some(Ran { keys: Vec::new(), result: Err(fault) }),
    };
    let keys: Vec<Key> = targets.checks.keys().collect();
    for check in targets.checks.iter() {
        match authorize::<Op>(caller, check, request, &targets.rows, &mut reader, place) {
            Ok(()) => {}
            Err(Stop::Fault(fault)) => return Some(Ran { keys, result: Err(fault) }),
            Err(Stop::MustRead) => return None,
        }
    }
    // Only now: whoever may do nothing to a key learns nothing of it by asking with the token of another.
    if let Err(fault) = reader.check_grant_tokens(Op::grant_tokens(request), &keys) {
        return Some(Ran { keys, result: Err(fault) });
    }
    let permit = Permit::<Op>::mint(Arc::clone(request), targets.rows, caller.clone());
    let seen = reader.into_seen();
    Some(Ran { keys, result: Op::run(&permit, &world).map(|done| (done, seen)) })
}

/// One attempt at a job. There is nobody to ask `policy` about: the service may do what it was built to do, and whether
/// the rows call for it is the job's to decide.
pub(crate) fn decide_and_run_job<J: Job>(
    parts: &Parts,
    task: &J::Task,
) -> Result<(JobDone, Vec<Seen>), JobError> {
    let world = World { env: &*parts.env, keyring: &parts.keyring };
    let mut reader = JobReader::new(&parts.records);
    let rows = J::targets(task, &mut reader)?;
    let permit = JobPermit::<J>::mint(task, rows);
    Ok((J::run(&permit, &world)?, reader.into_seen()))
}

/// Asks `policy`, and the caller's grants where the policies have not decided; a no is AWS's AccessDeniedException, to the
/// letter.
fn authorize<Op: Operation>(
    caller: &Caller,
    check: &Check,
    request: &Op::Request,
    rows: &Op::Rows,
    reader: &mut Reader<'_>,
    place: Place,
) -> Result<(), Stop> {
    let principal = caller.principal();
    let identity = principal.identity_verdict();
    let about = |action: Action, resource| Request { action, identity, principal, resource };
    match check {
        Check::Account { action } => Ok(answer(caller, &about(*action, Resource::Account))?),
        Check::Alias { action, arn } => Ok(answer(caller, &about(*action, Resource::Alias(arn)))?),
        // The caller's signature was verified: that is all.
        Check::AnyCaller => Ok(()),
        Check::NewKey { action } => Ok(answer(caller, &about(*action, Resource::NewKey))?),
        Check::Key { action, key, named } => {
            let verdict =
                key.policy().decide_key_policy(&Question { action: *action, key: key.arn(), principal });
            let asked = about(*action, Resource::Key { arn: key.arn(), named: *named, verdict });
            let decision = decide(&asked);
            // A key without grants, and a caller whom the policies allow, pay nothing for this.
            if key.grants() > 0
                && let Some(operation) = open_to_grants(&asked, &decision)
            {
                let facts = Op::grant_facts(request, rows, *action);
                match reader.find_grant(key, operation, &facts, place == Place::BesideEventLoops)? {
                    Granted::MustRead => return Err(Stop::MustRead),
                    Granted::No => {}
                    Granted::Yes => return Ok(()),
                }
            }
            Ok(told(caller, &asked, decision)?)
        }
        Check::Retire { key, grant } => Ok(may_retire(caller, key, grant)?),
    }
}

/// Asks the grant by whom it may be retired.
fn may_retire(caller: &Caller, key: &Key, grant: &Grant) -> Result<(), Fault> {
    let (action, principal) = (Action::RetireGrant, caller.principal());
    let verdict = key.policy().decide_key_policy(&Question { action, key: key.arn(), principal });
    let resource = Resource::Key { arn: key.arn(), named: KeyNamed::ByRequest, verdict };
    let request = Request { action, identity: principal.identity_verdict(), principal, resource };
    let question = RetireQuestion {
        caller_arns: &caller.grant_arns(),
        grantee: &grant.grantee,
        issuing_account: grant.issuing_account,
        retiring: grant.retiring.as_ref(),
        terms: &grant.terms,
    };
    told(caller, &request, decide_retirement(&request, &question))
}

fn answer(caller: &Caller, request: &Request<'_>) -> Result<(), Fault> {
    told(caller, request, decide(request))
}

fn told(caller: &Caller, request: &Request<'_>, decision: Decision) -> Result<(), Fault> {
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) => {
            let message = AccessDenied::new(caller.arn(), request, reason).to_string();
            Err(Fault::new(ErrorKind::AccessDenied, message))
        }
    }
}

//! Authorize and run: the only place where a [`Permit`] or a [`JobPermit`] is minted.

use std::sync::Arc;

use strongroom_policy::{AccessDenied, Decision, Question, Request, Resource, decide};
use strongroom_records::Seen;
use strongroom_wire::ErrorKind;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::job::{Job, JobDone, JobError, JobReader};
use crate::operation::{Check, Done, Key, Kind, Operation, World};
use crate::parts::Parts;
use crate::permit::{JobPermit, Permit};
use crate::reader::Reader;

/// What came of one attempt at an operation.
pub(crate) struct Ran<Reply> {
    /// The keys that were decided on, for the record.
    pub(crate) keys: Vec<Key>,
    pub(crate) result: Result<(Done<Reply>, Vec<Seen>), Fault>,
}

/// One attempt: load what the operation is about, decide, run.
pub(crate) fn decide_and_run<Op: Operation>(
    parts: &Parts,
    caller: &Caller,
    request: &Arc<Op::Request>,
) -> Ran<Op::Reply> {
    let world = World { env: &*parts.env, keyring: &parts.keyring };
    let mut reader = Reader::new(&parts.records, caller, &world, Op::KIND == Kind::Change);
    let targets = match Op::targets(request, &mut reader) {
        Ok(targets) => targets,
        Err(fault) => return Ran { keys: Vec::new(), result: Err(fault) },
    };
    let keys: Vec<Key> = targets.checks.keys().collect();
    for check in targets.checks.iter() {
        if let Err(fault) = authorize(caller, check) {
            return Ran { keys, result: Err(fault) };
        }
    }
    let permit = Permit::<Op>::mint(Arc::clone(request), targets.rows, caller.clone());
    let seen = reader.into_seen();
    Ran { keys, result: Op::run(&permit, &world).map(|done| (done, seen)) }
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

/// Asks `policy`; a no is AWS's AccessDeniedException, to the letter.
fn authorize(caller: &Caller, check: &Check) -> Result<(), Fault> {
    let principal = caller.principal();
    let identity = principal.identity_verdict();
    match check {
        Check::Account { action } => {
            let resource = Resource::Account;
            answer(caller, &Request { action: *action, identity, principal, resource })
        }
        Check::Alias { action, arn } => {
            let resource = Resource::Alias(arn);
            answer(caller, &Request { action: *action, identity, principal, resource })
        }
        // The caller's signature was verified: that is all.
        Check::AnyCaller => Ok(()),
        Check::NewKey { action } => {
            let resource = Resource::NewKey;
            answer(caller, &Request { action: *action, identity, principal, resource })
        }
        Check::Key { action, key, named } => {
            let arn = key.arn();
            let question = Question { action: *action, key: arn, principal };
            let verdict = key.policy().decide_key_policy(&question);
            let resource = Resource::Key { arn, named: *named, verdict };
            answer(caller, &Request { action: *action, identity, principal, resource })
        }
    }
}

fn answer(caller: &Caller, request: &Request<'_>) -> Result<(), Fault> {
    match decide(request) {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) => {
            let message = AccessDenied::new(caller.arn(), request, reason).to_string();
            Err(Fault::new(ErrorKind::AccessDenied, message))
        }
    }
}

//! Authorize and run: the only place where a [`Permit`] or a [`JobPermit`] is minted.

use std::sync::Arc;

use strongroom_attestation::Attestation;
use strongroom_policy::{
    AccessDenied, Decision, IdentitySide, KeyNamed, Principal, Question, Request, Resource, RetireQuestion,
    decide, decide_retirement, open_to_grants,
};
use strongroom_records::Seen;
use strongroom_types::{AliasArn, limits};
use strongroom_wire::ErrorKind;

use crate::caller::Caller;
use crate::facts::{CheckFacts, LazyFacts, Setting};
use crate::fault::Fault;
use crate::job::{Job, JobDone, JobError, JobReader};
use crate::operation::{Check, Checks, Done, Grant, Key, Kind, Operation, World};
use crate::parts::Parts;
use crate::permit::{JobPermit, Permit};
use crate::reader::{Granted, Reader};
use crate::recipient::attest;

/// What came of one attempt at an operation.
pub(crate) struct Ran<Reply> {
    pub(crate) about: About,
    pub(crate) result: Result<(Done<Reply>, Vec<Seen>), Fault>,
}

/// What a decision was about, for the record.
#[derive(Default)]
pub(crate) struct About {
    /// The recipient's document, if it was verified.
    pub(crate) attestation: Option<Arc<Attestation>>,
    /// The keys that were decided on.
    pub(crate) keys: Vec<Key>,
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
    /// It cannot be told here: too much must be read first, or the policies have too much to look at.
    MustBeBeside,
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
    setting: &Setting<'_>,
    request: &Arc<Op::Request>,
    place: Place,
) -> Option<Ran<Op::Reply>> {
    let world = World { env: &*parts.env, keyring: &parts.keyring, offers: &parts.offers };
    let mut reader = Reader::new(parts, caller, setting, &world, Op::KIND == Kind::Change);
    let targets = match Op::targets(request, &mut reader) {
        Ok(targets) => targets,
        Err(fault) => return Some(Ran { about: About::default(), result: Err(fault) }),
    };
    let mut about = About { attestation: None, keys: targets.checks.keys().collect() };
    // Before anything is decided: what conditions are told of a document was verified.
    if let Some(recipient) = Op::recipient(request) {
        match attest(&parts.attestation, recipient, setting.time) {
            Ok(attestation) => about.attestation = Some(Arc::new(attestation)),
            Err(fault) => return Some(Ran { about, result: Err(fault) }),
        }
    }
    let attestation = about.attestation.as_deref();
    let authorization = Authorization { attestation, caller, checks: &targets.checks, setting };
    for check in targets.checks.iter() {
        match authorization.authorize::<Op>(check, request, &targets.rows, &mut reader, place) {
            Ok(()) => {}
            Err(Stop::Fault(fault)) => return Some(Ran { about, result: Err(fault) }),
            Err(Stop::MustBeBeside) => return None,
        }
    }
    // Only now: whoever may do nothing to a key learns nothing of it by asking with the token of another.
    if let Err(fault) = reader.check_grant_tokens(Op::grant_tokens(request), &about.keys) {
        return Some(Ran { about, result: Err(fault) });
    }
    let attestation = about.attestation.clone();
    let permit = Permit::<Op>::mint(Arc::clone(request), targets.rows, caller.clone(), attestation);
    let seen = reader.into_seen();
    Some(Ran { about, result: Op::run(&permit, &world).map(|done| (done, seen)) })
}

/// One attempt at a job. There is nobody to ask `policy` about: the service may do what it was built to do, and whether
/// the rows call for it is the job's to decide.
pub(crate) fn decide_and_run_job<J: Job>(
    parts: &Parts,
    task: &J::Task,
) -> Result<(JobDone, Vec<Seen>), JobError> {
    let world = World { env: &*parts.env, keyring: &parts.keyring, offers: &parts.offers };
    let mut reader = JobReader::new(&parts.records);
    let rows = J::targets(task, &mut reader)?;
    let permit = JobPermit::<J>::mint(task, rows);
    Ok((J::run(&permit, &world)?, reader.into_seen()))
}

/// What bears on every check of a request.
struct Authorization<'a> {
    attestation: Option<&'a Attestation>,
    caller: &'a Caller,
    checks: &'a Checks,
    setting: &'a Setting<'a>,
}

impl Authorization<'_> {
    /// Asks `policy`, and the caller's grants where the policies have not decided; a no is AWS's AccessDeniedException, to
    /// the letter.
    fn authorize<Op: Operation>(
        &self,
        check: &Check,
        request: &Op::Request,
        rows: &Op::Rows,
        reader: &mut Reader<'_>,
        place: Place,
    ) -> Result<(), Stop> {
        let caller = self.caller;
        // The caller's signature was verified: for some that is all.
        let Some(action) = check.action() else { return Ok(()) };
        let principal = caller.principal();
        let ask = || Op::facts(request, action);
        let key = check.about();
        if place == Place::OnEventLoop && self.is_long(key) {
            return Err(Stop::MustBeBeside);
        }
        let facts = CheckFacts {
            action,
            attestation: self.attestation,
            caller,
            idleness: reader.idleness(),
            key: key.map(|key| &***key),
            re_encrypts_on_same_key: self.checks.re_encrypts_on_same_key(),
            request: LazyFacts::new(&ask),
            setting: self.setting,
        };
        let side = |resource: &str| principal.identity_side(caller.policies(), action, resource, &facts);
        let on_key = |key: &Key| {
            let (arn, key_text) = (key.arn(), key.arn_text());
            let question = Question { action, facts: &facts, key: arn, key_text, principal };
            (side(key_text), key.policy().decide_key_policy(&question))
        };
        let (identity, resource) = match check {
            Check::AnyCaller => return Ok(()),
            Check::Account { .. } => (side("*"), Resource::Account),
            Check::Alias { arn, .. } => (self.side_on_alias(&side, arn), Resource::Alias(arn)),
            Check::NewKey { .. } => (self.side_on_new_key(&side), Resource::NewKey),
            Check::Key { key, named, .. } => {
                let (identity, verdict) = on_key(key);
                (identity, Resource::Key { arn: key.arn(), named: *named, verdict })
            }
            Check::Retire { key, .. } => {
                let (identity, verdict) = on_key(key);
                (identity, Resource::Key { arn: key.arn(), named: KeyNamed::ByRequest, verdict })
            }
        };
        let asked = Request { action, identity, principal, resource };
        let decision = match check {
            Check::Retire { grant, .. } => self.may_retire(&asked, grant),
            Check::Account { .. }
            | Check::Alias { .. }
            | Check::AnyCaller
            | Check::Key { .. }
            | Check::NewKey { .. } => decide(&asked),
        };
        // What a condition asked for and could not be read refuses the request, whatever the condition made of it.
        if let Some(error) = facts.idleness.failed() {
            return Err(Fault::internal(error).into());
        }
        // A key without grants, and a caller whom the policies allow, pay nothing for this.
        if let Some(key) = key.filter(|key| key.grants() > 0)
            && let Some(operation) = open_to_grants(&asked, &decision)
        {
            let facts = Op::grant_facts(request, rows, action);
            let names = caller.grant_names(asked.is_limited());
            match reader.find_grant(key, operation, &facts, &names, place == Place::BesideEventLoops)? {
                Granted::MustRead => return Err(Stop::MustBeBeside),
                Granted::No => {}
                Granted::Yes => return Ok(()),
            }
        }
        Ok(told(caller, &asked, decision)?)
    }

    /// Whether deciding may take milliseconds: with policies of thousands of wildcards, on texts of thousands of bytes.
    fn is_long(&self, key: Option<&Key>) -> bool {
        let walks = self.caller.policies().walks() + key.map_or(0, |key| key.policy().walks());
        walks.saturating_mul(self.setting.text_bytes_max) > limits::DECISION_WALK_BYTES_MAX
    }

    /// Asks the grant by whom it may be retired.
    fn may_retire(&self, asked: &Request<'_>, grant: &Grant) -> Decision {
        let question = RetireQuestion {
            caller_names: &self.caller.grant_names(asked.is_limited()),
            grantee: &grant.grantee,
            issuing_account: grant.issuing_account,
            retiring: grant.retiring.as_ref(),
            terms: &grant.terms,
        };
        decide_retirement(asked, &question)
    }

    /// The alias's ARN is written only for those whose policies may speak of it.
    fn side_on_alias(&self, side: &dyn Fn(&str) -> IdentitySide, arn: &AliasArn) -> IdentitySide {
        match self.caller.principal() {
            Principal::AccountRoot(_) | Principal::Operator | Principal::Service(_) => side("*"),
            Principal::RoleSession(_) | Principal::User(_) => side(&arn.to_string()),
        }
    }

    /// A key that has no id yet is asked for by an ARN that ends before it: `key/*` covers that.
    fn side_on_new_key(&self, side: &dyn Fn(&str) -> IdentitySide) -> IdentitySide {
        let region = self.caller.region();
        match self.caller.account() {
            None => side("*"),
            Some(account) => {
                side(&format!("arn:{}:kms:{region}:{account}:key/", region.partition().as_str()))
            }
        }
    }
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

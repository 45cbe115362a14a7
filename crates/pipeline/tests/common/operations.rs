//! Three operations that do next to nothing, under names of the protocol that fit.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, Weight, World,
};
use strongroom_policy::Action;
use strongroom_records::{KeyRow, KeyState, Loaded, RecordsError, Writes};
use strongroom_types::KeyId;
use strongroom_wire::{
    EncryptReply, EncryptRequest, ErrorKind, GetCallerIdentityReply, GetCallerIdentityRequest,
    GetPublicKeyRequest, NoReply, UpdateKeyDescriptionRequest,
};

type Hook = Box<dyn FnMut(usize)>;

thread_local! {
    static RUNS: Cell<usize> = const { Cell::new(0) };
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// How often a light operation has run on this thread, which is this test's own.
pub(crate) fn runs() -> usize {
    RUNS.get()
}

/// From now on light operations of this thread do this first; they say the how-manieth run it is.
pub(crate) fn in_each_run(hook: impl FnMut(usize) + 'static) {
    HOOK.replace(Some(Box::new(hook)));
}

fn ran() {
    RUNS.set(RUNS.get() + 1);
    let hook = HOOK.take();
    if let Some(mut hook) = hook {
        hook(RUNS.get());
        HOOK.replace(Some(hook));
    }
}

type Key = Arc<Loaded<KeyRow>>;

fn target(key_id: &str, action: Action, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
    let not_found = || Fault::new(ErrorKind::NotFound, format!("Invalid keyId '{key_id}'"));
    let key_id = KeyId::parse(key_id).map_err(|_| not_found())?;
    let key = reader.key(&key_id).map_err(|error: RecordsError| Fault::internal(error))?;
    let key = key.ok_or_else(not_found)?;
    Ok(Targets { checks: Checks::one(Check::key(action, &key)), rows: key })
}

/// Reads a plaintext, tells nothing of it.
pub(crate) struct Look;

impl Operation for Look {
    type Request = EncryptRequest;
    type Rows = Key;
    type Reply = EncryptReply;

    const KIND: Kind = Kind::Read;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        target(&request.key_id, Action::Encrypt, reader)
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        ran();
        let key_id = Some(permit.rows().arn().to_string());
        let mut done = Done::reply(EncryptReply { key_id, ..EncryptReply::default() });
        done.additional_data = vec![("looked", Value::Bool(true))];
        Ok(done)
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str()))]
    }
}

/// Switches the key from enabled to disabled and back; with the description `nothing` it leaves the key as it is.
pub(crate) struct Change;

impl Operation for Change {
    type Request = UpdateKeyDescriptionRequest;
    type Rows = Key;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        target(&request.key_id, Action::UpdateKeyDescription, reader)
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        ran();
        let mut done = Done::reply(NoReply);
        done.response_elements = Some(vec![("changed", Value::Bool(true))]);
        done.resources = vec!["arn:aws:kms:us-east-1:111122223333:alias/of-the-change".into()];
        if permit.request().description != "nothing" {
            done.writes = switched(permit.rows());
        }
        Ok(done)
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str()))]
    }
}

/// Asks for nothing but a caller.
pub(crate) struct WhoAmI;

impl Operation for WhoAmI {
    type Request = GetCallerIdentityRequest;
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
        ran();
        let arn = permit.caller().arn().to_owned();
        Ok(Done::reply(GetCallerIdentityReply { arn, ..GetCallerIdentityReply::default() }))
    }

    fn parameters(_: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        Vec::new()
    }
}

pub(crate) fn switched(key: &Loaded<KeyRow>) -> Writes {
    let mut row = (**key).clone();
    row.set_state(match key.state() {
        KeyState::Enabled => KeyState::Disabled,
        _ => KeyState::Enabled,
    });
    let mut writes = Writes::default();
    writes.update(key, row);
    writes
}

/// Works beside the event loop, and panics if the key is disabled.
pub(crate) struct Heavy;

impl Operation for Heavy {
    type Request = GetPublicKeyRequest;
    type Rows = Key;
    type Reply = NoReply;

    const KIND: Kind = Kind::Read;

    fn weight(_: &Self::Request) -> Weight {
        Weight::Heavy
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        target(&request.key_id, Action::GetPublicKey, reader)
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        assert_eq!(permit.rows().state(), KeyState::Enabled, "the test wants this panic");
        Ok(Done::reply(NoReply))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str()))]
    }
}

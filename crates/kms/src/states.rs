//! EnableKey and DisableKey.

use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::Action;
use strongroom_records::{KeyRow, Loaded};
use strongroom_wire::{DisableKeyRequest, EnableKeyRequest, NoReply};

use crate::lifecycle::{self, KeyEvent};
use crate::lookup::{self, Accept};
use crate::policies::key_changed;

pub(crate) struct DisableKey;
pub(crate) struct EnableKey;

fn switch_targets(
    key_id: &str,
    action: Action,
    reader: &mut Reader<'_>,
) -> Result<Targets<Arc<Loaded<KeyRow>>>, Fault> {
    let key = lookup::find(reader, key_id, Accept::KeysOnly, action)?;
    let checks = Checks::one(Check::key(action, &key));
    Ok(Targets { rows: key, checks })
}

/// Both are idempotent: a key that is in the state already is left as it is.
fn switch(key: &Loaded<KeyRow>, event: KeyEvent) -> Result<Done<NoReply>, Fault> {
    let state = lifecycle::after(key, event)?;
    let mut done = key_changed(key);
    if key.state() != state {
        let mut row = (**key).clone();
        row.set_state(state);
        done.writes.update(key, row);
    }
    Ok(done)
}

impl Operation for DisableKey {
    type Request = DisableKeyRequest;
    type Rows = Arc<Loaded<KeyRow>>;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        switch_targets(&request.key_id, Action::DisableKey, reader)
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        switch(permit.rows(), KeyEvent::Disable)
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str()))]
    }
}

impl Operation for EnableKey {
    type Request = EnableKeyRequest;
    type Rows = Arc<Loaded<KeyRow>>;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        switch_targets(&request.key_id, Action::EnableKey, reader)
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        switch(permit.rows(), KeyEvent::Enable)
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str()))]
    }
}

//! UpdateKeyDescription.

use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::Action;
use strongroom_records::{KeyRow, Loaded};
use strongroom_wire::{NoReply, UpdateKeyDescriptionRequest};

use crate::lifecycle::{self, StateClass};
use crate::lookup::{self, Accept};
use crate::policies::key_changed;

pub(crate) struct UpdateKeyDescription;

impl Operation for UpdateKeyDescription {
    type Request = UpdateKeyDescriptionRequest;
    type Rows = Arc<Loaded<KeyRow>>;
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::UpdateKeyDescription)?;
        let checks = Checks::one(Check::key(Action::UpdateKeyDescription, &key));
        Ok(Targets { rows: key, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let key = permit.rows();
        lifecycle::check(key, StateClass::Edit)?;
        let mut done = key_changed(key);
        let description = &permit.request().description;
        if key.description() != description {
            let mut row = (***key).clone();
            row.set_description(description.clone());
            done.writes.update(key, row);
        }
        Ok(done)
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![
            ("keyId", Value::from(request.key_id.as_str())),
            ("description", Value::from(request.description.as_str())),
        ]
    }
}

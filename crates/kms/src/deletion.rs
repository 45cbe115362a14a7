//! ScheduleKeyDeletion and CancelKeyDeletion.
//!
//! A key is not deleted at once: it is pending deletion for a week or more, in which nobody can use it and anybody who
//! may can call the deletion off. Its deletion date stands in its row; what happens when that has come is not decided
//! here.

use std::sync::Arc;
use std::time::Duration;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::Action;
use strongroom_records::{KeyRow, Loaded};
use strongroom_types::limits;
use strongroom_wire::{
    CancelKeyDeletionReply, CancelKeyDeletionRequest, ScheduleKeyDeletionReply, ScheduleKeyDeletionRequest,
};

use crate::fault;
use crate::lifecycle::{self, KeyEvent};
use crate::lookup::{self, Accept};
use crate::metadata::wire_state;

pub(crate) struct CancelKeyDeletion;
pub(crate) struct ScheduleKeyDeletion;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Operation for ScheduleKeyDeletion {
    type Request = ScheduleKeyDeletionRequest;
    type Rows = Arc<Loaded<KeyRow>>;
    type Reply = ScheduleKeyDeletionReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        check_window(window_days(request))?;
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::ScheduleKeyDeletion)?;
        let checks = Checks::one(Check::key(Action::ScheduleKeyDeletion, &key));
        Ok(Targets { rows: key, checks })
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts { pending_window_days: Some(window_days(request)), ..RequestFacts::default() }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let key = permit.rows();
        let state = lifecycle::after(key, KeyEvent::ScheduleDeletion)?;
        let days = window_days(permit.request());
        let date = world.env.now().saturating_add(DAY.saturating_mul(days));
        let mut row = (***key).clone();
        row.schedule_deletion(date);
        let mut done = Done::reply(ScheduleKeyDeletionReply {
            key_id: Some(key.arn_text().to_owned()),
            deletion_date: Some(date),
            key_state: Some(wire_state(state)),
            pending_window_in_days: Some(days),
        });
        done.writes.update(key, row);
        done.response_elements = Some(vec![
            ("keyId", Value::from(key.arn_text().to_owned())),
            ("keyState", Value::from(state.as_str())),
            ("deletionDate", Value::Timestamp(date)),
            ("pendingWindowInDays", Value::Integer(days.into())),
        ]);
        Ok(done)
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![
            ("keyId", Value::from(request.key_id.as_str())),
            ("pendingWindowInDays", Value::Integer(window_days(request).into())),
        ]
    }
}

fn window_days(request: &ScheduleKeyDeletionRequest) -> u32 {
    request.pending_window_in_days.unwrap_or(limits::DELETION_WINDOW_DAYS_DEFAULT)
}

/// The model's own bounds are wider than the service's.
fn check_window(days: u32) -> Result<(), Fault> {
    let (min, max) = (limits::DELETION_WINDOW_DAYS_MIN, limits::DELETION_WINDOW_DAYS_MAX);
    if !(min..=max).contains(&days) {
        return Err(fault::validation(format!("PendingWindowInDays must be between {min} and {max}")));
    }
    Ok(())
}

impl Operation for CancelKeyDeletion {
    type Request = CancelKeyDeletionRequest;
    type Rows = Arc<Loaded<KeyRow>>;
    type Reply = CancelKeyDeletionReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::CancelKeyDeletion)?;
        let checks = Checks::one(Check::key(Action::CancelKeyDeletion, &key));
        Ok(Targets { rows: key, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let key = permit.rows();
        let mut row = (***key).clone();
        row.set_state(lifecycle::after(key, KeyEvent::CancelDeletion)?);
        let key_id = key.arn_text().to_owned();
        let mut done = Done::reply(CancelKeyDeletionReply { key_id: Some(key_id.clone()) });
        done.writes.update(key, row);
        done.response_elements = Some(vec![("keyId", Value::from(key_id))]);
        Ok(done)
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str()))]
    }
}

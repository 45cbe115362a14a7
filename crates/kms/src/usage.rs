//! GetKeyLastUsage.
//!
//! Source: AWS KMS API reference, GetKeyLastUsage. What counts as a use stands at each operation that is one; how uses are
//! kept is the pipeline's.

use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Key, Kind, Operation, Permit, Reader, RequestFacts, Targets, UsageError,
    World,
};
use strongroom_policy::Action;
use strongroom_records::{KeyUse, TrackedOperation};
use strongroom_types::Timestamp;
use strongroom_wire::{
    GetKeyLastUsageReply, GetKeyLastUsageRequest, KeyLastUsageData, KeyLastUsageTrackingOperation,
};

use crate::lookup::{self, Accept};

pub(crate) struct GetKeyLastUsage;

/// A key and its last use.
pub(crate) struct Usage {
    key: Key,
    /// What could not be read is told to those alone who may know the answer.
    last: Result<Option<KeyUse>, Arc<UsageError>>,
    since: Timestamp,
}

impl Operation for GetKeyLastUsage {
    type Request = GetKeyLastUsageRequest;
    type Rows = Usage;
    type Reply = GetKeyLastUsageReply;

    const KIND: Kind = Kind::Read;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Usage>, Fault> {
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::GetKeyLastUsage)?;
        let checks = Checks::one(Check::key(Action::GetKeyLastUsage, &key));
        let last = reader.last_use(&key).map_err(Arc::new);
        let since = reader.tracked_since(&key);
        Ok(Targets { rows: Usage { key, last, since }, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let Usage { key, last, since } = permit.rows();
        let last = last.as_ref().map_err(|error| Fault::internal(Arc::clone(error)))?;
        Ok(Done::reply(GetKeyLastUsageReply {
            key_id: Some(key.key_id().to_string()),
            key_last_usage: Some(last.map(wire_use).unwrap_or_default()),
            tracking_start_date: Some(*since),
            key_creation_date: Some(key.created()),
        }))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str()))]
    }
}

fn wire_use(last: KeyUse) -> KeyLastUsageData {
    KeyLastUsageData {
        operation: Some(wire_operation(last.operation)),
        timestamp: Some(last.at),
        cloud_trail_event_id: Some(last.event_id.to_string()),
        kms_request_id: Some(last.request_id.to_string()),
    }
}

const fn wire_operation(operation: TrackedOperation) -> KeyLastUsageTrackingOperation {
    use KeyLastUsageTrackingOperation as Wire;
    match operation {
        TrackedOperation::Decapsulate => Wire::Decapsulate,
        TrackedOperation::Decrypt => Wire::Decrypt,
        TrackedOperation::DeriveSharedSecret => Wire::DeriveSharedSecret,
        TrackedOperation::Encapsulate => Wire::Encapsulate,
        TrackedOperation::Encrypt => Wire::Encrypt,
        TrackedOperation::GenerateDataKey => Wire::GenerateDataKey,
        TrackedOperation::GenerateDataKeyPair => Wire::GenerateDataKeyPair,
        TrackedOperation::GenerateDataKeyPairWithoutPlaintext => Wire::GenerateDataKeyPairWithoutPlaintext,
        TrackedOperation::GenerateDataKeyWithoutPlaintext => Wire::GenerateDataKeyWithoutPlaintext,
        TrackedOperation::GenerateMac => Wire::GenerateMac,
        TrackedOperation::ReEncrypt => Wire::ReEncrypt,
        TrackedOperation::Sign => Wire::Sign,
        TrackedOperation::Verify => Wire::Verify,
        TrackedOperation::VerifyMac => Wire::VerifyMac,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operation that AWS adds to the model is to be tracked, and one that is tracked has a name there.
    #[test]
    fn the_tracked_operations_are_the_models() {
        for wire in KeyLastUsageTrackingOperation::ALL {
            let tracked = TrackedOperation::from_name(wire.as_str());
            assert_eq!(tracked.map(wire_operation), Some(*wire), "{wire}");
        }
        assert_eq!(TrackedOperation::ALL.len(), KeyLastUsageTrackingOperation::ALL.len());
    }
}

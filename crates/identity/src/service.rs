//! Every operation of the service by name.

use strongroom_pipeline::{Answer, Visit};
use strongroom_wire::StsOperation;

use crate::caller_identity::GetCallerIdentity;

/// Walks the operation that the visit names. There is no wildcard: a new operation does not compile until it stands here.
pub async fn walk(visit: Visit, operation: StsOperation) -> Answer {
    match operation {
        StsOperation::GetCallerIdentity => visit.walk::<GetCallerIdentity>().await,
    }
}

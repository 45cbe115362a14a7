//! The services behind the one listener.

use std::sync::Arc;

use strongroom_pipeline::{Answer, Arrival, Corridor, Named};

/// Every service of the deployment, behind one corridor.
pub(crate) struct Front {
    corridor: Arc<Corridor>,
}

impl Front {
    pub(crate) fn new(corridor: Arc<Corridor>) -> Self {
        Self { corridor }
    }
}

impl crate::Service for Front {
    /// One request, from its arrival to its recorded answer.
    async fn call(&self, arrival: Arrival) -> Answer {
        match self.corridor.receive(arrival).await {
            Ok((visit, Named::Kms(operation))) => strongroom_kms::walk(visit, operation).await,
            // Boxed, so that the futures of KMS's operations stay small.
            Ok((visit, Named::Sts(operation))) => Box::pin(strongroom_identity::walk(visit, operation)).await,
            Err(answer) => answer,
        }
    }
}

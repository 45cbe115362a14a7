//! What stands before the service: nothing, or a refusal.
//!
//! A server whose root key waits for its passphrase has no service yet; one whose disk is full has one that must not be
//! asked, so that the last room on the disk is left to what is in flight. Both answer every request with
//! KMSInternalException, which clients try again. As there is no journal, or none that can be written, these answers are
//! not recorded.
//!
//! A request through an open doorway costs two atomic loads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use strongroom_pipeline::{Answer, Arrival};
use strongroom_types::{Env, RequestId};
use strongroom_wire::{ErrorKind, WireError, encode_error};
use zeroize::Zeroizing;

use crate::Service;
use crate::refusal::UNKNOWN_OPERATION;

/// Lets requests through to a service once it is there.
pub(crate) struct Doorway<S> {
    env: Arc<dyn Env>,
    is_shut: AtomicBool,
    service: OnceLock<Arc<S>>,
}

impl<S: Service> Doorway<S> {
    pub(crate) fn new(env: Arc<dyn Env>) -> Self {
        Self { env, is_shut: AtomicBool::new(false), service: OnceLock::new() }
    }

    /// Lets requests through from now on. A second service is not taken.
    pub(crate) fn open(&self, service: Arc<S>) {
        let _ = self.service.set(service);
    }

    /// Refuses requests because of the disk, or lets them through again.
    pub(crate) fn set_shut(&self, shut: bool) {
        self.is_shut.store(shut, Ordering::Relaxed);
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Relaxed)
    }

    fn way(&self) -> Result<&Arc<S>, &'static str> {
        let service = self.service.get().ok_or("The service is sealed. The request can be retried.")?;
        if self.is_shut() {
            return Err("The disk is full. The request can be retried.");
        }
        Ok(service)
    }

    fn refusal(&self, message: &'static str) -> Answer {
        let kind = ErrorKind::KmsInternal;
        let mut body = Zeroizing::new(Vec::with_capacity(128));
        encode_error(&WireError { kind, message: Some(message.to_owned()) }, &mut body);
        let request_id = RequestId::from_random(self.env.random_id());
        Answer {
            status: kind.status(),
            request_id,
            body,
            content_type: "application/x-amz-json-1.1",
            operation: UNKNOWN_OPERATION,
            outcome: kind.name(),
        }
    }
}

impl<S: Service> Service for Doorway<S> {
    async fn call(&self, arrival: Arrival) -> Answer {
        match self.way() {
            Ok(service) => service.call(arrival).await,
            Err(message) => self.refusal(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::env::SeededEnv;

    use super::*;

    struct Echo;

    impl Service for Echo {
        async fn call(&self, _arrival: Arrival) -> Answer {
            let request_id = RequestId::from_random([1; 16]);
            let body = Zeroizing::new(Vec::new());
            let content_type = "application/x-amz-json-1.1";
            Answer { status: 200, request_id, body, content_type, operation: "Echo", outcome: "Success" }
        }
    }

    fn ask(doorway: &Doorway<Echo>) -> (u16, String) {
        let arrival = Arrival {
            path: "/".to_owned(),
            query: String::new(),
            method: http::Method::POST,
            headers: http::HeaderMap::new(),
            body: Zeroizing::new(Vec::new()),
            source: std::net::Ipv4Addr::LOCALHOST.into(),
            tls: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(doorway.call(arrival));
        (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
    }

    #[test]
    fn requests_are_refused_without_a_service_and_with_a_full_disk() {
        let doorway = Doorway::new(Arc::new(SeededEnv::new(1)));
        let sealed = r#"{"__type":"KMSInternalException","message":"The service is sealed. The request can be retried."}"#;
        assert_eq!(ask(&doorway), (500, sealed.to_owned()));
        doorway.open(Arc::new(Echo));
        doorway.set_shut(true);
        let (status, body) = ask(&doorway);
        assert!(status == 500 && body.contains("The disk is full."), "{body}");
        doorway.set_shut(false);
        assert_eq!(ask(&doorway), (200, String::new()));
    }
}

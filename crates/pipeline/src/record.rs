//! What the trail says of a request.

use std::borrow::Cow;

use strongroom_attestation::{Attestation, Platform};
use strongroom_audit::{
    Event, EventKind, EventSource, Failure, Field, Identity, IdentityKind, Parameters, Resource, TlsDetails,
    Value,
};
use strongroom_policy::Principal;
use strongroom_types::{AccountId, RegionName, RequestId, Timestamp};
use strongroom_wire::{ErrorKind, WireError};

use crate::arrival::Arrival;
use crate::caller::Caller;
use crate::decide::About;
use crate::job::JobDone;
use crate::operation::Key;
use crate::protocol::Protocol;

/// Where a service event comes from, in CloudTrail's words.
const INTERNAL: &str = "AWS Internal";

/// The parts of an event that are known once the caller is.
pub(crate) struct Beginning<'a> {
    pub(crate) arrival: &'a Arrival,
    pub(crate) caller: &'a Caller,
    pub(crate) event_id: RequestId,
    pub(crate) operation: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) request_id: RequestId,
    pub(crate) source: &'a str,
    pub(crate) time: Timestamp,
}

/// The parts that are known at its end.
#[derive(Default)]
pub(crate) struct End<'a> {
    pub(crate) additional: Vec<(&'static str, Value<'a>)>,
    pub(crate) error: Option<&'a WireError>,
    pub(crate) keys: &'a [Key],
    pub(crate) parameters: Option<Vec<(&'static str, Value<'a>)>>,
    pub(crate) read_only: bool,
    pub(crate) resources: &'a [String],
    pub(crate) response_elements: Option<Vec<(&'static str, Value<'a>)>>,
}

pub(crate) fn event<'a>(kind: EventKind, beginning: &Beginning<'a>, end: End<'a>) -> Event<'a> {
    let Beginning { arrival, caller, event_id, operation, protocol, request_id, source, time } = *beginning;
    let (identity_kind, account) = match caller.principal() {
        Principal::AccountRoot(account) => (IdentityKind::Root, Some(*account)),
        Principal::Operator => (IdentityKind::Operator, None),
        Principal::RoleSession(session) => (IdentityKind::AssumedRole, Some(session.role.account)),
        Principal::Service(_) => (IdentityKind::Service, None),
        Principal::User(user) => (IdentityKind::User, Some(user.account)),
    };
    let mut resources: Vec<Resource<'a>> = Vec::with_capacity(end.keys.len() + end.resources.len());
    for key in end.keys {
        // ReEncrypt under one key names the same key twice.
        if !resources.iter().any(|resource| resource.arn == key.arn_text()) {
            resources.push(resource(Cow::Borrowed(key.arn_text()), key.account()));
        }
    }
    for arn in end.resources {
        if let Some(account) = account {
            resources.push(resource(Cow::Borrowed(arn.as_str()), account));
        }
    }
    Event {
        id: event_id,
        request_id: Some(request_id),
        time,
        region: Cow::Borrowed(caller.region().as_str()),
        kind,
        source: protocol.source(),
        identity: Identity {
            kind: identity_kind,
            account,
            arn: Some(Cow::Borrowed(caller.arn())),
            principal_id: caller.user_id().map(Cow::Borrowed),
            access_key_id: Some(Cow::Borrowed(caller.access_key_id().as_str())),
            invoked_by: None,
        },
        name: Cow::Borrowed(operation),
        source_ip: Cow::Borrowed(source),
        user_agent: user_agent(arrival),
        tls: arrival.tls.as_ref().map(|tls| TlsDetails {
            version: Cow::Borrowed(tls.version),
            cipher_suite: Cow::Borrowed(tls.cipher_suite),
            host_header: host(arrival),
            key_exchange: tls.key_exchange.map(Cow::Borrowed),
        }),
        failure: end.error.map(|error| Failure {
            code: Cow::Borrowed(error_code(protocol, error.kind)),
            message: error.message.as_deref().map(Cow::Borrowed),
        }),
        read_only: end.read_only,
        request_parameters: fields(end.parameters),
        response_elements: fields(end.response_elements),
        additional: fields(Some(end.additional)),
        resources: resources.into(),
        recipient: account,
    }
}

/// What CloudTrail tells of an attested recipient (AWS KMS developer guide, "Monitoring attested requests"), whether the
/// request was answered or not: who issued the document, and each register that was measured. The image's digest is told
/// even if it is all zeros, which is what an enclave in debug mode has.
pub(crate) fn with_recipient<'a>(
    mut additional: Vec<(&'static str, Value<'a>)>,
    about: &'a About,
) -> Vec<(&'static str, Value<'a>)> {
    if let Some(attestation) = &about.attestation {
        additional.push(("recipient", recipient(attestation)));
    }
    additional
}

fn recipient(attestation: &Attestation) -> Value<'_> {
    let mut fields: Vec<Field<'_>> =
        vec![("attestationDocumentModuleId".into(), attestation.module_id().into())];
    let is_measured = |hex: &str| hex.bytes().any(|digit| digit != b'0');
    for (index, hex) in attestation.registers(Platform::Enclave) {
        match index {
            0 => fields.push(("attestationDocumentEnclaveImageDigest".into(), hex.into())),
            _ if is_measured(hex) => {
                fields.push((format!("attestationDocumentEnclavePCR{index}").into(), hex.into()));
            }
            _ => {}
        }
    }
    for (index, hex) in attestation.registers(Platform::NitroTpm) {
        if is_measured(hex) {
            fields.push((format!("attestationDocumentNitroTPMPCR{index}").into(), hex.into()));
        }
    }
    Value::Map(fields.into())
}

/// What the service did by itself, as CloudTrail tells it (AWS KMS developer guide, log entries of DeleteKey and RotateKey):
/// no request, no source but the service.
pub(crate) fn service_event<'a>(
    (source, name): (EventSource, &'static str),
    (id, time): (RequestId, Timestamp),
    region: &'a RegionName,
    done: &'a JobDone,
) -> Event<'a> {
    let key = done.key.as_deref();
    let account = key.map(|key| key.account());
    Event {
        id,
        request_id: None,
        time,
        region: Cow::Borrowed(region.as_str()),
        kind: EventKind::ServiceEvent,
        source,
        identity: Identity { account, ..Identity::service(AccountId::NONE) },
        name: Cow::Borrowed(name),
        source_ip: Cow::Borrowed(INTERNAL),
        user_agent: Cow::Borrowed(INTERNAL),
        tls: None,
        failure: None,
        read_only: false,
        request_parameters: Parameters::None,
        response_elements: Parameters::None,
        additional: fields(Some(done.details.clone())),
        resources: key
            .map(|key| resource(Cow::Borrowed(key.arn_text()), key.account()))
            .into_iter()
            .collect::<Vec<_>>()
            .into(),
        recipient: account,
    }
}

fn resource(arn: Cow<'_, str>, account: AccountId) -> Resource<'_> {
    let kind = if arn.contains(":alias/") { "AWS::KMS::Alias" } else { "AWS::KMS::Key" };
    Resource { arn, account, kind: Cow::Borrowed(kind) }
}

/// CloudTrail's `errorCode`: the error's name, but for the one that it shortens.
fn error_code(protocol: Protocol, kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AccessDenied => "AccessDenied",
        other => protocol.error_name(other),
    }
}

/// Nothing to tell is null, as CloudTrail has it.
fn fields<'a>(fields: Option<Vec<(&'static str, Value<'a>)>>) -> Parameters<'a> {
    match fields.filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            let named = |(name, value)| (Cow::Borrowed(name), value);
            Parameters::from(fields.into_iter().map(named).collect::<Vec<_>>())
        }
        None => Parameters::None,
    }
}

/// As the client sent it; bytes that are no text are shown as replacement characters.
/// CloudTrail's `clientProvidedHostHeader`.
fn host(arrival: &Arrival) -> Option<Cow<'_, str>> {
    Some(String::from_utf8_lossy(arrival.headers.get(http::header::HOST)?.as_bytes()))
}

pub(crate) fn user_agent(arrival: &Arrival) -> Cow<'_, str> {
    match arrival.headers.get(http::header::USER_AGENT) {
        Some(value) => String::from_utf8_lossy(value.as_bytes()),
        None => Cow::Borrowed(""),
    }
}

//! Events as CloudTrail shows them.
//!
//! Names and order of the members follow the AWS CloudTrail user guide, "CloudTrail record contents for management
//! events", version 1.11. Members that CloudTrail always shows are shown as `null` when there is nothing to say.
//! What CloudTrail has no word for: an abandoned request carries `"abandoned": true` in `additionalEventData`, and
//! parameters that were too large to be recorded are `{"omitted": true}`.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use strongroom_types::Timestamp;

use crate::event::{
    Event, EventKind, Field, Identity, IdentityKind, Parameters, Resource, TlsDetails, Value,
};

const EVENT_VERSION: &str = "1.11";

/// The JSON face of an event; serialise it with `serde_json`.
pub fn to_cloudtrail(event: &Event<'_>) -> impl Serialize {
    record(event)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'e> {
    event_version: &'static str,
    user_identity: UserIdentity<'e>,
    event_time: String,
    event_source: &'static str,
    event_name: &'e str,
    aws_region: &'e str,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: &'e str,
    user_agent: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'e str>,
    request_parameters: Shown<'e>,
    response_elements: Shown<'e>,
    #[serde(skip_serializing_if = "Shown::is_absent")]
    additional_event_data: Shown<'e>,
    #[serde(rename = "requestID", skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(rename = "eventID")]
    event_id: String,
    read_only: bool,
    resources: Vec<ShownResource<'e>>,
    event_type: &'static str,
    management_event: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_account_id: Option<String>,
    event_category: &'static str,
    #[serde(skip_serializing_if = "Shown::is_absent")]
    service_event_details: Shown<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_details: Option<ShownTls<'e>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity<'e> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoked_by: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<&'e str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownResource<'e> {
    account_id: String,
    #[serde(rename = "type")]
    kind: &'e str,
    #[serde(rename = "ARN")]
    arn: &'e str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownTls<'e> {
    tls_version: &'e str,
    cipher_suite: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_provided_host_header: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_exchange: Option<&'e str>,
}

fn record<'e>(event: &'e Event<'_>) -> Record<'e> {
    let is_service_event = event.kind == EventKind::ServiceEvent;
    let is_abandoned = event.kind == EventKind::Abandoned;
    let additional = Shown { parameters: &event.additional, is_abandoned };
    let nothing = Shown { parameters: &Parameters::None, is_abandoned: false };
    let (additional_event_data, service_event_details) =
        if is_service_event { (nothing, additional) } else { (additional, nothing) };
    Record {
        event_version: EVENT_VERSION,
        user_identity: user_identity(&event.identity),
        event_time: event.time.to_extended_iso8601(),
        event_source: event.source.as_str(),
        event_name: &event.name,
        aws_region: &event.region,
        source_ip_address: &event.source_ip,
        user_agent: &event.user_agent,
        error_code: event.failure.as_ref().map(|failure| &*failure.code),
        error_message: event.failure.as_ref().and_then(|failure| failure.message.as_deref()),
        request_parameters: Shown { parameters: &event.request_parameters, is_abandoned: false },
        response_elements: Shown { parameters: &event.response_elements, is_abandoned: false },
        additional_event_data,
        request_id: event.request_id.map(|id| id.to_string()),
        event_id: event.id.to_string(),
        read_only: event.read_only,
        resources: event.resources.iter().map(resource).collect(),
        event_type: if is_service_event { "AwsServiceEvent" } else { "AwsApiCall" },
        management_event: true,
        recipient_account_id: event.recipient.map(|account| account.to_string()),
        event_category: "Management",
        service_event_details,
        tls_details: event.tls.as_ref().map(tls),
    }
}

fn user_identity<'e>(identity: &'e Identity<'_>) -> UserIdentity<'e> {
    UserIdentity {
        kind: match identity.kind {
            IdentityKind::Root => Some("Root"),
            IdentityKind::Operator => Some("Operator"),
            IdentityKind::Service => None,
            IdentityKind::Unknown => Some("Unknown"),
            IdentityKind::User => Some("IAMUser"),
            IdentityKind::AssumedRole => Some("AssumedRole"),
        },
        principal_id: identity.principal_id.as_deref(),
        arn: identity.arn.as_deref(),
        account_id: identity.account.map(|account| account.to_string()),
        access_key_id: identity.access_key_id.as_deref(),
        invoked_by: identity.invoked_by.as_deref(),
        // A user's ARN ends with the name, after a path if there is one.
        user_name: match identity.kind {
            IdentityKind::User => identity.arn.as_deref().and_then(|arn| arn.rsplit('/').next()),
            IdentityKind::AssumedRole
            | IdentityKind::Operator
            | IdentityKind::Root
            | IdentityKind::Service
            | IdentityKind::Unknown => None,
        },
    }
}

fn resource<'e>(resource: &'e Resource<'_>) -> ShownResource<'e> {
    ShownResource { account_id: resource.account.to_string(), kind: &resource.kind, arn: &resource.arn }
}

fn tls<'e>(tls: &'e TlsDetails<'_>) -> ShownTls<'e> {
    ShownTls {
        tls_version: &tls.version,
        cipher_suite: &tls.cipher_suite,
        client_provided_host_header: tls.host_header.as_deref(),
        key_exchange: tls.key_exchange.as_deref(),
    }
}

/// A list of parameters; `is_abandoned` adds the member that marks an abandoned request.
struct Shown<'e> {
    parameters: &'e Parameters<'e>,
    is_abandoned: bool,
}

impl Shown<'_> {
    fn is_absent(&self) -> bool {
        *self.parameters == Parameters::None && !self.is_abandoned
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_absent() {
            return serializer.serialize_none();
        }
        let mut map = serializer.serialize_map(None)?;
        match self.parameters {
            Parameters::None => {}
            Parameters::Omitted => map.serialize_entry("omitted", &true)?,
            Parameters::Fields(fields) => entries(&mut map, fields)?,
        }
        if self.is_abandoned {
            map.serialize_entry("abandoned", &true)?;
        }
        map.end()
    }
}

struct ShownValue<'e>(&'e Value<'e>);

impl Serialize for ShownValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_none(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Integer(number) => serializer.serialize_i64(*number),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Timestamp(at) => serializer.serialize_str(&long_date(*at)),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(&ShownValue(item)))?;
                list.end()
            }
            Value::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                entries(&mut map, fields)?;
                map.end()
            }
        }
    }
}

fn entries<M: SerializeMap>(map: &mut M, fields: &[Field<'_>]) -> Result<(), M::Error> {
    fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, &ShownValue(value)))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Aug 10, 2022, 10:38:27 PM`, the form of dates inside parameters (published KMS examples in the developer guide).
fn long_date(at: Timestamp) -> String {
    let text = at.to_extended_iso8601();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let number = |from: usize| part(from, from + 2).parse::<usize>().unwrap_or_default();
    // Years of five digits move every place; such a date keeps its ISO form.
    if text.len() != 20 {
        return text;
    }
    let month = number(5).checked_sub(1).and_then(|month| MONTHS.get(month)).unwrap_or(&"");
    let (hour, half) = match number(11) {
        0 => (12, "AM"),
        hour @ 1..12 => (hour, "AM"),
        12 => (12, "PM"),
        hour => (hour - 12, "PM"),
    };
    format!("{month} {}, {}, {hour}:{} {half}", number(8), part(0, 4), part(14, 19))
}

#[cfg(test)]
mod tests;

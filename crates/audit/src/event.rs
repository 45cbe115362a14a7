//! One audit event: who asked for what, when, from where, and what came of it.
//!
//! An event borrows everything from the request, so that nothing is copied before it is encoded into the journal's
//! buffer. It never holds a plaintext, a caller's ciphertext, a token or a credential: whoever fills it sees to that,
//! and an encryption context is recorded in clear, as AWS has it.

mod codec;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Deref;

use strongroom_types::{AccountId, RequestId, Timestamp};

pub use codec::EventError;
pub(crate) use codec::cut;

/// One event. `docs/formats.md#journal` has its encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// Unique for all time; a replay of the same event is recognised by it.
    pub id: RequestId,
    /// Absent for what the service does on its own.
    pub request_id: Option<RequestId>,
    pub time: Timestamp,
    pub region: Cow<'a, str>,
    pub kind: EventKind,
    pub source: EventSource,
    pub identity: Identity<'a>,
    /// The operation's name, such as `Encrypt`.
    pub name: Cow<'a, str>,
    pub source_ip: Cow<'a, str>,
    pub user_agent: Cow<'a, str>,
    pub tls: Option<TlsDetails<'a>>,
    pub failure: Option<Failure<'a>>,
    pub read_only: bool,
    pub request_parameters: Parameters<'a>,
    pub response_elements: Parameters<'a>,
    /// For a service event these are its details.
    pub additional: Parameters<'a>,
    pub resources: Items<'a, Resource<'a>>,
    pub recipient: Option<AccountId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A request that was decided and answered.
    ApiCall,
    /// What the service does on its own: a rotation, a deletion.
    ServiceEvent,
    /// A request that was cancelled or failed in a way that left no answer.
    Abandoned,
}

/// The service that the event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSource {
    Kms,
    Iam,
    Sts,
    Strongroom,
}

impl EventSource {
    /// CloudTrail's `eventSource`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kms => "kms.amazonaws.com",
            Self::Iam => "iam.amazonaws.com",
            Self::Sts => "sts.amazonaws.com",
            Self::Strongroom => "strongroom",
        }
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity<'a> {
    pub kind: IdentityKind,
    pub account: Option<AccountId>,
    pub arn: Option<Cow<'a, str>>,
    pub principal_id: Option<Cow<'a, str>>,
    pub access_key_id: Option<Cow<'a, str>>,
    /// The service in whose name the call was made.
    pub invoked_by: Option<Cow<'a, str>>,
}

impl Identity<'_> {
    /// The service itself, acting for an account.
    pub const fn service(account: AccountId) -> Self {
        Self {
            kind: IdentityKind::Service,
            account: Some(account),
            arn: None,
            principal_id: None,
            access_key_id: None,
            invoked_by: Some(Cow::Borrowed("AWS Internal")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// An account's root.
    Root,
    /// The deployment's operator.
    Operator,
    /// The service itself.
    Service,
    /// Nobody that could be named.
    Unknown,
    /// A user of an account.
    User,
    /// A session of a role.
    AssumedRole,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TlsDetails<'a> {
    pub version: Cow<'a, str>,
    pub cipher_suite: Cow<'a, str>,
    /// The `Host` header as the client sent it.
    pub host_header: Option<Cow<'a, str>>,
    pub key_exchange: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Failure<'a> {
    pub code: Cow<'a, str>,
    pub message: Option<Cow<'a, str>>,
}

/// A key or an alias that the event touched.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource<'a> {
    pub arn: Cow<'a, str>,
    pub account: AccountId,
    /// Such as `AWS::KMS::Key`.
    pub kind: Cow<'a, str>,
}

/// A list of named values, in the order in which they are shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Parameters<'a> {
    /// `null`.
    #[default]
    None,
    /// There were too many to be recorded.
    Omitted,
    Fields(Items<'a, Field<'a>>),
}

pub type Field<'a> = (Cow<'a, str>, Value<'a>);

#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Text(Cow<'a, str>),
    Timestamp(Timestamp),
    List(Items<'a, Value<'a>>),
    Map(Items<'a, Field<'a>>),
}

/// A slice, borrowed or owned. `Cow<[T]>` would not do: it ties the lifetime inside `T` to one exact length, and events
/// mix texts that live for ever with texts of the request.
#[derive(Debug, Clone)]
pub enum Items<'a, T> {
    Borrowed(&'a [T]),
    Owned(Vec<T>),
}

impl<T> Default for Items<'_, T> {
    fn default() -> Self {
        Self::Borrowed(&[])
    }
}

impl<T> Deref for Items<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Borrowed(items) => items,
            Self::Owned(items) => items,
        }
    }
}

impl<T: PartialEq> PartialEq for Items<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> From<Vec<T>> for Items<'_, T> {
    fn from(items: Vec<T>) -> Self {
        Self::Owned(items)
    }
}

impl<'a, T> From<&'a [T]> for Items<'a, T> {
    fn from(items: &'a [T]) -> Self {
        Self::Borrowed(items)
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for Items<'a, T> {
    fn from(items: &'a [T; N]) -> Self {
        Self::Borrowed(items)
    }
}

impl<'a> From<Vec<Field<'a>>> for Parameters<'a> {
    fn from(fields: Vec<Field<'a>>) -> Self {
        Self::Fields(fields.into())
    }
}

impl<'a> From<&'a [Field<'a>]> for Parameters<'a> {
    fn from(fields: &'a [Field<'a>]) -> Self {
        Self::Fields(fields.into())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Timestamp(value)
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn owned_field((name, value): &Field<'_>) -> Field<'static> {
    (owned(name.clone()), value.to_static())
}

impl Value<'_> {
    fn to_static(&self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Integer(value) => Value::Integer(*value),
            Self::Text(text) => Value::Text(owned(text.clone())),
            Self::Timestamp(at) => Value::Timestamp(*at),
            Self::List(items) => Value::List(Items::Owned(items.iter().map(Value::to_static).collect())),
            Self::Map(fields) => Value::Map(Items::Owned(fields.iter().map(owned_field).collect())),
        }
    }
}

impl Parameters<'_> {
    fn to_static(&self) -> Parameters<'static> {
        match self {
            Self::None => Parameters::None,
            Self::Omitted => Parameters::Omitted,
            Self::Fields(fields) => {
                Parameters::Fields(Items::Owned(fields.iter().map(owned_field).collect()))
            }
        }
    }
}

impl Event<'_> {
    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Event<'static> {
        let tls = self.tls.map(|tls| TlsDetails {
            version: owned(tls.version),
            cipher_suite: owned(tls.cipher_suite),
            host_header: tls.host_header.map(owned),
            key_exchange: tls.key_exchange.map(owned),
        });
        let resource = |resource: &Resource<'_>| Resource {
            arn: owned(resource.arn.clone()),
            account: resource.account,
            kind: owned(resource.kind.clone()),
        };
        Event {
            id: self.id,
            request_id: self.request_id,
            time: self.time,
            region: owned(self.region),
            kind: self.kind,
            source: self.source,
            identity: Identity {
                kind: self.identity.kind,
                account: self.identity.account,
                arn: self.identity.arn.map(owned),
                principal_id: self.identity.principal_id.map(owned),
                access_key_id: self.identity.access_key_id.map(owned),
                invoked_by: self.identity.invoked_by.map(owned),
            },
            name: owned(self.name),
            source_ip: owned(self.source_ip),
            user_agent: owned(self.user_agent),
            tls,
            failure: self
                .failure
                .map(|failure| Failure { code: owned(failure.code), message: failure.message.map(owned) }),
            read_only: self.read_only,
            request_parameters: self.request_parameters.to_static(),
            response_elements: self.response_elements.to_static(),
            additional: self.additional.to_static(),
            resources: Items::Owned(self.resources.iter().map(resource).collect()),
            recipient: self.recipient,
        }
    }
}

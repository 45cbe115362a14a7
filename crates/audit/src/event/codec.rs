//! Events to CBOR (RFC 8949) and back.
//!
//! An event is one array: the version, then the fields in the order below. Fields are only ever added at the end; a
//! reader skips what it does not know, so old binaries read new events and new binaries old ones. A change that a
//! reader must not overlook raises the version.
//!
//! Encoding cannot fail: what is over its limit is cut (texts) or replaced by a marker (parameters), as CloudTrail does.

use std::borrow::Cow;
use std::convert::Infallible;

use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder, decode, encode};
use strongroom_types::limits::{
    AUDIT_ADDITIONAL_BYTES_MAX, AUDIT_NAME_BYTES_MAX, AUDIT_PARAMETERS_BYTES_MAX, AUDIT_RECORD_BYTES_MAX,
    AUDIT_RESOURCES_MAX, AUDIT_TEXT_BYTES_MAX, AUDIT_VALUE_DEPTH_MAX,
};
use strongroom_types::{AccountId, RequestId, Timestamp};

use super::{
    Event, EventKind, EventSource, Failure, Field, Identity, IdentityKind, Items, Parameters, Resource,
    TlsDetails, Value,
};

const VERSION: u8 = 1;
const FIELDS: u64 = 20;
/// Extended time (RFC 9581): a map of seconds (key 1) and milliseconds (key -3).
const TAG_TIME: Tag = Tag::new(1001);

type Out<'o> = Encoder<&'o mut Vec<u8>>;
type Encoded = Result<(), encode::Error<Infallible>>;

/// Bytes that are no event this version can read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("the bytes are not an audit event")]
    Malformed(#[source] decode::Error),
    #[error("the audit event is of version {0}, which this program does not know")]
    Version(u8),
}

impl From<decode::Error> for EventError {
    fn from(error: decode::Error) -> Self {
        Self::Malformed(error)
    }
}

/// The beginning of a text, at most `bytes_max` long, never ending inside a character.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

impl<'b> Event<'b> {
    /// Appends the encoding to `out`: at most `AUDIT_RECORD_BYTES_MAX` bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.encode_with(out, Recorded::All);
        if out.len() - start > AUDIT_RECORD_BYTES_MAX {
            out.truncate(start);
            self.encode_bare(out);
        }
    }

    /// The same with all three lists of parameters replaced by the marker: less than `AUDIT_PLACE_BYTES`.
    pub(crate) fn encode_bare(&self, out: &mut Vec<u8>) {
        self.encode_with(out, Recorded::Bare);
    }

    fn encode_with(&self, out: &mut Vec<u8>, recorded: Recorded) {
        // Writing to a vector cannot fail, and nothing else is reported: a field that is too large is replaced.
        let _ = encode_event(self, out, recorded);
    }

    /// Reads one event; it borrows its texts from `bytes`.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, EventError> {
        let mut d = Decoder::new(bytes);
        let fields = d.array()?.ok_or_else(|| decode::Error::message("an array of unknown length"))?;
        match d.u8()? {
            VERSION => {}
            other => return Err(EventError::Version(other)),
        }
        if fields < FIELDS {
            return Err(decode::Error::message("too few fields").into());
        }
        let event = decode_event(&mut d)?;
        for _ in FIELDS..fields {
            d.skip()?;
        }
        if d.position() != bytes.len() {
            return Err(decode::Error::message("bytes after the event").into());
        }
        Ok(event)
    }

    /// The id alone, without reading the rest.
    pub fn decode_id(bytes: &[u8]) -> Result<RequestId, EventError> {
        let mut d = Decoder::new(bytes);
        d.array()?;
        match d.u8()? {
            VERSION => Ok(request_id(&mut d)?),
            other => Err(EventError::Version(other)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Recorded {
    All,
    Bare,
}

fn encode_event(event: &Event<'_>, out: &mut Vec<u8>, recorded: Recorded) -> Encoded {
    let mut e = Encoder::new(out);
    e.array(FIELDS)?.u8(VERSION)?.bytes(event.id.as_bytes())?;
    match &event.request_id {
        Some(id) => e.bytes(id.as_bytes())?,
        None => e.null()?,
    };
    e.u64(event.time.as_millis())?;
    name(&mut e, &event.region)?;
    e.u8(match event.kind {
        EventKind::ApiCall => 0,
        EventKind::ServiceEvent => 1,
        EventKind::Abandoned => 2,
    })?;
    e.u8(match event.source {
        EventSource::Kms => 0,
        EventSource::Iam => 1,
        EventSource::Sts => 2,
        EventSource::Strongroom => 3,
    })?;
    identity(&mut e, &event.identity)?;
    name(&mut e, &event.name)?;
    name(&mut e, &event.source_ip)?;
    text(&mut e, &event.user_agent)?;
    tls(&mut e, event.tls.as_ref())?;
    let failure = event.failure.as_ref();
    optional(&mut e, failure.map(|f| &f.code), AUDIT_NAME_BYTES_MAX)?;
    optional(&mut e, failure.and_then(|f| f.message.as_ref()), AUDIT_TEXT_BYTES_MAX)?;
    e.bool(event.read_only)?;
    parameters(&mut e, &event.request_parameters, recorded, AUDIT_PARAMETERS_BYTES_MAX)?;
    parameters(&mut e, &event.response_elements, recorded, AUDIT_PARAMETERS_BYTES_MAX)?;
    parameters(&mut e, &event.additional, recorded, AUDIT_ADDITIONAL_BYTES_MAX)?;
    resources(&mut e, &event.resources)?;
    account(&mut e, event.recipient)
}

fn text(e: &mut Out<'_>, value: &str) -> Encoded {
    e.str(cut(value, AUDIT_TEXT_BYTES_MAX))?.ok()
}

fn name(e: &mut Out<'_>, value: &str) -> Encoded {
    e.str(cut(value, AUDIT_NAME_BYTES_MAX))?.ok()
}

fn optional(e: &mut Out<'_>, value: Option<&Cow<'_, str>>, bytes_max: usize) -> Encoded {
    match value {
        Some(value) => e.str(cut(value, bytes_max))?.ok(),
        None => e.null()?.ok(),
    }
}

fn account(e: &mut Out<'_>, account: Option<AccountId>) -> Encoded {
    match account {
        Some(account) => e.u64(account.as_u64())?.ok(),
        None => e.null()?.ok(),
    }
}

fn identity(e: &mut Out<'_>, identity: &Identity<'_>) -> Encoded {
    e.array(6)?.u8(match identity.kind {
        IdentityKind::Root => 0,
        IdentityKind::Operator => 1,
        IdentityKind::Service => 2,
        IdentityKind::Unknown => 3,
        IdentityKind::User => 4,
        IdentityKind::AssumedRole => 5,
    })?;
    account(e, identity.account)?;
    optional(e, identity.arn.as_ref(), AUDIT_TEXT_BYTES_MAX)?;
    optional(e, identity.principal_id.as_ref(), AUDIT_NAME_BYTES_MAX)?;
    optional(e, identity.access_key_id.as_ref(), AUDIT_NAME_BYTES_MAX)?;
    optional(e, identity.invoked_by.as_ref(), AUDIT_NAME_BYTES_MAX)
}

fn tls(e: &mut Out<'_>, tls: Option<&TlsDetails<'_>>) -> Encoded {
    let Some(tls) = tls else { return e.null()?.ok() };
    e.array(4)?;
    name(e, &tls.version)?;
    name(e, &tls.cipher_suite)?;
    optional(e, tls.host_header.as_ref(), AUDIT_NAME_BYTES_MAX)?;
    optional(e, tls.key_exchange.as_ref(), AUDIT_NAME_BYTES_MAX)
}

fn resources(e: &mut Out<'_>, resources: &[Resource<'_>]) -> Encoded {
    e.array(resources.len().min(AUDIT_RESOURCES_MAX) as u64)?;
    for resource in resources.iter().take(AUDIT_RESOURCES_MAX) {
        e.array(3)?;
        text(e, &resource.arn)?;
        e.u64(resource.account.as_u64())?;
        name(e, &resource.kind)?;
    }
    Ok(())
}

/// `null`, a map, or `undefined` where the map is over its limit.
fn parameters(e: &mut Out<'_>, parameters: &Parameters<'_>, recorded: Recorded, bytes_max: usize) -> Encoded {
    let list = match (parameters, recorded) {
        (Parameters::None, _) => return e.null()?.ok(),
        (Parameters::Omitted, _) | (_, Recorded::Bare) => return e.undefined()?.ok(),
        (Parameters::Fields(list), Recorded::All) => list,
    };
    let start = e.writer().len();
    let written = fields(e, list, AUDIT_VALUE_DEPTH_MAX);
    if written.is_err() || e.writer().len() - start > bytes_max {
        e.writer_mut().truncate(start);
        return e.undefined()?.ok();
    }
    Ok(())
}

fn fields(e: &mut Out<'_>, fields: &[Field<'_>], depth: usize) -> Encoded {
    e.map(fields.len() as u64)?;
    for (name, item) in fields {
        e.str(name)?;
        value(e, item, depth)?;
    }
    Ok(())
}

fn value(e: &mut Out<'_>, value: &Value<'_>, depth: usize) -> Encoded {
    let deeper = || depth.checked_sub(1).ok_or_else(|| encode::Error::message("values nested too deep"));
    match value {
        Value::Null => e.null()?.ok(),
        Value::Bool(flag) => e.bool(*flag)?.ok(),
        Value::Integer(number) => e.i64(*number)?.ok(),
        Value::Text(text) => e.str(text)?.ok(),
        Value::Timestamp(at) => {
            let millis = u16::try_from(at.as_millis() % 1000).unwrap_or_default();
            e.tag(TAG_TIME)?.map(2)?.u8(1)?.u64(at.as_secs())?.i8(-3)?.u16(millis)?.ok()
        }
        Value::List(items) => {
            let depth = deeper()?;
            e.array(items.len() as u64)?;
            items.iter().try_for_each(|item| self::value(e, item, depth))
        }
        Value::Map(items) => fields(e, items, deeper()?),
    }
}

fn decode_event<'b>(d: &mut Decoder<'b>) -> Result<Event<'b>, decode::Error> {
    Ok(Event {
        id: request_id(d)?,
        request_id: nullable(d, request_id)?,
        time: Timestamp::from_millis(d.u64()?),
        region: Cow::Borrowed(d.str()?),
        kind: match d.u8()? {
            0 => EventKind::ApiCall,
            1 => EventKind::ServiceEvent,
            2 => EventKind::Abandoned,
            other => return Err(decode::Error::unknown_variant(other.into())),
        },
        source: match d.u8()? {
            0 => EventSource::Kms,
            1 => EventSource::Iam,
            2 => EventSource::Sts,
            3 => EventSource::Strongroom,
            other => return Err(decode::Error::unknown_variant(other.into())),
        },
        identity: decode_identity(d)?,
        name: Cow::Borrowed(d.str()?),
        source_ip: Cow::Borrowed(d.str()?),
        user_agent: Cow::Borrowed(d.str()?),
        tls: nullable(d, decode_tls)?,
        failure: decode_failure(d)?,
        read_only: d.bool()?,
        request_parameters: decode_parameters(d)?,
        response_elements: decode_parameters(d)?,
        additional: decode_parameters(d)?,
        resources: decode_resources(d)?,
        recipient: nullable(d, account_id)?,
    })
}

fn nullable<'b, T>(
    d: &mut Decoder<'b>,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, decode::Error>,
) -> Result<Option<T>, decode::Error> {
    if d.datatype()? == Type::Null {
        d.null()?;
        return Ok(None);
    }
    read(d).map(Some)
}

fn optional_text<'b>(d: &mut Decoder<'b>) -> Result<Option<Cow<'b, str>>, decode::Error> {
    nullable(d, |d| d.str().map(Cow::Borrowed))
}

/// The length of an array that must hold at least `least` items.
fn array(d: &mut Decoder<'_>, least: u64) -> Result<u64, decode::Error> {
    match d.array()? {
        Some(length) if length >= least => Ok(length),
        _ => Err(decode::Error::message("an array of another length")),
    }
}

/// Skips what a later version has put behind the items known here.
fn skip_rest(d: &mut Decoder<'_>, known: u64, length: u64) -> Result<(), decode::Error> {
    (known..length).try_for_each(|_| d.skip())
}

fn request_id(d: &mut Decoder<'_>) -> Result<RequestId, decode::Error> {
    let bytes = d.bytes()?.try_into().map_err(|_| decode::Error::message("an id is not 16 bytes long"))?;
    Ok(RequestId::from_bytes(bytes))
}

fn account_id(d: &mut Decoder<'_>) -> Result<AccountId, decode::Error> {
    AccountId::parse(&format!("{:012}", d.u64()?)).map_err(decode::Error::message)
}

fn decode_identity<'b>(d: &mut Decoder<'b>) -> Result<Identity<'b>, decode::Error> {
    let length = array(d, 6)?;
    let identity = Identity {
        kind: match d.u8()? {
            0 => IdentityKind::Root,
            1 => IdentityKind::Operator,
            2 => IdentityKind::Service,
            3 => IdentityKind::Unknown,
            4 => IdentityKind::User,
            5 => IdentityKind::AssumedRole,
            other => return Err(decode::Error::unknown_variant(other.into())),
        },
        account: nullable(d, account_id)?,
        arn: optional_text(d)?,
        principal_id: optional_text(d)?,
        access_key_id: optional_text(d)?,
        invoked_by: optional_text(d)?,
    };
    skip_rest(d, 6, length)?;
    Ok(identity)
}

fn decode_tls<'b>(d: &mut Decoder<'b>) -> Result<TlsDetails<'b>, decode::Error> {
    let length = array(d, 4)?;
    let tls = TlsDetails {
        version: Cow::Borrowed(d.str()?),
        cipher_suite: Cow::Borrowed(d.str()?),
        host_header: optional_text(d)?,
        key_exchange: optional_text(d)?,
    };
    skip_rest(d, 4, length)?;
    Ok(tls)
}

fn decode_failure<'b>(d: &mut Decoder<'b>) -> Result<Option<Failure<'b>>, decode::Error> {
    let (code, message) = (optional_text(d)?, optional_text(d)?);
    Ok(code.map(|code| Failure { code, message }))
}

fn decode_resources<'b>(d: &mut Decoder<'b>) -> Result<Items<'b, Resource<'b>>, decode::Error> {
    let count = array(d, 0)?;
    let mut resources = Vec::new();
    for _ in 0..count {
        let length = array(d, 3)?;
        resources.push(Resource {
            arn: Cow::Borrowed(d.str()?),
            account: account_id(d)?,
            kind: Cow::Borrowed(d.str()?),
        });
        skip_rest(d, 3, length)?;
    }
    Ok(resources.into())
}

fn decode_parameters<'b>(d: &mut Decoder<'b>) -> Result<Parameters<'b>, decode::Error> {
    match d.datatype()? {
        Type::Null => d.null().map(|()| Parameters::None),
        Type::Undefined => d.undefined().map(|()| Parameters::Omitted),
        _ => decode_fields(d, AUDIT_VALUE_DEPTH_MAX).map(Parameters::Fields),
    }
}

fn decode_fields<'b>(d: &mut Decoder<'b>, depth: usize) -> Result<Items<'b, Field<'b>>, decode::Error> {
    let count = d.map()?.ok_or_else(|| decode::Error::message("a map of unknown length"))?;
    let mut fields = Vec::new();
    for _ in 0..count {
        fields.push((Cow::Borrowed(d.str()?), decode_value(d, depth)?));
    }
    Ok(fields.into())
}

fn decode_value<'b>(d: &mut Decoder<'b>, depth: usize) -> Result<Value<'b>, decode::Error> {
    let deeper = || depth.checked_sub(1).ok_or_else(|| decode::Error::message("values nested too deep"));
    Ok(match d.datatype()? {
        Type::Null => d.null().map(|()| Value::Null)?,
        Type::Bool => Value::Bool(d.bool()?),
        Type::String => Value::Text(Cow::Borrowed(d.str()?)),
        Type::Tag => Value::Timestamp(decode_time(d)?),
        Type::Array => {
            let depth = deeper()?;
            let count = array(d, 0)?;
            let mut items = Vec::new();
            for _ in 0..count {
                items.push(decode_value(d, depth)?);
            }
            Value::List(items.into())
        }
        Type::Map => Value::Map(decode_fields(d, deeper()?)?),
        _ => Value::Integer(d.i64()?),
    })
}

fn decode_time(d: &mut Decoder<'_>) -> Result<Timestamp, decode::Error> {
    let shape = || decode::Error::message("a time of another shape");
    if d.tag()? != TAG_TIME || d.map()? != Some(2) || d.u8()? != 1 {
        return Err(shape());
    }
    let secs = d.u64()?;
    if d.i8()? != -3 {
        return Err(shape());
    }
    let millis = u64::from(d.u16()?);
    if millis > 999 {
        return Err(shape());
    }
    secs.checked_mul(1000).and_then(|ms| ms.checked_add(millis)).map(Timestamp::from_millis).ok_or_else(shape)
}

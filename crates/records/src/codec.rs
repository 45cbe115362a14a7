//! How ids and times stand inside rows: CBOR (RFC 8949) through minicbor, one module per type for `#[cbor(with)]`.
//!
//! Fields are known by index; an index is never used again for something else, and a reader skips indexes it does
//! not know. A field that was added later is optional.

use minicbor::decode::{Decode, Error as DecodeError};
use minicbor::encode::{Encode, Error as EncodeError, Write};
use minicbor::{Decoder, Encoder};

pub(crate) fn to_bytes<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    // Encoding into a Vec cannot fail.
    let _ = minicbor::encode(value, &mut out);
    out
}

pub(crate) fn from_bytes<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.decode()?;
    if decoder.position() != bytes.len() {
        return Err(DecodeError::message("trailing bytes"));
    }
    Ok(value)
}

pub(crate) mod account_id {
    use strongroom_types::AccountId;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &AccountId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.str(&value.to_string())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<AccountId, DecodeError> {
        AccountId::parse(d.str()?).map_err(|_| DecodeError::message("bad account id"))
    }
}

pub(crate) mod timestamp {
    use strongroom_types::Timestamp;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &Timestamp,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.u64(value.as_millis())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Timestamp, DecodeError> {
        d.u64().map(Timestamp::from_millis)
    }
}

/// A time that may be missing: then the field is not written.
pub(crate) mod optional_timestamp {
    use strongroom_types::Timestamp;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &Option<Timestamp>,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        match value {
            Some(value) => timestamp::encode(value, e, context),
            None => e.null()?.ok(),
        }
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, context: &mut C) -> Result<Option<Timestamp>, DecodeError> {
        timestamp::decode(d, context).map(Some)
    }

    pub(crate) fn nil() -> Option<Option<Timestamp>> {
        Some(None)
    }

    pub(crate) fn is_nil(value: &Option<Timestamp>) -> bool {
        value.is_none()
    }
}

/// A number that is not written when it is zero.
pub(crate) mod count {
    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &u32,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.u32(*value)?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<u32, DecodeError> {
        d.u32()
    }

    pub(crate) fn nil() -> Option<u32> {
        Some(0)
    }

    pub(crate) fn is_nil(value: &u32) -> bool {
        *value == 0
    }
}

pub(crate) mod key_id {
    use strongroom_types::KeyId;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &KeyId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?.bytes(value.as_bytes())?.bool(value.is_multi_region())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<KeyId, DecodeError> {
        if d.array()? != Some(2) {
            return Err(DecodeError::message("bad key id"));
        }
        let bytes = d.bytes()?.try_into().map_err(|_| DecodeError::message("bad key id"))?;
        Ok(KeyId::from_parts(bytes, d.bool()?))
    }
}

pub(crate) mod key_spec {
    use strongroom_types::KeySpec;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &KeySpec,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.u8(value.code())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<KeySpec, DecodeError> {
        KeySpec::from_code(d.u8()?).ok_or_else(|| DecodeError::message("unknown key spec"))
    }
}

pub(crate) mod key_usage {
    use strongroom_types::KeyUsage;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &KeyUsage,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.u8(value.code())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<KeyUsage, DecodeError> {
        KeyUsage::from_code(d.u8()?).ok_or_else(|| DecodeError::message("unknown key usage"))
    }
}

pub(crate) mod material_id {
    use strongroom_types::MaterialId;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &MaterialId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(value.as_bytes())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<MaterialId, DecodeError> {
        let bytes = d.bytes()?.try_into().map_err(|_| DecodeError::message("bad material id"))?;
        Ok(MaterialId::from_bytes(bytes))
    }
}

pub(crate) mod credential {
    use strongroom_types::Credential;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &Credential,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(value.expose())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Credential, DecodeError> {
        Ok(Credential::new(d.bytes()?.to_vec()))
    }
}

pub(crate) mod region_names {
    use strongroom_types::RegionName;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &[RegionName],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(value.len() as u64)?;
        value.iter().try_for_each(|name| e.str(name.as_str()).map(|_| ()))
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<RegionName>, DecodeError> {
        let bad = || DecodeError::message("bad region names");
        let count = d.array()?.ok_or_else(bad)?;
        (0..count).map(|_| RegionName::parse(d.str()?).map_err(|_| bad())).collect()
    }
}

pub(crate) mod alias_names {
    use strongroom_types::AliasName;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &[AliasName],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(value.len() as u64)?;
        value.iter().try_for_each(|name| e.str(name.as_str()).map(|_| ()))
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<AliasName>, DecodeError> {
        let bad = || DecodeError::message("bad alias names");
        let count = d.array()?.ok_or_else(bad)?;
        (0..count).map(|_| AliasName::parse(d.str()?).map_err(|_| bad())).collect()
    }
}

/// Tags in the order of their keys, none twice. No tags: the field is not written.
pub(crate) mod tags {
    use strongroom_types::{Tag, TagKey, TagValue};

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &[Tag],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(value.len() as u64)?;
        value.iter().try_for_each(|tag| {
            e.array(2)?.str(tag.key.as_str())?.str(tag.value.as_str())?;
            Ok(())
        })
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<Tag>, DecodeError> {
        let bad = || DecodeError::message("bad tags");
        let count = d.array()?.ok_or_else(bad)?;
        let tags: Vec<Tag> = (0..count).map(|_| tag(d)?.ok_or_else(bad)).collect::<Result<_, _>>()?;
        if !tags.is_sorted_by(|one, next| one.key < next.key) {
            return Err(bad());
        }
        Ok(tags)
    }

    fn tag(d: &mut Decoder<'_>) -> Result<Option<Tag>, DecodeError> {
        if d.array()? != Some(2) {
            return Ok(None);
        }
        let (key, value) = (TagKey::parse(d.str()?), TagValue::parse(d.str()?));
        Ok(key.ok().zip(value.ok()).map(|(key, value)| Tag { key, value }))
    }

    pub(crate) fn nil() -> Option<Vec<Tag>> {
        Some(Vec::new())
    }

    pub(crate) fn is_nil(value: &[Tag]) -> bool {
        value.is_empty()
    }
}

pub(crate) mod tracked_operation {
    use super::*;
    use crate::tables::key_usage::TrackedOperation;

    pub(crate) fn encode<C, W: Write>(
        value: &TrackedOperation,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.u8(value.number())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<TrackedOperation, DecodeError> {
        TrackedOperation::from_number(d.u8()?).ok_or_else(|| DecodeError::message("bad operation"))
    }
}

pub(crate) mod request_id {
    use strongroom_types::RequestId;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &RequestId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(value.as_bytes())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<RequestId, DecodeError> {
        let bytes = d.bytes()?.try_into().map_err(|_| DecodeError::message("bad request id"))?;
        Ok(RequestId::from_bytes(bytes))
    }
}

pub(crate) mod grant_id {
    use strongroom_types::GrantId;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &GrantId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(value.as_bytes())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<GrantId, DecodeError> {
        let bytes = d.bytes()?.try_into().map_err(|_| DecodeError::message("bad grant id"))?;
        Ok(GrantId::from_bytes(bytes))
    }
}

pub(crate) mod serial {
    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &[u8; 16],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(value)?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<[u8; 16], DecodeError> {
        d.bytes()?.try_into().map_err(|_| DecodeError::message("bad serial"))
    }
}

/// `[0, name of a caller]` or `[1, service]`.
pub(crate) mod grant_principal {
    use strongroom_policy::GrantPrincipal;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &GrantPrincipal,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let (kind, text) = match value {
            GrantPrincipal::Caller(text) => (0, text),
            GrantPrincipal::Service(text) => (1, text),
        };
        e.array(2)?.u8(kind)?.str(text)?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<GrantPrincipal, DecodeError> {
        let bad = || DecodeError::message("bad principal");
        if d.array()? != Some(2) {
            return Err(bad());
        }
        match (d.u8()?, d.str()?) {
            (0, text) => Ok(GrantPrincipal::Caller(text.into())),
            (1, text) => Ok(GrantPrincipal::Service(text.into())),
            _ => Err(bad()),
        }
    }
}

/// A principal that may be missing: then the field is not written.
pub(crate) mod optional_grant_principal {
    use strongroom_policy::GrantPrincipal;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &Option<GrantPrincipal>,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        match value {
            Some(value) => grant_principal::encode(value, e, context),
            None => e.null()?.ok(),
        }
    }

    pub(crate) fn decode<C>(
        d: &mut Decoder<'_>,
        context: &mut C,
    ) -> Result<Option<GrantPrincipal>, DecodeError> {
        grant_principal::decode(d, context).map(Some)
    }

    pub(crate) fn nil() -> Option<Option<GrantPrincipal>> {
        Some(None)
    }

    pub(crate) fn is_nil(value: &Option<GrantPrincipal>) -> bool {
        value.is_none()
    }
}

/// What a grant gives: a map of 0, the names of the operations, and what there is of the constraints: 1, the context that
/// must be equal, 2, the pairs that must be there, 3, the source. Contexts are arrays of pairs in the order of their keys.
/// A constraint that this version does not know is an error: to skip it would be to lift it.
pub(crate) mod grant_terms {
    use strongroom_policy::{GrantConstraints, GrantOperation, GrantTerms};
    use strongroom_types::EncryptionContext;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &GrantTerms,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let GrantConstraints { context_equals, context_subset, source_arn } = &value.constraints;
        let count = [context_equals.is_some(), context_subset.is_some(), source_arn.is_some()];
        e.map(1 + count.into_iter().filter(|is_there| *is_there).count() as u64)?;
        e.u8(0)?.array(value.operations.len() as u64)?;
        for operation in &value.operations {
            e.str(operation.as_str())?;
        }
        for (key, constraint) in [(1, context_equals), (2, context_subset)] {
            if let Some(constraint) = constraint {
                e.u8(key)?.array(constraint.pairs().len() as u64)?;
                for (name, value) in constraint.pairs() {
                    e.array(2)?.str(name)?.str(value)?;
                }
            }
        }
        if let Some(source_arn) = source_arn {
            e.u8(3)?.str(source_arn)?;
        }
        Ok(())
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<GrantTerms, DecodeError> {
        let bad = || DecodeError::message("bad terms");
        let mut constraints = GrantConstraints::default();
        let mut operations = None;
        let mut last = None;
        for _ in 0..d.map()?.ok_or_else(bad)? {
            let key = d.u8()?;
            if last.replace(key).is_some_and(|last| last >= key) {
                return Err(bad());
            }
            match key {
                0 => operations = Some(names(d)?),
                1 => constraints.context_equals = Some(context(d)?),
                2 => constraints.context_subset = Some(context(d)?),
                3 => constraints.source_arn = Some(d.str()?.into()),
                _ => return Err(bad()),
            }
        }
        Ok(GrantTerms { constraints, operations: operations.ok_or_else(bad)? })
    }

    fn names(d: &mut Decoder<'_>) -> Result<Vec<GrantOperation>, DecodeError> {
        let bad = || DecodeError::message("bad operations");
        let count = d.array()?.ok_or_else(bad)?;
        (0..count).map(|_| GrantOperation::parse(d.str()?).ok_or_else(bad)).collect()
    }

    fn context(d: &mut Decoder<'_>) -> Result<EncryptionContext, DecodeError> {
        let bad = || DecodeError::message("bad context");
        let count = d.array()?.ok_or_else(bad)?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            if d.array()? != Some(2) {
                return Err(bad());
            }
            pairs.push((d.str()?.to_owned(), d.str()?.to_owned()));
        }
        EncryptionContext::new(pairs).map_err(|_| bad())
    }
}

pub(crate) mod unique_id {
    use strongroom_types::UniqueId;

    use super::*;

    pub(crate) fn encode<C, W: Write>(
        value: &UniqueId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.str(value.as_str())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<UniqueId, DecodeError> {
        UniqueId::parse(d.str()?).map_err(|_| DecodeError::message("bad unique id"))
    }
}

/// Users and roles that a policy names, and which ones are meant. None: the field is not written.
pub(crate) mod bindings {
    use strongroom_types::UniqueId;

    use super::*;
    use crate::tables::key::PolicyBinding;

    pub(crate) fn encode<C, W: Write>(
        value: &[PolicyBinding],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(value.len() as u64)?;
        value.iter().try_for_each(|binding| {
            e.array(2)?.str(&binding.name)?.str(binding.unique_id.as_str())?;
            Ok(())
        })
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<PolicyBinding>, DecodeError> {
        let bad = || DecodeError::message("bad bindings");
        let count = d.array()?.ok_or_else(bad)?;
        let binding = |d: &mut Decoder<'_>| {
            if d.array()? != Some(2) {
                return Err(bad());
            }
            let name = d.str()?.to_owned();
            Ok(PolicyBinding { name, unique_id: UniqueId::parse(d.str()?).map_err(|_| bad())? })
        };
        (0..count).map(|_| binding(d)).collect()
    }

    pub(crate) fn nil() -> Option<Vec<PolicyBinding>> {
        Some(Vec::new())
    }

    pub(crate) fn is_nil(value: &[PolicyBinding]) -> bool {
        value.is_empty()
    }
}

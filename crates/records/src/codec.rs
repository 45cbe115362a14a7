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

//! One JSON value on its way into a draft.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use strongroom_types::limits::JSON_DEPTH_MAX;

use crate::decode::Text;

/// A JSON number as the parser gives it.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Fraction(f64),
    Whole(i64),
}

/// A type that one JSON value can become. Each kind of value that a type does not accept is an error by default.
///
/// `depth` counts the arrays and objects around the value.
pub(crate) trait Slot<'de>: Sized {
    /// What is wanted, for messages: "a String".
    const WANTED: &'static str;

    /// Reads one value; `None` is null.
    fn read<D: Deserializer<'de>>(json: D, depth: usize) -> Result<Option<Self>, D::Error> {
        json.deserialize_any(ValueVisitor { depth, slot: PhantomData })
    }

    fn from_array<A: SeqAccess<'de>>(_array: A, _depth: usize) -> Result<Self, A::Error> {
        Err(Error::custom(LIST_UNEXPECTED))
    }

    fn from_boolean<E: Error>(value: bool) -> Result<Self, E> {
        Err(mismatch::<Self, E>(if value { "TRUE_VALUE" } else { "FALSE_VALUE" }))
    }

    fn from_number<E: Error>(_number: Number) -> Result<Self, E> {
        Err(mismatch::<Self, E>("NUMBER_VALUE"))
    }

    fn from_object<A: MapAccess<'de>>(_object: A, _depth: usize) -> Result<Self, A::Error> {
        Err(Error::custom(STRUCTURE_UNEXPECTED))
    }

    fn from_text<E: Error>(_text: Text<'de>) -> Result<Self, E> {
        Err(mismatch::<Self, E>("STRING_VALUE"))
    }

    /// How a violation shows the value; `None` where it is left out (blobs, secrets, structures).
    fn echo(&self) -> Option<String> {
        None
    }
}

pub(crate) const LIST_UNEXPECTED: &str = "Start of list found where not expected.";
pub(crate) const STRUCTURE_UNEXPECTED: &str = "Start of structure or map found where not expected.";

/// The form of message that AWS's parser has: the token's kind and the wanted type, never the value.
pub(crate) fn mismatch<'de, T: Slot<'de>, E: Error>(found: &'static str) -> E {
    E::custom(format_args!("{found} can not be converted to {}", T::WANTED))
}

/// Reads a value of type `T` at a depth.
pub(crate) struct Seed<T> {
    depth: usize,
    slot: PhantomData<T>,
}

impl<T> Seed<T> {
    pub(crate) const fn at(depth: usize) -> Self {
        Self { depth, slot: PhantomData }
    }
}

impl<'de, T: Slot<'de>> DeserializeSeed<'de> for Seed<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<T>, D::Error> {
        T::read(json, self.depth)
    }
}

/// INVARIANT: every visit that the JSON parser makes is answered here. The defaults of `Visitor` make messages that
/// quote the value, and those must not reach a caller.
struct ValueVisitor<T> {
    depth: usize,
    slot: PhantomData<T>,
}

impl<'de, T: Slot<'de>> Visitor<'de> for ValueVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<T>, E> {
        T::from_boolean(value).map(Some)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Option<T>, E> {
        T::from_text(Text::Borrowed(text)).map(Some)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Option<T>, E> {
        T::from_number(Number::Fraction(number)).map(Some)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<T>, E> {
        T::from_number(Number::Whole(number)).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Option<T>, A::Error> {
        T::from_object(object, self.depth).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Option<T>, A::Error> {
        T::from_array(array, self.depth).map(Some)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        T::from_text(Text::Owned(text.to_owned())).map(Some)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<T>, E> {
        let number = i64::try_from(number).map_or(Number::Fraction(number as f64), Number::Whole);
        T::from_number(number).map(Some)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
}

/// A value that nobody asked for: any kind, of limited depth.
pub(crate) struct Skipped;

impl<'de> Slot<'de> for Skipped {
    const WANTED: &'static str = "anything";

    fn from_array<A: SeqAccess<'de>>(mut array: A, depth: usize) -> Result<Self, A::Error> {
        let inside = deeper(depth)?;
        while array.next_element_seed(Seed::<Self>::at(inside))?.is_some() {}
        Ok(Self)
    }

    fn from_boolean<E: Error>(_value: bool) -> Result<Self, E> {
        Ok(Self)
    }

    fn from_number<E: Error>(_number: Number) -> Result<Self, E> {
        Ok(Self)
    }

    fn from_object<A: MapAccess<'de>>(mut object: A, depth: usize) -> Result<Self, A::Error> {
        let inside = deeper(depth)?;
        while object.next_key_seed(Seed::<Self>::at(inside))?.is_some() {
            object.next_value_seed(Seed::<Self>::at(inside))?;
        }
        Ok(Self)
    }

    fn from_text<E: Error>(_text: Text<'de>) -> Result<Self, E> {
        Ok(Self)
    }
}

/// The depth inside one more array or object.
fn deeper<E: Error>(depth: usize) -> Result<usize, E> {
    if depth >= JSON_DEPTH_MAX {
        return Err(E::custom("JSON is nested too deep"));
    }
    Ok(depth + 1)
}

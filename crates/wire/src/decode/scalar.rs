//! Texts, numbers, booleans and times.

use std::borrow::Cow;

use serde::de::Error;
use strongroom_types::Timestamp;

use crate::decode::slot::{Number, Slot, mismatch};

/// A text; borrowed from the body unless it has escapes.
pub(crate) type Text<'de> = Cow<'de, str>;

impl<'de> Slot<'de> for Text<'de> {
    const WANTED: &'static str = "a String";

    fn from_text<E: Error>(text: Text<'de>) -> Result<Self, E> {
        Ok(text)
    }

    fn echo(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Slot<'_> for bool {
    const WANTED: &'static str = "a Boolean";

    fn from_boolean<E: Error>(value: bool) -> Result<Self, E> {
        Ok(value)
    }
}

/// `integer` of the model: 32 bits, signed.
impl Slot<'_> for i32 {
    const WANTED: &'static str = "an Integer";

    fn from_number<E: Error>(number: Number) -> Result<Self, E> {
        match number {
            Number::Whole(whole) => Self::try_from(whole).map_err(|_| mismatch::<Self, E>("NUMBER_VALUE")),
            Number::Fraction(_) => Err(mismatch::<Self, E>("NUMBER_VALUE")),
        }
    }

    fn echo(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Seconds since the epoch, whole or not. Times before 1970 become 1970 and times past the range its end: both are as
/// far away as a date that matters here can be.
impl Slot<'_> for Timestamp {
    const WANTED: &'static str = "a Timestamp";

    fn from_number<E: Error>(number: Number) -> Result<Self, E> {
        Ok(match number {
            Number::Whole(secs) => Self::from_secs(u64::try_from(secs).unwrap_or_default()),
            // Conversions from float to integer saturate.
            Number::Fraction(secs) => Self::from_millis((secs * 1000.0).round() as u64),
        })
    }
}

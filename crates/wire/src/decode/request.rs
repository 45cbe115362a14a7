//! From a body to a request.

use serde_json::error::Category;

use crate::check::check_all;
use crate::decode::{Draft, Slot};
use crate::encode::WireReply;
use crate::{ErrorKind, Operation, WireError};

/// A request of one operation.
pub trait WireRequest: Sized {
    const OPERATION: Operation;

    /// What the operation answers.
    type Reply: WireReply;

    /// Reads a body; an empty one counts as `{}`.
    ///
    /// Fails with `SerializationException` if the body is not JSON of the right types, and with one
    /// `ValidationException` that names every violated constraint.
    fn decode(body: &[u8]) -> Result<Self, WireError>;
}

pub(crate) fn decode<'de, D: Draft<'de>>(body: &'de [u8]) -> Result<D::Shape, WireError> {
    let draft: D = read(body)?;
    check_all(|check| draft.finish(check))
}

fn read<'de, T: Slot<'de>>(body: &'de [u8]) -> Result<T, WireError> {
    // The parser looks at the encoding only of strings that it hands out; here all of the body must be text.
    let text = std::str::from_utf8(body).map_err(|_| malformed("Invalid UTF-8"))?;
    let mut json = serde_json::Deserializer::from_str(if text.is_empty() { "{}" } else { text });
    let value = T::read(&mut json, 0).map_err(|error| from_parser(&error))?;
    json.end().map_err(|error| from_parser(&error))?;
    value.ok_or_else(|| malformed("NULL_VALUE can not be converted to a Structure"))
}

/// INVARIANT: errors of the category `Data` are those that `slot` and its neighbours make, of fixed words.
fn from_parser(error: &serde_json::Error) -> WireError {
    match error.classify() {
        Category::Data => {
            let text = error.to_string();
            // The parser appends where it stopped.
            malformed(text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message))
        }
        Category::Eof => malformed("Unexpected end of input"),
        Category::Io | Category::Syntax => malformed("Malformed JSON"),
    }
}

fn malformed(message: &str) -> WireError {
    WireError::new(ErrorKind::Serialization, message)
}

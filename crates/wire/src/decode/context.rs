//! Encryption contexts: the one map of the model.

use serde::de::{Error, MapAccess};
use strongroom_types::limits::ENCRYPTION_CONTEXT_BYTES_MAX;
use strongroom_types::{EncryptionContext, EncryptionContextError};

use crate::decode::Text;
use crate::decode::member::Name;
use crate::decode::slot::{Seed, Skipped, Slot, mismatch};

/// An encryption context while it is read.
pub(crate) enum ContextDraft {
    TooLarge,
    Whole(EncryptionContext),
}

impl<'de> Slot<'de> for ContextDraft {
    const WANTED: &'static str = "a Map";

    fn from_object<A: MapAccess<'de>>(mut object: A, depth: usize) -> Result<Self, A::Error> {
        let mut pairs = Vec::new();
        let mut size = 4;
        while let Some(key) = object.next_key_seed(Name)? {
            // Dropping a null would leave the caller with a weaker context than the one that was written down.
            let value = object
                .next_value_seed(Seed::<Text<'de>>::at(depth + 1))?
                .ok_or_else(|| mismatch::<Text<'de>, A::Error>("NULL_VALUE"))?;
            size += 8 + key.len() + value.len();
            if size > ENCRYPTION_CONTEXT_BYTES_MAX {
                // Nothing more is kept, so that memory stays small.
                skip_rest(&mut object, depth + 1)?;
                return Ok(Self::TooLarge);
            }
            pairs.push((key.into_owned(), value.into_owned()));
        }
        match EncryptionContext::new(pairs) {
            Ok(context) => Ok(Self::Whole(context)),
            Err(EncryptionContextError::TooLarge) => Ok(Self::TooLarge),
            Err(EncryptionContextError::DuplicateKey) => {
                Err(Error::custom("Duplicate key found where not expected."))
            }
        }
    }
}

fn skip_rest<'de, A: MapAccess<'de>>(object: &mut A, depth: usize) -> Result<(), A::Error> {
    while object.next_key_seed(Name)?.is_some() {
        object.next_value_seed(Seed::<Skipped>::at(depth))?;
    }
    Ok(())
}

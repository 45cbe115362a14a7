//! Structures: members by name.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use crate::check::Checker;
use crate::decode::Text;
use crate::decode::slot::{Seed, Skipped, Slot};

/// What a body says of one member.
#[derive(Default)]
pub(crate) enum Member<T> {
    #[default]
    Absent,
    /// The same as absent, but a second occurrence is noticed.
    Null,
    Present(T),
}

/// A structure while it is read.
pub(crate) trait Draft<'de>: Default + Finish {
    /// Takes the value of the member called `name`.
    fn member<A: MapAccess<'de>>(&mut self, name: &str, members: &mut Members<'_, A>)
    -> Result<(), A::Error>;
}

/// A structure that was read: the second step.
pub(crate) trait Finish {
    /// What it becomes.
    type Shape;

    /// Checks every member in the model's order. `None` only if a violation was recorded.
    fn finish(self, check: &mut Checker<'_>) -> Option<Self::Shape>;
}

/// The object that a structure is read from.
pub(crate) struct Members<'a, A> {
    object: &'a mut A,
    depth: usize,
}

impl<'de, A: MapAccess<'de>> Members<'_, A> {
    /// Reads the value at hand into the slot of a member. A slot is filled once.
    pub(crate) fn fill<T: Slot<'de>>(&mut self, slot: &mut Member<T>) -> Result<(), A::Error> {
        if !matches!(slot, Member::Absent) {
            return Err(Error::custom("Duplicate member found where not expected."));
        }
        *slot = self.object.next_value_seed(Seed::at(self.depth))?.map_or(Member::Null, Member::Present);
        Ok(())
    }

    /// Passes over the value of a member that the model does not know.
    pub(crate) fn skip(&mut self) -> Result<(), A::Error> {
        self.object.next_value_seed(Seed::<Skipped>::at(self.depth)).map(|_| ())
    }
}

impl<'de, D: Draft<'de>> Slot<'de> for D {
    const WANTED: &'static str = "a Structure";

    fn from_object<A: MapAccess<'de>>(mut object: A, depth: usize) -> Result<Self, A::Error> {
        let mut draft = D::default();
        while let Some(name) = object.next_key_seed(Name)? {
            draft.member(&name, &mut Members { object: &mut object, depth: depth + 1 })?;
        }
        Ok(draft)
    }
}

/// The name of a member or the key of a map.
pub(crate) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Text<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Text<'de>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Text<'de>, E> {
        Ok(Text::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Text<'de>, E> {
        Ok(Text::Owned(name.to_owned()))
    }
}

//! JSON in which no member is read twice, and none is left unread.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};
use strongroom_policy::IdentityPolicy;

/// A JSON value in which no member occurs twice: a policy has one reading.
#[derive(Debug)]
pub(super) struct Strict(pub(super) Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            all.push(element);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut all = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if all.contains_key(&name) {
                return Err(de::Error::custom(format_args!("member `{name}` occurs twice")));
            }
            all.insert(name, value);
        }
        Ok(Json::Object(all))
    }
}

/// The members of one line, taken out one by one so that those that are left over are told.
pub(super) struct Members(pub(super) Map<String, Json>);

impl Members {
    pub(super) fn of(name: &str, value: Json) -> Result<Self, String> {
        match value {
            Json::Object(members) => Ok(Self(members)),
            _ => Err(format!("`{name}` must be an object")),
        }
    }

    /// Refuses what nobody has taken.
    pub(super) fn end(&self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("member `{name}` is not known")),
            None => Ok(()),
        }
    }

    /// What is in a list, which may be left out.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<Json>, String> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Json::Array(values)) => Ok(values),
            Some(_) => Err(format!("`{name}` must be a list")),
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Json> {
        self.0.remove(name)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` must be a string")),
        }
    }

    pub(super) fn needed(&mut self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    /// A policy, as an object or as text.
    pub(super) fn policy(&mut self, name: &str) -> Result<Option<String>, String> {
        self.take(name).map(|value| policy_text(name, value)).transpose()
    }

    pub(super) fn policies(&mut self, name: &str) -> Result<Option<Vec<IdentityPolicy>>, String> {
        let values = match self.take(name) {
            None => return Ok(None),
            Some(Json::Array(values)) => values,
            Some(one) => vec![one],
        };
        let parse = |(index, value)| {
            let text = policy_text(name, value)?;
            IdentityPolicy::parse(&text).map_err(|error| format!("`{name}`, policy {index}: {error}"))
        };
        values.into_iter().enumerate().map(parse).collect::<Result<_, _>>().map(Some)
    }
}

fn policy_text(name: &str, value: Json) -> Result<String, String> {
    match value {
        Json::String(text) => Ok(text),
        Json::Object(_) => Ok(value.to_string()),
        _ => Err(format!("`{name}` must be a policy: an object, or its text as a string")),
    }
}

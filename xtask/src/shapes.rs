//! `model/kms.json` as the generator sees it.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{TaskError, model_error};
use crate::json::Json;

pub(crate) struct Model {
    /// What messages say about where the model came from.
    pub(crate) botocore_version: String,
    /// `TrentService`.
    pub(crate) target_prefix: String,
    /// By name.
    pub(crate) operations: Vec<Operation>,
    pub(crate) shapes: BTreeMap<String, Shape>,
}

pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) input: String,
    pub(crate) output: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) min: Option<i64>,
    pub(crate) max: Option<i64>,
}

pub(crate) enum Shape {
    Blob { limits: Limits, sensitive: bool },
    Boolean,
    Context,
    Enum { values: Vec<String> },
    Exception { fault: bool },
    Integer { limits: Limits },
    List { limits: Limits, item: String },
    Structure { members: Vec<Member> },
    Text { limits: Limits, pattern: Option<String>, sensitive: bool },
    Timestamp,
}

pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) shape: String,
    pub(crate) required: bool,
}

/// The one map of the model. It has its own type in `strongroom-types`; another map would need a decision.
const CONTEXT: &str = "EncryptionContextType";

impl Model {
    pub(crate) fn parse(text: &str) -> Result<Self, TaskError> {
        let json: Json = serde_json::from_str(text)
            .map_err(|source| TaskError::Json { what: "model/kms.json".to_owned(), source })?;
        let operations = json.member("operations").map_or(&[][..], Json::members);
        let shapes = json.member("shapes").map_or(&[][..], Json::members);
        Ok(Self {
            botocore_version: text_at(&json, &["source", "botocoreVersion"])?,
            target_prefix: text_at(&json, &["metadata", "targetPrefix"])?,
            operations: operations
                .iter()
                .map(|(name, operation)| {
                    Ok(Operation {
                        name: name.clone(),
                        input: text_at(operation, &["input", "shape"])?,
                        output: text_at(operation, &["output", "shape"]).ok(),
                    })
                })
                .collect::<Result<_, TaskError>>()?,
            shapes: shapes
                .iter()
                .map(|(name, shape)| Ok((name.clone(), Shape::parse(name, shape)?)))
                .collect::<Result<_, TaskError>>()?,
        })
    }

    pub(crate) fn shape(&self, name: &str) -> Result<&Shape, TaskError> {
        self.shapes.get(name).ok_or_else(|| model_error(format!("no shape `{name}`")))
    }

    /// The members of the structure `name`.
    pub(crate) fn members(&self, name: &str) -> Result<&[Member], TaskError> {
        match self.shape(name)? {
            Shape::Structure { members } => Ok(members),
            _ => Err(model_error(format!("`{name}` is not a structure"))),
        }
    }

    /// Every shape that can be reached from `roots`, themselves included.
    pub(crate) fn reachable<'a>(
        &'a self,
        roots: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeSet<&'a str>, TaskError> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = roots.into_iter().collect();
        while let Some(name) = open.pop() {
            if found.insert(name) {
                match self.shape(name)? {
                    Shape::List { item, .. } => open.push(item),
                    Shape::Structure { members } => {
                        open.extend(members.iter().map(|member| member.shape.as_str()));
                    }
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn inputs(&self) -> impl Iterator<Item = &str> {
        self.operations.iter().map(|operation| operation.input.as_str())
    }

    /// The output shapes; two operations may share one.
    pub(crate) fn outputs(&self) -> BTreeSet<&str> {
        self.operations.iter().filter_map(|operation| operation.output.as_deref()).collect()
    }
}

impl Shape {
    fn parse(name: &str, json: &Json) -> Result<Self, TaskError> {
        let limit = |key: &str| json.member(key).and_then(Json::as_number);
        let limits = Limits { min: limit("min"), max: limit("max") };
        let is = |key: &str| json.member(key).is_some_and(Json::is_true);
        let sensitive = is("sensitive");
        Ok(match text_at(json, &["type"])?.as_str() {
            "blob" => Self::Blob { limits, sensitive },
            "boolean" => Self::Boolean,
            "integer" => match limits.min {
                // Integers become unsigned, and zero stands for "below the least" when they are checked.
                Some(1..) => Self::Integer { limits },
                _ => return Err(model_error(format!("integer `{name}` may be less than one"))),
            },
            "list" => Self::List { limits, item: text_at(json, &["member", "shape"])? },
            "map" if name == CONTEXT => Self::Context,
            "string" if json.member("enum").is_some() => Self::Enum { values: texts(json.member("enum")) },
            "string" => {
                let pattern = json.member("pattern").and_then(Json::as_text).map(str::to_owned);
                Self::Text { limits, pattern, sensitive }
            }
            "structure" if is("exception") => Self::Exception { fault: is("fault") },
            "structure" => Self::Structure { members: members(json)? },
            "timestamp" => Self::Timestamp,
            other => return Err(model_error(format!("`{name}` is a {other}, which has no generator"))),
        })
    }
}

fn members(shape: &Json) -> Result<Vec<Member>, TaskError> {
    let required = texts(shape.member("required"));
    shape
        .member("members")
        .map_or(&[][..], Json::members)
        .iter()
        .map(|(name, reference)| {
            Ok(Member {
                name: name.clone(),
                shape: text_at(reference, &["shape"])?,
                required: required.contains(name),
            })
        })
        .collect()
}

fn texts(array: Option<&Json>) -> Vec<String> {
    array.map_or(&[][..], Json::items).iter().filter_map(Json::as_text).map(str::to_owned).collect()
}

fn text_at(json: &Json, path: &[&str]) -> Result<String, TaskError> {
    path.iter()
        .try_fold(json, |json, name| json.member(name))
        .and_then(Json::as_text)
        .map(str::to_owned)
        .ok_or_else(|| model_error(format!("no text at `{}`", path.join("."))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &str, json: &str) -> Result<Shape, TaskError> {
        Shape::parse(name, &serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_has_no_generator_is_an_error() {
        assert!(shape("Other", r#"{"type":"map"}"#).is_err());
        assert!(shape("Big", r#"{"type":"long","min":1}"#).is_err());
        assert!(shape("Count", r#"{"type":"integer","min":0}"#).is_err());
        assert!(shape("Count", r#"{"type":"integer"}"#).is_err());
    }

    #[test]
    fn shapes_are_told_apart() {
        assert!(matches!(shape(CONTEXT, r#"{"type":"map"}"#), Ok(Shape::Context)));
        assert!(matches!(shape("E", r#"{"type":"string","enum":["A"]}"#), Ok(Shape::Enum { .. })));
        assert!(matches!(
            shape("X", r#"{"type":"structure","exception":true,"fault":true}"#),
            Ok(Shape::Exception { fault: true })
        ));
        assert!(matches!(
            shape("P", r#"{"type":"blob","min":1,"max":4,"sensitive":true}"#),
            Ok(Shape::Blob { limits: Limits { min: Some(1), max: Some(4) }, sensitive: true })
        ));
    }
}

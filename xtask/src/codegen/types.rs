//! Which Rust type a shape has: in a request or reply, and in a draft.

use crate::codegen::names::{constant_name, structure_name, type_name};
use crate::error::{TaskError, model_error};
use crate::shapes::{Member, Model, Shape};

/// Members whose type is not what the model says: structure, member, shape.
///
/// `CustomerMasterKeySpec` is the old name of `KeySpec`, and its enumeration was not extended. AWS answers it with the
/// same value as `KeySpec` all the same, so replies must be able to hold the newer ones.
const OTHER_SHAPES: &[(&str, &str, &str)] = &[
    ("GetPublicKeyResponse", "CustomerMasterKeySpec", "KeySpec"),
    ("KeyMetadata", "CustomerMasterKeySpec", "KeySpec"),
];

/// The shape that the member has in the product.
pub(super) fn shape_of<'a>(structure: &str, member: &'a Member) -> &'a str {
    let other = OTHER_SHAPES.iter().find(|(of, name, _)| *of == structure && *name == member.name);
    other.map_or(member.shape.as_str(), |(_, _, shape)| shape)
}

/// The type in a request or a reply.
pub(super) fn value_type(model: &Model, shape: &str) -> Result<String, TaskError> {
    Ok(match model.shape(shape)? {
        Shape::Blob { sensitive: true, .. } => "Plaintext".to_owned(),
        Shape::Blob { .. } => "Vec<u8>".to_owned(),
        Shape::Boolean => "bool".to_owned(),
        Shape::Context => "EncryptionContext".to_owned(),
        Shape::Enum { .. } => type_name(shape),
        Shape::Exception { .. } => return Err(model_error(format!("`{shape}` is an error"))),
        Shape::Integer { .. } => "u32".to_owned(),
        Shape::List { item, .. } => format!("Vec<{}>", value_type(model, item)?),
        Shape::Structure { .. } => structure_name(shape),
        Shape::Text { sensitive: true, .. } => "Credential".to_owned(),
        Shape::Text { .. } => "String".to_owned(),
        Shape::Timestamp => "Timestamp".to_owned(),
    })
}

/// The type while a request is read.
pub(super) fn draft_type(model: &Model, shape: &str) -> Result<String, TaskError> {
    Ok(match model.shape(shape)? {
        Shape::Context => "ContextDraft".to_owned(),
        Shape::Enum { .. } | Shape::Text { sensitive: false, .. } => "Text<'de>".to_owned(),
        Shape::Integer { .. } => "i32".to_owned(),
        Shape::List { item, .. } => format!("List<{}>", draft_type(model, item)?),
        Shape::Structure { .. } => {
            let lifetime = if borrows(model, shape)? { "<'de>" } else { "" };
            format!("{}Draft{lifetime}", structure_name(shape))
        }
        _ => value_type(model, shape)?,
    })
}

/// Whether a draft of the shape holds texts of the body.
pub(super) fn borrows(model: &Model, shape: &str) -> Result<bool, TaskError> {
    has(model, shape, &|shape| matches!(shape, Shape::Enum { .. } | Shape::Text { sensitive: false, .. }))
}

/// Whether a value of the shape holds a secret.
pub(super) fn has_secret(model: &Model, shape: &str) -> Result<bool, TaskError> {
    has(model, shape, &|shape| {
        matches!(shape, Shape::Blob { sensitive: true, .. } | Shape::Text { sensitive: true, .. })
    })
}

fn has(model: &Model, shape: &str, wanted: &dyn Fn(&Shape) -> bool) -> Result<bool, TaskError> {
    for name in model.reachable([shape])? {
        if wanted(model.shape(name)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The expression for the rule that judges the shape.
pub(super) fn rule(model: &Model, shape: &str) -> Result<String, TaskError> {
    Ok(match model.shape(shape)? {
        Shape::Boolean | Shape::Timestamp => "FreeRule".to_owned(),
        Shape::Context => "ContextRule".to_owned(),
        Shape::Structure { .. } => "StructureRule".to_owned(),
        _ => format!("rules::{}", constant_name(shape)?),
    })
}

//! One rule for each simple shape that occurs in requests.

use crate::codegen::names::{constant_name, type_name};
use crate::codegen::types::rule;
use crate::error::{TaskError, model_error};
use crate::shapes::{Limits, Model, Shape};

/// Each pattern of the model and the function of `strongroom-wire`'s module `pattern` that decides it. A new pattern
/// needs a new function there, with its tests.
const PATTERNS: &[(&str, &str)] = &[
    (r"[\u0009\u000A\u000D\u0020-\u00FF]+", "latin_text"),
    (r"[\u0020-\u00FF]*", "latin_line"),
    (r"[\w]+", "word"),
    (r"[0-9]{12}", "twelve_digits"),
    (r"^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$", "service_principal"),
    (r"^([a-z]+-){2,3}\d+$", "region"),
    (r"^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$", "proxy_path"),
    (r"^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$", "vpc_endpoint_service"),
    (r"^[\w+=,.@:/-]+$", "principal"),
    (r"^[A-Z2-7]+$", "base32_characters"),
    (r"^[a-f0-9]+$", "lower_hex"),
    (r"^[a-zA-Z0-9-_.]+$", "name_with_dots"),
    (r"^[a-zA-Z0-9:/_-]+$", "name_with_colons"),
    (r"^[a-zA-Z0-9:/_\s.-]+$", "description"),
    (r"^[a-zA-Z0-9\/+=]+$", "base64_characters"),
    (r"^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$", "source_arn"),
    (r"^https://[a-zA-Z0-9.-]+$", "https_endpoint"),
    (r"cluster-[2-7a-zA-Z]{11,16}", "cluster_id"),
];

pub(super) fn generate(model: &Model) -> Result<String, TaskError> {
    let mut out = "use crate::check::{BlobRule, Bounds, EnumRule, IntegerRule, ListRule, Pattern, StructureRule, TextRule};
use crate::generated::enums::*;
use crate::pattern;
"
    .to_owned();
    for name in model.reachable(model.inputs())? {
        if let Some((kind, value)) = constant(model, name)? {
            out.push_str(&format!("\npub(super) const {}: {kind} = {value};\n", constant_name(name)?));
        }
    }
    Ok(out)
}

/// The type and the value of the rule for a shape that has one of its own.
fn constant(model: &Model, name: &str) -> Result<Option<(String, String)>, TaskError> {
    Ok(Some(match model.shape(name)? {
        Shape::Blob { limits, .. } => {
            ("BlobRule".to_owned(), format!("BlobRule {{ length: {} }}", bounds(*limits)))
        }
        Shape::Enum { .. } => (format!("EnumRule<{}>", type_name(name)), "EnumRule::NEW".to_owned()),
        Shape::Integer { limits } => {
            ("IntegerRule".to_owned(), format!("IntegerRule {{ value: {} }}", bounds(*limits)))
        }
        Shape::List { limits, item } => {
            let kind = match constant(model, item)? {
                Some((kind, _)) => kind,
                None => rule(model, item)?,
            };
            let item = rule(model, item)?.replace("rules::", "");
            (format!("ListRule<{kind}>"), format!("ListRule {{ length: {}, item: {item} }}", bounds(*limits)))
        }
        Shape::Text { limits, pattern, .. } => {
            let pattern = pattern.as_deref().map(matcher).transpose()?.unwrap_or("None".to_owned());
            ("TextRule".to_owned(), format!("TextRule {{ length: {}, pattern: {pattern} }}", bounds(*limits)))
        }
        Shape::Boolean
        | Shape::Context
        | Shape::Exception { .. }
        | Shape::Structure { .. }
        | Shape::Timestamp => return Ok(None),
    }))
}

fn bounds(limits: Limits) -> String {
    match limits {
        Limits { min: None, max: None } => "Bounds::NONE".to_owned(),
        Limits { min, max } => {
            let max = max.map_or("usize::MAX".to_owned(), |max| max.to_string());
            format!("Bounds {{ min: {}, max: {max} }}", min.unwrap_or(0))
        }
    }
}

fn matcher(pattern: &str) -> Result<String, TaskError> {
    let (_, function) = PATTERNS
        .iter()
        .find(|(found, _)| *found == pattern)
        .ok_or_else(|| model_error(format!("no function decides the pattern `{pattern}`")))?;
    let text = if pattern.contains('\\') { format!("r\"{pattern}\"") } else { format!("\"{pattern}\"") };
    Ok(format!("Some(Pattern {{ text: {text}, matches: pattern::{function} }})"))
}

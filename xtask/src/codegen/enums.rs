//! Enumerations of texts.

use std::collections::BTreeSet;

use crate::codegen::names::{type_name, variant_name};
use crate::error::{TaskError, model_error};
use crate::shapes::{Model, Shape};

pub(super) fn generate(model: &Model) -> Result<String, TaskError> {
    let mut out = "use crate::wire_enum::wire_enum;\n".to_owned();
    for (name, shape) in &model.shapes {
        if let Shape::Enum { values } = shape {
            out.push_str(&enumeration(name, values)?);
        }
    }
    Ok(out)
}

/// The formatter leaves the arguments of this macro alone, so they are laid out here.
fn enumeration(name: &str, values: &[String]) -> Result<String, TaskError> {
    let variants: BTreeSet<String> = values.iter().map(|value| variant_name(value)).collect();
    if variants.len() != values.len() {
        return Err(model_error(format!("two values of `{name}` have one name in Rust")));
    }
    let lines: String =
        values.iter().map(|value| format!("    {} = \"{value}\",\n", variant_name(value))).collect();
    Ok(format!("\nwire_enum!({} {{\n{lines}}});\n", type_name(name)))
}

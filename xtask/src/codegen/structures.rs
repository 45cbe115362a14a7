//! Requests, replies and the structures inside them.

use std::collections::BTreeSet;

use crate::codegen::names::{field_name, structure_name};
use crate::codegen::types::{has_secret, shape_of, value_type};
use crate::error::TaskError;
use crate::shapes::{Member, Model, Shape};

pub(super) fn requests(model: &Model) -> Result<String, TaskError> {
    let mut out = imports(model, model.inputs(), "")?;
    for operation in &model.operations {
        out.push_str(&declaration(model, &operation.input, Side::Request)?);
    }
    Ok(out)
}

pub(super) fn replies(model: &Model) -> Result<String, TaskError> {
    let outputs = model.outputs();
    let mut out =
        imports(model, outputs.iter().copied(), "use crate::encode::{Sink, Structure, wire_replies};\n")?;
    for output in &outputs {
        out.push_str(&declaration(model, output, Side::Reply)?);
        out.push_str(&encoder(model, output)?);
    }
    // The formatter leaves the arguments of this macro alone, so they are laid out here.
    let names: String = outputs.iter().map(|output| format!("    {},\n", structure_name(output))).collect();
    out.push_str(&format!("\nwire_replies!(\n{names});\n"));
    Ok(out)
}

/// The structures inside requests and replies.
pub(super) fn nested(model: &Model) -> Result<String, TaskError> {
    let read: BTreeSet<&str> = model.reachable(model.inputs())?;
    let written: BTreeSet<&str> = model.reachable(model.outputs())?;
    let outer: BTreeSet<&str> = model.inputs().chain(model.outputs()).collect();
    let mut inner = Vec::new();
    for name in read.union(&written) {
        if matches!(model.shape(name)?, Shape::Structure { .. }) && !outer.contains(name) {
            inner.push(*name);
        }
    }
    let mut out = imports(model, inner.iter().copied(), "use crate::encode::{Sink, Structure};\n")?;
    for name in inner {
        let side = if read.contains(name) { Side::Request } else { Side::Reply };
        out.push_str(&declaration(model, name, side)?);
        if written.contains(name) {
            out.push_str(&encoder(model, name)?);
        }
    }
    Ok(out)
}

/// What a structure occurs in; one that occurs in both counts as part of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Reply,
    Request,
}

fn declaration(model: &Model, shape: &str, side: Side) -> Result<String, TaskError> {
    let name = structure_name(shape);
    let members = model.members(shape)?;
    let mut derives = Vec::new();
    let shows_blob_sizes = has_blob(model, members)?;
    if !shows_blob_sizes {
        derives.push("Debug");
    }
    if !has_secret(model, shape)? {
        derives.extend(["Clone", "PartialEq", "Eq"]);
    }
    // A request comes from the wire only, so that it keeps its constraints; a reply is made here.
    if side == Side::Reply && has_default(model, shape, members)? {
        derives.push("Default");
    }
    let mut out = format!("\n/// `{shape}` of the model.\n");
    if !derives.is_empty() {
        out.push_str(&format!("#[derive({})]\n", derives.join(", ")));
    }
    if members.is_empty() {
        out.push_str(&format!("pub struct {name};\n"));
        return Ok(out);
    }
    out.push_str(&format!("pub struct {name} {{\n"));
    for member in members {
        let value = value_type(model, shape_of(shape, member))?;
        let value = if member.required { value } else { format!("Option<{value}>") };
        out.push_str(&format!("pub {}: {value},\n", field_name(&member.name)?));
    }
    out.push_str("}\n");
    if shows_blob_sizes {
        out.push_str(&debug(model, &name, members)?);
    }
    Ok(out)
}

/// Whether a member is a blob that is not a secret (secrets hide themselves).
fn has_blob(model: &Model, members: &[Member]) -> Result<bool, TaskError> {
    for member in members {
        if is_blob(model, member)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_blob(model: &Model, member: &Member) -> Result<bool, TaskError> {
    Ok(matches!(model.shape(&member.shape)?, Shape::Blob { sensitive: false, .. }))
}

fn has_default(model: &Model, shape: &str, members: &[Member]) -> Result<bool, TaskError> {
    for member in members.iter().filter(|member| member.required) {
        if !matches!(model.shape(shape_of(shape, member))?, Shape::Text { sensitive: false, .. }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `Debug` as derived, but blobs show their sizes.
fn debug(model: &Model, name: &str, members: &[Member]) -> Result<String, TaskError> {
    let mut fields = String::new();
    for member in members {
        let field = field_name(&member.name)?;
        let value = match (is_blob(model, member)?, member.required) {
            (false, _) => format!("&self.{field}"),
            (true, true) => format!("&crate::encode::BlobSize(&self.{field})"),
            (true, false) => format!("&crate::encode::OptionalBlobSize(&self.{field})"),
        };
        fields.push_str(&format!(".field(\"{field}\", {value})"));
    }
    Ok(format!(
        "
impl std::fmt::Debug for {name} {{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
        f.debug_struct(\"{name}\"){fields}.finish()
    }}
}}
"
    ))
}

fn encoder(model: &Model, shape: &str) -> Result<String, TaskError> {
    let name = structure_name(shape);
    let mut lines = String::new();
    for member in model.members(shape)? {
        let wire = &member.name;
        let field = field_name(wire)?;
        lines.push_str(&if member.required {
            format!("sink.required(\"{wire}\", &self.{field});\n")
        } else {
            format!("sink.optional(\"{wire}\", self.{field}.as_ref());\n")
        });
    }
    let sink = if lines.is_empty() { "_sink" } else { "sink" };
    Ok(format!(
        "
impl Structure for {name} {{
    fn members(&self, {sink}: &mut impl Sink) {{
        {lines}    }}
}}
"
    ))
}

/// The `use` lines that the members of the structures need.
fn imports<'a>(
    model: &Model,
    structures: impl Iterator<Item = &'a str>,
    own: &str,
) -> Result<String, TaskError> {
    let mut types = BTreeSet::new();
    let mut generated = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    for structure in structures {
        open.extend(model.members(structure)?.iter().map(|member| shape_of(structure, member).to_owned()));
    }
    let nested = !own.contains("wire_replies") && !own.is_empty();
    while let Some(shape) = open.pop() {
        match model.shape(&shape)? {
            Shape::List { item, .. } => open.push(item.clone()),
            Shape::Enum { .. } => {
                generated.insert("enums");
            }
            // Structures inside structures stand in the same file.
            Shape::Structure { .. } if nested => {}
            Shape::Structure { .. } => {
                generated.insert("structures");
            }
            Shape::Blob { sensitive: false, .. }
            | Shape::Boolean
            | Shape::Integer { .. }
            | Shape::Text { sensitive: false, .. } => {}
            _ => {
                types.insert(value_type(model, &shape)?);
            }
        }
    }
    let mut out = String::new();
    if !types.is_empty() {
        let types: Vec<String> = types.into_iter().collect();
        out.push_str(&format!("use strongroom_types::{{{}}};\n\n", types.join(", ")));
    }
    out.push_str(own);
    for module in generated {
        out.push_str(&format!("use crate::generated::{module}::*;\n"));
    }
    Ok(out)
}

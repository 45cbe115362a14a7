//! Drafts: how requests, and the structures inside them, are read.

use std::collections::BTreeSet;

use crate::codegen::names::{field_name, path_name, structure_name};
use crate::codegen::types::{borrows, draft_type, rule, shape_of};
use crate::error::TaskError;
use crate::shapes::{Model, Operation, Shape};

const IMPORTS: &str = "use serde::de::MapAccess;
use strongroom_types::{Credential, Plaintext, Timestamp};

use crate::check::{Checker, ContextRule, FreeRule, StructureRule};
use crate::decode::{ContextDraft, Draft, Finish, List, Member, Members, Text, WireRequest, decode};
use crate::encode::NoReply;
use crate::error::WireError;
use crate::generated::operations::Operation;
use crate::generated::replies::*;
use crate::generated::requests::*;
use crate::generated::rules;
use crate::generated::structures::*;
";

pub(super) fn generate(model: &Model) -> Result<String, TaskError> {
    let mut out = IMPORTS.to_owned();
    let inputs: BTreeSet<&str> = model.inputs().collect();
    for operation in &model.operations {
        out.push_str(&request(model, operation)?);
        out.push_str(&draft(model, &operation.input)?);
    }
    for name in model.reachable(model.inputs())? {
        if matches!(model.shape(name)?, Shape::Structure { .. }) && !inputs.contains(name) {
            out.push_str(&draft(model, name)?);
        }
    }
    Ok(out)
}

fn request(model: &Model, operation: &Operation) -> Result<String, TaskError> {
    let Operation { name, input, output } = operation;
    let request = structure_name(input);
    let reply = output.as_deref().map_or("NoReply".to_owned(), structure_name);
    let lifetime = if borrows(model, input)? { "<'_>" } else { "" };
    Ok(format!(
        "
impl WireRequest for {request} {{
    const OPERATION: Operation = Operation::{name};

    type Reply = {reply};

    fn decode(body: &[u8]) -> Result<Self, WireError> {{
        decode::<{request}Draft{lifetime}>(body)
    }}
}}
"
    ))
}

fn draft(model: &Model, shape: &str) -> Result<String, TaskError> {
    let name = structure_name(shape);
    let (declared, used) = if borrows(model, shape)? { ("<'de>", "<'_>") } else { ("", "") };
    let (mut fields, mut arms, mut checks, mut values) =
        (String::new(), String::new(), String::new(), String::new());
    for member in model.members(shape)? {
        let wire = &member.name;
        let field = field_name(wire)?;
        let of = shape_of(shape, member);
        fields.push_str(&format!("{field}: Member<{}>,\n", draft_type(model, of)?));
        arms.push_str(&format!("\"{wire}\" => members.fill(&mut self.{field}),\n"));
        let (kind, question) = if member.required { ("required", "?") } else { ("optional", "") };
        checks.push_str(&format!(
            "let {field} = check.{kind}(\"{}\", self.{field}, &{});\n",
            path_name(wire),
            rule(model, of)?
        ));
        let value = if question.is_empty() { field } else { format!("{field}: {field}?") };
        values.push_str(&format!("{value},\n"));
    }
    Ok(format!(
        "
#[derive(Default)]
struct {name}Draft{declared} {{
{fields}}}

impl<'de> Draft<'de> for {name}Draft{declared} {{
    fn member<A: MapAccess<'de>>(&mut self, name: &str, members: &mut Members<'_, A>) -> Result<(), A::Error> {{
        match name {{
            {arms}            _ => members.skip(),
        }}
    }}
}}

impl Finish for {name}Draft{used} {{
    type Shape = {name};

    fn finish(self, check: &mut Checker<'_>) -> Option<{name}> {{
        {checks}        Some({name} {{ {values} }})
    }}
}}
"
    ))
}

//! The enumeration of operations.

use crate::error::TaskError;
use crate::shapes::Model;

pub(super) fn generate(model: &Model) -> Result<String, TaskError> {
    let names: Vec<&str> = model.operations.iter().map(|operation| operation.name.as_str()).collect();
    let each = |line: &dyn Fn(&str) -> String| names.iter().map(|name| line(name)).collect::<String>();
    let variants = each(&|name| format!("{name},\n"));
    let all = each(&|name| format!("Self::{name},"));
    let to_name = each(&|name| format!("Self::{name} => \"{name}\",\n"));
    let from_name = each(&|name| format!("\"{name}\" => Self::{name},\n"));
    let count = names.len();
    let prefix = &model.target_prefix;
    Ok(format!(
        "use std::fmt;

use strongroom_types::LogSafe;

/// The operations of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {{
{variants}}}

impl Operation {{
    pub const ALL: [Self; {count}] = [{all}];

    /// The operation that the header `X-Amz-Target` names: `{prefix}.` and a name.
    pub fn from_target(target: &str) -> Option<Self> {{
        Self::from_name(target.strip_prefix(\"{prefix}.\")?)
    }}

    pub fn from_name(name: &str) -> Option<Self> {{
        Some(match name {{
            {from_name}            _ => return None,
        }})
    }}

    pub const fn name(self) -> &'static str {{
        match self {{
            {to_name}        }}
    }}
}}

impl fmt::Display for Operation {{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {{
        f.write_str(self.name())
    }}
}}

impl LogSafe for Operation {{}}
"
    ))
}

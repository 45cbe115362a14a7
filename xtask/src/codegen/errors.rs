//! The table of errors: the model's, and those that any AWS service answers.

use crate::codegen::names::type_name;
use crate::error::TaskError;
use crate::shapes::{Model, Shape};

/// Errors that are in no service's model (AWS KMS API reference, "Common Error Types", and what the JSON protocol
/// answers beside them), with their status.
const COMMON: &[(&str, u16)] = &[
    ("AccessDeniedException", CLIENT),
    ("ExpiredTokenException", CLIENT),
    ("IncompleteSignatureException", CLIENT),
    ("InternalFailure", 500),
    ("InvalidSignatureException", CLIENT),
    ("MissingAuthenticationTokenException", CLIENT),
    ("NotAuthorizedException", CLIENT),
    ("OptInRequired", CLIENT),
    ("RequestExpired", CLIENT),
    ("SerializationException", CLIENT),
    ("ServiceUnavailable", 503),
    ("ThrottlingException", CLIENT),
    ("UnknownOperationException", CLIENT),
    ("UnrecognizedClientException", CLIENT),
    ("ValidationException", CLIENT),
];

/// AWS answers every client error with 400, whatever status its model states.
const CLIENT: u16 = 400;

/// Faults of the service are 500 unless they are here.
const OTHER_FAULTS: &[(&str, u16)] = &[("DependencyTimeoutException", 503)];

pub(super) fn generate(model: &Model) -> Result<String, TaskError> {
    let errors = table(model);
    let each = |line: &dyn Fn(&str, &str, u16) -> String| {
        errors.iter().map(|(name, status)| line(&variant(name), name, *status)).collect::<String>()
    };
    let variants = each(&|variant, name, _| format!("/// `{name}`\n{variant},\n"));
    let all = each(&|variant, _, _| format!("Self::{variant},"));
    let to_name = each(&|variant, name, _| format!("Self::{variant} => \"{name}\",\n"));
    let from_name = each(&|variant, name, _| format!("\"{name}\" => Self::{variant},\n"));
    let with_status = |wanted: u16| {
        let variants: Vec<String> = errors
            .iter()
            .filter(|(_, status)| *status == wanted)
            .map(|(name, _)| format!("Self::{}", variant(name)))
            .collect();
        format!("{} => {wanted},\n", variants.join(" | "))
    };
    let statuses: String = [CLIENT, 500, 503].into_iter().map(with_status).collect();
    let count = errors.len();
    Ok(format!(
        "/// Every error that the service answers: those of the model, then those that all services have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {{
{variants}}}

impl ErrorKind {{
    pub const ALL: [Self; {count}] = [{all}];

    /// The error with this `__type`.
    pub fn from_name(name: &str) -> Option<Self> {{
        Some(match name {{
            {from_name}            _ => return None,
        }})
    }}

    /// `__type` on the wire.
    pub const fn name(self) -> &'static str {{
        match self {{
            {to_name}        }}
    }}

    /// The HTTP status: 400 for every error of the client, as AWS answers.
    pub const fn status(self) -> u16 {{
        match self {{
            {statuses}        }}
    }}
}}
"
    ))
}

fn table(model: &Model) -> Vec<(String, u16)> {
    let modelled = model.shapes.iter().filter_map(|(name, shape)| match shape {
        Shape::Exception { fault: false } => Some((name.clone(), CLIENT)),
        Shape::Exception { fault: true } => {
            let other = OTHER_FAULTS.iter().find(|(found, _)| found == name);
            Some((name.clone(), other.map_or(500, |(_, status)| *status)))
        }
        _ => None,
    });
    modelled.chain(COMMON.iter().map(|(name, status)| ((*name).to_owned(), *status))).collect()
}

fn variant(name: &str) -> String {
    type_name(name.strip_suffix("Exception").unwrap_or(name))
}

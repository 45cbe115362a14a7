//! Why a policy text is refused.

use strongroom_types::limits::{JSON_DEPTH_MAX, POLICY_CHARACTERS_MAX, POLICY_VARIABLES_PER_TEXT_MAX};

use crate::document::Place;

/// A refused policy. AWS answers MalformedPolicyDocument for all of them but [`PolicyError::TooLong`], which is
/// LimitExceeded; `kms` turns them into its errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The text in a `Principal` names nobody, whatever accounts exist.
    #[error("`{principal}` is not a principal, {at}")]
    InvalidPrincipal { principal: String, at: Place },
    #[error("{problem}, {at}")]
    Malformed { problem: Problem, at: Place },
    #[error("the policy has {characters} characters, more than {POLICY_CHARACTERS_MAX}")]
    TooLong { characters: usize },
}

/// What is wrong with a malformed policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("elements `{0}` and `{1}` exclude each other")]
    BothElements(&'static str, &'static str),
    #[error("element `{0}` appears twice")]
    DuplicateElement(String),
    #[error("statement id `{0}` appears twice")]
    DuplicateSid(String),
    #[error("the escape is not one of JSON's")]
    InvalidEscape,
    #[error("the number is not one of JSON's")]
    InvalidNumber,
    #[error("`{found}` is not {expected}")]
    InvalidValue { expected: &'static str, found: String },
    #[error("element `{0}` is missing")]
    MissingElement(&'static str),
    #[error("there is no statement")]
    NoStatement,
    #[error("element `{0}` has no place in a policy of this kind")]
    NotHere(&'static str),
    #[error("there are more than {POLICY_VARIABLES_PER_TEXT_MAX} policy variables in one text")]
    TooManyVariables,
    #[error("nesting is deeper than {JSON_DEPTH_MAX}")]
    TooDeep,
    #[error("character `{}` is not expected", .0.escape_debug())]
    UnexpectedCharacter(char),
    #[error("the text ends too early")]
    UnexpectedEnd,
    #[error("element `{0}` is not known")]
    UnknownElement(String),
    #[error("`{0}` holds no policy variable of the form `${{prefix:name}}`")]
    Variable(String),
    #[error("{expected} is expected, not {found}")]
    WrongType { expected: &'static str, found: &'static str },
}

/// The beginning of a caller's text, made safe for one line of a log. A wrong value may be as long as the policy.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

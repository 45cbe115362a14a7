//! Reading a policy text: JSON with places, then the elements of the policy language.
//!
//! Sources: RFC 8259 for the JSON; IAM user guide, "Grammar of the IAM JSON policy language", and AWS KMS developer
//! guide, "Key policies", for the elements.

mod condition;
mod json;
mod place;
mod rename;
mod statement;

pub use place::Place;
pub use rename::rename_principals;
pub use statement::check_length;
pub(crate) use statement::{Document, Effect, Kind, Negatable, Statement};

//! JSON to requests, in one pass over the body.
//!
//! Two steps. While the parser runs, each known member goes into a slot of a *draft*: texts borrowed from the body,
//! blobs decoded, nothing judged but the JSON type. Then the draft is *finished* in the model's order: constraints are
//! checked, all violations collected, and owned values made. So the order of members in the body changes nothing, and
//! one answer can name every violation.
//!
//! Wrong JSON, a wrong JSON type, a repeated member, text that is not UTF-8 or not base64: `SerializationException`,
//! which says what was found and what was wanted but never a value.

mod context;
mod list;
mod member;
mod request;
mod scalar;
mod secret;
mod slot;

pub(crate) use context::ContextDraft;
pub(crate) use list::List;
pub(crate) use member::{Draft, Finish, Member, Members};
pub use request::WireRequest;
pub(crate) use request::decode;
pub(crate) use scalar::Text;
pub(crate) use slot::Slot;

#[cfg(test)]
mod tests;

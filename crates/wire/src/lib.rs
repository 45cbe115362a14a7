//! The protocol: AWS JSON 1.1 as KMS speaks it. Generated shapes, their constraints and codecs.
//!
//! A body becomes a request with [`WireRequest::decode`], a reply becomes a body with [`WireReply::encode`], an error
//! with [`encode_error`]. What is in `generated` comes from `model/kms.json` through `cargo xtask codegen`; the rest is
//! the small runtime that the generated code calls.
//!
//! Guarantees:
//!
//! - A request that decodes satisfies every constraint of the model. All violations are reported in one
//!   `ValidationException` with AWS's texts; values of blobs and of shapes marked `sensitive` are left out of them.
//! - No input panics, overflows the stack or needs more memory than a small multiple of its own size.
//! - A member that occurs twice is refused. Parsers differ in which one they take, so an intermediary that inspects a
//!   body could see another request than the one that is decided here. (Members that the model does not know are
//!   ignored, twice or not.)
//! - Sensitive blobs are decoded straight into [`Plaintext`](strongroom_types::Plaintext) and sensitive strings into
//!   [`Credential`](strongroom_types::Credential); no other copy of them is left behind. Bodies are wiped by their owner.
//!
//! Deliberately absent: rules that need more than one member or the state of a key (they live with the operations),
//! HTTP, and other encodings than JSON, but for [`query`](StsOperation): the little that STS needs.

mod base64;
mod check;
mod decode;
mod encode;
mod error;
mod generated;
mod pattern;
mod query;
mod wire_enum;

pub use decode::WireRequest;
pub use encode::{NoReply, WireReply};
pub use error::{WireError, encode_error};
pub use generated::*;
pub use query::{
    FromBody, GetCallerIdentityReply, GetCallerIdentityRequest, QueryFormat, StsOperation,
    encode_query_error, encode_query_reply, query_error,
};

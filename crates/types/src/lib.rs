//! Ids, ARNs, limits, time and the wrappers of secrets.
//!
//! The ground floor: every other crate stands on this one, and it stands on none of them. A `String` that comes from
//! outside becomes one of these types on the first line that meets it; their constructors are the only check.
//!
//! Deliberately absent: clocks, random numbers and I/O. They come in through [`Env`].

mod arn;
mod context;
mod env;
mod id;
mod key_spec;
mod latency;
pub mod limits;
mod log_safe;
mod reference;
mod region;
mod secret;
mod tag;
mod time;
mod unique_id;

pub use arn::{AliasArn, KeyArn};
pub use context::{EncryptionContext, EncryptionContextError};
pub use env::Env;
pub use id::{AccessKeyId, AccountId, AliasName, GrantId, KeyId, MaterialId, ParseIdError, RequestId};
pub use key_spec::{KeySpec, KeyUsage};
pub use latency::{HistogramSnapshot, LatencyHistogram};
pub use log_safe::LogSafe;
pub use reference::{KeyReference, KeyReferenceError};
pub use region::{Partition, RegionName};
pub use secret::{Credential, Plaintext};
pub use tag::{Tag, TagKey, TagValue};
pub use time::{Monotonic, Timestamp};
pub use unique_id::{UniqueId, UniqueIdKind};

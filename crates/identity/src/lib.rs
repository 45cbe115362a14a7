//! The operations of AWS STS: who a caller is.
//!
//! Each is an `Operation` of the corridor like those of KMS. GetCallerIdentity is the one there is: most tools ask it
//! first. IAM's operations, and sessions, will live here too.

mod caller_identity;
mod service;

pub use service::walk;

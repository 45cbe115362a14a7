//! The keyring: every key that this deployment seals with, unwrapped once at start and read-only after.
//!
//! Domain keys are per region, and one line for `global`; each has versions, the newest seals and all open. Service
//! keys are one line per [`ServicePurpose`] for the whole deployment. Every key is 32 random bytes; none is derived
//! from the root or from another of the ring. The root wraps each one by one, bound to its name.
//!
//! Read-only, so that the hot path takes no lock: share it as `Arc<Keyring>`. A ring that grows is a new ring.

mod name;
mod ring;
mod versions;

pub use name::{KeyringName, KeyringNameError, Scope, ServicePurpose};
pub use ring::{Keyring, KeyringEntry, KeyringError};
pub(crate) use versions::Versions;

//! The keyring: every key that this deployment seals with, unwrapped.
//!
//! Domain keys are per region, and one line for `global`; each has versions, the newest seals and all open. Service
//! keys are one line per [`ServicePurpose`] for the whole deployment. Every key is 32 random bytes; none is derived
//! from the root or from another of the ring. The root wraps each one by one, bound to its name.
//!
//! Shared as `Arc<Keyring>`. Service keys are read-only. Domain keys come and go ([`Keyring::take_up_domain_keys`]) behind
//! a lock per scope, which is taken when a row or a material is sealed or opened and not by the hot path: a cached key's
//! material is unwrapped already.

mod name;
mod ring;
mod versions;

pub use name::{KeyringName, KeyringNameError, Scope, ServicePurpose};
pub use ring::{Keyring, KeyringEntry, KeyringError};
pub(crate) use versions::Versions;

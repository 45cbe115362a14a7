//! The operations of AWS KMS.
//!
//! Each operation is a type with one `impl Operation`, grouped by concept: [`keys`], [`descriptions`], [`states`],
//! [`deletion`], [`aliases`], [`tags`], [`policies`], [`grants`], [`encryption`], [`data_keys`], [`data_key_pairs`],
//! [`signing`], [`macs`], [`shared_secrets`], [`public_keys`], [`random`]. An operation names the rows and actions that must be
//! decided, and runs only with the permit that the pipeline mints from them. [`Service`] routes all operations of the
//! protocol by name, without a wildcard; what is not built yet is refused clearly, after authentication.
//!
//! [`Jobs`] is what the service does by itself: it destroys keys whose waiting period is over, and renews domain keys.
//!
//! Behaviour is AWS KMS's as its public documentation and API model give it; where this service differs,
//! `docs/divergences.md` says so. There is no I/O here, no clock and no key bytes.

mod aliases;
mod data_key_pairs;
mod data_keys;
mod deletion;
mod descriptions;
mod encryption;
mod fault;
mod grants;
mod jobs;
mod keys;
mod lifecycle;
mod lookup;
mod macs;
mod metadata;
mod paging;
mod policies;
mod public_keys;
mod random;
mod recipients;
mod seed;
mod service;
mod shared_secrets;
mod signing;
mod specs;
mod states;
mod tags;
mod usage;

pub use jobs::{JobStats, Jobs};
pub use seed::{Seed, SeedError, SeedKey};
pub use service::{BUILT, walk};

//! What the world gives to code that does no I/O of its own.

use crate::{Monotonic, Timestamp};

/// Time and ids. The product has one implementation (in `server`), tests have a seeded one (in `testkit`).
///
/// Key material never comes from here: its randomness is drawn inside `crypto`, from AWS-LC, and nowhere else.
pub trait Env: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// A clock that never jumps, for durations.
    fn monotonic(&self) -> Monotonic;

    /// Sixteen unpredictable bytes for an id: a request, an event, a key's name. Not for secrets.
    fn random_id(&self) -> [u8; 16];
}

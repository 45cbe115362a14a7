//! A world that moves only when it is told to.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_types::{Env, Monotonic, Timestamp};

use crate::random::SeededRandom;

/// The first instant of 2026.
const START: Timestamp = Timestamp::from_secs(1_767_225_600);

/// An [`Env`] whose clocks stand still between calls of [`advance`](Self::advance), and whose ids follow from its seed.
#[derive(Debug)]
pub struct SeededEnv {
    seed: u64,
    world: Mutex<World>,
}

#[derive(Debug)]
struct World {
    now: Timestamp,
    monotonic_nanos: u64,
    random: SeededRandom,
}

impl SeededEnv {
    /// A world at midnight of 1 January 2026, UTC.
    pub fn new(seed: u64) -> Self {
        let world = World { now: START, monotonic_nanos: 0, random: SeededRandom::new(seed) };
        Self { seed, world: Mutex::new(world) }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, duration: Duration) {
        let mut world = self.world();
        world.now = world.now.saturating_add(duration);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        world.monotonic_nanos = world.monotonic_nanos.saturating_add(nanos);
    }

    /// Sets the wall clock, forward or back, as an administrator or a time server does. The monotonic clock stays.
    pub fn set_now(&self, now: Timestamp) {
        self.world().now = now;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Env for SeededEnv {
    fn now(&self) -> Timestamp {
        self.world().now
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_nanos(self.world().monotonic_nanos)
    }

    fn random_id(&self) -> [u8; 16] {
        let mut world = self.world();
        let [high, low] = [world.random.next_u64(), world.random.next_u64()];
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_until_it_is_moved() {
        let env = SeededEnv::new(1);
        assert_eq!(env.now(), env.now());
        assert_eq!(env.now().to_extended_iso8601(), "2026-01-01T00:00:00Z");
        let (now, monotonic) = (env.now(), env.monotonic());
        env.advance(Duration::from_millis(1500));
        assert_eq!(now.until(env.now()), Duration::from_millis(1500));
        assert_eq!(monotonic.until(env.monotonic()), Duration::from_millis(1500));
    }

    #[test]
    fn setting_the_wall_clock_leaves_the_monotonic_one() {
        let env = SeededEnv::new(1);
        env.set_now(Timestamp::from_secs(5));
        assert_eq!(env.now().as_secs(), 5);
        assert_eq!(env.monotonic(), Monotonic::from_nanos(0));
    }

    #[test]
    fn ids_follow_from_the_seed_and_differ() {
        let ids = |seed| {
            let env = SeededEnv::new(seed);
            (0..100).map(|_| env.random_id()).collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        let mut unique = ids(1);
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 100);
    }
}

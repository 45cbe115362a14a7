//! The one place of the product that reads a clock.

use std::cell::RefCell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use strongroom_types::{Env, Monotonic, Timestamp};

/// The machine's clocks, and ids from AWS-LC's generator.
#[derive(Debug)]
pub struct SystemEnv {
    /// Monotonic instants count from here.
    started: Instant,
}

impl SystemEnv {
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemEnv {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for SystemEnv {
    #[expect(clippy::disallowed_methods, reason = "this is the implementation that everyone else is sent to")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: every signature is then outside its window, and requests are refused.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Each thread draws a supply of random bytes at once: a request needs two ids, and a draw costs the same for
    /// sixteen bytes as for many.
    fn random_id(&self) -> [u8; 16] {
        SUPPLY.with_borrow_mut(Supply::next)
    }
}

const SUPPLY_IDS: usize = 32;

thread_local! {
    static SUPPLY: RefCell<Supply> = const { RefCell::new(Supply { ids: [[0; 16]; SUPPLY_IDS], left: 0 }) };
}

/// Ids that were drawn and not yet given out. Each is given out once.
struct Supply {
    ids: [[u8; 16]; SUPPLY_IDS],
    left: usize,
}

impl Supply {
    fn next(&mut self) -> [u8; 16] {
        if self.left == 0 {
            self.refill();
        }
        self.left = self.left.saturating_sub(1);
        self.ids.get_mut(self.left).map(std::mem::take).unwrap_or_else(draw)
    }

    fn refill(&mut self) {
        let bytes = draw::<{ 16 * SUPPLY_IDS }>();
        for (id, bytes) in self.ids.iter_mut().zip(bytes.as_chunks::<16>().0) {
            *id = *bytes;
        }
        self.left = SUPPLY_IDS;
    }
}

/// Ends the process if no randomness can be had. Ids are keys of rows and of audit records: one that repeats would let
/// a record overwrite another, and keys made by a broken generator would be worse. AWS-LC's own generator ends the
/// process in that case too, so this is not a new way to stop; nothing acknowledged is lost.
fn draw<const N: usize>() -> [u8; N] {
    strongroom_crypto::random_array().unwrap_or_else(|error| {
        tracing::error!(%error, "the random generator has failed; ending the process");
        std::process::abort()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let env = SystemEnv::new();
        let readings: Vec<_> = (0..100).map(|_| env.monotonic()).collect();
        assert!(readings.is_sorted());
    }

    #[test]
    fn the_wall_clock_is_of_this_century() {
        let now = SystemEnv::new().now();
        assert!(now > Timestamp::parse_basic_iso8601("20260101T000000Z").unwrap(), "{now}");
        assert!(now < Timestamp::parse_basic_iso8601("21000101T000000Z").unwrap(), "{now}");
    }

    #[test]
    fn ids_differ_also_across_supplies_and_threads() {
        let draw = || (0..3 * SUPPLY_IDS).map(|_| SystemEnv::new().random_id()).collect::<Vec<_>>();
        let other = std::thread::spawn(draw).join().unwrap();
        let ids: std::collections::HashSet<_> = draw().into_iter().chain(other).collect();
        assert_eq!(ids.len(), 6 * SUPPLY_IDS);
    }
}

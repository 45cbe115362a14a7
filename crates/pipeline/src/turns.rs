//! Turns for changes that meet on one row.
//!
//! A change whose commit met a changed row decides again. Were all of them to do so at once, one would win each time and
//! the last of sixty-four would lose sixty-three times. So whoever has lost once waits for a turn, in order, and holds
//! it until it is answered. While somebody holds it, those who come later and want the same row queue behind, before they
//! commit: otherwise they would overtake the one whose turn it is, again and again. A change that meets nobody never waits.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Rows share turns by their hash: enough that two busy rows seldom share one.
const STRIPES: usize = 64;

pub(crate) struct Turns {
    hasher: RandomState,
    stripes: Vec<Arc<Mutex<()>>>,
}

/// Whoever holds it decides next.
pub(crate) struct Turn {
    _guard: OwnedMutexGuard<()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { hasher: RandomState::new(), stripes: (0..STRIPES).map(|_| Arc::default()).collect() }
    }
}

impl Turns {
    /// Waits, first come first served, until nobody else who lost on this row is deciding.
    pub(crate) async fn wait(&self, address: &str) -> Turn {
        let stripe = self.stripe(address).cloned();
        Turn { _guard: stripe.unwrap_or_default().lock_owned().await }
    }

    /// The first of these rows on which somebody is deciding in turn.
    pub(crate) fn taken<'a>(&self, mut addresses: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        addresses.find(|address| self.stripe(address).is_some_and(|stripe| stripe.try_lock().is_err()))
    }

    fn stripe(&self, address: &str) -> Option<&Arc<Mutex<()>>> {
        let place = self.hasher.hash_one(address) % STRIPES as u64;
        self.stripes.get(usize::try_from(place).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_row_is_taken_while_somebody_has_the_turn() {
        let turns = Turns::default();
        let rows = ["key/us-east-1/1", "key/us-east-1/2"];
        assert_eq!(turns.taken(rows.into_iter()), None);
        let turn = turns.wait(rows[1]).await;
        // Unless both share a stripe.
        let wanted = if turns.stripe(rows[0]).unwrap().try_lock().is_err() { rows[0] } else { rows[1] };
        assert_eq!(turns.taken(rows.into_iter()), Some(wanted));
        drop(turn);
        assert_eq!(turns.taken(rows.into_iter()), None);
    }

    #[tokio::test]
    async fn one_at_a_time_for_one_row_and_in_order() {
        let turns = Arc::new(Turns::default());
        let first = turns.wait("key/us-east-1/1").await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..5)
            .map(|number| {
                let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
                tokio::spawn(async move {
                    let _turn = turns.wait("key/us-east-1/1").await;
                    order.lock().await.push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(order.lock().await.is_empty());
        drop(first);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().await, [0, 1, 2, 3, 4]);
    }
}

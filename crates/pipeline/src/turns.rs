//! Turns for changes that meet on one row.
//!
//! A change whose commit met a changed row decides again. Were all of them to do so at once, one would win each time and
//! the last of sixty-four would lose sixty-three times. So whoever has lost once waits for a turn, in order, and holds
//! it until it is answered. A change that meets nobody never comes here.

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
        let place = self.hasher.hash_one(address) % STRIPES as u64;
        let stripe = self.stripes.get(usize::try_from(place).unwrap_or_default()).cloned();
        Turn { _guard: stripe.unwrap_or_default().lock_owned().await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

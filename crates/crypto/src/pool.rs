//! RSA keys that are made before they are asked for: finding two primes takes up to a second.
//!
//! A size is prepared from the first time that it was asked for: who never asks pays nothing. Each key is handed out once;
//! what is left is wiped with the keyring. One thread makes them, a key at a time, and rests after each for some times as
//! long as making one takes, so that it never has more than a fraction of a core.
//!
//! What it deliberately does not do: make callers wait. An empty pool gives nothing, and the caller makes its key itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use strongroom_types::KeySpec;
use strongroom_types::limits::POOLED_KEYS_PER_SIZE_MAX;

use crate::asymmetric::{self, NewPair};

/// Wishes that wait for the thread. One that finds no room is not needed: the thread is busy filling.
const WISHES_MAX: usize = 8;

#[derive(Default)]
pub(crate) struct KeyPool {
    shelves: Arc<Shelves>,
    /// Tells the thread that something was taken; starts it.
    wishes: OnceLock<Option<SyncSender<()>>>,
}

/// The keys that are ready, by size; a size that was never asked for has no shelf.
#[derive(Default)]
struct Shelves(Mutex<BTreeMap<KeySpec, Vec<NewPair>>>);

impl KeyPool {
    /// A key that nobody else gets, if one is ready; none for specs that are not slow.
    pub(crate) fn take(&self, spec: KeySpec) -> Option<NewPair> {
        pause_after(spec)?;
        let taken = self.shelves.take(spec);
        let wishes = self.wishes.get_or_init(|| start(&self.shelves));
        if let Some(wishes) = wishes {
            let _ = wishes.try_send(());
        }
        taken
    }
}

impl fmt::Debug for KeyPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPool(..)")
    }
}

impl Shelves {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<KeySpec, Vec<NewPair>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, spec: KeySpec) -> Option<NewPair> {
        self.lock().entry(spec).or_default().pop()
    }

    /// A size that was asked for and whose shelf has room.
    fn missing(&self) -> Option<KeySpec> {
        let shelves = self.lock();
        let (spec, _) = shelves.iter().find(|(_, keys)| keys.len() < POOLED_KEYS_PER_SIZE_MAX)?;
        Some(*spec)
    }

    fn put(&self, spec: KeySpec, pair: NewPair) {
        self.lock().entry(spec).or_default().push(pair);
    }
}

/// How long the thread rests after a key of this size: some five times as long as making it took. `None` for what is not
/// made ahead.
fn pause_after(spec: KeySpec) -> Option<Duration> {
    match spec {
        KeySpec::Rsa2048 => Some(Duration::from_millis(250)),
        KeySpec::Rsa3072 => Some(Duration::from_millis(1000)),
        KeySpec::Rsa4096 => Some(Duration::from_millis(2500)),
        _ => None,
    }
}

/// `None` if there can be no further thread: then every key is made by who asks for it.
fn start(shelves: &Arc<Shelves>) -> Option<SyncSender<()>> {
    let (wishes, waiting) = sync_channel(WISHES_MAX);
    let shelves = Arc::downgrade(shelves);
    let thread = std::thread::Builder::new().name("strongroom-keys".into());
    thread.spawn(move || run(&shelves, &waiting)).ok().map(|_| wishes)
}

/// Ends when the pool is dropped: then nobody wishes any more.
fn run(shelves: &Weak<Shelves>, wishes: &Receiver<()>) {
    while wishes.recv().is_ok() {
        while let Some(spec) = shelves.upgrade().and_then(|shelves| shelves.missing()) {
            let (Some(pause), Ok(pair)) = (pause_after(spec), asymmetric::generate(spec)) else { break };
            let Some(shelves) = shelves.upgrade() else { return };
            shelves.put(spec, pair);
            drop(shelves);
            if wishes.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u8) -> NewPair {
        NewPair { secret: zeroize::Zeroizing::new(vec![number]), public: vec![number] }
    }

    #[test]
    fn a_key_is_given_once_and_a_shelf_is_bounded() {
        let shelves = Shelves::default();
        assert_eq!(shelves.missing(), None, "nobody has asked");
        assert!(shelves.take(KeySpec::Rsa3072).is_none());
        for number in 0..u8::try_from(POOLED_KEYS_PER_SIZE_MAX).unwrap() {
            assert_eq!(shelves.missing(), Some(KeySpec::Rsa3072));
            shelves.put(KeySpec::Rsa3072, numbered(number));
        }
        assert_eq!(shelves.missing(), None);
        let mut given: Vec<_> =
            std::iter::from_fn(|| shelves.take(KeySpec::Rsa3072)).map(|pair| pair.public[0]).collect();
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), POOLED_KEYS_PER_SIZE_MAX);
        assert!(shelves.take(KeySpec::Rsa2048).is_none());
    }

    #[test]
    fn what_is_quickly_made_is_not_pooled() {
        let pool = KeyPool::default();
        for spec in KeySpec::ALL.iter().filter(|spec| pause_after(**spec).is_none()) {
            assert!(pool.take(*spec).is_none());
        }
        assert!(pool.wishes.get().is_none(), "no thread was started");
        assert_eq!(format!("{pool:?}"), "KeyPool(..)");
    }

    #[test]
    fn the_thread_fills_what_was_asked_for_and_ends_with_the_pool() {
        let shelves = Arc::new(Shelves::default());
        shelves.take(KeySpec::Rsa2048);
        let (wishes, waiting) = sync_channel(WISHES_MAX);
        for _ in 0..WISHES_MAX {
            wishes.send(()).unwrap();
        }
        drop(wishes);
        // Each wish shortens a rest; when none is left, nobody wishes any more and it ends.
        run(&Arc::downgrade(&shelves), &waiting);
        let ready = shelves.lock().remove(&KeySpec::Rsa2048).unwrap();
        assert_eq!(ready.len(), POOLED_KEYS_PER_SIZE_MAX);
        assert_ne!(*ready[0].secret, *ready[1].secret);
    }
}

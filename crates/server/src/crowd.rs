//! The connections of one thread, so that those that wait can make room for those that ask.
//!
//! When as many are open as may be, the ones that have been waiting longest are ended, as if their time were up: whoever
//! holds connections without using them keeps nobody out. Honest clients that lose an idle connection make a new one.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::connection::Watch;

/// Connections that have waited for less are left alone: they may be between two requests, or about to send their first.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// Of the connections of the thread, so many at once are ended: looking at all of them costs what it brings.
const ENDED_SHARE: usize = 16;
/// How often all are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Crowd(Arc<Mutex<Members>>);

#[derive(Debug, Default)]
struct Members {
    all: HashMap<u64, Member>,
    next: u64,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    task: AbortHandle,
    watch: Arc<Watch>,
}

impl Crowd {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Runs a connection. `held` is dropped when it has ended, however it does.
    pub(crate) fn spawn<F, T>(&self, watch: Arc<Watch>, connection: F, held: T)
    where
        F: Future<Output = ()> + Send + 'static,
        T: Send + 'static,
    {
        let mut members = self.lock();
        let number = members.next;
        members.next += 1;
        let leaves = Leaves { crowd: Arc::clone(&self.0), number };
        let task = tokio::spawn(async move {
            let _held = (held, leaves);
            connection.await;
        });
        members.all.insert(number, Member { task: task.abort_handle(), watch });
    }

    /// Ends those that have been waiting longest. Returns how many; none if this was done just before.
    pub(crate) fn end_waiting(&self, now: Instant) -> usize {
        let mut members = self.lock();
        if members.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_INTERVAL) {
            return 0;
        }
        members.looked = Some(now);
        let mut waiting: Vec<_> = members
            .all
            .values()
            .filter_map(|member| Some((member.watch.waiting_since()?, &member.task)))
            .filter(|(since, _)| now.saturating_duration_since(*since) >= WAIT_MIN)
            .collect();
        waiting.sort_unstable_by_key(|(since, _)| *since);
        let count = (members.all.len() / ENDED_SHARE).max(1);
        waiting.iter().take(count).map(|(_, task)| task.abort()).count()
    }

    /// Ends all of them, whatever they do.
    pub(crate) fn end_all(&self) {
        self.lock().all.values().for_each(|member| member.task.abort());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a connection off the list when it has ended.
struct Leaves {
    crowd: Arc<Mutex<Members>>,
    number: u64,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner).all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::runtime::Builder;
    use tokio::sync::mpsc;
    use tokio::task::yield_now;

    use super::*;
    use crate::connection::Timeouts;
    use crate::gate::Gate;

    const LONG: Duration = Duration::from_secs(60);

    fn watch() -> Arc<Watch> {
        let timeouts = Timeouts { body: LONG, header: LONG, idle: LONG };
        Arc::new(Watch::new(timeouts, Arc::new(Gate::new(0))))
    }

    #[test]
    fn those_who_wait_longest_make_room_and_those_who_ask_stay() {
        Builder::new_current_thread().build().unwrap().block_on(async {
            let crowd = Crowd::new();
            let (sender, mut ended) = mpsc::unbounded_channel::<u8>();
            let add = |watch: Arc<Watch>, name: u8| {
                let told = TellsWhenDropped(sender.clone(), name);
                crowd.spawn(watch, pending(), told);
            };
            let busy = watch();
            busy.set_busy(true);
            add(busy, 1);
            add(watch(), 2);
            add(watch(), 3);
            let now = Instant::now();
            // Too early.
            assert_eq!(crowd.end_waiting(now), 0);
            let later = now + WAIT_MIN + LOOK_INTERVAL;
            assert_eq!(crowd.end_waiting(later), 1);
            assert_eq!(crowd.end_waiting(later), 0);
            yield_now().await;
            assert_eq!(ended.try_recv(), Ok(2));
            assert_eq!(crowd.end_waiting(later + LOOK_INTERVAL), 1);
            yield_now().await;
            assert_eq!(ended.try_recv(), Ok(3));
            assert_eq!(crowd.end_waiting(later + 2 * LOOK_INTERVAL), 0);
            assert_eq!(crowd.lock().all.len(), 1);
            crowd.end_all();
            yield_now().await;
            assert_eq!(ended.try_recv(), Ok(1));
            assert_eq!(crowd.lock().all.len(), 0);
        });
    }

    struct TellsWhenDropped(mpsc::UnboundedSender<u8>, u8);

    impl Drop for TellsWhenDropped {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }
}

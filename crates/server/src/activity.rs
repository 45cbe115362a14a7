//! Whether a thread that serves requests has work, told to the journal.
//!
//! The journal waits for busy threads and counts them. It may not be there yet when threads begin, because a sealed
//! deployment has none; so each thread keeps in mind whether it is counted, and a thread that was at work before there was
//! a journal does not say that it is idle without having said that it is busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use strongroom_audit::Appenders;

/// Who counts busy threads. Each `idle` follows a `busy`.
pub(crate) trait Counter: Send + Sync + 'static {
    fn busy(&self);
    fn idle(&self);
}

impl Counter for Appenders {
    fn busy(&self) {
        Appenders::busy(self);
    }

    fn idle(&self) {
        Appenders::idle(self);
    }
}

/// What one thread says. Only that thread calls it, so nothing orders what others see.
pub(crate) struct Activity<C> {
    counter: Arc<OnceLock<C>>,
    is_counted: AtomicBool,
}

impl<C: Counter> Activity<C> {
    /// `counter` is empty until there is somebody to tell.
    pub(crate) fn new(counter: Arc<OnceLock<C>>) -> Self {
        Self { counter, is_counted: AtomicBool::new(false) }
    }

    /// The thread has work. Saying so twice is saying it once.
    pub(crate) fn busy(&self) {
        if let Some(counter) = self.counter.get()
            && !self.is_counted.load(Ordering::Relaxed)
        {
            self.is_counted.store(true, Ordering::Relaxed);
            counter.busy();
        }
    }

    /// The thread has run out of work, or ends.
    pub(crate) fn idle(&self) {
        if let Some(counter) = self.counter.get()
            && self.is_counted.load(Ordering::Relaxed)
        {
            self.is_counted.store(false, Ordering::Relaxed);
            counter.idle();
        }
    }
}

/// A thread that has work when it begins and none when it ends.
pub(crate) struct AtWork<C: Counter>(Arc<Activity<C>>);

impl<C: Counter> AtWork<C> {
    pub(crate) fn begin(activity: Arc<Activity<C>>) -> Self {
        activity.busy();
        Self(activity)
    }
}

impl<C: Counter> Drop for AtWork<C> {
    fn drop(&mut self) {
        self.0.idle();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// As the journal counts; below zero it panics.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Counter for Arc<Count> {
        fn busy(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn idle(&self) {
            let less = |count: usize| count.checked_sub(1);
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap();
        }
    }

    impl Count {
        fn busy_threads(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_thread_at_work_before_the_journal_is_not_idle_without_having_been_busy() {
        let lock = Arc::new(OnceLock::new());
        let activity = Arc::new(Activity::new(Arc::clone(&lock)));
        let at_work = AtWork::begin(Arc::clone(&activity));
        let count = Arc::new(Count::default());
        assert!(lock.set(Arc::clone(&count)).is_ok());
        activity.idle();
        assert_eq!(count.busy_threads(), 0);
        activity.busy();
        assert_eq!(count.busy_threads(), 1);
        activity.idle();
        drop(at_work);
        assert_eq!(count.busy_threads(), 0);
    }

    #[test]
    fn a_thread_that_ends_at_work_is_idle() {
        let count = Arc::new(Count::default());
        let lock = Arc::new(OnceLock::from(Arc::clone(&count)));
        let [one, other] = [0; 2].map(|_| Arc::new(Activity::new(Arc::clone(&lock))));
        let at_work = AtWork::begin(Arc::clone(&one));
        one.busy();
        let other_at_work = AtWork::begin(other);
        assert_eq!(count.busy_threads(), 2);
        drop(at_work);
        assert_eq!(count.busy_threads(), 1);
        drop(other_at_work);
        assert_eq!(count.busy_threads(), 0);
    }
}

//! Waiting for a group of records to be on the disk.
//!
//! All requests whose records go to the disk together share one generation. When the sync returns, dozens of tasks on
//! a few event loops must be woken, and waking a task of another thread costs a system call. So the writer wakes *one*
//! task per thread; that one, when it is polled (or dropped), wakes its neighbours, which costs nothing on the same
//! thread.
//!
//! A thread beside an event loop may begin to wait in the name of that loop's tasks. Then they stand together under that
//! thread, and one of them is woken for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use crate::error::JournalError;
use crate::sequence::Sequence;

/// What became of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outcome {
    Pending = 0,
    Synced = 1,
    Failed = 2,
    Closed = 3,
}

#[derive(Debug)]
pub(crate) struct Generation {
    outcome: AtomicU8,
    waiting: Mutex<Vec<Neighbours>>,
}

/// The tasks that wait on one thread.
#[derive(Debug)]
struct Neighbours {
    thread: ThreadId,
    /// A place is empty when its task has gone away or has been woken.
    wakers: Vec<Option<Waker>>,
}

/// Where a task stands in the lists of a generation.
#[derive(Debug, Clone, Copy)]
struct Standing {
    neighbours: usize,
    place: usize,
}

impl Generation {
    pub(crate) fn new(outcome: Outcome) -> Arc<Self> {
        Arc::new(Self { outcome: AtomicU8::new(outcome as u8), waiting: Mutex::new(Vec::new()) })
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self.outcome.load(Ordering::Acquire) {
            1 => Outcome::Synced,
            2 => Outcome::Failed,
            3 => Outcome::Closed,
            _ => Outcome::Pending,
        }
    }

    /// Tells everybody. The first outcome stands: who was told of a failure is not told of a success later.
    pub(crate) fn complete(&self, outcome: Outcome) {
        let told = self.outcome.compare_exchange(
            Outcome::Pending as u8,
            outcome as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if told.is_err() {
            return;
        }
        // Whoever takes the lock after this sees the outcome and does not wait; all others are in the lists.
        let heralds: Vec<Waker> = self
            .waiting()
            .iter_mut()
            .filter_map(|neighbours| neighbours.wakers.iter_mut().rev().find_map(Option::take))
            .collect();
        heralds.into_iter().for_each(Waker::wake);
    }

    /// Wakes the tasks of one thread that have not been woken yet.
    fn wake_neighbours(&self, of: Standing) {
        let wakers = match self.waiting().get_mut(of.neighbours) {
            Some(neighbours) => std::mem::take(&mut neighbours.wakers),
            None => return,
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Enters a task into the lists; `None` if the outcome is known by now.
    fn enlist(&self, standing: Option<Standing>, waker: &Waker) -> Option<Standing> {
        let mut waiting = self.waiting();
        if self.outcome() != Outcome::Pending {
            return None;
        }
        if let Some(standing) = standing {
            let place = waiting.get_mut(standing.neighbours).and_then(|n| n.wakers.get_mut(standing.place));
            if let Some(place) = place {
                match place {
                    Some(known) => known.clone_from(waker),
                    None => *place = Some(waker.clone()),
                }
            }
            return Some(standing);
        }
        let thread = thread::current().id();
        let neighbours = match waiting.iter().position(|neighbours| neighbours.thread == thread) {
            Some(found) => found,
            None => {
                waiting.push(Neighbours { thread, wakers: Vec::new() });
                waiting.len() - 1
            }
        };
        let wakers = &mut waiting.get_mut(neighbours)?.wakers;
        wakers.push(Some(waker.clone()));
        Some(Standing { neighbours, place: wakers.len() - 1 })
    }

    /// A task goes away. If the outcome is known it may have been chosen to wake its neighbours.
    fn leave(&self, standing: Standing) {
        let mut waiting = self.waiting();
        if self.outcome() == Outcome::Pending {
            let place = waiting.get_mut(standing.neighbours).and_then(|n| n.wakers.get_mut(standing.place));
            if let Some(place) = place {
                *place = None;
            }
            return;
        }
        drop(waiting);
        self.wake_neighbours(standing);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Neighbours>> {
        // The lists are whole between any two statements, so a panic elsewhere does not spoil them.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record is in the journal's memory and will be written. Dropping a ticket changes nothing about that.
#[derive(Debug)]
#[must_use = "a record is on the disk only when its ticket says so"]
pub struct Ticket {
    pub(crate) generation: Arc<Generation>,
    pub(crate) sequence: Sequence,
}

impl Ticket {
    /// The number of the record.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Resolves when the record is on the disk, or when it is certain that nobody may rely on it.
    pub fn synced(self) -> Synced {
        Synced { generation: self.generation, sequence: self.sequence, standing: None }
    }
}

/// The future of [`Ticket::synced`].
#[derive(Debug)]
pub struct Synced {
    generation: Arc<Generation>,
    sequence: Sequence,
    standing: Option<Standing>,
}

impl Synced {
    fn result(&self) -> Option<Result<Sequence, JournalError>> {
        match self.generation.outcome() {
            Outcome::Pending => None,
            Outcome::Synced => Some(Ok(self.sequence)),
            Outcome::Failed => Some(Err(JournalError::SyncFailed)),
            Outcome::Closed => Some(Err(JournalError::Closed)),
        }
    }
}

impl Future for Synced {
    type Output = Result<Sequence, JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.result().is_none() {
            let standing = self.generation.enlist(self.standing, context.waker());
            if standing.is_some() {
                self.standing = standing;
                return Poll::Pending;
            }
        }
        match self.result() {
            Some(result) => {
                if let Some(standing) = self.standing.take() {
                    self.generation.wake_neighbours(standing);
                }
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Synced {
    fn drop(&mut self) {
        if let Some(standing) = self.standing.take() {
            self.generation.leave(standing);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Counter {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn waiter(generation: &Arc<Generation>) -> (Synced, Arc<Counter>) {
        let ticket = Ticket { generation: Arc::clone(generation), sequence: Sequence::new(1) };
        (ticket.synced(), Arc::default())
    }

    fn poll(synced: &mut Synced, counter: &Arc<Counter>) -> Poll<Result<Sequence, JournalError>> {
        let waker = Waker::from(Arc::clone(counter));
        Pin::new(synced).poll(&mut Context::from_waker(&waker))
    }

    fn three(generation: &Arc<Generation>) -> [(Synced, Arc<Counter>); 3] {
        let mut waiters = [waiter(generation), waiter(generation), waiter(generation)];
        for (synced, counter) in &mut waiters {
            assert!(poll(synced, counter).is_pending());
        }
        waiters
    }

    fn woken(waiters: &[(Synced, Arc<Counter>)]) -> usize {
        waiters.iter().map(|(_, counter)| counter.count()).sum()
    }

    #[test]
    fn one_task_per_thread_is_woken_and_wakes_the_others() {
        let generation = Generation::new(Outcome::Pending);
        let mut waiters = three(&generation);
        generation.complete(Outcome::Synced);
        assert_eq!(woken(&waiters), 1);
        let herald = waiters.iter_mut().find(|(_, counter)| counter.count() == 1).unwrap();
        assert!(matches!(poll(&mut herald.0, &herald.1), Poll::Ready(Ok(_))));
        assert!(waiters.iter().all(|(_, counter)| counter.count() == 1));
    }

    #[test]
    fn each_thread_has_its_own_herald() {
        let generation = Generation::new(Outcome::Pending);
        let here = three(&generation);
        let there = thread::scope(|scope| scope.spawn(|| three(&generation)).join().unwrap());
        generation.complete(Outcome::Synced);
        assert_eq!((woken(&here), woken(&there)), (1, 1));
    }

    #[test]
    fn those_who_stand_under_another_thread_are_woken_by_their_herald() {
        for is_polled in [true, false] {
            let generation = Generation::new(Outcome::Pending);
            let waiters = thread::scope(|scope| scope.spawn(|| three(&generation)).join().unwrap());
            generation.complete(Outcome::Synced);
            let counters = waiters.each_ref().map(|(_, counter)| Arc::clone(counter));
            let [first, second, third] = waiters;
            let mut herald =
                [first, second, third].into_iter().find(|(_, counter)| counter.count() == 1).unwrap();
            if is_polled {
                assert!(matches!(poll(&mut herald.0, &herald.1), Poll::Ready(Ok(_))));
            }
            drop(herald);
            assert!(counters.iter().all(|counter| counter.count() == 1));
        }
    }

    #[test]
    fn herald_that_is_dropped_wakes_the_others() {
        let generation = Generation::new(Outcome::Pending);
        let waiters = three(&generation);
        generation.complete(Outcome::Synced);
        let counters = waiters.each_ref().map(|(_, counter)| Arc::clone(counter));
        let [first, second, third] = waiters;
        drop([first, second, third].into_iter().find(|(_, counter)| counter.count() == 1));
        assert!(counters.iter().all(|counter| counter.count() == 1));
    }

    #[test]
    fn task_that_went_away_is_never_the_herald() {
        let generation = Generation::new(Outcome::Pending);
        let [first, second, third] = three(&generation);
        let gone = Arc::clone(&third.1);
        drop(third);
        generation.complete(Outcome::Synced);
        assert_eq!((gone.count(), woken(&[first, second])), (0, 1));
    }

    #[test]
    fn first_outcome_stands() {
        let generation = Generation::new(Outcome::Pending);
        let (mut synced, counter) = waiter(&generation);
        generation.complete(Outcome::Failed);
        generation.complete(Outcome::Synced);
        assert!(matches!(poll(&mut synced, &counter), Poll::Ready(Err(JournalError::SyncFailed))));
        let (mut late, counter) = waiter(&Generation::new(Outcome::Closed));
        assert!(matches!(poll(&mut late, &counter), Poll::Ready(Err(JournalError::Closed))));
    }

    #[test]
    fn newest_waker_of_a_task_is_used() {
        let generation = Generation::new(Outcome::Pending);
        let (mut synced, old) = waiter(&generation);
        let new = Arc::default();
        assert!(poll(&mut synced, &old).is_pending());
        assert!(poll(&mut synced, &new).is_pending());
        generation.complete(Outcome::Synced);
        assert_eq!((old.count(), new.count()), (0, 1));
    }
}

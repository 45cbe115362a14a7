//! Work beside the event loops, whose caller is woken when it can go on, and not before.
//!
//! What computes for long ends with a record, and its answer waits for the sync. Were the event loop told when the work is
//! done, it would only begin to wait again, and would have taken a processor from the next computation for that. So the
//! thread that did the work begins the wait itself, in the caller's name ([`Settle`]).

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What work leaves behind.
pub(crate) trait Settle {
    /// Whether its caller can go on with it. If not, `context` is woken when that may have changed.
    fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// Resolves when what the work left behind is settled. `None`: the work panicked, or was never begun.
///
/// If this is dropped, work that has not begun is dropped with it, and all that it holds; what has begun goes on.
#[must_use = "work that has not begun is dropped with this"]
pub(crate) struct Beside<T>(Arc<Mutex<Desk<T>>>);

/// Between the thread that works and its caller.
struct Desk<T> {
    state: State<T>,
    /// The caller's, once it has begun to wait.
    waker: Option<Waker>,
}

enum State<T> {
    Queued(Box<dyn FnOnce() -> T + Send>),
    Working,
    Left(T),
    /// There is nothing more to come.
    Empty,
}

/// The desk, as the thread that works has it.
struct Worker<T>(Arc<Mutex<Desk<T>>>);

/// Does `work` on a thread beside the event loops.
pub(crate) fn beside<T: Settle + Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Beside<T> {
    let desk = Arc::new(Mutex::new(Desk { state: State::Queued(Box::new(work)), waker: None }));
    let worker = Worker(Arc::clone(&desk));
    // Its end is told by the desk.
    drop(tokio::task::spawn_blocking(move || worker.work()));
    Beside(desk)
}

impl<T: Settle> Worker<T> {
    fn work(self) {
        let mut desk = lock(&self.0);
        let State::Queued(work) = mem::replace(&mut desk.state, State::Working) else {
            desk.state = State::Empty;
            return;
        };
        drop(desk);
        self.leave(work());
    }

    fn leave(&self, mut left: T) {
        let mut desk = lock(&self.0);
        // Who has not begun to wait looks by itself.
        let waker = desk.waker.clone();
        let is_settled = |waker: &Waker| left.poll_settled(&mut Context::from_waker(waker)).is_ready();
        let is_settled = waker.as_ref().is_some_and(is_settled);
        desk.state = State::Left(left);
        drop(desk);
        if let Some(waker) = waker.filter(|_| is_settled) {
            waker.wake();
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        let mut desk = lock(&self.0);
        if matches!(desk.state, State::Left(_)) {
            return;
        }
        let state = mem::replace(&mut desk.state, State::Empty);
        let waker = desk.waker.take();
        drop(desk);
        // What it holds tells of its end before its caller does.
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Beside<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut desk = lock(&self.0);
        match mem::replace(&mut desk.state, State::Empty) {
            state @ (State::Queued(_) | State::Working) => {
                desk.state = state;
                desk.waker = Some(context.waker().clone());
                Poll::Pending
            }
            State::Left(left) => Poll::Ready(Some(left)),
            State::Empty => Poll::Ready(None),
        }
    }
}

impl<T> Drop for Beside<T> {
    fn drop(&mut self) {
        let mut desk = lock(&self.0);
        desk.waker = None;
        if !matches!(desk.state, State::Working) {
            let state = mem::replace(&mut desk.state, State::Empty);
            drop(desk);
            drop(state);
        }
    }
}

fn lock<T>(desk: &Mutex<Desk<T>>) -> MutexGuard<'_, Desk<T>> {
    // A desk is whole between any two statements.
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::Wake;

    use super::*;

    /// Settled when it is told so; keeps whom it has to wake then.
    #[derive(Default)]
    struct Later(Arc<Mutex<(bool, Option<Waker>)>>);

    impl Later {
        fn settle(&self) {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            if let Some(waker) = state.1.take() {
                waker.wake();
            }
        }

        fn also(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    impl Settle for Later {
        fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<()> {
            let mut state = self.0.lock().unwrap();
            state.1 = Some(context.waker().clone());
            if state.0 { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A caller that counts how often it is woken.
    struct Caller(Arc<Counter>);

    impl Caller {
        fn new() -> Self {
            Self(Arc::default())
        }

        fn poll<T>(&self, beside: &mut Beside<T>) -> Poll<Option<T>> {
            let waker = Waker::from(Arc::clone(&self.0));
            Pin::new(beside).poll(&mut Context::from_waker(&waker))
        }

        fn woken(&self) -> usize {
            self.0.0.load(Ordering::SeqCst)
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    /// Work that ends when the sender has sent or is gone.
    fn held<T: Settle + Send + 'static>(
        left: impl FnOnce() -> T + Send + 'static,
    ) -> (mpsc::Sender<()>, Beside<T>) {
        let (go, wait) = mpsc::channel();
        let work = beside(move || {
            let _ = wait.recv();
            left()
        });
        (go, work)
    }

    #[test]
    fn caller_is_woken_when_it_is_settled_and_not_before() {
        let runtime = runtime();
        let _context = runtime.enter();
        let (caller, later) = (Caller::new(), Later::default());
        let also = later.also();
        let (go, mut work) = held(move || also);
        assert!(caller.poll(&mut work).is_pending());
        drop(go);
        // Whoever works has asked in the caller's name, but has not woken it.
        while later.0.lock().unwrap().1.is_none() {
            std::thread::yield_now();
        }
        assert_eq!(caller.woken(), 0);
        later.settle();
        assert_eq!(caller.woken(), 1);
        assert!(matches!(caller.poll(&mut work), Poll::Ready(Some(_))));
    }

    #[test]
    fn what_is_settled_at_once_wakes_the_caller() {
        let runtime = runtime();
        let _context = runtime.enter();
        let (caller, later) = (Caller::new(), Later::default());
        later.settle();
        let (go, mut work) = held(move || later);
        assert!(caller.poll(&mut work).is_pending());
        drop(go);
        while caller.woken() == 0 {
            std::thread::yield_now();
        }
        assert!(matches!(caller.poll(&mut work), Poll::Ready(Some(_))));
    }

    #[test]
    fn caller_that_comes_late_finds_what_was_left() {
        let runtime = runtime();
        let later = Later::default();
        let also = later.also();
        let _context = runtime.enter();
        let mut work = beside(move || also);
        // Waits for the thread: whoever is woken for it would be a caller.
        while Arc::strong_count(&work.0) > 1 {
            std::thread::yield_now();
        }
        let caller = Caller::new();
        assert!(matches!(caller.poll(&mut work), Poll::Ready(Some(_))));
        assert_eq!(caller.woken(), 0);
    }

    #[test]
    fn panic_is_told() {
        let runtime = runtime();
        let _context = runtime.enter();
        let caller = Caller::new();
        let (go, mut work) = held(|| -> Later { panic!("the test wants this panic") });
        assert!(caller.poll(&mut work).is_pending());
        drop(go);
        while caller.woken() == 0 {
            std::thread::yield_now();
        }
        assert!(matches!(caller.poll(&mut work), Poll::Ready(None)));
    }

    #[test]
    fn work_that_is_never_begun_is_told() {
        let runtime = runtime();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _context = handle.enter();
        let mut work = beside(|| -> Later { panic!("nothing runs on a runtime that has ended") });
        assert!(matches!(Caller::new().poll(&mut work), Poll::Ready(None)));
    }

    #[test]
    fn work_that_has_begun_is_done_also_if_nobody_waits() {
        let runtime = runtime();
        let _context = runtime.enter();
        let ((begun, is_begun), (done, is_done), (go, may_go)) =
            (mpsc::channel(), mpsc::channel(), mpsc::channel());
        let work = beside(move || {
            begun.send(()).unwrap();
            let _: Result<(), _> = may_go.recv();
            done.send(()).unwrap();
            Later::default()
        });
        is_begun.recv().unwrap();
        drop(work);
        drop(go);
        assert_eq!(is_done.recv(), Ok(()));
    }

    #[test]
    fn work_that_has_not_begun_is_dropped_with_its_caller() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let _context = runtime.enter();
        // The only thread is taken.
        let (go, first) = held(Later::default);
        let held_by_work = Arc::new(());
        let (also, is_begun) = (Arc::clone(&held_by_work), Arc::new(AtomicUsize::new(0)));
        let begun = Arc::clone(&is_begun);
        let mut second = beside(move || {
            begun.fetch_add(1, Ordering::SeqCst);
            drop(also);
            Later::default()
        });
        assert!(Caller::new().poll(&mut second).is_pending());
        drop(second);
        assert_eq!(Arc::strong_count(&held_by_work), 1);
        drop(go);
        // Waits until the thread has had its turn at both.
        let third = held(Later::default).1;
        while Arc::strong_count(&third.0) > 1 || Arc::strong_count(&first.0) > 1 {
            std::thread::yield_now();
        }
        assert_eq!(is_begun.load(Ordering::SeqCst), 0);
    }
}

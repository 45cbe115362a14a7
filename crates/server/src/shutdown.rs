//! The wish to stop, as one value that every part can hold.

use tokio::sync::watch;

/// Once triggered it stays so. Clones share the same wish.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it has been triggered; at once if it already was.
    pub async fn triggered(&self) {
        let mut receiver = self.0.subscribe();
        // The only error is a dropped sender, and `self` holds one.
        let _ = receiver.wait_for(|triggered| *triggered).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn a_wish_is_seen_by_every_clone_and_stays() {
        let shutdown = Shutdown::new();
        let clone = shutdown.clone();
        let mut waiting = pin!(clone.triggered());
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        assert!(!clone.is_triggered());
        shutdown.trigger();
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(()));
        assert_eq!(pin!(clone.triggered()).poll(&mut context), Poll::Ready(()));
        assert!(clone.is_triggered());
    }
}

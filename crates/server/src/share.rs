//! How the event loops share connections.
//!
//! Each loop has a listener of its own, and the kernel chooses among them by a hash of addresses (`SO_REUSEPORT`), which
//! knows nothing of load: of 64 connections on two loops one gets 36 as often as not, and is the bottleneck while the
//! other idles. So the loop that has accepted a connection gives it to the one that has the fewest, before the first byte
//! is read. After that it stays where it is.

use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::gate::{Place, SourcePlace};

/// A connection that has been let in.
pub(crate) struct Arrived {
    pub(crate) stream: TcpStream,
    pub(crate) source: IpAddr,
    pub(crate) places: Places,
}

/// What a connection holds for as long as it lives.
pub(crate) type Places = (Place, Option<SourcePlace>);

/// One loop's part in the sharing.
pub(crate) struct Share {
    number: usize,
    loops: Arc<[Loop]>,
    /// Connections that others hand over. They have their places, so there are no more of them than may be open.
    pub(crate) handed: UnboundedReceiver<Arrived>,
}

struct Loop {
    open: AtomicUsize,
    door: UnboundedSender<Arrived>,
}

/// A connection's seat on a loop, given back when dropped.
pub(crate) struct Seat {
    number: usize,
    loops: Arc<[Loop]>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(seated) = self.loops.get(self.number) {
            seated.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Share {
    /// One for each of `count` loops.
    pub(crate) fn among(count: usize) -> Vec<Self> {
        let (doors, rooms): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded_channel()).unzip();
        let loops: Arc<[Loop]> =
            doors.into_iter().map(|door| Loop { open: AtomicUsize::new(0), door }).collect();
        let share = |(number, handed)| Self { number, loops: Arc::clone(&loops), handed };
        rooms.into_iter().enumerate().map(share).collect()
    }

    /// For a loop that has no others beside it.
    pub(crate) fn alone() -> Self {
        let (door, handed) = unbounded_channel();
        Self { number: 0, loops: Arc::new([Loop { open: AtomicUsize::new(0), door }]), handed }
    }

    /// The loop that has fewer connections than this one; `None` if this one has the fewest.
    pub(crate) fn fewer(&self) -> Option<usize> {
        let open = |one: &Loop| one.open.load(Ordering::Relaxed);
        let ours = self.loops.get(self.number).map_or(0, open);
        let fewest = self.loops.iter().enumerate().min_by_key(|(_, one)| open(one));
        fewest.filter(|(_, one)| open(one) < ours).map(|(number, _)| number)
    }

    /// Hands a connection to another loop. If that has ended, as all are about to, the connection is closed.
    pub(crate) fn hand_over(&self, number: usize, arrived: Arrived) {
        let Some(other) = self.loops.get(number) else { return };
        // Counted at once: the next connection is to see it.
        other.open.fetch_add(1, Ordering::Relaxed);
        if other.door.send(arrived).is_err() {
            other.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The seat of a connection that this loop has accepted and keeps.
    pub(crate) fn take_seat(&self) -> Seat {
        if let Some(ours) = self.loops.get(self.number) {
            ours.open.fetch_add(1, Ordering::Relaxed);
        }
        self.seat_of_handed()
    }

    /// The seat of a connection that was handed over, which is counted already.
    pub(crate) fn seat_of_handed(&self) -> Seat {
        Seat { number: self.number, loops: Arc::clone(&self.loops) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::gate::Gate;

    fn arrived() -> Arrived {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let place = Arc::new(Gate::new(1)).enter().unwrap();
        Arrived { stream, source: Ipv4Addr::LOCALHOST.into(), places: (place, None) }
    }

    #[test]
    fn loop_alone_keeps_all() {
        let shares = Share::among(1);
        let _seats = [shares[0].take_seat(), shares[0].take_seat()];
        assert_eq!(shares[0].fewer(), None);
    }

    #[test]
    fn loop_with_more_gives_to_the_one_with_the_fewest() {
        let mut shares = Share::among(3);
        assert_eq!(shares[0].fewer(), None);
        let seats = [shares[0].take_seat(), shares[0].take_seat(), shares[1].take_seat()];
        assert_eq!(shares[0].fewer(), Some(2));
        shares[0].hand_over(2, arrived());
        assert!(shares[2].handed.try_recv().is_ok());
        let handed = shares[2].seat_of_handed();
        assert_eq!(shares[0].fewer(), Some(1));
        assert_eq!(shares[1].fewer(), None);
        drop(handed);
        assert_eq!(shares[1].fewer(), Some(2));
        drop(seats);
        assert_eq!(shares[0].fewer(), None);
    }

    #[test]
    fn loop_that_has_ended_is_not_counted_up() {
        let mut shares = Share::among(2);
        drop(shares.pop());
        let _seats = [shares[0].take_seat(), shares[0].take_seat()];
        shares[0].hand_over(1, arrived());
        assert_eq!(shares[0].loops[1].open.load(Ordering::Relaxed), 0);
    }
}

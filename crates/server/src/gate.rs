//! A gate that lets only so many in at once: connections, requests, handshakes.
//!
//! Nobody waits at a gate. Whoever finds it full is turned away and counted, so that an attack costs what the gate
//! allows and no more.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts who is inside and lets no more than `max` in.
#[derive(Debug)]
pub(crate) struct Gate {
    max: usize,
    inside: AtomicUsize,
    refused: AtomicUsize,
}

/// A place inside the gate, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gate>);

/// As [`Place`], for those who need not carry it away.
#[derive(Debug)]
pub(crate) struct Passage<'a>(&'a Gate);

impl Gate {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, inside: AtomicUsize::new(0), refused: AtomicUsize::new(0) }
    }

    pub(crate) fn enter(self: &Arc<Self>) -> Option<Place> {
        self.count_in().then(|| Place(Arc::clone(self)))
    }

    pub(crate) fn pass(&self) -> Option<Passage<'_>> {
        self.count_in().then(|| Passage(self))
    }

    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    /// How often somebody was turned away.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Relaxed: only the number matters, no other memory hangs on it.
    fn count_in(&self) -> bool {
        let more = |inside: usize| (inside < self.max).then_some(inside + 1);
        let is_in = self.inside.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if !is_in {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_in
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Counts connections by where they come from. Holds one entry for each source that has a connection open.
#[derive(Debug)]
pub(crate) struct Sources {
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
    refused: AtomicUsize,
}

/// One connection of a source, given back when dropped.
#[derive(Debug)]
pub(crate) struct SourcePlace {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Sources {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, open: Mutex::default(), refused: AtomicUsize::new(0) }
    }

    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<SourcePlace> {
        let source = source_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(source).or_default();
        if *count >= self.max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *count += 1;
        drop(open);
        Some(SourcePlace { sources: Arc::clone(self), source })
    }

    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for SourcePlace {
    fn drop(&mut self) {
        let mut open = self.sources.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = open.entry(self.source) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// An IPv4 address, or the first 64 bits of an IPv6 address: whoever has one address of such a network has all of them
/// (RFC 4291 section 2.5.1).
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_gate_refuses_until_somebody_leaves() {
        let gate = Arc::new(Gate::new(2));
        let place = gate.enter().unwrap();
        let passage = gate.pass().unwrap();
        assert!(gate.enter().is_none() && gate.pass().is_none());
        assert_eq!((gate.inside(), gate.refused()), (2, 2));
        drop(place);
        assert!(gate.enter().is_some());
        drop(passage);
        assert_eq!((gate.inside(), gate.refused()), (0, 2));
    }

    #[test]
    fn each_source_has_places_of_its_own() {
        let sources = Arc::new(Sources::new(1));
        let [one, other]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let place = sources.enter(one).unwrap();
        assert!(sources.enter(one).is_none());
        assert!(sources.enter(other).is_some());
        drop(place);
        assert!(sources.enter(one).is_some());
        assert_eq!(sources.refused(), 1);
        assert!(sources.open.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_of_64_bits_is_one_source() {
        let sources = Arc::new(Sources::new(1));
        let [one, same, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::ffff:0:2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let _place = sources.enter(one).unwrap();
        assert!(sources.enter(same).is_none());
        assert!(sources.enter(other).is_some());
        let _mapped = sources.enter("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert!(sources.enter("192.0.2.1".parse().unwrap()).is_none());
    }
}

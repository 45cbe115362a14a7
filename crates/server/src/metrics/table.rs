//! A fixed table keyed by names that live in the program's text.
//!
//! Looking a name up compares addresses, not characters, and takes no lock: a slot's name is written once and never
//! changes. Equal names at different addresses get a slot each; whoever reads the table sums them up.

use std::sync::OnceLock;

/// After this many slots taken by others a name is given up and counted with the rest.
const PROBES_MAX: usize = 32;

pub(super) trait Name: Copy {
    fn hash(self) -> usize;
    fn is_same(self, other: Self) -> bool;
}

impl Name for &'static str {
    fn hash(self) -> usize {
        // Fibonacci hashing: neighbouring addresses spread over the table. The upper bits are the good ones.
        (self.as_ptr().addr() ^ self.len()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
    }

    fn is_same(self, other: Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Name for (&'static str, &'static str) {
    fn hash(self) -> usize {
        self.0.hash().wrapping_mul(31).wrapping_add(self.1.hash())
    }

    fn is_same(self, other: Self) -> bool {
        self.0.is_same(other.0) && self.1.is_same(other.1)
    }
}

#[derive(Debug)]
pub(super) struct Table<K, V> {
    slots: Box<[(OnceLock<K>, V)]>,
    /// For names that found no slot.
    rest: V,
}

impl<K: Name, V: Default> Table<K, V> {
    pub(super) fn new(slots: usize) -> Self {
        Self { slots: (0..slots).map(|_| (OnceLock::new(), V::default())).collect(), rest: V::default() }
    }

    /// The value of this name, which takes a free slot when it is first seen.
    pub(super) fn value(&self, name: K) -> &V {
        let start = name.hash();
        (0..PROBES_MAX)
            .filter_map(|step| self.slots.get(start.wrapping_add(step).checked_rem(self.slots.len())?))
            .find(|(holder, _)| holder.get_or_init(|| name).is_same(name))
            .map_or(&self.rest, |(_, value)| value)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (K, &V)> {
        self.slots.iter().filter_map(|(holder, value)| Some((*holder.get()?, value)))
    }

    pub(super) fn rest(&self) -> &V {
        &self.rest
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn names(count: usize) -> Vec<&'static str> {
        (0..count).map(|n| &*format!("Name{n}").leak()).collect()
    }

    #[test]
    fn a_full_table_counts_the_rest_together() {
        let table = Table::<&'static str, AtomicU64>::new(4);
        for name in names(6) {
            table.value(name).fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(table.entries().count(), 4);
        assert_eq!(table.rest().load(Ordering::Relaxed), 2);
        let empty = Table::<&'static str, AtomicU64>::new(0);
        empty.value("Name").fetch_add(1, Ordering::Relaxed);
        assert_eq!(empty.rest().load(Ordering::Relaxed), 1);
    }

    #[test]
    fn every_name_keeps_its_own_value() {
        let table = Table::<(&'static str, &'static str), AtomicU64>::new(256);
        let names = names(10);
        let pairs: Vec<_> = names.iter().flat_map(|a| names.iter().map(move |b| (*a, *b))).collect();
        for _ in 0..3 {
            for pair in &pairs {
                table.value(*pair).fetch_add(1, Ordering::Relaxed);
            }
        }
        assert_eq!(table.entries().count(), 100);
        assert!(table.entries().all(|(_, count)| count.load(Ordering::Relaxed) == 3));
        assert_eq!(table.rest().load(Ordering::Relaxed), 0);
    }
}

//! The last use of each key: in memory first, then in a row, and in the journal before either.
//!
//! A use counts from the moment in which its record is appended to the journal: both happen under one lock of the key's
//! stripe. So whoever has been answered is seen by whoever asks afterwards, and of two uses nobody is told the earlier one
//! after the later one, not even after a crash: what is told stands in the journal before the answer that tells it.
//!
//! - **Noting** a use takes that lock and stores into an entry of a map. Nothing is written to the store.
//! - **Writing** ([`writer`]) brings the entries to their rows, in batches beside the requests, once their records are on the
//!   disk. An entry stays until its row is committed. Then a row of its own says up to which record of the journal all uses
//!   are in rows.
//! - **Taking up** ([`replay`]) reads the journal from there. So a kill loses nothing.
//!
//! The map has a bound. A use that finds no room is counted as missed and stands in the journal; until the writer has read
//! it from there, whoever asks for a key that is not in the map is told nothing rather than something old.
//!
//! When a clock is set back, uses before it reaches the last one again do not count as later.

mod replay;
mod writer;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_audit::{ReadError, Ticket};
use strongroom_records::{KeyRow, KeyUse, Records, RecordsError};
use strongroom_types::{KeyId, RegionName, Timestamp, limits};

use crate::operation::Key;

pub use writer::{UsageThread, UsageWriter};

const STRIPES: usize = 64;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why it cannot be told when a key was last used, or why that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error("the audit journal cannot be read")]
    Journal(#[from] ReadError),
    #[error(
        "more keys are used than their last uses can be written; this is settled when the store has caught up"
    )]
    Missed,
    #[error("the records of the uses are not on the disk yet")]
    NotOnDisk,
    #[error("a row cannot be read or written")]
    Records(#[from] RecordsError),
    #[error("the process ends before all uses are written; the next one reads them from the journal")]
    Unfinished,
}

/// A key of this deployment: the place of its region, and its id.
type Place = (u8, KeyId);

/// A use that is not in its row yet.
#[derive(Debug, Clone, Copy)]
struct Noted {
    last: KeyUse,
    /// The number of its record.
    sequence: u64,
}

type Stripe = HashMap<Place, Noted>;

/// The last uses of all keys.
pub struct KeyUses {
    stripes: [Mutex<Stripe>; STRIPES],
    regions: Vec<RegionName>,
    /// Keys for which there is room.
    room: usize,
    /// Keys in the stripes.
    waiting: AtomicUsize,
    /// Since when no use has been missed, in milliseconds since 1970.
    since: AtomicU64,
    /// Uses that found no room.
    missed: AtomicU64,
    /// How many of those are in rows now.
    recovered: AtomicU64,
}

impl KeyUses {
    fn new(regions: &[RegionName], since: Timestamp) -> Self {
        Self {
            stripes: std::array::from_fn(|_| Mutex::default()),
            regions: regions.to_vec(),
            room: limits::KEY_USES_IN_MEMORY_MAX,
            waiting: AtomicUsize::new(0),
            since: AtomicU64::new(since.as_millis()),
            missed: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
        }
    }

    /// Keeps the uses of no more keys than this in memory.
    #[must_use]
    pub fn with_room(self, room: usize) -> Self {
        Self { room, ..self }
    }

    /// Keys whose last use is not in its row yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Since when the uses of this key are known without a gap.
    pub fn tracked_since(&self, key: &KeyRow) -> Timestamp {
        key.created().max(Timestamp::from_millis(self.since.load(Ordering::Relaxed)))
    }

    /// When the key was last used.
    pub(crate) fn last_use(&self, records: &Records, key: &KeyRow) -> Result<Option<KeyUse>, UsageError> {
        let noted = self.place(key.region(), key.key_id()).and_then(|place| self.find(place));
        if noted.is_none() && self.has_missed() {
            return Err(UsageError::Missed);
        }
        // Only now: an entry that is not there any more is in its row. And both count, because the entry is the earlier one
        // of the two if the clock was set back.
        let written = records.key_usage(key.region(), &key.key_id())?.map(|row| row.last_use());
        Ok(match (written, noted) {
            (Some(written), Some(noted)) => Some(written.later(noted)),
            (written, noted) => noted.or(written),
        })
    }

    /// Whole days for which the key has not been used, as far as that is known.
    fn trailing_days(&self, records: &Records, key: &KeyRow, now: Timestamp) -> Result<u64, UsageError> {
        let since = self.tracked_since(key);
        let last = self.last_use(records, key)?.map_or(since, |last| last.at.max(since));
        Ok(last.until(now).as_secs() / DAY.as_secs())
    }

    /// Appends the record of a use and notes the use of its keys.
    pub(crate) fn append(&self, keys: &[Key], last: KeyUse, append: impl FnOnce() -> Ticket) -> Ticket {
        let mut places = keys.iter().filter_map(|key| self.place(key.region(), key.key_id()));
        // One key, or the two of a ReEncrypt.
        let (Some(first), second) = (places.next(), places.next()) else { return append() };
        let at = stripe_of(first);
        // In the order of the stripes, so that two requests do not wait for each other.
        let other = second.map(stripe_of).filter(|other| *other != at);
        let lower = other.filter(|other| *other < at).map(|other| self.stripe(other));
        let mut stripe = self.stripe(at);
        let upper = other.filter(|other| *other > at).map(|other| self.stripe(other));
        let ticket = append();
        let noted = Noted { last, sequence: ticket.sequence().as_u64() };
        self.note(&mut stripe, first, noted);
        if let Some(second) = second {
            let mut other = lower.or(upper);
            self.note(other.as_deref_mut().unwrap_or(&mut stripe), second, noted);
        }
        ticket
    }

    fn note(&self, stripe: &mut Stripe, place: Place, noted: Noted) {
        if let Some(known) = stripe.get_mut(&place) {
            if noted.last.at >= known.last.at {
                *known = noted;
            }
        } else if self.has_room(stripe) {
            stripe.insert(place, noted);
            self.waiting.fetch_add(1, Ordering::Relaxed);
        } else {
            self.missed.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// All entries, in the order of their places.
    fn entries(&self) -> Vec<(Place, Noted)> {
        let mut entries = Vec::with_capacity(self.waiting());
        for at in 0..STRIPES {
            entries.extend(self.stripe(at).iter().map(|(place, noted)| (*place, *noted)));
        }
        entries.sort_unstable_by_key(|(place, _)| *place);
        entries
    }

    /// Forgets entries that are in their rows, but for those that have a later use since.
    fn settle(&self, written: &[(Place, Noted)]) {
        for (place, noted) in written {
            let mut stripe = self.stripe(stripe_of(*place));
            if stripe.get(place).is_some_and(|entry| entry.sequence == noted.sequence) {
                stripe.remove(place);
                self.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Writes uses to their rows: they are of one region, and one batch.
    fn write(&self, records: &Records, uses: &[(Place, Noted)]) -> Result<(), RecordsError> {
        let Some(((region, _), _)) = uses.first() else { return Ok(()) };
        let Some(region) = self.regions.get(usize::from(*region)) else { return Ok(()) };
        let uses: Vec<_> = uses.iter().map(|((_, key_id), noted)| (*key_id, noted.last)).collect();
        records.write_key_uses(region, &uses)
    }

    fn has_room(&self, stripe: &Stripe) -> bool {
        stripe.len() < self.room / STRIPES
    }

    /// Whether it is time to make room.
    fn is_half_full(&self) -> bool {
        self.waiting() >= (self.room / 2).max(1)
    }

    fn has_missed(&self) -> bool {
        self.missed.load(Ordering::SeqCst) != self.recovered.load(Ordering::SeqCst)
    }

    fn find(&self, place: Place) -> Option<KeyUse> {
        self.stripe(stripe_of(place)).get(&place).map(|noted| noted.last)
    }

    fn place(&self, region: &RegionName, key_id: KeyId) -> Option<Place> {
        let at = self.regions.iter().position(|known| known == region)?;
        Some((u8::try_from(at).ok()?, key_id))
    }

    #[expect(clippy::indexing_slicing, reason = "stripes are numbered modulo their number")]
    fn stripe(&self, at: usize) -> MutexGuard<'_, Stripe> {
        // A map is whole between any two statements, so a panic elsewhere does not spoil it.
        self.stripes[at % STRIPES].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stripe_of((_, key_id): Place) -> usize {
    key_id.as_bytes().last().map_or(0, |byte| usize::from(*byte) % STRIPES)
}

/// Batches of entries that are in the order of their places.
fn batches(entries: &[(Place, Noted)]) -> impl Iterator<Item = &[(Place, Noted)]> {
    entries
        .chunk_by(|((one, _), _), ((next, _), _)| one == next)
        .flat_map(|of_region| of_region.chunks(limits::KEY_USES_PER_BATCH))
}

/// How long a key has not been used, for conditions: looked up when one asks. What could not be read is kept and refuses
/// the request, whatever came of the condition.
pub(crate) struct Idleness<'a> {
    uses: &'a KeyUses,
    records: &'a Records,
    failed: Cell<Option<Box<UsageError>>>,
}

impl<'a> Idleness<'a> {
    pub(crate) fn new(uses: &'a KeyUses, records: &'a Records) -> Self {
        Self { uses, records, failed: Cell::new(None) }
    }

    pub(crate) fn days(&self, key: &KeyRow, now: Timestamp) -> Option<u64> {
        match self.uses.trailing_days(self.records, key, now) {
            Ok(days) => Some(days),
            Err(error) => {
                self.failed.set(Some(Box::new(error)));
                None
            }
        }
    }

    pub(crate) fn failed(&self) -> Option<UsageError> {
        self.failed.take().map(|error| *error)
    }
}

//! The records that go to the disk together.

use std::sync::Arc;

use crate::checkpoint::{self, CheckpointSigner};
use crate::format::{CHAIN_BYTES, Chain, RECORD_HEAD_BYTES, RecordKind, chain_link, put, record_crc, take};
use crate::journal::generation::{Generation, Outcome};

const CRC_AT: usize = 4;
const DURABLE_AT: usize = 16;
const KIND_AT: usize = 24;

/// A group that the writer has taken. Whatever happens to it, those who wait are told.
#[derive(Debug)]
pub(crate) struct Group {
    /// Room for the previous link, then the records one behind the other.
    pub(crate) bytes: Vec<u8>,
    pub(crate) first: u64,
    pub(crate) records: u64,
    /// The part of the memory budget that the group gives back.
    pub(crate) claimed: usize,
    pub(crate) generation: Arc<Generation>,
    pub(crate) ends_with_checkpoint: bool,
}

impl Group {
    /// A group of records that nobody waits for; `bytes` begins with the link that they continue.
    pub(crate) fn new(bytes: Vec<u8>, first: u64, records: u64) -> Self {
        let generation = Generation::new(Outcome::Pending);
        Self { bytes, first, records, claimed: 0, generation, ends_with_checkpoint: false }
    }

    pub(crate) fn records(&self) -> &[u8] {
        self.bytes.get(CHAIN_BYTES..).unwrap_or_default()
    }

    /// The last record's sequence number; the one before `first` if there is no record.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.records - 1
    }

    /// The last record's link, once the group is sealed.
    pub(crate) fn chain(&self) -> Chain {
        self.bytes.last_chunk().copied().unwrap_or_default()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Without effect where the outcome has been told. A writer that gives up, or panics, leaves nobody waiting.
        self.generation.complete(Outcome::Closed);
    }
}

/// Completes the records in `linked`, which begins with the previous link: sets what is known only now, the durable
/// sequence, checkpoints' signatures, checksums and links. `None` if the bytes are not whole records, which only a bug
/// in this crate can bring about.
pub(crate) fn seal(mut linked: &mut [u8], durable: u64, signer: &dyn CheckpointSigner) -> Option<()> {
    while linked.len() > CHAIN_BYTES {
        let mut head = linked.get(CHAIN_BYTES..)?;
        let length = usize::try_from(u32::from_be_bytes(take(&mut head)?)).ok()?;
        let (record, after) = linked.split_at_mut_checked(CHAIN_BYTES + RECORD_HEAD_BYTES + length)?;
        seal_record(record, durable, signer)?;
        put(after, 0, &chain_link(record)).then_some(())?;
        // The link just written is the previous link of what follows.
        linked = after;
    }
    (linked.len() == CHAIN_BYTES).then_some(())
}

fn seal_record(linked: &mut [u8], durable: u64, signer: &dyn CheckpointSigner) -> Option<()> {
    let (previous, record) = linked.split_first_chunk_mut::<CHAIN_BYTES>()?;
    put(record, DURABLE_AT, &durable.to_be_bytes()).then_some(())?;
    if *record.get(KIND_AT)? == RecordKind::Checkpoint.to_byte() {
        checkpoint::seal(record.get_mut(RECORD_HEAD_BYTES..)?, previous, signer).then_some(())?;
    }
    let crc = record_crc(record);
    put(record, CRC_AT, &crc.to_be_bytes()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{begin_record, end_record};
    use crate::testing::TestSigner;

    fn bytes(payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0xcc; CHAIN_BYTES];
        for (sequence, payload) in (5..).zip(payloads) {
            let start = begin_record(&mut bytes, sequence, RecordKind::Note);
            bytes.extend_from_slice(payload);
            end_record(&mut bytes, start);
        }
        bytes
    }

    #[test]
    fn bytes_that_are_not_whole_records_are_refused() {
        let whole = bytes(&[b"a"]);
        for length in (0..whole.len()).filter(|length| *length != CHAIN_BYTES) {
            assert_eq!(seal(&mut whole.clone()[..length], 4, &TestSigner::new()), None, "{length}");
        }
        assert_eq!(seal(&mut whole.clone(), 4, &TestSigner::new()), Some(()));
        assert_eq!(seal(&mut [0; CHAIN_BYTES], 4, &TestSigner::new()), Some(()));
    }

    #[test]
    fn record_has_its_golden_bytes() {
        let mut sealed = bytes(&[b"first", b""]);
        seal(&mut sealed, 4, &TestSigner::new()).unwrap();
        let head = |length: u8, sequence: u8, payload: &[u8]| {
            let length = [0, 0, 0, length];
            let rest =
                [&[0, 0, 0, 0, 0, 0, 0, sequence][..], &[0, 0, 0, 0, 0, 0, 0, 4], &[3], payload].concat();
            let crc = crc32c::crc32c(&[&length[..], &rest].concat());
            [&length[..], &crc.to_be_bytes(), &rest].concat()
        };
        let first = head(5, 5, b"first");
        let first_link = strongroom_crypto::sha256(&[&[0xcc; 32][..], &first].concat());
        let second = head(0, 6, b"");
        let second_link = strongroom_crypto::sha256(&[&first_link[..], &second].concat());
        assert_eq!(sealed, [&[0xcc; 32][..], &first, &first_link, &second, &second_link].concat());
    }
}

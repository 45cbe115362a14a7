//! Notes: what the journal has to say about itself.

use strongroom_types::Timestamp;
use strongroom_types::limits::AUDIT_NOTE_BYTES_MAX;

use crate::event::cut;
use crate::format::take_u64;

/// `time be64 | text`: a torn tail that was cut, a segment that was given up, a rollback of the store that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    pub time: Timestamp,
    pub text: &'a str,
}

impl<'a> Note<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.as_millis().to_be_bytes());
        out.extend_from_slice(cut(self.text, AUDIT_NOTE_BYTES_MAX).as_bytes());
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let rest = &mut { payload };
        let time = Timestamp::from_millis(take_u64(rest)?);
        Some(Self { time, text: std::str::from_utf8(rest).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_notes_are_refused() {
        assert_eq!(Note::decode(&[0; 7]), None);
        assert_eq!(Note::decode(&[0, 0, 0, 0, 0, 0, 0, 0, 0xff]), None);
    }

    #[test]
    fn text_is_cut_at_its_limit() {
        for (length, kept) in
            [(AUDIT_NOTE_BYTES_MAX, AUDIT_NOTE_BYTES_MAX), (AUDIT_NOTE_BYTES_MAX + 1, AUDIT_NOTE_BYTES_MAX)]
        {
            let mut bytes = Vec::new();
            let text = "n".repeat(length);
            Note { time: Timestamp::from_millis(5), text: &text }.encode(&mut bytes);
            let note = Note::decode(&bytes).unwrap();
            assert_eq!((note.time.as_millis(), note.text.len()), (5, kept));
        }
    }
}

//! How targets take their bytes apart. What is not there reads as zero or as nothing, so that every input is one.

use strongroom_types::EncryptionContext;

pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// At most `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A length of one byte, and so many bytes.
    pub(crate) fn field(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte());
        self.take(length)
    }

    pub(crate) fn text_field(&mut self) -> String {
        String::from_utf8_lossy(self.field()).into_owned()
    }

    /// Up to three pairs; of two with the same key, the first.
    pub(crate) fn context(&mut self) -> EncryptionContext {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for _ in 0..self.byte() % 4 {
            let (key, value) = (self.text_field(), self.text_field());
            if pairs.iter().all(|(have, _)| *have != key) {
                pairs.push((key, value));
            }
        }
        EncryptionContext::new(pairs).expect("no key is there twice, and three pairs are within the limit")
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// `original`, changed as the rest of the input says. At most eight changes.
    pub(crate) fn edited(self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        let mut input = self;
        for _ in 0..8 {
            if input.0.is_empty() {
                break;
            }
            input.edit(&mut bytes);
        }
        bytes
    }

    /// What a disk, a network or an attacker does: bits flip, bytes change, go away, come in between, are repeated or
    /// moved, and the end is missing.
    fn edit(&mut self, bytes: &mut Vec<u8>) {
        let (kind, at) = (self.byte() % 6, self.number() % (bytes.len() + 1));
        match kind {
            0 => {
                let bit = self.byte() % 8;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            1 => {
                let new = self.field();
                let end = bytes.len().min(at + new.len());
                bytes.splice(at..end, new.iter().copied());
            }
            2 => {
                let end = bytes.len().min(at + usize::from(self.byte()));
                bytes.drain(at..end);
            }
            3 => {
                let new = self.field();
                bytes.splice(at..at, new.iter().copied());
            }
            4 => {
                let (to, length) = (self.number() % (bytes.len() + 1), self.number());
                let copied = bytes[at..bytes.len().min(at + length)].to_vec();
                let end = bytes.len().min(to + copied.len());
                bytes.splice(to..end, copied);
            }
            _ => bytes.truncate(at),
        }
    }
}

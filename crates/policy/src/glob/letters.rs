//! Which letters a text has: a pattern with others in it cannot match, wherever its stars are.
//!
//! A set has a bit for each of 64 classes of bytes, so that a text that seems to have a letter may still lack it: only the
//! other answer is certain.

use std::cell::Cell;

/// Bytes of a text, as classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Letters(u64);

impl Letters {
    pub(super) fn of(text: &[u8]) -> Self {
        Self::default().with(text)
    }

    pub(super) fn with(self, text: &[u8]) -> Self {
        Self(text.iter().fold(self.0, |set, byte| set | 1 << (byte & 63)))
    }

    pub(super) fn has_all_of(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}

/// The letters of the text that was asked about last, for as long as one decision is taken: statement after statement asks
/// about the same text.
///
/// It is known by where it lies: what facts hand out stays there while they are borrowed.
#[derive(Debug, Default)]
pub(crate) struct LastText<'f> {
    last: Cell<Option<(&'f str, Letters)>>,
}

impl<'f> LastText<'f> {
    pub(crate) fn letters(&self, text: &'f str) -> Letters {
        match self.last.get() {
            Some((last, letters)) if std::ptr::eq(last, text) => letters,
            _ => {
                let letters = Letters::of(text.as_bytes());
                self.last.set(Some((text, letters)));
                letters
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_letter_is_known() {
        let text = Letters::of(b"arn:aws:iam::111122223333:user/team/Bob");
        for (wanted, has) in
            [("c", false), ("TEAM", false), ("\u{e9}", false), ("", true), ("team", true), ("Bob", true)]
        {
            assert_eq!(text.has_all_of(Letters::of(wanted.as_bytes())), has, "{wanted}");
        }
    }

    #[test]
    fn the_last_text_is_known_by_its_place_and_another_is_looked_at() {
        let (one, other) = ("abc".to_owned(), "abd".to_owned());
        let last = LastText::default();
        for text in [&one, &one, &other, &one] {
            assert_eq!(last.letters(text), Letters::of(text.as_bytes()));
        }
        assert_eq!(last.letters(&one[..2]), Letters::of(b"ab"));
    }
}

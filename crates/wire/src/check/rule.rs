//! Rules: one per simple shape of the model, as data.

use std::marker::PhantomData;

use strongroom_types::limits::{ENCRYPTION_CONTEXT_BYTES_MAX, JSON_LIST_ITEMS_MAX};
use strongroom_types::{Credential, EncryptionContext, Plaintext, Timestamp};

use crate::check::violations::{Checker, Path, Violations};
use crate::decode::{ContextDraft, Finish, List, Slot, Text};
use crate::wire_enum::WireEnum;

/// Judges a draft and makes the value that a request holds.
pub(crate) trait Rule<D> {
    type Value;

    /// `None` only if a violation was recorded.
    fn apply(&self, draft: D, at: &Path<'_>, violations: &mut Violations) -> Option<Self::Value>;
}

/// The least and the greatest length or value, both allowed.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

impl Bounds {
    pub(crate) const NONE: Self = Self { min: 0, max: usize::MAX };

    /// `what` is "length" or "value".
    fn check<'de>(
        self,
        found: usize,
        what: &str,
        value: &impl Slot<'de>,
        at: &Path<'_>,
        violations: &mut Violations,
    ) -> bool {
        let Self { min, max } = self;
        if found > max {
            violations.value(value, at, format_args!("have {what} less than or equal to {max}"));
        } else if found < min {
            violations.value(value, at, format_args!("have {what} greater than or equal to {min}"));
        }
        (min..=max).contains(&found)
    }
}

/// A pattern of the model: its text for messages, and the function of `pattern` that decides it.
pub(crate) struct Pattern {
    pub(crate) text: &'static str,
    pub(crate) matches: fn(&str) -> bool,
}

/// A text, secret or not. Lengths count characters.
pub(crate) struct TextRule {
    pub(crate) length: Bounds,
    pub(crate) pattern: Option<Pattern>,
}

impl TextRule {
    fn check<'de>(
        &self,
        text: &str,
        value: &impl Slot<'de>,
        at: &Path<'_>,
        violations: &mut Violations,
    ) -> bool {
        let length = if text.is_ascii() { text.len() } else { text.chars().count() };
        let fits = self.length.check(length, "length", value, at, violations);
        let matches = self.pattern.as_ref().is_none_or(|pattern| {
            let matches = (pattern.matches)(text);
            if !matches {
                let text = pattern.text;
                violations.value(value, at, format_args!("satisfy regular expression pattern: {text}"));
            }
            matches
        });
        fits && matches
    }
}

impl Rule<Text<'_>> for TextRule {
    type Value = String;

    fn apply(&self, draft: Text<'_>, at: &Path<'_>, violations: &mut Violations) -> Option<String> {
        self.check(&draft, &draft, at, violations).then(|| draft.into_owned())
    }
}

impl Rule<Credential> for TextRule {
    type Value = Credential;

    fn apply(&self, draft: Credential, at: &Path<'_>, violations: &mut Violations) -> Option<Credential> {
        // INVARIANT: it was decoded from text.
        let text = std::str::from_utf8(draft.expose()).unwrap_or_default();
        self.check(text, &draft, at, violations).then_some(draft)
    }
}

/// A text that must be one of a set.
pub(crate) struct EnumRule<E>(PhantomData<E>);

impl<E> EnumRule<E> {
    pub(crate) const NEW: Self = Self(PhantomData);
}

impl<E: WireEnum> Rule<Text<'_>> for EnumRule<E> {
    type Value = E;

    fn apply(&self, draft: Text<'_>, at: &Path<'_>, violations: &mut Violations) -> Option<E> {
        let value = E::from_text(&draft);
        if value.is_none() {
            let set = E::VALUES.join(", ");
            violations.value(&draft, at, format_args!("satisfy enum value set: [{set}]"));
        }
        value
    }
}

/// A blob, secret or not. Lengths count bytes.
pub(crate) struct BlobRule {
    pub(crate) length: Bounds,
}

impl Rule<Vec<u8>> for BlobRule {
    type Value = Vec<u8>;

    fn apply(&self, draft: Vec<u8>, at: &Path<'_>, violations: &mut Violations) -> Option<Vec<u8>> {
        self.length.check(draft.len(), "length", &draft, at, violations).then_some(draft)
    }
}

impl Rule<Plaintext> for BlobRule {
    type Value = Plaintext;

    fn apply(&self, draft: Plaintext, at: &Path<'_>, violations: &mut Violations) -> Option<Plaintext> {
        self.length.check(draft.len(), "length", &draft, at, violations).then_some(draft)
    }
}

/// An integer. No integer of the model may be negative.
pub(crate) struct IntegerRule {
    pub(crate) value: Bounds,
}

impl Rule<i32> for IntegerRule {
    type Value = u32;

    fn apply(&self, draft: i32, at: &Path<'_>, violations: &mut Violations) -> Option<u32> {
        // INVARIANT: the generator refuses a model in which the least value is below one, so zero is a violation.
        let found = usize::try_from(draft).unwrap_or_default();
        let fits = self.value.check(found, "value", &draft, at, violations);
        u32::try_from(draft).ok().filter(|_| fits)
    }
}

/// A list, and the rule for its items.
pub(crate) struct ListRule<R> {
    pub(crate) length: Bounds,
    pub(crate) item: R,
}

impl<'de, D: Slot<'de>, R: Rule<D>> Rule<List<D>> for ListRule<R> {
    type Value = Vec<R::Value>;

    fn apply(&self, draft: List<D>, at: &Path<'_>, violations: &mut Violations) -> Option<Vec<R::Value>> {
        // Items past the limit were not kept, so a list without a limit in the model has this one.
        let length = Bounds { max: self.length.max.min(JSON_LIST_ITEMS_MAX), ..self.length };
        let mut whole = length.check(draft.count, "length", &draft, at, violations);
        let mut values = Vec::with_capacity(draft.items.len());
        for (index, item) in draft.items.into_iter().enumerate() {
            let at = Path::Item { list: at, number: index + 1 };
            let value = match item {
                Some(item) => self.item.apply(item, &at, violations),
                None => {
                    violations.null(&at);
                    None
                }
            };
            whole &= value.is_some();
            values.extend(value);
        }
        whole.then_some(values)
    }
}

/// A structure: its members have rules, itself has none.
pub(crate) struct StructureRule;

impl<D: Finish> Rule<D> for StructureRule {
    type Value = D::Shape;

    fn apply(&self, draft: D, at: &Path<'_>, violations: &mut Violations) -> Option<D::Shape> {
        draft.finish(&mut Checker::new(at, violations))
    }
}

/// An encryption context. The model has no limit; AWS's service, and this one, do.
pub(crate) struct ContextRule;

impl Rule<ContextDraft> for ContextRule {
    type Value = EncryptionContext;

    fn apply(
        &self,
        draft: ContextDraft,
        at: &Path<'_>,
        violations: &mut Violations,
    ) -> Option<EncryptionContext> {
        match draft {
            ContextDraft::Whole(context) => Some(context),
            ContextDraft::TooLarge => {
                let max = ENCRYPTION_CONTEXT_BYTES_MAX;
                violations.value(&draft, at, format_args!("have length less than or equal to {max}"));
                None
            }
        }
    }
}

/// A boolean or a time: every value is allowed.
pub(crate) struct FreeRule;

impl Rule<bool> for FreeRule {
    type Value = bool;

    fn apply(&self, draft: bool, _at: &Path<'_>, _violations: &mut Violations) -> Option<bool> {
        Some(draft)
    }
}

impl Rule<Timestamp> for FreeRule {
    type Value = Timestamp;

    fn apply(&self, draft: Timestamp, _at: &Path<'_>, _violations: &mut Violations) -> Option<Timestamp> {
        Some(draft)
    }
}

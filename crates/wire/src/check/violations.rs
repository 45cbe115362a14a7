//! Violations: where, what, and the one answer that names them all.

use std::fmt;

use strongroom_types::limits::{VALIDATION_MESSAGE_BYTES_MAX, VALIDATION_VALUE_CHARACTERS_MAX};

use crate::check::rule::Rule;
use crate::decode::{Member, Slot};
use crate::{ErrorKind, WireError};

/// Checks the members of one structure.
pub(crate) struct Checker<'a> {
    at: &'a Path<'a>,
    violations: &'a mut Violations,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(at: &'a Path<'a>, violations: &'a mut Violations) -> Self {
        Self { at, violations }
    }

    /// `None` only if a violation was recorded.
    pub(crate) fn required<D, R: Rule<D>>(
        &mut self,
        name: &'static str,
        member: Member<D>,
        rule: &R,
    ) -> Option<R::Value> {
        let at = Path::Member { parent: self.at, name };
        match member {
            Member::Present(draft) => rule.apply(draft, &at, self.violations),
            Member::Absent | Member::Null => {
                self.violations.null(&at);
                None
            }
        }
    }

    /// `None` if the member is absent, or if a violation was recorded.
    pub(crate) fn optional<D, R: Rule<D>>(
        &mut self,
        name: &'static str,
        member: Member<D>,
        rule: &R,
    ) -> Option<R::Value> {
        match member {
            Member::Present(draft) => {
                rule.apply(draft, &Path::Member { parent: self.at, name }, self.violations)
            }
            Member::Absent | Member::Null => None,
        }
    }
}

/// Runs the checks of a whole request.
pub(crate) fn check_all<T>(checks: impl FnOnce(&mut Checker<'_>) -> Option<T>) -> Result<T, WireError> {
    let mut violations = Violations::default();
    let checked = checks(&mut Checker::new(&Path::Root, &mut violations));
    match checked {
        Some(value) if violations.count == 0 => Ok(value),
        _ => Err(violations.into_error()),
    }
}

/// Where a value stands in the request, in AWS's spelling: `tags.1.member.tagKey`.
pub(crate) enum Path<'a> {
    Root,
    Member {
        parent: &'a Path<'a>,
        name: &'static str,
    },
    /// Counted from one.
    Item {
        list: &'a Path<'a>,
        number: usize,
    },
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member { parent: Self::Root, name } => f.write_str(name),
            Self::Member { parent, name } => write!(f, "{parent}.{name}"),
            Self::Item { list, number } => write!(f, "{list}.{number}.member"),
        }
    }
}

/// The violations of one request, already worded.
#[derive(Default)]
pub(crate) struct Violations {
    count: usize,
    text: String,
}

impl Violations {
    pub(crate) fn null(&mut self, at: &Path<'_>) {
        self.add(format_args!("Value null at '{at}' failed to satisfy constraint: Member must not be null"));
    }

    /// `constraint` completes the sentence "Member must …".
    pub(crate) fn value<'de>(
        &mut self,
        value: &impl Slot<'de>,
        at: &Path<'_>,
        constraint: fmt::Arguments<'_>,
    ) {
        match value.echo() {
            Some(text) => {
                let shown: String = text.chars().take(VALIDATION_VALUE_CHARACTERS_MAX).collect();
                self.add(format_args!(
                    "Value '{shown}' at '{at}' failed to satisfy constraint: Member must {constraint}"
                ));
            }
            None => {
                self.add(format_args!(
                    "Value at '{at}' failed to satisfy constraint: Member must {constraint}"
                ));
            }
        }
    }

    /// Every violation counts; those that do not fit are not spelled out, since a body of a megabyte can hold hundreds
    /// of thousands.
    fn add(&mut self, violation: fmt::Arguments<'_>) {
        self.count += 1;
        if self.text.len() >= VALIDATION_MESSAGE_BYTES_MAX {
            return;
        }
        let separator = if self.count > 1 { "; " } else { "" };
        let item = format!("{separator}{violation}");
        if self.text.len() + item.len() <= VALIDATION_MESSAGE_BYTES_MAX {
            self.text.push_str(&item);
        }
    }

    fn into_error(self) -> WireError {
        let Self { count, text } = self;
        let errors = if count == 1 { "error" } else { "errors" };
        WireError::new(ErrorKind::Validation, format!("{count} validation {errors} detected: {text}"))
    }
}

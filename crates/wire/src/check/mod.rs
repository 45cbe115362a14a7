//! Constraints of the model: what each rule checks, and how violations are worded.
//!
//! Texts are AWS's, since people and tools read them. All violations of a request come in one answer, in the model's
//! order; for one value length comes before pattern.

mod rule;
mod violations;

pub(crate) use rule::{
    BlobRule, Bounds, ContextRule, EnumRule, FreeRule, IntegerRule, ListRule, Pattern, StructureRule,
    TextRule,
};
pub(crate) use violations::{Checker, check_all};

#[cfg(test)]
mod tests;

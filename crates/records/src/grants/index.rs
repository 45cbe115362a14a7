//! The grants of one principal on one key, so arranged that the one which allows is found at once.
//!
//! A grant is kept for each of its operations under what a request must bring: nothing, a context that is equal, or a context
//! with some pairs. A request is looked up under nothing, under its whole context, and under its pairs of those names
//! that grants ask for (a *shape*; grants that one program makes have one). Fifty thousand grants that differ in a value
//! cost as much as one. What is found is asked all the same: this only leaves out what cannot allow.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use strongroom_policy::{GrantConstraints, GrantFacts, GrantOperation};
use strongroom_types::{EncryptionContext, GrantId};

use crate::tables::grant::GrantRow;
use crate::writes::Loaded;

type Grant = Arc<Loaded<GrantRow>>;

#[derive(Default)]
pub(crate) struct Index {
    grants: HashMap<GrantId, Grant>,
    hasher: RandomState,
    /// By the hash of what a request must bring. Two that share one only cost a look.
    places: HashMap<(GrantOperation, u64), BTreeSet<GrantId>>,
    /// How many grants ask for pairs of these names.
    shapes: BTreeMap<Vec<String>, usize>,
    weight_bytes: usize,
}

/// What a request must bring.
#[derive(Hash)]
enum Context<'a> {
    Any,
    Equals(&'a [u8]),
    Subset(&'a [u8]),
}

impl Index {
    pub(crate) fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.grants.len()
    }

    pub(crate) fn put(&mut self, grant: Grant) {
        self.remove(&grant.grant_id);
        for operation in &grant.terms.operations {
            let place = self.place_of(*operation, &grant.terms.constraints);
            self.places.entry(place).or_default().insert(grant.grant_id);
        }
        if let Some(shape) = shape_of(&grant) {
            *self.shapes.entry(shape).or_default() += 1;
        }
        self.weight_bytes += grant.weight_bytes();
        self.grants.insert(grant.grant_id, grant);
    }

    pub(crate) fn remove(&mut self, id: &GrantId) {
        let Some(grant) = self.grants.remove(id) else { return };
        self.weight_bytes = self.weight_bytes.saturating_sub(grant.weight_bytes());
        for operation in &grant.terms.operations {
            let place = self.place_of(*operation, &grant.terms.constraints);
            if let Some(ids) = self.places.get_mut(&place) {
                ids.remove(id);
                if ids.is_empty() {
                    self.places.remove(&place);
                }
            }
        }
        if let Some(shape) = shape_of(&grant)
            && let Some(count) = self.shapes.get_mut(&shape)
        {
            *count -= 1;
            if *count == 0 {
                self.shapes.remove(&shape);
            }
        }
    }

    /// The first grant for the operation that `allows` and that a request with these facts may fulfil.
    pub(crate) fn find(
        &self,
        operation: GrantOperation,
        facts: &GrantFacts<'_>,
        allows: impl Fn(&GrantRow) -> bool,
    ) -> Option<Grant> {
        let at = |source: Option<&str>, context: &Context<'_>| {
            let ids = self.places.get(&(operation, self.hash(source, context)));
            let mut grants = ids.into_iter().flatten().filter_map(|id| self.grants.get(id));
            grants.find(|grant| allows(grant)).cloned()
        };
        let look = |context: &Context<'_>| {
            let with_source = || facts.source_arn.and_then(|source| at(Some(source), context));
            at(None, context).or_else(with_source)
        };
        if let Some(grant) = look(&Context::Any) {
            return Some(grant);
        }
        let context = facts.context.filter(|_| operation.has_context())?;
        look(&Context::Equals(context.encoded())).or_else(|| {
            let mut pairs = self.shapes.keys().filter_map(|shape| of_shape(context, shape));
            pairs.find_map(|pairs| look(&Context::Subset(pairs.encoded())))
        })
    }

    fn place_of(&self, operation: GrantOperation, constraints: &GrantConstraints) -> (GrantOperation, u64) {
        let context = match (&constraints.context_equals, &constraints.context_subset) {
            _ if !operation.has_context() => Context::Any,
            (Some(equals), _) => Context::Equals(equals.encoded()),
            (None, Some(subset)) => Context::Subset(subset.encoded()),
            (None, None) => Context::Any,
        };
        (operation, self.hash(constraints.source_arn.as_deref(), &context))
    }

    fn hash(&self, source: Option<&str>, context: &Context<'_>) -> u64 {
        self.hasher.hash_one((source, context))
    }
}

/// The names of the pairs that a grant asks for, where it is kept under them.
fn shape_of(grant: &GrantRow) -> Option<Vec<String>> {
    let GrantConstraints { context_equals, context_subset, .. } = &grant.terms.constraints;
    let subset = context_subset.as_ref().filter(|_| context_equals.is_none())?;
    Some(subset.pairs().iter().map(|(name, _)| name.clone()).collect())
}

/// The pairs of the context that have these names, if it has all of them. Both are sorted.
fn of_shape(context: &EncryptionContext, shape: &[String]) -> Option<EncryptionContext> {
    let mut pairs = context.pairs().iter();
    let found = shape.iter().map(|name| pairs.find(|(found, _)| found == name).cloned());
    EncryptionContext::new(found.collect::<Option<_>>()?).ok()
}

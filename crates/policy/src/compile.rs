//! The form of a policy that decides.

use strongroom_types::Partition;

use crate::action::{Action, ActionSet};
use crate::condition::Condition;
use crate::document::{Document, Effect, Kind, Negatable, Statement};
use crate::error::PolicyError;
use crate::glob::{LastText, Pattern};
use crate::principal::{Binding, Named, PolicyIdentity, PolicyPrincipal, Principal, leaves_out};
use crate::value::Facts;

/// A key policy, ready to decide. Cheap to share behind an `Arc`; the text itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPolicy {
    /// INVARIANT: no action in them is [`Action::is_identity_only`]; a key policy has no say in those.
    pub(crate) statements: Box<[CompiledStatement]>,
    walks: usize,
}

/// A policy of a user or a role, a permissions boundary or a session's policy, ready to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityPolicy {
    pub(crate) statements: Box<[CompiledStatement]>,
    walks: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompiledStatement {
    actions: ActionSet,
    conditions: Box<[Condition]>,
    pub(crate) effect: Effect,
    /// `None` in a policy of an identity, whose principal is the one that has it.
    principals: Option<Negatable<PolicyPrincipal>>,
    resources: ResourceMatcher,
    sid: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ResourceMatcher {
    Any,
    /// Patterns of ARNs. A text that is no key ARN, such as a key id or the ARN of an alias, matches no key.
    Patterns(Negatable<Pattern>),
}

impl KeyPolicy {
    /// Reads a policy text of any size and content. See [`crate::check_length`] for the limit that AWS sets.
    ///
    /// Users and roles are taken by their names until they are [bound](Self::bind).
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document = Document::parse(text, Kind::Key)?;
        let mut statements: Box<[_]> = document.statements.into_iter().map(CompiledStatement::from).collect();
        for statement in &mut statements {
            let decided = statement.actions.iter().filter(|action| !action.is_identity_only());
            statement.actions = decided.collect();
        }
        let walks = walks_of(&statements);
        Ok(Self { statements, walks })
    }

    /// How often a decision may have to walk over a text, whatever its length, or over an encryption context: for a pattern
    /// with several stars or a variable, and for each value that the context's pairs are compared with. So whoever has long
    /// texts can tell what a decision may cost.
    pub fn walks(&self) -> usize {
        self.walks
    }

    /// All principals that the policy names, so that the caller can ask of each whether it
    /// [exists](PolicyPrincipal::exists).
    pub fn principals(&self) -> impl Iterator<Item = &PolicyPrincipal> {
        self.statements.iter().flat_map(|statement| match &statement.principals {
            Some(Negatable::Not(listed) | Negatable::Only(listed)) => &**listed,
            None => &[],
        })
    }

    /// Ties the users and roles that the policy names to their unique ids: from then on the policy means those, whoever
    /// has their names later. One whose id is not known is nobody.
    pub fn bind(&mut self, mut id_of: impl FnMut(&PolicyIdentity) -> Option<Box<str>>) {
        let principals = self.statements.iter_mut().flat_map(|statement| match &mut statement.principals {
            Some(Negatable::Not(listed) | Negatable::Only(listed)) => &mut **listed,
            None => &mut [],
        });
        for principal in principals {
            if let PolicyPrincipal::Identity(identity) = principal {
                identity.binding = id_of(identity).map_or(Binding::Nobody, Binding::Id);
            }
        }
    }

    /// The id of a statement that a verdict names, if it has one.
    pub fn sid(&self, statement: usize) -> Option<&str> {
        self.statements.get(statement)?.sid.as_deref()
    }
}

impl IdentityPolicy {
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document = Document::parse(text, Kind::Identity)?;
        let statements: Box<[_]> = document.statements.into_iter().map(CompiledStatement::from).collect();
        let walks = walks_of(&statements);
        Ok(Self { statements, walks })
    }

    /// As [`KeyPolicy::walks`].
    pub fn walks(&self) -> usize {
        self.walks
    }

    pub fn sid(&self, statement: usize) -> Option<&str> {
        self.statements.get(statement)?.sid.as_deref()
    }
}

fn walks_of(statements: &[CompiledStatement]) -> usize {
    let walks = |statement: &CompiledStatement| {
        let of_resources = match &statement.resources {
            ResourceMatcher::Any => 0,
            ResourceMatcher::Patterns(Negatable::Not(patterns) | Negatable::Only(patterns)) => {
                patterns.iter().filter(|pattern| pattern.walks()).count()
            }
        };
        of_resources + statement.conditions.iter().map(Condition::walks).sum::<usize>()
    };
    statements.iter().map(walks).sum()
}

impl From<Statement> for CompiledStatement {
    fn from(statement: Statement) -> Self {
        let Statement { actions, conditions, effect, principals, resources, sid } = statement;
        let resources = match resources {
            Negatable::Only(patterns) if patterns.iter().any(Pattern::is_any) => ResourceMatcher::Any,
            patterns => ResourceMatcher::Patterns(patterns),
        };
        Self { actions, conditions: conditions.into(), effect, principals, resources, sid }
    }
}

impl CompiledStatement {
    pub(crate) fn names(&self, caller: &Principal, key_partition: Partition) -> Option<Named> {
        match &self.principals {
            None => Some(Named::Itself),
            Some(Negatable::Only(listed)) => {
                listed.iter().filter_map(|principal| principal.names(caller, key_partition)).max()
            }
            Some(Negatable::Not(listed)) => {
                let is_out = leaves_out(listed, caller, key_partition, self.effect);
                (!is_out).then_some(Named::Itself)
            }
        }
    }

    pub(crate) fn covers_action(&self, action: Action) -> bool {
        self.actions.contains(action)
    }

    /// Whether it is about this resource and all of its conditions hold.
    pub(crate) fn applies<'f>(&'f self, resource: &str, facts: &'f dyn Facts, last: &LastText<'f>) -> bool {
        self.resources.covers(resource, facts)
            && self.conditions.iter().all(|condition| condition.holds(facts, self.effect, last))
    }
}

impl ResourceMatcher {
    /// A pattern with a variable that has no value matches nothing, and in a `NotResource` it makes the statement void.
    fn covers(&self, resource: &str, facts: &dyn Facts) -> bool {
        let matches = |pattern: &Pattern| pattern.matches(resource.as_bytes(), facts);
        match self {
            Self::Any => true,
            Self::Patterns(Negatable::Only(patterns)) => {
                patterns.iter().any(|pattern| matches(pattern) == Some(true))
            }
            Self::Patterns(Negatable::Not(patterns)) => {
                patterns.iter().all(|pattern| matches(pattern) == Some(false))
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The elements of the policy language.

use std::collections::BTreeSet;

use strongroom_types::limits::POLICY_CHARACTERS_MAX;

use super::json::{self, Content, Member, Value};
use super::place::{Path, Place};
use crate::action::ActionSet;
use crate::condition::Condition;
use crate::error::{PolicyError, Problem, excerpt};
use crate::glob::{Case, Pattern, Syntax, VariableError};
use crate::principal::PolicyPrincipal;

/// Refuses a text that is longer than a key policy may be.
///
/// Not part of [`crate::KeyPolicy::parse`], because AWS answers it with another error, and because a stored policy must
/// stay readable when the limit changes.
pub fn check_length(text: &str) -> Result<(), PolicyError> {
    let characters = text.chars().count();
    if characters > POLICY_CHARACTERS_MAX { Err(PolicyError::TooLong { characters }) } else { Ok(()) }
}

/// A policy, read and checked.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) statements: Vec<Statement>,
}

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A user's or a role's: it says nothing of principals, and everything else must be said.
    Identity,
    /// A key's. Without an action or a resource a statement matches nothing.
    Key,
}

/// A statement. What is missing or empty leaves a list empty, so that the statement matches nothing.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) actions: ActionSet,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) effect: Effect,
    /// `None` in the policy of an identity.
    pub(crate) principals: Option<Negatable<PolicyPrincipal>>,
    pub(crate) resources: Negatable<Pattern>,
    pub(crate) sid: Option<Box<str>>,
}

/// What an element lists, or all but that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Negatable<T> {
    Not(Box<[T]>),
    Only(Box<[T]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

impl Document {
    pub(crate) fn parse(text: &str, kind: Kind) -> Result<Self, PolicyError> {
        let root = json::parse(text)?;
        let reader = Reader { kind, text, has_variables: false };
        let has_variables = reader.is_current_version(&root)?;
        Reader { has_variables, ..reader }.document(&root)
    }
}

pub(super) struct Reader<'t> {
    has_variables: bool,
    kind: Kind,
    text: &'t str,
}

/// The elements of a statement, as they come.
#[derive(Default)]
struct Elements {
    actions: Option<Negated<ActionSet>>,
    conditions: Vec<Condition>,
    effect: Option<Effect>,
    principals: Option<Negated<Vec<PolicyPrincipal>>>,
    resources: Option<Negated<Vec<Pattern>>>,
    sid: Option<Box<str>>,
}

/// An element, and whether it was its negation that was there.
struct Negated<T> {
    content: T,
    is_negated: bool,
}

impl Reader<'_> {
    /// The versions differ only in policy variables, which the older one does not have. An absent version is the older
    /// one, and it may stand after what it is about.
    fn is_current_version(&self, value: &Value<'_>) -> Result<bool, PolicyError> {
        let members = self.object(value, &Path::Root)?;
        let Some(Member { value, .. }) = members.iter().find(|member| member.name == "Version") else {
            return Ok(false);
        };
        let path = Path::Root.member("Version");
        match self.string(value, &path)? {
            "2012-10-17" => Ok(true),
            "2008-10-17" => Ok(false),
            found => Err(self.invalid(value.byte, &path, "a version of the policy language", found)),
        }
    }

    fn document(&self, value: &Value<'_>) -> Result<Document, PolicyError> {
        let mut statements = None;
        for Member { byte, name, value: element } in self.object(value, &Path::Root)? {
            let path = Path::Root.member(name);
            match name.as_ref() {
                "Id" => _ = self.string(element, &path)?,
                "Statement" => statements = Some(self.statements(element, &path)?),
                "Version" => {}
                _ => return Err(self.unknown(*byte, name, &Path::Root)),
            }
        }
        let statements = statements.ok_or_else(|| self.missing("Statement", value, &Path::Root))?;
        Ok(Document { statements })
    }

    fn statements(&self, value: &Value<'_>, path: &Path<'_>) -> Result<Vec<Statement>, PolicyError> {
        let Content::Array(values) = &value.content else { return Ok(vec![self.statement(value, path)?]) };
        if values.is_empty() {
            return Err(self.malformed(value.byte, path, Problem::NoStatement));
        }
        let mut sids = BTreeSet::new();
        let mut statements = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let path = path.index(index);
            let statement = self.statement(value, &path)?;
            if let Some(sid) = &statement.sid
                && !sids.insert(sid.clone())
            {
                return Err(self.malformed(value.byte, &path, Problem::DuplicateSid(excerpt(sid))));
            }
            statements.push(statement);
        }
        Ok(statements)
    }

    fn statement(&self, value: &Value<'_>, path: &Path<'_>) -> Result<Statement, PolicyError> {
        let mut elements = Elements::default();
        for member in self.object(value, path)? {
            self.element(member, path, &mut elements)?;
        }
        let missing = |element| self.missing(element, value, path);
        let Elements { actions, conditions, effect, principals, resources, sid } = elements;
        let effect = effect.ok_or_else(|| missing("Effect"))?;
        let principals = principals.map(Negatable::from);
        if self.kind == Kind::Key && principals.is_none() {
            return Err(missing("Principal"));
        }
        if self.kind == Kind::Identity && actions.is_none() {
            return Err(missing("Action"));
        }
        if self.kind == Kind::Identity && resources.is_none() {
            return Err(missing("Resource"));
        }
        Ok(Statement {
            actions: match actions {
                None => ActionSet::EMPTY,
                Some(Negated { content, is_negated: false }) => content,
                Some(Negated { content, is_negated: true }) => content.complement(),
            },
            conditions,
            effect,
            principals,
            resources: resources.map_or(Negatable::Only(Box::default()), Negatable::from),
            sid,
        })
    }

    fn element(
        &self,
        member: &Member<'_>,
        parent: &Path<'_>,
        elements: &mut Elements,
    ) -> Result<(), PolicyError> {
        let Member { byte, name, value } = member;
        let path = parent.member(name);
        let here = |names, is_taken: bool| {
            let (first, second) = names;
            let problem = Problem::BothElements(first, second);
            if is_taken { Err(self.malformed(*byte, parent, problem)) } else { Ok(()) }
        };
        match name.as_ref() {
            "Action" | "NotAction" => {
                here(("Action", "NotAction"), elements.actions.is_some())?;
                let is_negated = name == "NotAction";
                elements.actions = Some(Negated { content: self.actions(value, &path)?, is_negated });
            }
            "Condition" => elements.conditions = self.conditions(value, &path)?,
            "Effect" => elements.effect = Some(self.effect(value, &path)?),
            "Principal" | "NotPrincipal" if self.kind == Kind::Identity => {
                let problem =
                    Problem::NotHere(if name == "Principal" { "Principal" } else { "NotPrincipal" });
                return Err(self.malformed(*byte, parent, problem));
            }
            "Principal" | "NotPrincipal" => {
                here(("Principal", "NotPrincipal"), elements.principals.is_some())?;
                let is_negated = name == "NotPrincipal";
                elements.principals = Some(Negated { content: self.principals(value, &path)?, is_negated });
            }
            "Resource" | "NotResource" => {
                here(("Resource", "NotResource"), elements.resources.is_some())?;
                let is_negated = name == "NotResource";
                elements.resources = Some(Negated { content: self.resources(value, &path)?, is_negated });
            }
            // Terraform writes an empty id into every statement that has none.
            "Sid" => {
                let sid = self.string(value, &path)?;
                elements.sid = Some(sid).filter(|sid| !sid.is_empty()).map(Box::from);
            }
            _ => return Err(self.unknown(*byte, name, parent)),
        }
        Ok(())
    }

    fn effect(&self, value: &Value<'_>, path: &Path<'_>) -> Result<Effect, PolicyError> {
        match self.string(value, path)? {
            "Allow" => Ok(Effect::Allow),
            "Deny" => Ok(Effect::Deny),
            found => Err(self.invalid(value.byte, path, "an effect: `Allow` or `Deny`", found)),
        }
    }

    fn actions(&self, value: &Value<'_>, path: &Path<'_>) -> Result<ActionSet, PolicyError> {
        let mut actions = ActionSet::EMPTY;
        self.each_string(value, path, |byte, path, pattern| {
            let matching = ActionSet::matching(pattern)
                .ok_or_else(|| self.invalid(byte, path, "an action such as kms:Encrypt", pattern))?;
            actions = actions.union(matching);
            Ok(())
        })?;
        Ok(actions)
    }

    fn resources(&self, value: &Value<'_>, path: &Path<'_>) -> Result<Vec<Pattern>, PolicyError> {
        let mut resources = Vec::new();
        self.each_string(value, path, |byte, path, text| {
            let pattern = Pattern::parse(text, Case::Exact, self.syntax(true));
            resources.push(pattern.map_err(|error| self.variable(byte, path, text, error))?);
            Ok(())
        })?;
        Ok(resources)
    }

    /// What is more than literal text in a pattern of this policy.
    pub(super) fn syntax(&self, wildcards: bool) -> Syntax {
        Syntax { variables: self.has_variables, wildcards }
    }

    fn principals(&self, value: &Value<'_>, path: &Path<'_>) -> Result<Vec<PolicyPrincipal>, PolicyError> {
        let members = match &value.content {
            Content::Object(members) => members,
            Content::String(text) if text == "*" => return Ok(vec![PolicyPrincipal::Anyone]),
            Content::String(text) => return Err(self.invalid_principal(value.byte, path, text)),
            other => return Err(self.wrong_type(value.byte, path, "`*` or an object", other)),
        };
        let mut principals = Vec::new();
        for Member { byte, name, value } in members {
            let parent = path;
            let path = parent.member(name);
            let parse = match name.as_ref() {
                "AWS" => PolicyPrincipal::parse_aws,
                "CanonicalUser" => PolicyPrincipal::parse_canonical_user,
                "Federated" => PolicyPrincipal::parse_federated,
                "Service" => PolicyPrincipal::parse_service,
                _ => return Err(self.unknown(*byte, name, parent)),
            };
            self.each_string(value, &path, |byte, path, text| {
                principals.push(parse(text).ok_or_else(|| self.invalid_principal(byte, path, text))?);
                Ok(())
            })?;
        }
        Ok(principals)
    }

    /// Calls `read` with place and text of a string, or of each string of an array.
    fn each_string(
        &self,
        value: &Value<'_>,
        path: &Path<'_>,
        mut read: impl FnMut(usize, &Path<'_>, &str) -> Result<(), PolicyError>,
    ) -> Result<(), PolicyError> {
        let values = match &value.content {
            Content::Array(values) => values,
            Content::String(text) => return read(value.byte, path, text),
            other => return Err(self.wrong_type(value.byte, path, "a string or an array of strings", other)),
        };
        for (index, value) in values.iter().enumerate() {
            let path = path.index(index);
            read(value.byte, &path, self.string(value, &path)?)?;
        }
        Ok(())
    }

    pub(super) fn object<'v, 't>(
        &self,
        value: &'v Value<'t>,
        path: &Path<'_>,
    ) -> Result<&'v [Member<'t>], PolicyError> {
        match &value.content {
            Content::Object(members) => Ok(members),
            other => Err(self.wrong_type(value.byte, path, "an object", other)),
        }
    }

    fn string<'v>(&self, value: &'v Value<'_>, path: &Path<'_>) -> Result<&'v str, PolicyError> {
        match &value.content {
            Content::String(text) => Ok(text),
            other => Err(self.wrong_type(value.byte, path, "a string", other)),
        }
    }

    pub(super) fn invalid(
        &self,
        byte: usize,
        path: &Path<'_>,
        expected: &'static str,
        found: &str,
    ) -> PolicyError {
        self.malformed(byte, path, Problem::InvalidValue { expected, found: excerpt(found) })
    }

    fn invalid_principal(&self, byte: usize, path: &Path<'_>, principal: &str) -> PolicyError {
        PolicyError::InvalidPrincipal { principal: excerpt(principal), at: Place::new(self.text, byte, path) }
    }

    fn missing(&self, element: &'static str, value: &Value<'_>, path: &Path<'_>) -> PolicyError {
        self.malformed(value.byte, path, Problem::MissingElement(element))
    }

    pub(super) fn unknown(&self, byte: usize, name: &str, parent: &Path<'_>) -> PolicyError {
        self.malformed(byte, parent, Problem::UnknownElement(excerpt(name)))
    }

    pub(super) fn wrong_type(
        &self,
        byte: usize,
        path: &Path<'_>,
        expected: &'static str,
        found: &Content<'_>,
    ) -> PolicyError {
        self.malformed(byte, path, Problem::WrongType { expected, found: found.kind() })
    }

    pub(super) fn malformed(&self, byte: usize, path: &Path<'_>, problem: Problem) -> PolicyError {
        PolicyError::Malformed { problem, at: Place::new(self.text, byte, path) }
    }

    pub(super) fn variable(
        &self,
        byte: usize,
        path: &Path<'_>,
        text: &str,
        error: VariableError,
    ) -> PolicyError {
        self.malformed(
            byte,
            path,
            match error {
                VariableError::Malformed => Problem::Variable(excerpt(text)),
                VariableError::TooMany => Problem::TooManyVariables,
            },
        )
    }
}

impl<T> From<Negated<Vec<T>>> for Negatable<T> {
    fn from(element: Negated<Vec<T>>) -> Self {
        if element.is_negated {
            Self::Not(element.content.into())
        } else {
            Self::Only(element.content.into())
        }
    }
}

#[cfg(test)]
mod tests;

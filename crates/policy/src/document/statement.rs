//! The elements of the policy language.

use std::collections::BTreeSet;

use strongroom_types::limits::POLICY_CHARACTERS_MAX;

use super::json::{self, Content, Member, Value};
use super::place::{Path, Place};
use crate::action::ActionSet;
use crate::error::{PolicyError, Problem, excerpt};
use crate::glob::{Case, Glob};
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

/// A statement. What is missing or empty leaves a list empty, so that the statement matches nothing.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) actions: ActionSet,
    pub(crate) effect: Effect,
    pub(crate) principals: Vec<PolicyPrincipal>,
    pub(crate) resources: Vec<Glob>,
    pub(crate) sid: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

impl Document {
    pub(crate) fn parse(text: &str) -> Result<Self, PolicyError> {
        Reader { text }.document(&json::parse(text)?)
    }
}

struct Reader<'t> {
    text: &'t str,
}

impl Reader<'_> {
    fn document(&self, value: &Value<'_>) -> Result<Document, PolicyError> {
        let mut statements = None;
        for Member { byte, name, value: element } in self.object(value, &Path::Root)? {
            let path = Path::Root.member(name);
            match name.as_ref() {
                "Id" => _ = self.string(element, &path)?,
                "Statement" => statements = Some(self.statements(element, &path)?),
                "Version" => self.version(element, &path)?,
                _ => return Err(self.unknown(*byte, name, &Path::Root)),
            }
        }
        let statements = statements.ok_or_else(|| self.missing("Statement", value, &Path::Root))?;
        Ok(Document { statements })
    }

    /// The versions differ only in policy variables, which are refused in both. An absent version is the older one.
    fn version(&self, value: &Value<'_>, path: &Path<'_>) -> Result<(), PolicyError> {
        match self.string(value, path)? {
            "2012-10-17" | "2008-10-17" => Ok(()),
            found => Err(self.invalid(value.byte, path, "a version of the policy language", found)),
        }
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
        let mut effect = None;
        let mut principals = None;
        let mut actions = ActionSet::EMPTY;
        let mut resources = Vec::new();
        let mut sid = None;
        for Member { byte, name, value: element } in self.object(value, path)? {
            let parent = path;
            let path = parent.member(name);
            match name.as_ref() {
                "Action" => actions = self.actions(element, &path)?,
                "Condition" => return Err(self.not_supported(*byte, &path, "Condition")),
                "Effect" => effect = Some(self.effect(element, &path)?),
                "NotAction" => return Err(self.not_supported(*byte, &path, "NotAction")),
                "NotPrincipal" => return Err(self.not_supported(*byte, &path, "NotPrincipal")),
                "NotResource" => return Err(self.not_supported(*byte, &path, "NotResource")),
                "Principal" => principals = Some(self.principals(element, &path)?),
                "Resource" => resources = self.resources(element, &path)?,
                // Terraform writes an empty id into every statement that has none.
                "Sid" => {
                    sid = Some(self.string(element, &path)?).filter(|sid| !sid.is_empty()).map(Box::from)
                }
                _ => return Err(self.unknown(*byte, name, parent)),
            }
        }
        let effect = effect.ok_or_else(|| self.missing("Effect", value, path))?;
        let principals = principals.ok_or_else(|| self.missing("Principal", value, path))?;
        Ok(Statement { actions, effect, principals, resources, sid })
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

    fn resources(&self, value: &Value<'_>, path: &Path<'_>) -> Result<Vec<Glob>, PolicyError> {
        let mut resources = Vec::new();
        self.each_string(value, path, |byte, path, pattern| {
            if pattern.contains("${") {
                return Err(self.not_supported(byte, path, "a policy variable"));
            }
            resources.push(Glob::new(pattern, Case::Exact));
            Ok(())
        })?;
        Ok(resources)
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
                "CanonicalUser" => return Err(self.not_supported(*byte, &path, "CanonicalUser")),
                "Federated" => return Err(self.not_supported(*byte, &path, "Federated")),
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

    fn object<'v, 't>(&self, value: &'v Value<'t>, path: &Path<'_>) -> Result<&'v [Member<'t>], PolicyError> {
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

    fn invalid(&self, byte: usize, path: &Path<'_>, expected: &'static str, found: &str) -> PolicyError {
        self.malformed(byte, path, Problem::InvalidValue { expected, found: excerpt(found) })
    }

    fn invalid_principal(&self, byte: usize, path: &Path<'_>, principal: &str) -> PolicyError {
        PolicyError::InvalidPrincipal { principal: excerpt(principal), at: Place::new(self.text, byte, path) }
    }

    fn missing(&self, element: &'static str, value: &Value<'_>, path: &Path<'_>) -> PolicyError {
        self.malformed(value.byte, path, Problem::MissingElement(element))
    }

    fn unknown(&self, byte: usize, name: &str, parent: &Path<'_>) -> PolicyError {
        self.malformed(byte, parent, Problem::UnknownElement(excerpt(name)))
    }

    fn wrong_type(
        &self,
        byte: usize,
        path: &Path<'_>,
        expected: &'static str,
        found: &Content<'_>,
    ) -> PolicyError {
        self.malformed(byte, path, Problem::WrongType { expected, found: found.kind() })
    }

    fn malformed(&self, byte: usize, path: &Path<'_>, problem: Problem) -> PolicyError {
        PolicyError::Malformed { problem, at: Place::new(self.text, byte, path) }
    }

    fn not_supported(&self, byte: usize, path: &Path<'_>, element: &'static str) -> PolicyError {
        PolicyError::NotSupported { element, at: Place::new(self.text, byte, path) }
    }
}

#[cfg(test)]
mod tests;

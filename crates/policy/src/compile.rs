//! The form of a policy that decides.

use std::fmt::{self, Write as _};

use strongroom_types::limits::REGION_NAME_BYTES_MAX;
use strongroom_types::{KeyArn, Partition};

use crate::action::{Action, ActionSet};
use crate::document::{Document, Effect, Statement};
use crate::error::PolicyError;
use crate::glob::Glob;
use crate::principal::PolicyPrincipal;

/// A key policy, ready to decide. Cheap to share behind an `Arc`; the text itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPolicy {
    pub(crate) statements: Box<[CompiledStatement]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompiledStatement {
    /// INVARIANT: no action in it is [`Action::is_identity_only`]; a key policy has no say in those.
    pub(crate) actions: ActionSet,
    pub(crate) effect: Effect,
    pub(crate) principals: Box<[PolicyPrincipal]>,
    pub(crate) resources: ResourceMatcher,
    sid: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResourceMatcher {
    Any,
    /// ARN patterns. A text that is no key ARN, such as a key id or the ARN of an alias, matches no key.
    Patterns(Box<[Glob]>),
}

impl KeyPolicy {
    /// Reads a policy text of any size and content. See [`crate::check_length`] for the limit that AWS sets.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document = Document::parse(text)?;
        Ok(Self { statements: document.statements.into_iter().map(CompiledStatement::from).collect() })
    }

    /// All principals that the policy names, so that the caller can ask of each whether it
    /// [exists](PolicyPrincipal::exists).
    pub fn principals(&self) -> impl Iterator<Item = &PolicyPrincipal> {
        self.statements.iter().flat_map(|statement| &*statement.principals)
    }

    /// The id of a statement that a verdict names, if it has one.
    pub fn sid(&self, statement: usize) -> Option<&str> {
        self.statements.get(statement)?.sid.as_deref()
    }
}

impl From<Statement> for CompiledStatement {
    fn from(statement: Statement) -> Self {
        let Statement { actions, effect, principals, resources, sid } = statement;
        let resources = if resources.iter().any(Glob::is_any) {
            ResourceMatcher::Any
        } else {
            ResourceMatcher::Patterns(resources.into())
        };
        let actions = actions.iter().filter(|action| !action.is_identity_only()).collect();
        Self { actions, effect, principals: principals.into(), resources, sid }
    }
}

impl CompiledStatement {
    pub(crate) fn names(&self, caller: &crate::Principal, key_partition: Partition) -> bool {
        self.principals.iter().any(|principal| principal.matches(caller, key_partition))
    }

    pub(crate) fn covers_action(&self, action: Action) -> bool {
        self.actions.contains(action)
    }
}

impl ResourceMatcher {
    /// `arn` keeps the ARN's text from one statement to the next: it is written once, and only if a pattern needs it.
    pub(crate) fn covers(&self, key: &KeyArn, arn: &mut Option<ArnText>) -> bool {
        match self {
            Self::Any => true,
            Self::Patterns(patterns) => {
                let arn = arn.get_or_insert_with(|| ArnText::new(key));
                patterns.iter().any(|pattern| pattern.matches(arn.as_bytes()))
            }
        }
    }
}

/// The longest text of a key ARN.
const KEY_ARN_BYTES_MAX: usize =
    "arn:aws-us-gov:kms:".len() + REGION_NAME_BYTES_MAX + ":111122223333:key/".len() + 36;

/// A key ARN's text without an allocation.
pub(crate) struct ArnText {
    bytes: [u8; KEY_ARN_BYTES_MAX],
    length: usize,
}

impl ArnText {
    pub(crate) fn new(arn: &KeyArn) -> Self {
        let mut text = Self { bytes: [0; KEY_ARN_BYTES_MAX], length: 0 };
        // INVARIANT: the buffer holds the longest ARN, so writing never fails.
        let written = write!(text, "{arn}");
        debug_assert!(written.is_ok());
        text
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl fmt::Write for ArnText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::{AccountId, KeyId, RegionName};

    use super::*;

    fn arn(region: &str, key_id: &str) -> KeyArn {
        KeyArn {
            region: RegionName::parse(region).unwrap(),
            account: AccountId::parse("111122223333").unwrap(),
            key_id: KeyId::parse(key_id).unwrap(),
        }
    }

    fn covers(resource: &str, key: &KeyArn) -> bool {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":{resource}}}}}"#
        );
        KeyPolicy::parse(&text).unwrap().statements[0].resources.covers(key, &mut None)
    }

    const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn other_resources_have_no_effect() {
        let key = arn("us-east-1", KEY_ID);
        for resource in [
            "[]",
            r#""""#,
            r#""?""#,
            r#""1234abcd-12ab-34cd-56ef-1234567890ab""#,
            r#""alias/app""#,
            r#""arn:aws:kms:us-east-1:111122223333:alias/*""#,
            r#""arn:aws:kms:us-east-1:111122223333:key/mrk-*""#,
            r#""arn:aws:kms:us-west-2:111122223333:key/*""#,
            r#""arn:aws:kms:us-east-1:444455556666:key/*""#,
            r#""arn:aws-cn:kms:us-east-1:111122223333:key/*""#,
            r#""ARN:aws:kms:us-east-1:111122223333:key/*""#,
            r#""arn:aws:kms:us-east-1:111122223333:key/1234ABCD-12ab-34cd-56ef-1234567890ab""#,
            r#""arn:aws:s3:::*""#,
        ] {
            assert!(!covers(resource, &key), "{resource}");
        }
    }

    #[test]
    fn the_star_and_patterns_of_this_key_have_effect() {
        let key = arn("us-east-1", KEY_ID);
        for resource in [
            r#""*""#,
            r#"["arn:aws:s3:::x","*"]"#,
            r#""arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab""#,
            r#""arn:aws:kms:us-east-1:111122223333:key/*""#,
            r#""arn:aws:kms:us-east-?:*:key/1234abcd-*""#,
            r#""arn:*:kms:*:111122223333:*""#,
        ] {
            assert!(covers(resource, &key), "{resource}");
        }
    }

    #[test]
    fn the_longest_arn_fits() {
        let region = format!("us-gov-{}", "a".repeat(REGION_NAME_BYTES_MAX - 7));
        for key in [arn(&region, KEY_ID), arn("us", "mrk-1234abcd12ab34cd56ef1234567890ab")] {
            assert_eq!(ArnText::new(&key).as_bytes(), key.to_string().as_bytes());
        }
        assert_eq!(ArnText::new(&arn(&region, KEY_ID)).length, KEY_ARN_BYTES_MAX);
    }

    #[test]
    fn statements_never_hold_actions_that_no_key_policy_decides() {
        let text = crate::default_key_policy(Partition::Aws, AccountId::parse("111122223333").unwrap());
        let policy = KeyPolicy::parse(&text).unwrap();
        let actions = policy.statements[0].actions;
        assert!(!actions.iter().any(Action::is_identity_only));
        assert_eq!(actions.iter().count(), 58 - 11);
    }

    #[test]
    fn statements_are_named_by_their_ids() {
        let text = r#"{"Statement":[{"Effect":"Allow","Principal":"*"},{"Sid":"b","Effect":"Deny","Principal":{"AWS":"111122223333"}}]}"#;
        let policy = KeyPolicy::parse(text).unwrap();
        assert_eq!((policy.sid(0), policy.sid(1), policy.sid(2)), (None, Some("b"), None));
        assert_eq!(policy.principals().count(), 2);
    }
}

//! Conditions: an operator, a condition key and the values of a policy.
//!
//! Source: IAM user guide, "IAM JSON policy elements: Condition operators", "Conditions with multiple context keys or
//! values", "Set operators for multi-valued context keys". Where AWS leaves open what happens, the answer here is the one
//! that allows less:
//!
//! - A key that has several values is asked by an operator for one: an Allow needs all of them to pass, a Deny any.
//! - A policy variable without a value matches nothing, and a negated operator with one does not hold.

use strongroom_types::Timestamp;

use crate::document::Effect;
use crate::glob::{ArnPattern, LastText, Pattern};
use crate::key::{ConditionKey, ContextKey, Known};
use crate::scalar::{Network, decimal, instant, whole_number};
use crate::value::{Facts, Value, ValueText};

/// One condition, ready to be asked. All conditions of a statement must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) key: ConditionKey,
    pub(crate) quantifier: Quantifier,
    pub(crate) if_exists: bool,
    pub(crate) test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantifier {
    AllValues,
    AnyValue,
    OneValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    /// The values that the key is compared with: one of them is enough, or with `negated`, too much.
    Compare { operand: Operand, negated: bool },
    /// Null: whether the key may be absent, whether it may be there.
    Null { absent: bool, present: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    Arn(Box<[ArnPattern]>),
    /// Base64.
    Binary(Box<[Box<str>]>),
    Bool(Box<[bool]>),
    /// Milliseconds since 1970.
    Date(Order, Box<[i64]>),
    Ip(Box<[Network]>),
    /// Billionths.
    Number(Order, Box<[i128]>),
    Text(Box<[Pattern]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Order {
    fn holds<T: Ord>(self, value: &T, bound: &T) -> bool {
        match self {
            Self::Equal => value == bound,
            Self::Greater => value > bound,
            Self::GreaterOrEqual => value >= bound,
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
        }
    }
}

/// How many values passed.
#[derive(Default)]
struct Tally {
    failed: usize,
    passed: usize,
    /// The last value was an empty text.
    empty: bool,
}

impl Condition {
    /// How often it may have to walk over what it asks about.
    pub(crate) fn walks(&self) -> usize {
        let operand = match &self.test {
            Test::Compare { operand, .. } => Some(operand),
            Test::Null { .. } => None,
        };
        let is_of_context = matches!(
            self.key,
            ConditionKey::EncryptionContext(_) | ConditionKey::Known(Known::EncryptionContextKeys)
        );
        if is_of_context {
            // There may be as many pairs as fit a request: each is looked at, and each of them by each value.
            return 1 + operand.map_or(0, Operand::len);
        }
        match operand {
            Some(Operand::Arn(patterns)) => patterns.iter().filter(|pattern| pattern.walks()).count(),
            Some(Operand::Text(patterns)) => patterns.iter().filter(|pattern| pattern.walks()).count(),
            Some(_) | None => 0,
        }
    }

    /// Whether it holds, in a statement of this effect.
    pub(crate) fn holds<'f>(&'f self, facts: &'f dyn Facts, effect: Effect, last: &LastText<'f>) -> bool {
        let (operand, negated) = match &self.test {
            Test::Compare { operand, negated } => (operand, *negated),
            Test::Null { absent, present } => {
                let mut is_present = false;
                each_value(&self.key, facts, &mut |_| is_present = true);
                return if is_present { *present } else { *absent };
            }
        };
        let mut tally = Tally::default();
        each_value(&self.key, facts, &mut |value| {
            if operand.passes(value, negated, facts, last) {
                tally.passed += 1;
            } else {
                tally.failed += 1;
            }
            tally.empty = value == Value::Text("");
        });
        let Tally { failed, passed, empty } = tally;
        let count = failed + passed;
        // "A null data set, such as an empty string" counts as no values for the operators on sets.
        let is_null = count == 0 || (count == 1 && empty);
        match self.quantifier {
            Quantifier::AllValues => is_null || failed == 0,
            Quantifier::AnyValue if count == 0 => self.if_exists,
            Quantifier::AnyValue => !is_null && passed > 0,
            Quantifier::OneValue if count == 0 => self.if_exists || negated,
            Quantifier::OneValue => match effect {
                Effect::Allow => failed == 0,
                Effect::Deny => passed > 0,
            },
        }
    }
}

impl Operand {
    fn len(&self) -> usize {
        match self {
            Self::Arn(values) => values.len(),
            Self::Binary(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Date(_, values) => values.len(),
            Self::Ip(values) => values.len(),
            Self::Number(_, values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    fn passes<'f>(&self, value: Value<'f>, negated: bool, facts: &dyn Facts, last: &LastText<'f>) -> bool {
        match self.matches(value, facts, last) {
            Matched::No => negated,
            Matched::Unresolved => false,
            Matched::Yes => !negated,
        }
    }

    fn matches<'f>(&self, value: Value<'f>, facts: &dyn Facts, last: &LastText<'f>) -> Matched {
        match self {
            Self::Arn(patterns) => match value {
                Value::Text(text) => Matched::any(patterns, |pattern| pattern.matches(text, facts)),
                Value::Account(_) | Value::Bool(_) | Value::Integer(_) | Value::Ip(_) | Value::Time(_) => {
                    Matched::No
                }
            },
            Self::Text(patterns) => match value {
                Value::Text(text) => {
                    Matched::any(patterns, |pattern| pattern.matches_text(text, facts, last))
                }
                Value::Account(_) | Value::Bool(_) | Value::Integer(_) | Value::Ip(_) | Value::Time(_) => {
                    let text = ValueText::new(value);
                    Matched::any(patterns, |pattern| pattern.matches(text.as_bytes(), facts))
                }
            },
            Self::Binary(values) => match value {
                Value::Text(text) => values.iter().any(|wanted| **wanted == *text).into(),
                Value::Account(_) | Value::Bool(_) | Value::Integer(_) | Value::Ip(_) | Value::Time(_) => {
                    Matched::No
                }
            },
            Self::Bool(values) => boolean(value).is_some_and(|value| values.contains(&value)).into(),
            Self::Date(order, values) => {
                let holds = |value| values.iter().any(|bound| order.holds(&value, bound));
                date(value).is_some_and(holds).into()
            }
            Self::Ip(networks) => {
                let holds = |address| networks.iter().any(|network| network.contains(address));
                match value {
                    Value::Ip(address) => holds(address).into(),
                    Value::Text(text) => text.parse().is_ok_and(holds).into(),
                    Value::Account(_) | Value::Bool(_) | Value::Integer(_) | Value::Time(_) => Matched::No,
                }
            }
            Self::Number(order, values) => {
                let holds = |value| values.iter().any(|bound| order.holds(&value, bound));
                number(value).is_some_and(holds).into()
            }
        }
    }
}

enum Matched {
    No,
    /// It would depend on a policy variable that has no value.
    Unresolved,
    Yes,
}

impl Matched {
    fn any<T>(patterns: &[T], matches: impl Fn(&T) -> Option<bool>) -> Self {
        let mut matched = Self::No;
        for pattern in patterns {
            match matches(pattern) {
                Some(true) => return Self::Yes,
                Some(false) => {}
                None => matched = Self::Unresolved,
            }
        }
        matched
    }
}

impl From<bool> for Matched {
    fn from(matched: bool) -> Self {
        if matched { Self::Yes } else { Self::No }
    }
}

fn boolean(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(value),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        Value::Account(_) | Value::Integer(_) | Value::Ip(_) | Value::Text(_) | Value::Time(_) => None,
    }
}

fn date(value: Value<'_>) -> Option<i64> {
    let millis = |time: Timestamp| i64::try_from(time.as_millis()).ok();
    match value {
        // An account is read as its text would be: as so many seconds.
        Value::Account(account) => millis(Timestamp::from_secs(account.as_u64())),
        Value::Integer(secs) => millis(Timestamp::from_secs(secs)),
        Value::Text(text) => instant(text),
        Value::Time(time) => millis(time),
        Value::Bool(_) | Value::Ip(_) => None,
    }
}

fn number(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Integer(value) => Some(whole_number(value)),
        Value::Text(text) => decimal(text),
        Value::Account(account) => Some(whole_number(account.as_u64())),
        Value::Bool(_) | Value::Ip(_) | Value::Time(_) => None,
    }
}

/// Calls `each` with every value that there is of a key.
fn each_value<'a>(key: &'a ConditionKey, facts: &'a dyn Facts, each: &mut dyn FnMut(Value<'a>)) {
    if let ConditionKey::EncryptionContext(ContextKey(pattern)) = key {
        for (name, value) in facts.encryption_context().map(|context| context.pairs()).unwrap_or_default() {
            if pattern.matches(name.as_bytes(), facts) == Some(true) {
                each(Value::Text(value));
            }
        }
        return;
    }
    let found = facts.find(key);
    let mut index = 0;
    while let Some(value) = found.get(index) {
        each(value);
        index += 1;
    }
}

/// The value of a key that has exactly one.
pub(crate) fn only_value<'a>(key: &'a ConditionKey, facts: &'a dyn Facts) -> Option<Value<'a>> {
    let ConditionKey::EncryptionContext(_) = key else { return facts.find(key).only() };
    let (mut only, mut count) = (None, 0);
    each_value(key, facts, &mut |value| {
        only = Some(value);
        count += 1;
    });
    only.filter(|_| count == 1)
}

#[cfg(test)]
mod tests {
    use strongroom_types::EncryptionContext;

    use super::*;
    use crate::glob::Syntax;
    use crate::value::{Found, NoFacts};

    struct Context(EncryptionContext);

    impl Facts for Context {
        fn find<'a>(&'a self, _: &'a ConditionKey) -> Found<'a> {
            Found::Absent
        }

        fn encryption_context(&self) -> Option<&EncryptionContext> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_pair_of_a_context_is_a_value_where_it_is_the_only_one_of_its_name() {
        let key =
            ConditionKey::parse("kms:EncryptionContext:dept", Syntax { variables: false, wildcards: false });
        let key = key.unwrap();
        let value_in = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let context = Context(EncryptionContext::new(pairs.collect()).unwrap());
            only_value(&key, &context).map(|value| matches!(value, Value::Text("x")))
        };
        assert_eq!(value_in(&[("other", "x")]), None);
        assert_eq!(value_in(&[("Dept", "x"), ("dept", "x")]), None);
        assert_eq!(value_in(&[("Dept", "x"), ("other", "y")]), Some(true));
        assert!(NoFacts.encryption_context().is_none() && only_value(&key, &NoFacts).is_none());
    }

    #[test]
    fn a_star_in_the_name_of_a_variable_is_a_star() {
        let pairs = [("dept".to_owned(), "x".to_owned())];
        let context = Context(EncryptionContext::new(pairs.into_iter().collect()).unwrap());
        let syntax = Syntax { variables: true, wildcards: true };
        let matches = |text: &str| {
            Pattern::parse(text, crate::glob::Case::Exact, syntax).unwrap().matches(b"x", &context)
        };
        assert_eq!(matches("${kms:EncryptionContext:de*}"), None);
        assert_eq!(matches("${kms:EncryptionContext:dept}"), Some(true));
    }

    #[test]
    fn texts_are_read_as_booleans_in_whatever_case() {
        assert_eq!(boolean(Value::Text("yes")), None);
        assert_eq!(boolean(Value::Text("TRUE")), Some(true));
        assert_eq!(boolean(Value::Text("False")), Some(false));
    }
}

//! The element `Condition`: operators, condition keys, values.
//!
//! Source: IAM user guide, "IAM JSON policy elements: Condition operators". Names of operators are exact.

use std::borrow::Cow;

use super::json::{Content, Member, Value};
use super::place::Path;
use super::statement::Reader;
use crate::condition::{Condition, Operand, Order, Quantifier, Test};
use crate::error::{PolicyError, Problem};
use crate::glob::{ArnPattern, Case, Pattern};
use crate::key::{ConditionKey, KeyError};
use crate::scalar::{Network, decimal, instant, is_base64};

/// The base of an operator's name.
#[derive(Debug, Clone, Copy)]
struct Operator {
    family: Family,
    negated: bool,
}

#[derive(Debug, Clone, Copy)]
enum Family {
    Arn,
    Binary,
    Bool,
    Date(Order),
    Ip,
    Null,
    Number(Order),
    Text { case: Case, wildcards: bool },
}

/// The parts of an operator's name: `ForAnyValue:StringLikeIfExists`.
struct Name {
    operator: Operator,
    quantifier: Quantifier,
    if_exists: bool,
}

impl Name {
    fn parse(name: &str) -> Option<Self> {
        let (quantifier, base) = match name.split_once(':') {
            None => (Quantifier::OneValue, name),
            Some(("ForAllValues", base)) => (Quantifier::AllValues, base),
            Some(("ForAnyValue", base)) => (Quantifier::AnyValue, base),
            Some(_) => return None,
        };
        let (base, if_exists) = match base.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (base, false),
        };
        let operator = Operator::parse(base)?;
        // Null asks whether the key exists: there is nothing to ask of each value, or only if it does.
        let is_plain = quantifier == Quantifier::OneValue && !if_exists;
        (is_plain || !matches!(operator.family, Family::Null)).then_some(Self {
            operator,
            quantifier,
            if_exists,
        })
    }
}

impl Operator {
    fn parse(base: &str) -> Option<Self> {
        let plain = |family| Some(Self { family, negated: false });
        let not = |family| Some(Self { family, negated: true });
        let text = |case, wildcards| Family::Text { case, wildcards };
        match base {
            "ArnEquals" | "ArnLike" => plain(Family::Arn),
            "ArnNotEquals" | "ArnNotLike" => not(Family::Arn),
            "BinaryEquals" => plain(Family::Binary),
            "Bool" => plain(Family::Bool),
            "DateEquals" => plain(Family::Date(Order::Equal)),
            "DateGreaterThan" => plain(Family::Date(Order::Greater)),
            "DateGreaterThanEquals" => plain(Family::Date(Order::GreaterOrEqual)),
            "DateLessThan" => plain(Family::Date(Order::Less)),
            "DateLessThanEquals" => plain(Family::Date(Order::LessOrEqual)),
            "DateNotEquals" => not(Family::Date(Order::Equal)),
            "IpAddress" => plain(Family::Ip),
            "NotIpAddress" => not(Family::Ip),
            "Null" => plain(Family::Null),
            "NumericEquals" => plain(Family::Number(Order::Equal)),
            "NumericGreaterThan" => plain(Family::Number(Order::Greater)),
            "NumericGreaterThanEquals" => plain(Family::Number(Order::GreaterOrEqual)),
            "NumericLessThan" => plain(Family::Number(Order::Less)),
            "NumericLessThanEquals" => plain(Family::Number(Order::LessOrEqual)),
            "NumericNotEquals" => not(Family::Number(Order::Equal)),
            "StringEquals" => plain(text(Case::Exact, false)),
            "StringEqualsIgnoreCase" => plain(text(Case::Ignored, false)),
            "StringLike" => plain(text(Case::Exact, true)),
            "StringNotEquals" => not(text(Case::Exact, false)),
            "StringNotEqualsIgnoreCase" => not(text(Case::Ignored, false)),
            "StringNotLike" => not(text(Case::Exact, true)),
            _ => None,
        }
    }
}

/// A value as it stands in the policy, and where.
struct Wanted<'v> {
    byte: usize,
    text: Cow<'v, str>,
}

impl Reader<'_> {
    pub(super) fn conditions(
        &self,
        value: &Value<'_>,
        path: &Path<'_>,
    ) -> Result<Vec<Condition>, PolicyError> {
        let mut conditions = Vec::new();
        for Member { byte, name, value } in self.object(value, path)? {
            let operator =
                Name::parse(name).ok_or_else(|| self.invalid(*byte, path, "a condition operator", name))?;
            let path = path.member(name);
            for Member { byte, name, value } in self.object(value, &path)? {
                let key = ConditionKey::parse(name, self.syntax(false)).map_err(|error| match error {
                    KeyError::NoPrefix => {
                        self.invalid(*byte, &path, "a condition key such as aws:SourceIp", name)
                    }
                    KeyError::Variable(error) => self.variable(*byte, &path, name, error),
                })?;
                let path = path.member(name);
                let test = self.test(operator.operator, &self.wanted(value, &path)?, &path)?;
                let Name { quantifier, if_exists, .. } = operator;
                conditions.push(Condition { key, quantifier, if_exists, test });
            }
        }
        Ok(conditions)
    }

    /// The values of a condition: one or a list, as strings, numbers or booleans.
    fn wanted<'v>(&self, value: &'v Value<'_>, path: &Path<'_>) -> Result<Vec<Wanted<'v>>, PolicyError> {
        let scalar = |value: &'v Value<'_>, path: &Path<'_>| {
            let text = match &value.content {
                Content::String(text) => Cow::Borrowed(text.as_ref()),
                Content::Number(text) => Cow::Borrowed(*text),
                Content::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
                other => {
                    let expected = "a string, a number, a boolean or an array of them";
                    return Err(self.wrong_type(value.byte, path, expected, other));
                }
            };
            Ok(Wanted { byte: value.byte, text })
        };
        let Content::Array(values) = &value.content else { return Ok(vec![scalar(value, path)?]) };
        let indexed = values.iter().enumerate();
        indexed.map(|(index, value)| scalar(value, &path.index(index))).collect()
    }

    fn test(&self, operator: Operator, wanted: &[Wanted<'_>], path: &Path<'_>) -> Result<Test, PolicyError> {
        let operand = match operator.family {
            Family::Arn => {
                let parse = |text: &str| ArnPattern::parse(text, self.syntax(true));
                Operand::Arn(self.patterns(wanted, path, parse)?)
            }
            Family::Binary => {
                let parse = |text: &str| is_base64(text).then(|| text.into());
                Operand::Binary(self.each(wanted, path, "base64", parse)?)
            }
            Family::Bool => Operand::Bool(self.each(wanted, path, "`true` or `false`", boolean)?),
            Family::Date(order) => {
                let expected = "a date such as 2026-11-22T09:30:00Z or seconds since 1970";
                Operand::Date(order, self.each(wanted, path, expected, instant)?)
            }
            Family::Ip => {
                let expected = "an IP address or a range of them such as 203.0.113.0/24";
                Operand::Ip(self.each(wanted, path, expected, Network::parse)?)
            }
            Family::Null => {
                let values = self.each(wanted, path, "`true` or `false`", boolean)?;
                return Ok(Test::Null { absent: values.contains(&true), present: values.contains(&false) });
            }
            Family::Number(order) => {
                Operand::Number(order, self.each(wanted, path, "a decimal number", decimal)?)
            }
            Family::Text { case, wildcards } => {
                let parse = |text: &str| Pattern::parse(text, case, self.syntax(wildcards));
                Operand::Text(self.patterns(wanted, path, parse)?)
            }
        };
        Ok(Test::Compare { operand, negated: operator.negated })
    }

    fn patterns<T>(
        &self,
        wanted: &[Wanted<'_>],
        path: &Path<'_>,
        parse: impl Fn(&str) -> Result<T, crate::glob::VariableError>,
    ) -> Result<Box<[T]>, PolicyError> {
        let parsed = wanted.iter().map(|Wanted { byte, text }| {
            parse(text).map_err(|error| self.variable(*byte, path, text, error))
        });
        parsed.collect()
    }

    fn each<T>(
        &self,
        wanted: &[Wanted<'_>],
        path: &Path<'_>,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Box<[T]>, PolicyError> {
        let invalid = |Wanted { byte, text }: &Wanted<'_>| {
            let found = crate::error::excerpt(text);
            self.malformed(*byte, path, Problem::InvalidValue { expected, found })
        };
        wanted.iter().map(|one| parse(&one.text).ok_or_else(|| invalid(one))).collect()
    }
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case("false").then_some(false)
    }
}

#[cfg(test)]
mod tests;

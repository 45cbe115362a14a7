//! A second judge of policies: slow, literal, written from AWS's documentation, and sharing no code with the first.
//!
//! It reads policies as plain JSON and compares strings, character by character. It does not say what is wrong with a
//! policy: it is given valid ones. Sources, all of the IAM user guide: "Policy evaluation logic", "IAM JSON policy elements
//! reference" (each element), "Condition operators", "Set operators for multi-valued context keys", "Variables and tags";
//! and of the AWS KMS developer guide: "Key policies", "AWS KMS permissions", "Condition keys for AWS KMS". Where they leave
//! something open, the choice is the one that docs/divergences.md names.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

/// A question with everything that bears on its answer.
#[derive(Debug, Clone)]
pub struct Case {
    pub caller: Caller,
    pub identity: Vec<Value>,
    pub boundary: Option<Value>,
    pub session: Option<Vec<Value>>,
    pub key_policy: Value,
    /// Without `kms:`.
    pub action: String,
    pub key_account: String,
    pub key_arn: String,
    pub facts: Context,
}

/// The request's context: names in lower case, and all the values that there are of each.
pub type Context = BTreeMap<String, Vec<String>>;

#[derive(Debug, Clone)]
pub enum Caller {
    Root {
        account: String,
    },
    /// `path/name`.
    User {
        account: String,
        name: String,
    },
    /// `path/name` of the role, and the session's name.
    Session {
        account: String,
        role: String,
        session: String,
    },
    Service(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Account,
    Role,
    Itself,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Allow,
    Deny,
    Nothing,
}

/// AWS KMS developer guide, "Allowing users in other accounts to use a KMS key".
pub const CROSS_ACCOUNT: &[&str] = &[
    "CreateGrant",
    "Decapsulate",
    "Decrypt",
    "DeriveSharedSecret",
    "DescribeKey",
    "Encapsulate",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GetKeyRotationStatus",
    "GetPublicKey",
    "ListGrants",
    "ReEncryptFrom",
    "ReEncryptTo",
    "RetireGrant",
    "RevokeGrant",
    "Sign",
    "Verify",
    "VerifyMac",
];

/// AWS KMS developer guide, "AWS KMS permissions": those whose policy type is IAM policy alone.
pub const IDENTITY_ONLY: &[&str] = &[
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "CreateKey",
    "DeleteCustomKeyStore",
    "DescribeCustomKeyStores",
    "DisconnectCustomKeyStore",
    "GenerateRandom",
    "ListAliases",
    "ListKeys",
    "ListRetirableGrants",
    "UpdateCustomKeyStore",
];

/// Whether the caller may do it.
pub fn may(case: &Case) -> bool {
    let is_about_no_key = IDENTITY_ONLY.contains(&case.action.as_str());
    let resource = if is_about_no_key { "*" } else { case.key_arn.as_str() };
    let ask = |policies: &[Value]| {
        let says = |effect| {
            let all =
                policies.iter().flat_map(|policy| statements(policy).into_iter().map(move |s| (policy, s)));
            all.filter(|(_, s)| s["Effect"] == effect)
                .any(|(policy, s)| matches_rest(case, &s, resource, is_current(policy)))
        };
        match (says("Deny"), says("Allow")) {
            (true, _) => Says::Deny,
            (false, true) => Says::Allow,
            (false, false) => Says::Nothing,
        }
    };
    let (identity, boundary, session) = match &case.caller {
        Caller::Root { .. } => (Says::Allow, Says::Allow, Says::Allow),
        Caller::Service(_) => (Says::Nothing, Says::Allow, Says::Allow),
        Caller::User { .. } | Caller::Session { .. } => (
            ask(&case.identity),
            case.boundary.as_ref().map_or(Says::Allow, |boundary| ask(std::slice::from_ref(boundary))),
            case.session.as_deref().map_or(Says::Allow, ask),
        ),
    };
    let is_limited = boundary != Says::Allow || session != Says::Allow;
    if [identity, boundary, session].contains(&Says::Deny) {
        return false;
    }
    let identity_side = identity == Says::Allow && !is_limited;
    if is_about_no_key {
        return identity_side && case.caller.account().is_some();
    }
    if key_policy_grades(case, "Deny").is_some() {
        return false;
    }
    let Some(grade) = key_policy_grades(case, "Allow") else { return false };
    if case.caller.account() == Some(&case.key_account) {
        return match grade {
            Grade::Itself => true,
            Grade::Role => !is_limited,
            Grade::Account => identity_side,
        };
    }
    let is_service = matches!(case.caller, Caller::Service(_));
    CROSS_ACCOUNT.contains(&case.action.as_str()) && (is_service || identity_side)
}

impl Caller {
    fn account(&self) -> Option<&String> {
        match self {
            Self::Root { account } | Self::User { account, .. } | Self::Session { account, .. } => {
                Some(account)
            }
            Self::Service(_) => None,
        }
    }

    /// The names by which a key policy can mean this caller.
    fn names(&self) -> Vec<(Grade, String)> {
        let account_names = |grade, account: &String| {
            vec![(grade, account.clone()), (grade, format!("arn:aws:iam::{account}:root"))]
        };
        match self {
            Self::Root { account } => account_names(Grade::Itself, account),
            Self::User { account, name } => {
                let mut names = account_names(Grade::Account, account);
                names.push((Grade::Itself, format!("arn:aws:iam::{account}:user/{name}")));
                names
            }
            Self::Session { account, role, session } => {
                let mut names = account_names(Grade::Account, account);
                let bare = role.rsplit('/').next().unwrap();
                names.push((Grade::Role, format!("arn:aws:iam::{account}:role/{role}")));
                names.push((Grade::Itself, format!("arn:aws:sts::{account}:assumed-role/{bare}/{session}")));
                names
            }
            Self::Service(name) => vec![(Grade::Itself, name.clone())],
        }
    }
}

fn statements(policy: &Value) -> Vec<Value> {
    match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        one => vec![one.clone()],
    }
}

fn is_current(policy: &Value) -> bool {
    policy["Version"] == "2012-10-17"
}

/// The best grade among the key policy's statements of an effect that match.
fn key_policy_grades(case: &Case, effect: &str) -> Option<Grade> {
    let all = statements(&case.key_policy);
    let matching = all
        .iter()
        .filter(|s| s["Effect"] == effect)
        .filter(|s| matches_rest(case, s, &case.key_arn, is_current(&case.key_policy)));
    matching.filter_map(|statement| grade(case, statement)).max()
}

/// How a statement names the caller.
fn grade(case: &Case, statement: &Value) -> Option<Grade> {
    let names = case.caller.names();
    if statement.get("Principal").is_some() {
        let listed = listed(&statement["Principal"]);
        if listed.iter().any(|name| name == "*") {
            return Some(Grade::Itself);
        }
        return names.iter().filter(|(_, name)| listed.contains(name)).map(|(grade, _)| *grade).max();
    }
    let listed = listed(&statement["NotPrincipal"]);
    let is_listed = |wanted| names.iter().any(|(grade, name)| *grade == wanted && listed.contains(name));
    let grades: Vec<Grade> = names.iter().map(|(grade, _)| *grade).collect();
    let is_out = listed.iter().any(|name| name == "*")
        || if statement["Effect"] == "Deny" {
            grades.iter().all(|grade| is_listed(*grade))
        } else {
            grades.iter().any(|grade| is_listed(*grade))
        };
    (!is_out).then_some(Grade::Itself)
}

/// All that a principal element lists.
fn listed(element: &Value) -> Vec<String> {
    match element {
        Value::Object(kinds) => kinds.values().flat_map(strings).collect(),
        other => strings(other),
    }
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Null => vec![],
        Value::Array(values) => values.iter().flat_map(strings).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

/// Action, resource and conditions.
fn matches_rest(case: &Case, statement: &Value, resource: &str, is_current: bool) -> bool {
    let action = format!("kms:{}", case.action).to_ascii_lowercase();
    let matches_action = |element: &str| {
        let patterns = strings(&statement[element]);
        patterns.iter().any(|pattern| {
            let pattern: Vec<Token> = wildcards(&pattern.to_ascii_lowercase());
            is_match(&pattern, &characters(&action))
        })
    };
    let acts = match (statement.get("Action"), statement.get("NotAction")) {
        (Some(_), _) => matches_action("Action"),
        (None, Some(_)) => !matches_action("NotAction"),
        (None, None) => false,
    };
    let matches_resource = |pattern: &String| {
        let tokens = tokens(pattern, is_current, true, &case.facts)?;
        Some(is_match(&tokens, &characters(resource)))
    };
    let on = match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(element), _) => strings(element).iter().any(|pattern| matches_resource(pattern) == Some(true)),
        (None, Some(element)) => {
            strings(element).iter().all(|pattern| matches_resource(pattern) == Some(false))
        }
        (None, None) => false,
    };
    acts && on && conditions_hold(statement, is_current, &case.facts)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Any,
    Character(char),
    One,
}

fn characters(text: &str) -> Vec<char> {
    text.chars().collect()
}

fn wildcards(text: &str) -> Vec<Token> {
    let token = |character| match character {
        '*' => Token::Any,
        '?' => Token::One,
        other => Token::Character(other),
    };
    text.chars().map(token).collect()
}

fn literal(text: &str) -> Vec<Token> {
    text.chars().map(Token::Character).collect()
}

fn is_match(pattern: &[Token], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [Token::Any, rest @ ..] => (0..=text.len()).any(|skipped| is_match(rest, &text[skipped..])),
        [Token::One, rest @ ..] => !text.is_empty() && is_match(rest, &text[1..]),
        [Token::Character(wanted), rest @ ..] => text.first() == Some(wanted) && is_match(rest, &text[1..]),
    }
}

/// A text of a policy with its variables replaced; `None` if one has no value.
fn tokens(text: &str, is_current: bool, has_wildcards: bool, facts: &Context) -> Option<Vec<Token>> {
    let plain = if has_wildcards { wildcards } else { literal };
    let Some((before, rest)) = text.split_once("${").filter(|_| is_current) else { return Some(plain(text)) };
    let (content, after) = rest.split_once('}').expect("a variable ends");
    let value = match content {
        "*" | "?" | "$" => content.to_owned(),
        _ => {
            let (name, default) = match content.split_once(',') {
                Some((name, default)) => (name.trim(), Some(default.trim().trim_matches('\'').to_owned())),
                None => (content, None),
            };
            let found = facts.get(&name.to_ascii_lowercase()).filter(|values| values.len() == 1);
            found.map(|values| values[0].clone()).or(default)?
        }
    };
    let mut all = plain(before);
    all.extend(literal(&value));
    all.extend(tokens(after, is_current, has_wildcards, facts)?);
    Some(all)
}

fn conditions_hold(statement: &Value, is_current: bool, facts: &Context) -> bool {
    let Some(Value::Object(operators)) = statement.get("Condition") else { return true };
    operators.iter().all(|(operator, keys)| {
        let keys = keys.as_object().expect("an object of condition keys");
        keys.iter().all(|(key, wanted)| {
            let wanted = strings(wanted);
            condition_holds(statement["Effect"] == "Allow", operator, key, &wanted, is_current, facts)
        })
    })
}

fn condition_holds(
    is_allow: bool,
    operator: &str,
    key: &str,
    wanted: &[String],
    is_current: bool,
    facts: &Context,
) -> bool {
    let values = values_of(key, is_current, facts);
    let (quantifier, base) = operator.split_once(':').unwrap_or(("", operator));
    let (base, if_exists) = match base.strip_suffix("IfExists") {
        Some(base) => (base, true),
        None => (base, false),
    };
    if base == "Null" {
        return wanted.contains(&values.is_empty().to_string());
    }
    let passes = |value: &String| passes(base, value, wanted, is_current, facts);
    let is_null = values.is_empty() || values == [""];
    match quantifier {
        "ForAllValues" => is_null || values.iter().all(passes),
        "ForAnyValue" if values.is_empty() => if_exists,
        "ForAnyValue" => !is_null && values.iter().any(passes),
        _ if values.is_empty() => if_exists || base.contains("Not"),
        _ if is_allow => values.iter().all(passes),
        _ => values.iter().any(passes),
    }
}

/// The values of a condition key. A pair of the encryption context is found in whatever case its key is, and the name may
/// hold policy variables.
fn values_of(key: &str, is_current: bool, facts: &Context) -> Vec<String> {
    let lower = key.to_ascii_lowercase();
    let Some(name) = lower.strip_prefix("kms:encryptioncontext:") else {
        return facts.get(&lower).cloned().unwrap_or_default();
    };
    // The context keeps one list for each key in lower case.
    let Some(tokens) = tokens(name, is_current, false, facts) else { return vec![] };
    let name: String = tokens
        .iter()
        .map(|token| match token {
            Token::Character(character) => character.to_ascii_lowercase(),
            Token::Any | Token::One => unreachable!("there are no wildcards"),
        })
        .collect();
    facts.get(&format!("kms:encryptioncontext:{name}")).cloned().unwrap_or_default()
}

/// Whether one value of the request passes an operator without its prefix and suffix.
fn passes(base: &str, value: &str, wanted: &[String], is_current: bool, facts: &Context) -> bool {
    let is_negated = base.contains("Not");
    let positive = base.replace("Not", "");
    let mut is_unresolved = false;
    let is_any = wanted.iter().any(|wanted| {
        let matched = compare(&positive, value, wanted, is_current, facts);
        is_unresolved |= matched.is_none();
        matched == Some(true)
    });
    if is_negated { !is_any && !is_unresolved } else { is_any }
}

fn compare(operator: &str, value: &str, wanted: &str, is_current: bool, facts: &Context) -> Option<bool> {
    let text = |has_wildcards, lower: bool| {
        let mut tokens = tokens(wanted, is_current, has_wildcards, facts)?;
        let mut value = value.to_owned();
        if lower {
            value.make_ascii_lowercase();
            for token in &mut tokens {
                if let Token::Character(character) = token {
                    character.make_ascii_lowercase();
                }
            }
        }
        Some(is_match(&tokens, &characters(&value)))
    };
    let order = |than: &str, ordering: Option<std::cmp::Ordering>| {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let ordering = ordering?;
        Some(match than {
            "Equals" => ordering == Equal,
            "LessThan" => ordering == Less,
            "LessThanEquals" => ordering != Greater,
            "GreaterThan" => ordering == Greater,
            "GreaterThanEquals" => ordering != Less,
            other => panic!("no operator {other}"),
        })
    };
    match operator {
        "StringEquals" => text(false, false),
        "StringEqualsIgnoreCase" => text(false, true),
        "StringLike" => text(true, false),
        "ArnEquals" | "ArnLike" => {
            let tokens = tokens(wanted, is_current, true, facts)?;
            let pattern: Vec<&[Token]> = tokens.splitn(6, |token| *token == Token::Character(':')).collect();
            let value: Vec<&str> = value.splitn(6, ':').collect();
            if tokens == [Token::Any] {
                return Some(value.len() == 6);
            }
            let parts = pattern.len() == 6 && value.len() == 6;
            Some(parts && pattern.iter().zip(&value).all(|(p, v)| is_match(p, &characters(v))))
        }
        "BinaryEquals" => Some(value == wanted),
        "Bool" => Some(
            ["true", "false"].contains(&value.to_ascii_lowercase().as_str())
                && value.eq_ignore_ascii_case(wanted),
        ),
        "IpAddress" => Some(value.parse().is_ok_and(|ip| in_range(ip, wanted))),
        _ => {
            if let Some(than) = operator.strip_prefix("Numeric") {
                let number = |text: &str| text.parse::<f64>().ok();
                let ordering = number(value).zip(number(wanted)).and_then(|(a, b)| a.partial_cmp(&b));
                return Some(order(than, ordering).unwrap_or(false));
            }
            let than = operator.strip_prefix("Date").unwrap_or_else(|| panic!("no operator {operator}"));
            let ordering = seconds(value).zip(seconds(wanted)).map(|(a, b)| a.cmp(&b));
            Some(order(than, ordering).unwrap_or(false))
        }
    }
}

/// Bit by bit.
fn in_range(ip: IpAddr, range: &str) -> bool {
    let bits = |ip: IpAddr| -> String {
        match ip {
            IpAddr::V4(ip) => ip.octets().iter().map(|octet| format!("{octet:08b}")).collect(),
            IpAddr::V6(ip) => ip.octets().iter().map(|octet| format!("{octet:08b}")).collect(),
        }
    };
    let (base, length) = range.split_once('/').unwrap_or((range, ""));
    let (ip, base) = (bits(ip), bits(base.parse().expect("an address")));
    let length = if length.is_empty() { base.len() } else { length.parse().expect("a length") };
    ip.len() == base.len() && ip[..length] == base[..length]
}

/// Seconds since 1970 of `2026-11-22T09:30:00Z` or of a number, by counting days.
fn seconds(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let fields: Vec<i64> = text
        .strip_suffix('Z')?
        .split(['-', 'T', ':'])
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let [year, month, day, hour, minute, second] = fields[..] else { return None };
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut days: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    days += lengths.iter().take(usize::try_from(month).ok()? - 1).sum::<i64>() + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

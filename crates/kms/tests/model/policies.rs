//! The policies of the model: their texts, and a judge of its own for the few elements that they have (KMS developer guide,
//! "Key policies"; IAM user guide, "Policy evaluation logic").

use serde_json::{Value, json};

use crate::common::root_of;
use crate::model::other_account;
use crate::steps::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    Allow,
    Deny,
    Nothing,
}

enum To {
    Both,
    Everybody,
    Other,
    Own,
}

struct Statement {
    allows: bool,
    to: To,
    actions: &'static [&'static str],
}

const ALL: &[&str] = &["kms:*"];
const TO_ALL: Statement = Statement { allows: true, to: To::Everybody, actions: ALL };
const TO_OWN: Statement = Statement { allows: true, to: To::Own, actions: ALL };

/// Nothing for policies that may not stand anywhere, and for the one whose condition no request of the model meets.
fn statements(policy: Policy) -> Vec<Statement> {
    let deny = |actions| Statement { allows: false, to: To::Everybody, actions };
    let own = |actions| Statement { allows: true, to: To::Own, actions };
    match policy {
        AllToAll => vec![TO_ALL],
        AllToBoth => vec![Statement { allows: true, to: To::Both, actions: ALL }],
        EncryptToOther => {
            let actions = &["kms:Encrypt", "kms:DescribeKey", "kms:ReEncrypt*"];
            vec![TO_OWN, Statement { allows: true, to: To::Other, actions }]
        }
        NoEncrypt => vec![TO_ALL, deny(&["kms:Encrypt", "kms:GenerateDataKey*"])],
        NoTags => vec![deny(&["kms:*Tag*"]), TO_ALL],
        Nothing => vec![deny(ALL)],
        OnlyLooking => vec![own(&["kms:DescribeKey", "kms:Get*", "kms:List*", "kms:PutKeyPolicy"])],
        OnlyPolicies => vec![own(&["kms:*KeyPolicy", "kms:D*"])],
        Standard => vec![TO_OWN],
        Conditioned | Malformed | OfNobody | TooLong => Vec::new(),
    }
}

/// What the policy of a key of `own` says of this account's wish.
pub(crate) fn judge(policy: Policy, own: &str, caller: &str, action: &str) -> Judgement {
    // An action has the same name in any case.
    let action = format!("kms:{action}").to_lowercase();
    let applies = |statement: &&Statement| {
        let names = match statement.to {
            To::Both => caller == own || caller == other_account(Some(own)),
            To::Everybody => true,
            To::Other => caller == other_account(Some(own)),
            To::Own => caller == own,
        };
        names
            && statement
                .actions
                .iter()
                .any(|pattern| matches(pattern.to_lowercase().as_bytes(), action.as_bytes()))
    };
    let statements = statements(policy);
    let applying: Vec<bool> = statements.iter().filter(applies).map(|statement| statement.allows).collect();
    match &applying[..] {
        [] => Judgement::Nothing,
        allows if allows.iter().all(|allows| *allows) => Judgement::Allow,
        _ => Judgement::Deny,
    }
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
        [first, rest @ ..] => text.first() == Some(first) && matches(rest, &text[1..]),
    }
}

/// Why the policy may not stand on a key of `own`, at the wish of `caller`.
pub(crate) fn fault(
    policy: Policy,
    own: &str,
    caller: &str,
    bypass: bool,
) -> Option<&'static [&'static str]> {
    match policy {
        Malformed | OfNobody => Some(&["MalformedPolicyDocument"]),
        TooLong => Some(&["LimitExceeded"]),
        policy => {
            let locks_out = judge(policy, own, caller, "PutKeyPolicy") != Judgement::Allow;
            (locks_out && !bypass).then_some(&["MalformedPolicyDocument"])
        }
    }
}

/// The text of a policy on a key of `own`.
pub(crate) fn text(policy: Policy, own: &str) -> String {
    let document = |statements: Vec<Value>| json!({ "Version": "2012-10-17", "Statement": statements });
    let open = || json!({ "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*" });
    match policy {
        Conditioned => {
            let mut statement = open();
            statement["Condition"] = json!({ "Bool": { "kms:GrantIsForAWSResource": "true" } });
            document(vec![statement]).to_string()
        }
        Malformed => "{".to_owned(),
        OfNobody => {
            let mut statement = open();
            statement["Principal"] = root_of("999988887777");
            document(vec![statement]).to_string()
        }
        // The one that a key has for which none was given.
        Standard => json!({
            "Id": "key-default-1",
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow", "Principal": root_of(own), "Action": "kms:*", "Resource": "*",
            }],
        })
        .to_string(),
        TooLong => format!("{}{}", document(vec![open()]), " ".repeat(32_768)),
        policy => {
            let statements = statements(policy).into_iter().map(|statement| {
                let other = other_account(Some(own));
                json!({
                    "Effect": if statement.allows { "Allow" } else { "Deny" },
                    "Principal": match statement.to {
                        To::Both => json!({ "AWS": [own, other] }),
                        To::Everybody => json!("*"),
                        To::Other => root_of(other),
                        To::Own => root_of(own),
                    },
                    "Action": statement.actions,
                    "Resource": "*",
                })
            });
            document(statements.collect()).to_string()
        }
    }
}

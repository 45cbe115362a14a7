//! `strongroom policy`: what a decision would be, and why, without a deployment.
//!
//! One JSON object on each line of standard input, one on each line of standard output. A line that cannot be read is
//! answered with its number and an error that says where, the rest goes on; the exit status says whether there was one.

mod facts;
mod members;
mod question;
mod reason;

use std::io::{self, BufRead, Read};
use std::process::ExitCode;

use serde_json::{Value as Json, json};
use strongroom_policy::{
    Action, AllowReason, Decision, DenyReason, GrantFacts, KeyNamed, Principal, Question, Request, Resource,
    RetireQuestion, decide, decide_retirement, open_to_grants,
};
use strongroom_types::limits::POLICY_QUESTION_BYTES_MAX;

use self::members::{Members, Strict};
use self::question::{Asked, Target};
use crate::arguments::PolicyCommand;
use crate::terminal::{Failure, line};

pub(crate) fn run(command: &PolicyCommand) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Evaluate => evaluate(io::stdin().lock()),
    }
}

fn evaluate(mut input: impl BufRead) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    let mut number = 0_u64;
    while let Some(text) = next_line(&mut input)? {
        number += 1;
        let answered = match text {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => answer(&text),
            Err(error) => Err(error),
        };
        let answer = answered.unwrap_or_else(|error| {
            code = ExitCode::FAILURE;
            json!({ "line": number, "error": error })
        });
        line(&answer.to_string());
    }
    Ok(code)
}

/// The next line, or why it cannot be read; `None` at the end.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Result<String, String>>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(POLICY_QUESTION_BYTES_MAX).unwrap_or(u64::MAX);
    input.by_ref().take(limit.saturating_add(1)).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() > POLICY_QUESTION_BYTES_MAX && !bytes.ends_with(b"\n") {
        skip_line(input)?;
        return Ok(Some(Err(format!("it is longer than {POLICY_QUESTION_BYTES_MAX} bytes"))));
    }
    Ok(Some(String::from_utf8(bytes).map_err(|error| error.to_string())))
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(place) => (place + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

fn answer(text: &str) -> Result<Json, String> {
    let members = match serde_json::from_str(text) {
        Ok(Strict(Json::Object(members))) => members,
        Ok(_) => return Err("the line is not an object".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let asked = Asked::read(Members(members))?;
    let Asked { action, principal, resource_text, facts, .. } = &asked;
    let identity = principal.identity_side(&asked.policies, *action, resource_text, facts);
    let resource = match &asked.target {
        Target::Account => Resource::Account,
        Target::Alias(arn) => Resource::Alias(arn),
        Target::Key(arn) => {
            let policy = asked.key_policy.as_ref().ok_or("`key_policy` is missing")?;
            let question = Question { action: *action, facts, key: arn, key_text: resource_text, principal };
            Resource::Key { arn, named: KeyNamed::ByRequest, verdict: policy.decide_key_policy(&question) }
        }
    };
    let request = Request { action: *action, identity, principal, resource };
    let (decision, grant) = match action {
        Action::RetireGrant => (retirement(&asked, &request)?, Some(0)),
        _ => with_grants(&asked, &request),
    };
    Ok(reason::told(&asked, &request, decision, grant))
}

/// The decision of the policies, or of the first grant that allows what they leave open.
fn with_grants(asked: &Asked, request: &Request<'_>) -> (Decision, Option<usize>) {
    let decision = decide(request);
    let Some(operation) = open_to_grants(request, &decision) else { return (decision, None) };
    let facts = GrantFacts {
        child: asked.new_grant.as_ref(),
        context: Some(&asked.facts.context),
        source_arn: asked.facts.one("aws:sourcearn"),
    };
    let names = grant_names(asked, request);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let grant = asked.grants.iter().position(|grant| {
        let is_theirs = grant.grantee.as_ref().is_some_and(|grantee| grantee.is_one_of(&names));
        is_theirs && grant.terms.allow(operation, &facts)
    });
    match grant {
        Some(_) => (Decision::Allow(AllowReason::Grant), grant),
        None => (decision, None),
    }
}

/// Retiring is decided by the grant that is to be retired.
fn retirement(asked: &Asked, request: &Request<'_>) -> Result<Decision, String> {
    let Resource::Key { arn, .. } = request.resource else {
        return Ok(Decision::Deny(DenyReason::ForeignKey));
    };
    let missing = || "`grants` must have the one grant that is to be retired".to_owned();
    let [grant] = &*asked.grants else { return Err(missing()) };
    let names = grant_names(asked, request);
    let question = RetireQuestion {
        caller_names: &names.iter().map(String::as_str).collect::<Vec<_>>(),
        grantee: grant.grantee.as_ref().ok_or_else(missing)?,
        issuing_account: grant.issuing_account.unwrap_or(arn.account),
        retiring: grant.retiring.as_ref(),
        terms: &grant.terms,
    };
    Ok(decide_retirement(request, &question))
}

/// The ARNs by which grants may name the principal: a session's role counts within its boundary and its policies.
fn grant_names(asked: &Asked, request: &Request<'_>) -> Vec<String> {
    let own = request.principal.arn(asked.partition);
    match request.principal {
        Principal::AccountRoot(_) | Principal::User(_) => vec![own],
        Principal::RoleSession(_) if request.is_limited() => vec![own],
        Principal::RoleSession(_) => vec![own, request.principal.policy_arn(asked.partition)],
        Principal::Operator | Principal::Service(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn asked(change: Json) -> Result<Json, String> {
        let mut question = json!({
            "principal": "arn:aws:iam::111122223333:user/team/bob",
            "action": "kms:Encrypt",
            "resource": KEY,
            "key_policy": { "Version": "2012-10-17", "Statement": [{ "Sid": "account", "Effect": "Allow",
                "Principal": { "AWS": "111122223333" }, "Action": "kms:*", "Resource": "*" }] },
        });
        for (name, value) in change.as_object().unwrap() {
            question[name] = value.clone();
        }
        answer(&question.to_string())
    }

    fn allow(condition: Json) -> Json {
        json!({ "Version": "2012-10-17", "Statement": { "Sid": "mine", "Effect": "Allow", "Action": "kms:Encrypt",
            "Resource": "*", "Condition": condition } })
    }

    #[test]
    fn lines_that_are_no_question_are_told() {
        for (line, problem) in [
            ("[]", "the line is not an object"),
            ("{", "EOF while parsing"),
            (r#"{"action":"a","action":"b"}"#, "member `action` occurs twice"),
            ("{}", "`principal` is missing"),
            (r#"{"principal":"Bob","action":"kms:Encrypt"}"#, "`Bob` is not the ARN"),
            (r#"{"principal":"arn:aws:iam::111122223333:root","action":"kms:Encipher"}"#, "is not an action"),
        ] {
            let error = answer(line).unwrap_err();
            assert!(error.contains(problem), "{line}: {error}");
        }
        for (change, problem) in [
            (json!({ "resource": "alias/x" }), "is not `*`, the ARN of a key"),
            (json!({ "key_policy": { "Statement": [] } }), "`key_policy`: there is no statement"),
            (
                json!({ "identity_policies": ["{}"] }),
                "`identity_policies`, policy 0: element `Statement` is missing",
            ),
            (json!({ "context": { "aws:x": null } }), "`aws:x` must be"),
            (json!({ "more": 1 }), "member `more` is not known"),
            (json!({ "grants": {} }), "`grants` must be a list"),
            (json!({ "grants": [{ "Operations": [] }] }), "`grants[0]`: `GranteePrincipal` is missing"),
            (
                json!({ "grants": [{ "Operations": ["Encipher"] }] }),
                r#"`grants[0]`: `Operations`: "Encipher" is not"#,
            ),
            (
                json!({ "grants": [{ "GranteePrinciple": "x" }] }),
                "`grants[0]`: member `GranteePrinciple` is not known",
            ),
            (json!({ "new_grant": { "Constraints": { "Source": "x" } } }), "`new_grant`: member `Source`"),
            (json!({ "action": "kms:RetireGrant" }), "`grants` must have the one grant"),
            (
                json!({ "key_policy": { "Statement": { "Effect": "Allow", "Principal": "*", "Action": "kms:*",
                    "Resource": "*", "Condition": { "StringLikes": {} } } } }),
                "Statement.Condition",
            ),
        ] {
            let error = asked(change).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn decisions_come_with_their_reasons() {
        let refused = asked(json!({})).unwrap();
        assert_eq!(refused["decision"], "deny");
        assert_eq!(refused["no_allow_in"], "identity_policies");
        let message = refused["message"].as_str().unwrap();
        assert!(
            message.starts_with("User: arn:aws:iam::111122223333:user/team/bob is not authorized to perform")
        );

        let department =
            json!({ "StringEquals": { "kms:EncryptionContext:Dept": "${aws:PrincipalTag/dept}" } });
        let with = |value: &str| {
            asked(json!({ "identity_policies": [allow(department.clone())], "context": {
                "kms:EncryptionContext:dept": value, "aws:PrincipalTag/Dept": "hr" } }))
        };
        assert_eq!(with("it").unwrap()["decision"], "deny");
        let allowed = with("hr").unwrap();
        assert_eq!(allowed["decision"], "allow");
        assert_eq!(
            allowed["allowed_by"][0],
            json!({ "policy": "key_policy", "statement": 0, "sid": "account" })
        );
        assert_eq!(allowed["allowed_by"][1]["sid"], "mine");

        let bounded = asked(
            json!({ "identity_policies": allow(json!({})), "boundary": allow(json!({ "Bool": { "aws:x": true } })) }),
        );
        assert_eq!(bounded.unwrap()["no_allow_in"], "boundary");
        let deny = json!({ "Statement": { "Effect": "Deny", "Action": "*", "Resource": "*" } });
        let denied = asked(
            json!({ "identity_policies": allow(json!({})), "session_policies": [allow(json!({})), deny] }),
        );
        assert_eq!(
            denied.unwrap()["denied_by"],
            json!({ "policy": "session_policies", "index": 1, "statement": 0, "sid": null })
        );
    }
    #[test]
    fn a_refusal_and_a_grant() {
        let bob = "arn:aws:iam::111122223333:user/team/bob";
        let with = |action: &str, grants: Json, more: Json| {
            let mut change = json!({ "action": action, "grants": grants,
                "context": { "kms:EncryptionContext:Dept": "hr" } });
            change.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            asked(change).unwrap()
        };
        let grant = |grantee: &str, operations: &[&str], department: &str| {
            json!({ "GranteePrincipal": grantee, "GrantId": "abc", "Name": "", "Operations": operations,
                "IssuingAccount": "arn:aws:iam::111122223333:root", "CreationDate": 1.0,
                "Constraints": { "EncryptionContextSubset": { "Dept": department } } })
        };
        let eve = "arn:aws:iam::111122223333:user/eve";
        let none = json!({});
        for (grants, more) in [
            (json!([grant(bob, &["Decrypt"], "hr")]), none.clone()),
            (json!([grant(bob, &["Encrypt"], "it")]), none.clone()),
            (json!([grant(eve, &["Encrypt"], "hr")]), none.clone()),
            (
                json!([grant(bob, &["Encrypt"], "hr")]),
                json!({ "identity_policies": { "Statement": { "Effect": "Deny", "Action": "*", "Resource": "*" } } }),
            ),
        ] {
            assert_eq!(with("kms:Encrypt", grants, more)["decision"], "deny");
        }
        let grants = json!([grant(eve, &["Encrypt"], "hr"), grant(bob, &["Encrypt", "RetireGrant"], "hr")]);
        let allowed = json!({ "decision": "allow", "allowed_by": [{ "grant": 1, "id": "abc" }] });
        assert_eq!(with("kms:encrypt", grants, none.clone()), allowed);

        // A child may have no more than its parent.
        let parent = json!([grant(bob, &["CreateGrant", "Encrypt"], "hr")]);
        let child = |operation: &str| json!({ "new_grant": grant(eve, &[operation], "hr") });
        assert_eq!(with("kms:CreateGrant", parent.clone(), child("Decrypt"))["decision"], "deny");
        assert_eq!(with("kms:CreateGrant", parent, child("Encrypt"))["decision"], "allow");

        let retired = |operations: &[&str]| {
            with("kms:RetireGrant", json!([grant(bob, operations, "hr")]), none.clone())
        };
        assert_eq!(retired(&["Encrypt"])["decision"], "deny");
        assert_eq!(retired(&["RetireGrant"])["decision"], "allow");
    }

    #[test]
    fn what_the_principal_is_needs_no_telling() {
        let with = |name: &str, value: &str| {
            let condition = json!({ "StringEquals": { name: value } });
            asked(json!({ "identity_policies": [allow(condition)] })).unwrap()["decision"].clone()
        };
        for (name, right) in [
            ("aws:username", "bob"),
            ("aws:PrincipalArn", "arn:aws:iam::111122223333:user/team/bob"),
            ("aws:PrincipalAccount", "111122223333"),
            ("aws:PrincipalType", "User"),
        ] {
            assert_eq!(with(name, "x"), "deny");
            assert_eq!(with(name, right), "allow");
        }
        assert_eq!(with("aws:userid", "AIDA"), "deny");
    }

    #[test]
    fn lines_have_a_limit() {
        let long = "x".repeat(POLICY_QUESTION_BYTES_MAX);
        let text = format!("{long}\n{long}y\nlast");
        let mut input = io::BufReader::new(text.as_bytes());
        let mut next = || next_line(&mut input).unwrap();
        assert_eq!(next().unwrap().unwrap().len(), POLICY_QUESTION_BYTES_MAX + 1);
        assert!(next().unwrap().unwrap_err().contains("longer than"));
        assert_eq!(next().unwrap().unwrap(), "last");
        assert!(next().is_none());
        assert!(next_line(&mut &b"\xff\n"[..]).unwrap().unwrap().unwrap_err().contains("utf-8"));
    }
}

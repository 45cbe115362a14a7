//! `strongroom policy`: what a decision would be, and why, without a deployment.
//!
//! One JSON object on each line of standard input, one on each line of standard output. A line that cannot be read is
//! answered with an error, the rest goes on; the exit status says whether there was one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::process::ExitCode;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json, json};
use strongroom_policy::{
    AccessDenied, Action, AllowReason, ConditionKey, Decision, DenyReason, Facts, Found, Identity,
    IdentityPolicies, IdentityPolicy, KeyNamed, KeyPolicy, Many, Principal, Question, Request, Resource,
    RoleSession, StatementPlace, Value, decide,
};
use strongroom_types::{AccountId, AliasArn, EncryptionContext, KeyArn, KeyReference, Partition};

use crate::arguments::PolicyCommand;
use crate::terminal::{Failure, line};

pub(crate) fn run(command: &PolicyCommand) -> Result<ExitCode, Failure> {
    match command {
        PolicyCommand::Evaluate => evaluate(std::io::stdin().lock()),
    }
}

fn evaluate(input: impl BufRead) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for text in input.lines() {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let answer = answer(&text).unwrap_or_else(|error| {
            code = ExitCode::FAILURE;
            json!({ "error": error })
        });
        line(&answer.to_string());
    }
    Ok(code)
}

/// A JSON value in which no member occurs twice: a policy has one reading.
#[derive(Debug)]
struct Strict(Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            all.push(element);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut all = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if all.contains_key(&name) {
                return Err(de::Error::custom(format_args!("member `{name}` occurs twice")));
            }
            all.insert(name, value);
        }
        Ok(Json::Object(all))
    }
}

/// The members of one line, taken out one by one so that those that are left over are told.
struct Members(Map<String, Json>);

impl Members {
    fn take(&mut self, name: &str) -> Option<Json> {
        self.0.remove(name)
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{name}` must be a string")),
        }
    }

    fn needed(&mut self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    /// A policy, as an object or as text.
    fn policy(&mut self, name: &str) -> Result<Option<String>, String> {
        self.take(name).map(|value| policy_text(name, value)).transpose()
    }

    fn policies(&mut self, name: &str) -> Result<Option<Vec<IdentityPolicy>>, String> {
        let values = match self.take(name) {
            None => return Ok(None),
            Some(Json::Array(values)) => values,
            Some(one) => vec![one],
        };
        let parse = |(index, value)| {
            let text = policy_text(name, value)?;
            IdentityPolicy::parse(&text).map_err(|error| format!("`{name}`, policy {index}: {error}"))
        };
        values.into_iter().enumerate().map(parse).collect::<Result<_, _>>().map(Some)
    }
}

fn policy_text(name: &str, value: Json) -> Result<String, String> {
    match value {
        Json::String(text) => Ok(text),
        Json::Object(_) => Ok(value.to_string()),
        _ => Err(format!("`{name}` must be a policy: an object, or its text as a string")),
    }
}

fn answer(text: &str) -> Result<Json, String> {
    let members = match serde_json::from_str(text) {
        Ok(Strict(Json::Object(members))) => members,
        Ok(_) => return Err("the line is not an object".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let mut members = Members(members);
    let (principal, partition) = principal(&members.needed("principal")?, members.text("role")?.as_deref())?;
    let action_name = members.needed("action")?;
    let action = Action::ALL.iter().copied().find(|action| action.name().eq_ignore_ascii_case(&action_name));
    let action = action.ok_or_else(|| format!("`{action_name}` is not an action of AWS KMS"))?;
    let resource_text = members.text("resource")?.unwrap_or_else(|| "*".to_owned());
    let policies = IdentityPolicies {
        identity: members.policies("identity_policies")?.unwrap_or_default(),
        boundary: match members.policy("boundary")? {
            Some(text) => Some(IdentityPolicy::parse(&text).map_err(|error| format!("`boundary`: {error}"))?),
            None => None,
        },
        session: members.policies("session_policies")?,
    };
    let key_policy = match members.policy("key_policy")? {
        Some(text) => Some(KeyPolicy::parse(&text).map_err(|error| format!("`key_policy`: {error}"))?),
        None => None,
    };
    let facts = Table::read(members.take("context"))?;
    if let Some(name) = members.0.keys().next() {
        return Err(format!("member `{name}` is not known"));
    }
    let target = Target::parse(&resource_text)?;
    let identity = principal.identity_side(&policies, action, &resource_text, &facts);
    let resource = match &target {
        Target::Account => Resource::Account,
        Target::Alias(arn) => Resource::Alias(arn),
        Target::Key(arn) => {
            let policy = key_policy.as_ref().ok_or("`key_policy` is missing")?;
            let question =
                Question { action, facts: &facts, key: arn, key_text: &resource_text, principal: &principal };
            let verdict = policy.decide_key_policy(&question);
            Resource::Key { arn, named: KeyNamed::ByRequest, verdict }
        }
    };
    let request = Request { action, identity, principal: &principal, resource };
    Ok(told(&request, decide(&request), key_policy.as_ref(), &policies, partition))
}

enum Target {
    Account,
    Alias(AliasArn),
    Key(KeyArn),
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Account);
        }
        match KeyReference::parse(text) {
            Ok(KeyReference::Arn(arn)) => Ok(Self::Key(arn)),
            Ok(KeyReference::AliasArn(arn)) => Ok(Self::Alias(arn)),
            Ok(KeyReference::Id(_) | KeyReference::Alias(_)) | Err(_) => {
                Err(format!("`{text}` is not `*`, the ARN of a key or the ARN of an alias"))
            }
        }
    }
}

/// Reads an ARN of a root user, a user or a role's session, or the name of a service. A session's ARN does not say the
/// path of its role: `role` does.
fn principal(text: &str, role: Option<&str>) -> Result<(Principal, Partition), String> {
    let bad = || format!("`{text}` is not the ARN of a root user, a user or an assumed role, nor a service");
    let mut fields = text.splitn(6, ':');
    let (Some("arn"), Some(partition), Some(service), Some(""), Some(account), Some(resource)) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        let is_service = !text.contains(':') && text.contains('.');
        let service = Principal::Service(text.into());
        return is_service.then_some((service, Partition::Aws)).ok_or_else(bad);
    };
    let partitions = [Partition::Aws, Partition::AwsCn, Partition::AwsUsGov];
    let partition = partitions.into_iter().find(|one| one.as_str() == partition).ok_or_else(bad)?;
    let account = AccountId::parse(account).map_err(|error| error.to_string())?;
    let identity = |name: &str| Identity {
        account,
        path_and_name: name.into(),
        unique_id: format!("id of {name}").into(),
    };
    let principal = match (service, resource.split_once('/')) {
        ("iam", None) if resource == "root" => Principal::AccountRoot(account),
        ("iam", Some(("user", name))) if !name.is_empty() => Principal::User(identity(name)),
        ("sts", Some(("assumed-role", rest))) => {
            let (name, session) = rest.split_once('/').ok_or_else(bad)?;
            let role = identity(role.unwrap_or(name));
            if role.name() != name {
                return Err(format!("`role` must end with the name of the session's role, `{name}`"));
            }
            Principal::RoleSession(RoleSession { role, session: session.into() })
        }
        _ => return Err(bad()),
    };
    Ok((principal, partition))
}

/// The context of a line: names in lower case, with their values as texts.
struct Table {
    context: EncryptionContext,
    values: BTreeMap<String, Vec<String>>,
}

impl Table {
    fn read(context: Option<Json>) -> Result<Self, String> {
        let members = match context {
            None => Map::new(),
            Some(Json::Object(members)) => members,
            Some(_) => return Err("`context` must be an object".to_owned()),
        };
        let (mut values, mut pairs) = (BTreeMap::new(), Vec::new());
        for (name, value) in members {
            let texts = texts(&name, value)?;
            let prefix = "kms:encryptioncontext:";
            match name.split_at_checked(prefix.len()) {
                Some((start, key)) if start.eq_ignore_ascii_case(prefix) => {
                    match <[String; 1]>::try_from(texts) {
                        Ok([value]) => pairs.push((key.to_owned(), value)),
                        Err(_) => return Err(format!("`{name}` must have one value")),
                    }
                }
                _ => _ = values.insert(name.to_ascii_lowercase(), texts),
            }
        }
        let context = EncryptionContext::new(pairs).map_err(|error| error.to_string())?;
        Ok(Self { context, values })
    }
}

fn texts(name: &str, value: Json) -> Result<Vec<String>, String> {
    match value {
        Json::Array(values) => {
            let nested: Result<Vec<_>, _> = values.into_iter().map(|value| texts(name, value)).collect();
            Ok(nested?.into_iter().flatten().collect())
        }
        Json::String(text) => Ok(vec![text]),
        Json::Bool(_) | Json::Number(_) => Ok(vec![value.to_string()]),
        Json::Null | Json::Object(_) => {
            Err(format!("`{name}` must be a string, a number, a boolean or a list"))
        }
    }
}

impl Facts for Table {
    fn find<'a>(&'a self, key: &'a ConditionKey) -> Found<'a> {
        let name = match key {
            ConditionKey::EncryptionContext(_) => return Found::Absent,
            ConditionKey::Known(known) => known.name().to_ascii_lowercase(),
            ConditionKey::Other(name) => name.to_string(),
            ConditionKey::PrincipalTag(tag) => format!("aws:principaltag/{}", tag.to_ascii_lowercase()),
            ConditionKey::RecipientAttestation(part) => format!("kms:recipientattestation:{part}"),
            ConditionKey::RequestTag(tag) => format!("aws:requesttag/{}", tag.to_ascii_lowercase()),
            ConditionKey::ResourceTag(tag) => format!("aws:resourcetag/{}", tag.to_ascii_lowercase()),
        };
        match self.values.get(&name).map(Vec::as_slice) {
            Some([one]) => Found::One(Value::Text(one)),
            Some(several) => Found::Many(Many::Texts(several)),
            None if name == "kms:encryptioncontextkeys" => Found::Many(Many::ContextKeys(&self.context)),
            None => Found::Absent,
        }
    }

    fn encryption_context(&self) -> Option<&EncryptionContext> {
        Some(&self.context)
    }
}

/// The decision and its reason.
fn told(
    request: &Request<'_>,
    decision: Decision,
    key_policy: Option<&KeyPolicy>,
    policies: &IdentityPolicies,
    partition: Partition,
) -> Json {
    let of_key = |statement: usize| {
        let sid = key_policy.and_then(|policy| policy.sid(statement));
        json!({ "policy": "key_policy", "statement": statement, "sid": sid })
    };
    let of = |name: &str, all: &[IdentityPolicy], place: StatementPlace| {
        let sid = all.get(place.policy).and_then(|policy| policy.sid(place.statement));
        json!({ "policy": name, "index": place.policy, "statement": place.statement, "sid": sid })
    };
    let of_identity = |place| of("identity_policies", &policies.identity, place);
    let boundary = policies.boundary.as_slice();
    let session = policies.session.as_deref().unwrap_or_default();
    let reason = match decision {
        Decision::Allow(reason) => {
            let by: Vec<Json> = match reason {
                AllowReason::Grant => Vec::new(),
                AllowReason::Identity(place) => place.map(of_identity).into_iter().collect(),
                AllowReason::KeyPolicy { statement } => vec![of_key(statement)],
                AllowReason::KeyPolicyAndIdentity { statement, identity } => {
                    [of_key(statement)].into_iter().chain(identity.map(of_identity)).collect()
                }
            };
            return json!({ "decision": "allow", "allowed_by": by });
        }
        Decision::Deny(reason) => reason,
    };
    let message = AccessDenied::new(&request.principal.arn(partition), request, reason).to_string();
    let denied_by = match reason {
        DenyReason::ExplicitDenyInBoundary(place) => Some(of("boundary", boundary, place)),
        DenyReason::ExplicitDenyInIdentityPolicy(place) => Some(of_identity(place)),
        DenyReason::ExplicitDenyInKeyPolicy { statement } => Some(of_key(statement)),
        DenyReason::ExplicitDenyInSessionPolicy(place) => Some(of("session_policies", session, place)),
        DenyReason::ForeignKey
        | DenyReason::NoBoundaryAllows
        | DenyReason::NoIdentityPolicyAllows
        | DenyReason::NoKeyPolicyAllows
        | DenyReason::NoSessionPolicyAllows => None,
    };
    let missing = match reason {
        DenyReason::ForeignKey => Some("key_policy of the other account"),
        DenyReason::NoBoundaryAllows => Some("boundary"),
        DenyReason::NoIdentityPolicyAllows => Some("identity_policies"),
        DenyReason::NoKeyPolicyAllows => Some("key_policy"),
        DenyReason::NoSessionPolicyAllows => Some("session_policies"),
        DenyReason::ExplicitDenyInBoundary(_)
        | DenyReason::ExplicitDenyInIdentityPolicy(_)
        | DenyReason::ExplicitDenyInKeyPolicy { .. }
        | DenyReason::ExplicitDenyInSessionPolicy(_) => None,
    };
    let mut answer = json!({ "decision": "deny", "message": message });
    if let (Some(object), Some(denied_by)) = (answer.as_object_mut(), denied_by) {
        object.insert("denied_by".to_owned(), denied_by);
    }
    if let (Some(object), Some(missing)) = (answer.as_object_mut(), missing) {
        object.insert("no_allow_in".to_owned(), json!(missing));
    }
    answer
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
}

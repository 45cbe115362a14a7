//! What conditions are asked about.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use strongroom_policy::{ConditionKey, Facts, Found, Many, Principal, Value};
use strongroom_types::{EncryptionContext, Partition};

/// The context of a line: names in lower case, with their values as texts.
pub(super) struct Table {
    pub(super) context: EncryptionContext,
    values: BTreeMap<String, Vec<String>>,
}

impl Table {
    pub(super) fn read(
        context: Option<Json>,
        principal: &Principal,
        partition: Partition,
    ) -> Result<Self, String> {
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
        for (name, value) in said_by(principal, partition) {
            values.entry(name.to_owned()).or_insert_with(|| vec![value]);
        }
        let context = EncryptionContext::new(pairs).map_err(|error| error.to_string())?;
        Ok(Self { context, values })
    }
}

/// What the principal says of itself, where the context does not say otherwise.
fn said_by(principal: &Principal, partition: Partition) -> Vec<(&'static str, String)> {
    let (kind, user) = match principal {
        Principal::AccountRoot(_) => (Some("Account"), None),
        Principal::Operator | Principal::Service(_) => (None, None),
        Principal::RoleSession(_) => (Some("AssumedRole"), None),
        Principal::User(user) => (Some("User"), Some(user.name().to_owned())),
    };
    let account = principal.account().map(|account| account.to_string());
    let is_service = matches!(principal, Principal::Service(_));
    let facts = [
        ("aws:principalaccount", account.clone()),
        ("aws:principalarn", account.as_ref().map(|_| principal.policy_arn(partition))),
        ("aws:principalisawsservice", Some(is_service.to_string())),
        ("aws:principaltype", kind.map(str::to_owned)),
        ("aws:username", user),
        ("kms:calleraccount", account),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
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

impl Table {
    /// The one value of a key, by its name in lower case.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        match self.values.get(name).map(Vec::as_slice) {
            Some([one]) => Some(one),
            Some(_) | None => None,
        }
    }
}

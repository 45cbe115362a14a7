//! The service as its users see it, small: accounts and regions, keys and what is said of them, aliases. It is written
//! from AWS's documentation (KMS API reference and developer guide: "Key states", "Key policies", "Aliases", "Tags") and
//! docs/divergences.md, not from the service's code, and knows nothing of rows, caches and commits.
//!
//! Where AWS does not say which of two refusals comes first, either is expected. The order that it does show is: the form
//! of the request, then which key is meant, then whether the caller may, then the algorithm, then the key's state, then
//! what the operation itself asks for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use strongroom_types::RequestId;

use crate::common::{EU, OWNER, STRANGER, US, base64};
use crate::policies::{self, Judgement};
use crate::scene::{Given, Marker, Position, Scene};
use crate::steps::*;

const ALIASES_MAX: usize = 50;
const TAGS_MAX: usize = 50;
const DAY_MILLIS: u64 = 86_400_000;

impl Who {
    pub(crate) fn account(self) -> Option<&'static str> {
        match self {
            OwnerUs | OwnerEu => Some(OWNER),
            StrangerUs | StrangerEu => Some(STRANGER),
            OperatorUs => None,
        }
    }

    pub(crate) fn region(self) -> &'static str {
        match self {
            OwnerUs | StrangerUs | OperatorUs => US,
            OwnerEu | StrangerEu => EU,
        }
    }
}

pub(crate) fn other_account(account: Option<&str>) -> &'static str {
    if account == Some(OWNER) { STRANGER } else { OWNER }
}

pub(crate) fn other_region(region: &str) -> &'static str {
    if region == US { EU } else { US }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Disabled,
    Enabled,
    /// Until this moment.
    Pending(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyFacts {
    pub(crate) region: &'static str,
    pub(crate) account: &'static str,
    created: u64,
    description: String,
    policy: Policy,
    state: State,
    tags: BTreeMap<String, String>,
    /// The last use: when, by what, in which request.
    used: Option<(u64, &'static str, Option<RequestId>)>,
}

impl KeyFacts {
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending(_))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AliasFacts {
    target: String,
    created: u64,
    updated: u64,
}

/// Region, account, name.
type AliasPlace = (&'static str, &'static str, String);

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Model {
    keys: BTreeMap<String, KeyFacts>,
    aliases: BTreeMap<AliasPlace, AliasFacts>,
    /// Keys that were destroyed.
    pub(crate) destroyed: BTreeSet<String>,
    /// Changes that were done although their requests were told that something went wrong.
    pub(crate) done_nevertheless: BTreeSet<RequestId>,
}

/// What is expected of a request: the answer, or one of these errors (without `Exception`).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expected {
    Answer(Value),
    Refusal(&'static [&'static str]),
}

type Refused = &'static [&'static str];
type Outcome = Result<Value, Refused>;

const ACCESS_DENIED: Refused = &["AccessDenied"];
const ALREADY_EXISTS: Refused = &["AlreadyExists"];
const DISABLED: Refused = &["Disabled"];
const DRY_RUN: Refused = &["DryRunOperation"];
const INCORRECT_KEY: Refused = &["IncorrectKey"];
const INVALID_ARN: Refused = &["InvalidArn"];
const INVALID_CIPHERTEXT: Refused = &["InvalidCiphertext"];
const INVALID_GRANT_TOKEN: Refused = &["InvalidGrantToken"];
const INVALID_KEY_USAGE: Refused = &["InvalidKeyUsage"];
const INVALID_MARKER: Refused = &["InvalidMarker"];
const INVALID_STATE: Refused = &["KMSInvalidState"];
const LIMIT_EXCEEDED: Refused = &["LimitExceeded"];
const NOT_AUTHORIZED: Refused = &["NotAuthorized"];
const NOT_FOUND: Refused = &["NotFound"];
const TAG: Refused = &["Tag"];
const UNSUPPORTED: Refused = &["UnsupportedOperation"];
const VALIDATION: Refused = &["Validation"];

/// What an operation has found out before it does anything.
struct Asking<'a> {
    who: Who,
    scene: &'a Scene,
    given: &'a Given,
}

impl Model {
    /// What the request does, and what is to be answered.
    pub(crate) fn ask(&mut self, who: Who, op: &Op, scene: &Scene, given: &Given) -> Expected {
        let mut after = self.clone();
        match after.outcome(&Asking { who, scene, given }, op) {
            Ok(answer) => {
                *self = after;
                Expected::Answer(answer)
            }
            Err(refusal) => Expected::Refusal(refusal),
        }
    }

    pub(crate) fn key(&self, id: &str) -> Option<&KeyFacts> {
        self.keys.get(id)
    }

    /// What an alias of the caller's names.
    pub(crate) fn target(&self, who: Who, name: u8) -> Option<String> {
        let place = (who.region(), who.account()?, alias_name(name));
        self.aliases.get(&place).map(|alias| alias.target.clone())
    }

    /// Lets an alias of the caller's name this key, as it did when somebody looked.
    pub(crate) fn point(&mut self, who: Who, name: u8, target: &str) {
        let place = (who.region(), who.account().unwrap_or(OWNER), alias_name(name));
        self.aliases.insert(place, AliasFacts { target: target.to_owned(), created: 0, updated: 0 });
    }

    /// The keys that are pending deletion and due by then.
    pub(crate) fn due(&self, settled: u64) -> Vec<String> {
        let is_due = |key: &KeyFacts| matches!(key.state, State::Pending(date) if date <= settled);
        self.keys.iter().filter(|(_, key)| is_due(key)).map(|(id, _)| id.clone()).collect()
    }

    /// Material, metadata and aliases go together.
    pub(crate) fn destroy(&mut self, id: &str) {
        self.keys.remove(id);
        self.aliases.retain(|_, alias| alias.target != id);
        self.destroyed.insert(id.to_owned());
    }

    fn outcome(&mut self, asking: &Asking<'_>, op: &Op) -> Outcome {
        match *op {
            CancelKeyDeletion(key) => self.cancel(asking, key),
            CreateAlias(alias, key) => self.create_alias(asking, alias, key),
            CreateKey { policy, bypass, text, tags, kind, .. } => {
                self.create_key(asking, policy, bypass, text, tags, kind)
            }
            Decrypt { blob, key, context, mode, damage } => {
                self.decrypt(asking, blob, key, context, mode, damage)
            }
            DeleteAlias(alias) => self.delete_alias(asking, alias),
            DescribeKey(key) => self.describe(asking, key),
            DisableKey(key) => self.switch(asking, key, "DisableKey", State::Disabled),
            EnableKey(key) => self.switch(asking, key, "EnableKey", State::Enabled),
            Encrypt { key, size, mode, .. } => self.encrypt(asking, key, size, mode),
            GenerateDataKey { key, size, mode, plain, .. } => self.data_key(asking, key, size, mode, plain),
            GenerateRandom(size) => generate_random(asking, size),
            GetCallerIdentity => Ok(identity(asking.who)),
            GetKeyLastUsage(key) => self.last_usage(asking, key),
            GetKeyPolicy(key) => self.get_policy(asking, key),
            ListAliases(key, page) => self.list_aliases(asking, key, page),
            ListKeyPolicies(key) => {
                self.allowed(asking, key, "ListKeyPolicies")?;
                Ok(json!({ "PolicyNames": ["default"], "Truncated": false }))
            }
            ListKeys(page) => self.list_keys(asking, page),
            ListResourceTags(key, page) => self.list_tags(asking, key, page),
            OddRequest(odd) => Err(odd_refusal(odd)),
            PutKeyPolicy(key, policy, bypass) => self.put_policy(asking, key, policy, bypass),
            ReEncrypt { blob, from, to, contexts, mode, .. } => {
                self.re_encrypt(asking, blob, from, to, contexts.0, mode)
            }
            ScheduleKeyDeletion(key, days) => self.schedule(asking, key, days),
            TagResource(key, tags) => self.tag(asking, key, tags),
            UntagResource(key, tags) => self.untag(asking, key, tags),
            UpdateAlias(alias, key) => self.update_alias(asking, alias, key),
            UpdateKeyDescription(key, text) => {
                check_text(text)?;
                let id = self.allowed(asking, key, "UpdateKeyDescription")?;
                self.check_editable(&id)?;
                self.facts(&id).description = description(text);
                Ok(Value::Null)
            }
        }
    }

    fn facts(&mut self, id: &str) -> &mut KeyFacts {
        self.keys.get_mut(id).expect("the key was found")
    }

    // ---- which key is meant

    fn find(&self, asking: &Asking<'_>, key: Key, takes_aliases: bool) -> Result<String, Refused> {
        let Asking { who, scene, .. } = asking;
        let account = who.account();
        match key {
            NoId => Err(NOT_FOUND),
            NoArn => Err(INVALID_ARN),
            ArnElsewhere(_) | ByAliasArnElsewhere(_) => Err(NOT_FOUND),
            ByAlias(_) | ByAliasArn(_) | ByAliasArnOfOther(_) if !takes_aliases => Err(NOT_FOUND),
            Id(slot) => {
                let account = account.ok_or(ACCESS_DENIED)?;
                self.find_key(*who, account, scene.key_id(slot))
            }
            // The ARN is the key's own; of an empty slot, one in the caller's account and region.
            Arn(slot) => {
                let home = scene.home(slot, *who);
                if home.region != who.region() {
                    return Err(NOT_FOUND);
                }
                self.find_key(*who, home.account, scene.key_id(slot))
            }
            ArnOfOther(slot) => {
                let home = scene.home(slot, *who);
                if home.region != who.region() {
                    return Err(NOT_FOUND);
                }
                self.find_key(*who, other_account(Some(home.account)), scene.key_id(slot))
            }
            ByAlias(name) => self.find_alias(*who, account.ok_or(ACCESS_DENIED)?, name),
            ByAliasArn(name) => self.find_alias(*who, account.unwrap_or(OWNER), name),
            ByAliasArnOfOther(name) => self.find_alias(*who, other_account(account), name),
        }
    }

    /// Of its own account a caller learns that a key does not exist, of another one nothing.
    fn find_key(&self, who: Who, account: &str, id: &str) -> Result<String, Refused> {
        match self.keys.get(id) {
            Some(key) if key.account == account && key.region == who.region() => Ok(id.to_owned()),
            _ if who.account() == Some(account) => Err(NOT_FOUND),
            _ => Err(ACCESS_DENIED),
        }
    }

    fn find_alias(&self, who: Who, account: &'static str, name: u8) -> Result<String, Refused> {
        match self.aliases.get(&(who.region(), account, alias_name(name))) {
            Some(alias) => Ok(alias.target.clone()),
            None if who.account() == Some(account) => Err(NOT_FOUND),
            None => Err(ACCESS_DENIED),
        }
    }

    // ---- whether the caller may

    fn may(&self, who: Who, id: &str, action: &str) -> Result<(), Refused> {
        let key = &self.keys[id];
        let caller = who.account().ok_or(ACCESS_DENIED)?;
        if caller != key.account && !ACROSS_ACCOUNTS.contains(&action) {
            return Err(ACCESS_DENIED);
        }
        match policies::judge(key.policy, key.account, caller, action) {
            Judgement::Allow => Ok(()),
            Judgement::Deny | Judgement::Nothing => Err(ACCESS_DENIED),
        }
    }

    /// The key itself, for an operation that takes no alias.
    fn allowed(&self, asking: &Asking<'_>, key: Key, action: &str) -> Result<String, Refused> {
        let id = self.find(asking, key, false)?;
        self.may(asking.who, &id, action)?;
        Ok(id)
    }

    fn allowed_by_any_name(&self, asking: &Asking<'_>, key: Key, action: &str) -> Result<String, Refused> {
        let id = self.find(asking, key, true)?;
        self.may(asking.who, &id, action)?;
        Ok(id)
    }

    // ---- what the key's state lets through

    fn check_usable(&self, id: &str) -> Result<(), Refused> {
        match self.keys[id].state {
            State::Enabled => Ok(()),
            State::Disabled => Err(DISABLED),
            State::Pending(_) => Err(INVALID_STATE),
        }
    }

    fn check_editable(&self, id: &str) -> Result<(), Refused> {
        match self.keys[id].state {
            State::Enabled | State::Disabled => Ok(()),
            State::Pending(_) => Err(INVALID_STATE),
        }
    }

    // ---- keys

    fn create_key(
        &mut self,
        asking: &Asking<'_>,
        policy: Policy,
        bypass: bool,
        text: Text,
        tags: Tags,
        kind: Kind,
    ) -> Outcome {
        check_text(text)?;
        let account = asking.who.account().ok_or(ACCESS_DENIED)?;
        let region = asking.who.region();
        match kind {
            Symmetric => {}
            External | MultiRegion => return Err(UNSUPPORTED),
            WrongUsage => return Err(VALIDATION),
        }
        let tags = read_tags(tags);
        let policy_fault = policies::fault(policy, account, account, bypass);
        let tags = match (tags, policy_fault) {
            (Ok(tags), None) => tags,
            (Err(_), None) => return Err(TAG),
            (Ok(_), Some(fault)) => return Err(fault),
            (Err(_), Some(_)) => {
                return Err(&["Tag", "MalformedPolicyDocument", "LimitExceeded", "UnsupportedOperation"]);
            }
        };
        let created = asking.scene.now;
        let state = State::Enabled;
        let description = description(text);
        let id = asking.given.key_id.clone();
        let facts = KeyFacts { region, account, created, description, policy, state, tags, used: None };
        self.keys.insert(id.clone(), facts);
        Ok(json!({ "KeyMetadata": self.metadata(&id) }))
    }

    fn metadata(&self, id: &str) -> Value {
        let key = &self.keys[id];
        let mut metadata = json!({
            "AWSAccountId": key.account,
            "Arn": self.arn(id),
            "CreationDate": seconds(key.created),
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "Description": key.description,
            "Enabled": key.state == State::Enabled,
            "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
            "KeyId": id,
            "KeyManager": "CUSTOMER",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyState": match key.state {
                State::Disabled => "Disabled",
                State::Enabled => "Enabled",
                State::Pending(_) => "PendingDeletion",
            },
            "KeyUsage": "ENCRYPT_DECRYPT",
            "MultiRegion": false,
            "Origin": "AWS_KMS",
        });
        if let State::Pending(date) = key.state {
            metadata["DeletionDate"] = seconds(date);
        }
        metadata
    }

    fn arn(&self, id: &str) -> String {
        let key = &self.keys[id];
        format!("arn:aws:kms:{}:{}:key/{id}", key.region, key.account)
    }

    fn describe(&self, asking: &Asking<'_>, key: Key) -> Outcome {
        let id = self.allowed_by_any_name(asking, key, "DescribeKey")?;
        Ok(json!({ "KeyMetadata": self.metadata(&id) }))
    }

    fn switch(&mut self, asking: &Asking<'_>, key: Key, action: &str, state: State) -> Outcome {
        let id = self.allowed(asking, key, action)?;
        self.check_editable(&id)?;
        self.facts(&id).state = state;
        Ok(Value::Null)
    }

    fn schedule(&mut self, asking: &Asking<'_>, key: Key, days: u16) -> Outcome {
        let days = if days == 0 { 30 } else { u64::from(days) };
        if !(7..=30).contains(&days) {
            return Err(VALIDATION);
        }
        let id = self.allowed(asking, key, "ScheduleKeyDeletion")?;
        self.check_editable(&id)?;
        let date = asking.scene.now + days * DAY_MILLIS;
        self.facts(&id).state = State::Pending(date);
        Ok(json!({
            "DeletionDate": seconds(date),
            "KeyId": self.arn(&id),
            "KeyState": "PendingDeletion",
            "PendingWindowInDays": days,
        }))
    }

    fn cancel(&mut self, asking: &Asking<'_>, key: Key) -> Outcome {
        let id = self.allowed(asking, key, "CancelKeyDeletion")?;
        let State::Pending(_) = self.keys[&id].state else { return Err(INVALID_STATE) };
        self.facts(&id).state = State::Disabled;
        Ok(json!({ "KeyId": self.arn(&id) }))
    }

    fn list_keys(&self, asking: &Asking<'_>, page: Page) -> Outcome {
        let account = asking.who.account().ok_or(ACCESS_DENIED)?;
        let region = asking.who.region();
        let (size, after) = turn(asking, page, 100, 1000, Position::keys(account, region))?;
        let own = self.keys.iter().filter(|(_, key)| key.account == account && key.region == region);
        let rest = own.map(|(id, _)| id).filter(|id| after.as_ref().is_none_or(|after| *id > after));
        let entry = |id: &&String| json!({ "KeyArn": self.arn(id), "KeyId": id });
        Ok(page_of("Keys", rest.collect::<Vec<_>>().iter().map(entry).collect(), size))
    }

    // ---- uses

    /// The key was used. When the clock was set back, an earlier use is not the last one.
    fn used(&mut self, asking: &Asking<'_>, id: &str, operation: &'static str) {
        let (now, request_id) = (asking.scene.now, asking.given.request_id);
        let used = &mut self.facts(id).used;
        if used.is_none_or(|(at, ..)| at <= now) {
            *used = Some((now, operation, request_id));
        }
    }

    fn last_usage(&self, asking: &Asking<'_>, key: Key) -> Outcome {
        let id = self.allowed(asking, key, "GetKeyLastUsage")?;
        let key = &self.keys[&id];
        let usage = key.used.map_or_else(
            || json!({}),
            |(at, operation, request_id)| {
                json!({
                    "KmsRequestId": request_id.map(|id| id.to_string()),
                    "Operation": operation,
                    "Timestamp": seconds(at),
                })
            },
        );
        Ok(json!({ "KeyCreationDate": seconds(key.created), "KeyId": id, "KeyLastUsage": usage }))
    }

    // ---- policies

    fn get_policy(&self, asking: &Asking<'_>, key: Key) -> Outcome {
        let id = self.allowed(asking, key, "GetKeyPolicy")?;
        let key = &self.keys[&id];
        Ok(json!({ "Policy": policies::text(key.policy, key.account), "PolicyName": "default" }))
    }

    fn put_policy(&mut self, asking: &Asking<'_>, key: Key, policy: Policy, bypass: bool) -> Outcome {
        let id = self.allowed(asking, key, "PutKeyPolicy")?;
        let account = self.keys[&id].account;
        if let Some(fault) = policies::fault(policy, account, account, bypass) {
            return Err(fault);
        }
        self.facts(&id).policy = policy;
        Ok(Value::Null)
    }

    // ---- tags

    fn tag(&mut self, asking: &Asking<'_>, key: Key, tags: Tags) -> Outcome {
        let id = self.allowed(asking, key, "TagResource")?;
        self.check_editable(&id)?;
        let new = read_tags(tags)?;
        let tags = &mut self.facts(&id).tags;
        tags.extend(new);
        if tags.len() > TAGS_MAX { Err(TAG) } else { Ok(Value::Null) }
    }

    fn untag(&mut self, asking: &Asking<'_>, key: Key, tags: Tags) -> Outcome {
        let id = self.allowed(asking, key, "UntagResource")?;
        self.check_editable(&id)?;
        match tags {
            Range(from, count, _) => {
                for number in from..from + count {
                    self.facts(&id).tags.remove(&tag_name(number));
                }
                Ok(Value::Null)
            }
            // A name twice is no fault here, and is one that no key has.
            TwiceTheSame => Ok(Value::Null),
            ReservedTag | WrongAlphabet => Err(TAG),
        }
    }

    fn list_tags(&self, asking: &Asking<'_>, key: Key, page: Page) -> Outcome {
        // The limit is a matter of form, the marker one of the list that is meant.
        check_limit(page, 50)?;
        let id = self.allowed(asking, key, "ListResourceTags")?;
        let list = Position::tags(asking.who.region(), &id);
        let (size, after) = turn(asking, page, 50, 50, list)?;
        let tags =
            self.keys[&id].tags.iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
        Ok(page_of(
            "Tags",
            tags.map(|(name, value)| json!({ "TagKey": name, "TagValue": value })).collect(),
            size,
        ))
    }

    // ---- aliases

    fn create_alias(&mut self, asking: &Asking<'_>, alias: Alias, key: Key) -> Outcome {
        let place = alias_place(asking.who, alias)?;
        let id = self.alias_target(asking, key)?;
        self.may(asking.who, &id, "CreateAlias")?;
        self.check_editable(&id)?;
        if self.aliases.contains_key(&place) {
            return Err(ALREADY_EXISTS);
        }
        if self.aliases_of(&id) == ALIASES_MAX {
            return Err(LIMIT_EXCEEDED);
        }
        let now = asking.scene.now;
        self.aliases.insert(place, AliasFacts { target: id, created: now, updated: now });
        Ok(Value::Null)
    }

    fn aliases_of(&self, id: &str) -> usize {
        self.aliases.values().filter(|alias| alias.target == id).count()
    }

    /// An alias is no target of an alias, whatever it is the alias of.
    fn alias_target(&self, asking: &Asking<'_>, key: Key) -> Result<String, Refused> {
        match key {
            ByAlias(_) | ByAliasArn(_) | ByAliasArnOfOther(_) | ByAliasArnElsewhere(_) => Err(VALIDATION),
            key => self.find(asking, key, false),
        }
    }

    fn update_alias(&mut self, asking: &Asking<'_>, alias: Alias, key: Key) -> Outcome {
        let place = alias_place(asking.who, alias)?;
        let old = self.aliases.get(&place).map(|alias| alias.target.clone());
        let new = self.alias_target(asking, key);
        let (old, new) = match (old, new) {
            (Some(old), Ok(new)) => (old, new),
            (None, Ok(_)) => return Err(NOT_FOUND),
            (Some(_), Err(refusal)) => return Err(refusal),
            // Which of the two is told is nobody's matter.
            (None, Err(_)) => return Err(&["NotFound", "Validation", "InvalidArn", "AccessDenied"]),
        };
        self.may(asking.who, &old, "UpdateAlias")?;
        self.may(asking.who, &new, "UpdateAlias")?;
        self.check_editable(&new)?;
        if old != new && self.aliases_of(&new) == ALIASES_MAX {
            return Err(LIMIT_EXCEEDED);
        }
        let alias = self.aliases.get_mut(&place).expect("the alias was found");
        (alias.target, alias.updated) = (new, asking.scene.now);
        Ok(Value::Null)
    }

    fn delete_alias(&mut self, asking: &Asking<'_>, alias: Alias) -> Outcome {
        let place = alias_place(asking.who, alias)?;
        let target = self.aliases.get(&place).ok_or(NOT_FOUND)?.target.clone();
        self.may(asking.who, &target, "DeleteAlias")?;
        self.aliases.remove(&place);
        Ok(Value::Null)
    }

    fn list_aliases(&self, asking: &Asking<'_>, key: Option<Key>, page: Page) -> Outcome {
        let who = asking.who;
        let account = who.account().ok_or(ACCESS_DENIED)?;
        check_limit(page, 100)?;
        let of_key = match key {
            // No marker, a good one or a bad one: what is told first of a bad key and a bad marker is not said.
            Some(key) => Some(self.find(asking, key, false).map_err(|refusal| match page {
                First(_) => refusal,
                Next(_) | Forged => &["NotFound", "InvalidArn", "AccessDenied", "InvalidMarker"],
            })?),
            None => None,
        };
        // It lists what is the account's, by its identity policies alone.
        if let Some(id) = &of_key
            && self.keys[id].account != account
        {
            return Err(if matches!(page, First(_)) {
                ACCESS_DENIED
            } else {
                &["AccessDenied", "InvalidMarker"]
            });
        }
        let spelled = key.map(|key| asking.scene.spell(who, key));
        let place = Position::aliases(account, who.region(), spelled.as_deref());
        let (size, after) = turn(asking, page, 50, 100, place)?;
        let mut entries = Vec::new();
        for ((region, of, name), alias) in &self.aliases {
            let is_meant = *region == who.region() && *of == account;
            if is_meant
                && of_key.as_ref().is_none_or(|id| *id == alias.target)
                && after.as_ref().is_none_or(|after| name > after)
            {
                entries.push(json!({
                    "AliasArn": format!("arn:aws:kms:{region}:{of}:{name}"),
                    "AliasName": name,
                    "CreationDate": seconds(alias.created),
                    "LastUpdatedDate": seconds(alias.updated),
                    "TargetKeyId": alias.target,
                }));
            }
        }
        Ok(page_of("Aliases", entries, size))
    }

    // ---- cryptography

    fn encrypt(&mut self, asking: &Asking<'_>, key: Key, size: u16, mode: Mode) -> Outcome {
        if !(1..=4096).contains(&size) {
            return Err(VALIDATION);
        }
        let id = self.allowed_by_any_name(asking, key, "Encrypt")?;
        if mode == WithToken {
            return Err(INVALID_GRANT_TOKEN);
        }
        if mode == OtherAlgorithm {
            return Err(INVALID_KEY_USAGE);
        }
        self.check_usable(&id)?;
        if mode == DryRun {
            return Err(DRY_RUN);
        }
        self.used(asking, &id, "Encrypt");
        Ok(json!({ "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "KeyId": self.arn(&id) }))
    }

    /// The key that a blob is to be opened with: the one that is named, or else the one that the blob names.
    fn source(
        &self,
        asking: &Asking<'_>,
        blob: u8,
        key: Option<Key>,
        damage: Damage,
        action: &str,
    ) -> Result<String, Refused> {
        let id = match key {
            Some(key) => self.find(asking, key, true)?,
            None => {
                let known = asking.scene.blob(blob).filter(|_| damage != Cut);
                let named = &known.ok_or(INVALID_CIPHERTEXT)?.key_id;
                // No region is in a blob: a key of another region is as unknown as one that never was.
                let key = self.keys.get(named).filter(|key| key.region == asking.who.region());
                key.ok_or(ACCESS_DENIED)?;
                named.clone()
            }
        };
        self.may(asking.who, &id, action)?;
        Ok(id)
    }

    fn open(
        &self,
        asking: &Asking<'_>,
        id: &str,
        blob: u8,
        context: u8,
        damage: Damage,
    ) -> Result<Vec<u8>, Refused> {
        let blob = asking.scene.blob(blob).filter(|_| damage != Cut).ok_or(INVALID_CIPHERTEXT)?;
        if blob.key_id != id {
            return Err(INCORRECT_KEY);
        }
        if blob.context != context || damage == Flipped {
            return Err(INVALID_CIPHERTEXT);
        }
        Ok(blob.plaintext.clone())
    }

    fn decrypt(
        &mut self,
        asking: &Asking<'_>,
        blob: u8,
        key: Option<Key>,
        context: u8,
        mode: Mode,
        damage: Damage,
    ) -> Outcome {
        match mode {
            OtherAlgorithm if key.is_none() => return Err(VALIDATION),
            DryRun | OtherAlgorithm | Plain | WithToken => {}
        }
        let id = self.source(asking, blob, key, damage, "Decrypt")?;
        if mode == WithToken {
            return Err(INVALID_GRANT_TOKEN);
        }
        if mode == OtherAlgorithm {
            return Err(INVALID_KEY_USAGE);
        }
        self.check_usable(&id)?;
        let plaintext = self.open(asking, &id, blob, context, damage)?;
        if mode == DryRun {
            return Err(DRY_RUN);
        }
        self.used(asking, &id, "Decrypt");
        Ok(json!({
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "KeyId": self.arn(&id),
            "Plaintext": base64(&plaintext),
        }))
    }

    fn re_encrypt(
        &mut self,
        asking: &Asking<'_>,
        blob: u8,
        from: Option<Key>,
        to: Key,
        context: u8,
        mode: Mode,
    ) -> Outcome {
        match mode {
            OtherAlgorithm if from.is_none() => return Err(VALIDATION),
            DryRun | OtherAlgorithm | Plain | WithToken => {}
        }
        let both: Refused = &["AccessDenied", "NotFound", "InvalidArn", "InvalidCiphertext"];
        let source = self.source(asking, blob, from, Whole, "ReEncryptFrom");
        let destination = self.allowed_by_any_name(asking, to, "ReEncryptTo");
        let (source, destination) = match (source, destination) {
            (Ok(source), Ok(destination)) => (source, destination),
            (Err(refusal), Ok(_)) | (Ok(_), Err(refusal)) => return Err(refusal),
            (Err(_), Err(_)) => return Err(both),
        };
        if mode == WithToken {
            return Err(INVALID_GRANT_TOKEN);
        }
        if mode == OtherAlgorithm {
            return Err(INVALID_KEY_USAGE);
        }
        match (self.check_usable(&source), self.check_usable(&destination)) {
            (Ok(()), Ok(())) => {}
            (Err(refusal), Ok(())) | (Ok(()), Err(refusal)) => return Err(refusal),
            (Err(_), Err(_)) => return Err(&["Disabled", "KMSInvalidState"]),
        }
        self.open(asking, &source, blob, context, Whole)?;
        if mode == DryRun {
            return Err(DRY_RUN);
        }
        self.used(asking, &source, "ReEncrypt");
        self.used(asking, &destination, "ReEncrypt");
        Ok(json!({
            "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "KeyId": self.arn(&destination),
            "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "SourceKeyId": self.arn(&source),
        }))
    }

    fn data_key(&mut self, asking: &Asking<'_>, key: Key, size: Size, mode: Mode, plain: bool) -> Outcome {
        if size == Bytes(0) || matches!(size, Bytes(size) if size > 1024) {
            return Err(VALIDATION);
        }
        let action = if plain { "GenerateDataKey" } else { "GenerateDataKeyWithoutPlaintext" };
        let is_good = !matches!(size, Both | Neither);
        // Whether the sizes are a matter of the request's form is not said.
        let id = self.allowed_by_any_name(asking, key, action).map_err(|refusal| {
            if is_good {
                refusal
            } else {
                &["Validation", "NotFound", "AccessDenied", "InvalidArn"] as Refused
            }
        })?;
        if mode == WithToken {
            return Err(INVALID_GRANT_TOKEN);
        }
        match self.check_usable(&id) {
            Ok(()) if !is_good => return Err(VALIDATION),
            Err(_) if !is_good => return Err(&["Validation", "Disabled", "KMSInvalidState"]),
            usable => usable?,
        }
        if mode == DryRun {
            return Err(DRY_RUN);
        }
        self.used(asking, &id, action);
        Ok(json!({ "KeyId": self.arn(&id) }))
    }
}

/// The permissions that a key's account can give to another account.
const ACROSS_ACCOUNTS: [&str; 7] = [
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
];

fn generate_random(asking: &Asking<'_>, size: u16) -> Outcome {
    if !(1..=1024).contains(&size) {
        return Err(VALIDATION);
    }
    asking.who.account().ok_or(ACCESS_DENIED)?;
    Ok(json!({}))
}

fn identity(who: Who) -> Value {
    match who.account() {
        Some(account) => json!({
            "Account": account, "Arn": format!("arn:aws:iam::{account}:root"), "UserId": account,
        }),
        None => json!({ "Account": "", "Arn": "arn:aws:strongroom:::operator", "UserId": "operator" }),
    }
}

fn odd_refusal(odd: Odd) -> Refused {
    match odd {
        MemberMissing => VALIDATION,
        MemberTwice | NoJson => &["Serialization"],
        NoOperation => &["UnknownOperation"],
        NotBuilt => UNSUPPORTED,
        OtherRegion | OtherSecret | TooOld => &["InvalidSignature"],
    }
}

/// The part of an alias operation that is about the alias's name.
fn alias_place(who: Who, alias: Alias) -> Result<AliasPlace, Refused> {
    match alias {
        // Not of the alphabet that the API model has.
        Spaced => return Err(VALIDATION),
        Named(_) | Reserved | Unprefixed => {}
    }
    let account = who.account().ok_or(ACCESS_DENIED)?;
    match alias {
        Named(name) => Ok((who.region(), account, alias_name(name))),
        Reserved => Err(NOT_AUTHORIZED),
        Spaced | Unprefixed => Err(VALIDATION),
    }
}

pub(crate) fn alias_name(name: u8) -> String {
    format!("alias/a{name:03}")
}

pub(crate) fn tag_name(number: u8) -> String {
    format!("k{number}")
}

pub(crate) fn description(text: Text) -> String {
    match text {
        LONG_TEXT => "x".repeat(8193),
        0 => String::new(),
        text => format!("description {text}"),
    }
}

fn check_text(text: Text) -> Result<(), Refused> {
    if text == LONG_TEXT { Err(VALIDATION) } else { Ok(()) }
}

fn read_tags(tags: Tags) -> Result<BTreeMap<String, String>, Refused> {
    match tags {
        Range(_, count, _) if usize::from(count) > TAGS_MAX => Err(TAG),
        Range(from, count, value) => {
            Ok((from..from + count).map(|number| (tag_name(number), format!("v{value}"))).collect())
        }
        ReservedTag | TwiceTheSame | WrongAlphabet => Err(TAG),
    }
}

pub(crate) fn seconds(millis: u64) -> Value {
    json!(millis as f64 / 1000.0)
}

fn check_limit(page: Page, max: u16) -> Result<(), Refused> {
    match page {
        First(limit) | Next(limit) if limit > max => Err(VALIDATION),
        First(_) | Next(_) | Forged => Ok(()),
    }
}

/// The size of a page, and the entry after which it begins.
fn turn(
    asking: &Asking<'_>,
    page: Page,
    default: u16,
    max: u16,
    list: Position,
) -> Result<(usize, Option<String>), Refused> {
    check_limit(page, max)?;
    let size = |limit: u16| usize::from(if limit == 0 { default } else { limit });
    match page {
        First(limit) => Ok((size(limit), None)),
        Forged => Err(INVALID_MARKER),
        // A client without a marker sends none.
        Next(limit) => match asking.scene.marker(asking.who) {
            None => Ok((size(limit), None)),
            Some(Marker { list: of, after, made, .. })
                if *of == list && asking.scene.now.abs_diff(*made) < DAY_MILLIS =>
            {
                Ok((size(limit), Some(after.clone())))
            }
            Some(_) => Err(INVALID_MARKER),
        },
    }
}

fn page_of(member: &str, mut entries: Vec<Value>, size: usize) -> Value {
    let truncated = entries.len() > size;
    entries.truncate(size);
    json!({ member: entries, "Truncated": truncated })
}

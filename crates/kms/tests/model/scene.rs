//! What the clients know: which key is in which slot, the blobs that they keep, the last marker that each was given. And
//! how they spell what they ask for.

use std::collections::HashMap;

use serde_json::{Value, json};
use strongroom_types::RequestId;

use crate::common::{NO_KEY, OWNER, base64, bytes, text};
use crate::model::{alias_name, description, other_account, other_region, tag_name};
use crate::policies;
use crate::steps::*;

/// Where a key is at home.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home {
    pub(crate) region: &'static str,
    pub(crate) account: &'static str,
}

#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) key_id: String,
    pub(crate) context: u8,
    pub(crate) plaintext: Vec<u8>,
    bytes: Vec<u8>,
}

/// The list that a marker goes on with: it is good for no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position(String);

impl Position {
    pub(crate) fn keys(account: &str, region: &str) -> Self {
        Self(format!("keys of {account} in {region}"))
    }

    pub(crate) fn aliases(account: &str, region: &str, key: Option<&str>) -> Self {
        Self(format!("aliases of {account} in {region} for {key:?}"))
    }

    pub(crate) fn tags(region: &str, key_id: &str) -> Self {
        Self(format!("tags of {key_id} in {region}"))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Marker {
    pub(crate) list: Position,
    /// The last entry of the page before.
    pub(crate) after: String,
    /// When it was given out.
    pub(crate) made: u64,
    text: String,
}

impl Marker {
    pub(crate) fn after(&self) -> &str {
        &self.after
    }
}

/// What only the service can say, taken from its answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) key_id: String,
    pub(crate) request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Scene {
    /// Milliseconds, by the clock that the service sees.
    pub(crate) now: u64,
    keys: HashMap<u8, (String, Home)>,
    blobs: HashMap<u8, Blob>,
    markers: HashMap<Who, Marker>,
    /// The id of each key's material, once told.
    materials: HashMap<String, String>,
}

impl Default for Home {
    fn default() -> Self {
        Self { region: crate::common::US, account: OWNER }
    }
}

impl Scene {
    pub(crate) fn key_id(&self, slot: u8) -> &str {
        self.keys.get(&slot).map_or(NO_KEY, |(id, _)| id)
    }

    pub(crate) fn home(&self, slot: u8, who: Who) -> Home {
        let asked = Home { region: who.region(), account: who.account().unwrap_or(OWNER) };
        self.keys.get(&slot).map_or(asked, |(_, home)| *home)
    }

    pub(crate) fn blob(&self, blob: u8) -> Option<&Blob> {
        self.blobs.get(&blob)
    }

    pub(crate) fn marker(&self, who: Who) -> Option<&Marker> {
        self.markers.get(&who)
    }

    /// A marker of a time that the clock does not show any more is a matter of its own.
    pub(crate) fn forget_markers(&mut self) {
        self.markers.clear();
    }

    /// The text that names the key.
    pub(crate) fn spell(&self, who: Who, key: Key) -> String {
        let own = who.account().unwrap_or(OWNER);
        let key_arn = |region: &str, account: &str, slot| {
            format!("arn:aws:kms:{region}:{account}:key/{}", self.key_id(slot))
        };
        let alias_arn = |region: &str, account: &str, name| {
            format!("arn:aws:kms:{region}:{account}:{}", alias_name(name))
        };
        match key {
            Id(slot) => self.key_id(slot).to_owned(),
            Arn(slot) => {
                let Home { region, account } = self.home(slot, who);
                key_arn(region, account, slot)
            }
            ArnElsewhere(slot) => key_arn(other_region(who.region()), own, slot),
            ArnOfOther(slot) => {
                let Home { region, account } = self.home(slot, who);
                key_arn(region, other_account(Some(account)), slot)
            }
            ByAlias(name) => alias_name(name),
            ByAliasArn(name) => alias_arn(who.region(), own, name),
            ByAliasArnOfOther(name) => alias_arn(who.region(), other_account(who.account()), name),
            ByAliasArnElsewhere(name) => alias_arn(other_region(who.region()), own, name),
            NoArn => "arn:aws:kms:nowhere".to_owned(),
            NoId => "1234abcd12ab34cd56ef1234567890ab".to_owned(),
        }
    }

    /// The name of the operation and the body of the request.
    pub(crate) fn request(&self, who: Who, op: &Op) -> (&'static str, Value) {
        let key_id = |key| self.spell(who, key);
        match *op {
            CancelKeyDeletion(key) => ("CancelKeyDeletion", json!({ "KeyId": key_id(key) })),
            CreateAlias(alias, key) => {
                ("CreateAlias", json!({ "AliasName": spell_alias(alias), "TargetKeyId": key_id(key) }))
            }
            CreateKey { policy, bypass, text, tags, kind, .. } => {
                ("CreateKey", create_key(who, policy, bypass, text, tags, kind))
            }
            Decrypt { blob, key, context, mode, damage } => {
                let body =
                    json!({ "CiphertextBlob": self.spell_blob(blob, damage), "KeyId": key.map(key_id) });
                (
                    "Decrypt",
                    asked_for(with_context(body, "EncryptionContext", context), mode, "EncryptionAlgorithm"),
                )
            }
            DeleteAlias(alias) => ("DeleteAlias", json!({ "AliasName": spell_alias(alias) })),
            DescribeKey(key) => ("DescribeKey", json!({ "KeyId": key_id(key) })),
            DisableKey(key) => ("DisableKey", json!({ "KeyId": key_id(key) })),
            EnableKey(key) => ("EnableKey", json!({ "KeyId": key_id(key) })),
            Encrypt { key, context, size, mode, .. } => {
                let body = json!({ "KeyId": key_id(key), "Plaintext": base64(&plaintext(size)) });
                (
                    "Encrypt",
                    asked_for(with_context(body, "EncryptionContext", context), mode, "EncryptionAlgorithm"),
                )
            }
            GenerateDataKey { key, context, size, mode, plain, .. } => {
                let (spec, bytes) = match size {
                    Aes128 => (Some("AES_128"), None),
                    Aes256 => (Some("AES_256"), None),
                    Both => (Some("AES_256"), Some(32)),
                    Bytes(bytes) => (None, Some(bytes)),
                    Neither => (None, None),
                };
                let body = json!({ "KeyId": key_id(key), "KeySpec": spec, "NumberOfBytes": bytes });
                let name = if plain { "GenerateDataKey" } else { "GenerateDataKeyWithoutPlaintext" };
                (name, asked_for(with_context(body, "EncryptionContext", context), mode, "Unknown"))
            }
            GenerateRandom(bytes) => ("GenerateRandom", json!({ "NumberOfBytes": bytes })),
            GetCallerIdentity => ("GetCallerIdentity", Value::Null),
            GetKeyLastUsage(key) => ("GetKeyLastUsage", json!({ "KeyId": key_id(key) })),
            GetKeyPolicy(key) => ("GetKeyPolicy", json!({ "KeyId": key_id(key) })),
            ListAliases(key, page) => {
                ("ListAliases", self.paged(who, json!({ "KeyId": key.map(key_id) }), page))
            }
            ListKeyPolicies(key) => ("ListKeyPolicies", json!({ "KeyId": key_id(key) })),
            ListKeys(page) => ("ListKeys", self.paged(who, json!({}), page)),
            ListResourceTags(key, page) => {
                ("ListResourceTags", self.paged(who, json!({ "KeyId": key_id(key) }), page))
            }
            OddRequest(odd) => match odd {
                NoOperation => ("MakeTea", json!({})),
                NotBuilt => ("GetKeyRotationStatus", json!({ "KeyId": NO_KEY })),
                MemberMissing | MemberTwice | NoJson => ("DescribeKey", json!({})),
                OtherRegion | OtherSecret | TooOld => ("ListKeys", json!({})),
            },
            PutKeyPolicy(key, policy, bypass) => {
                // The other account may not change it, so this is the account of the key if it is anybody's.
                let policy = policies::text(policy, who.account().unwrap_or(OWNER));
                let body = json!({
                    "KeyId": key_id(key), "Policy": policy, "BypassPolicyLockoutSafetyCheck": bypass,
                });
                ("PutKeyPolicy", body)
            }
            ReEncrypt { blob, from, to, contexts, mode, .. } => {
                let body = json!({
                    "CiphertextBlob": self.spell_blob(blob, Whole),
                    "SourceKeyId": from.map(key_id),
                    "DestinationKeyId": key_id(to),
                });
                let body = with_context(body, "SourceEncryptionContext", contexts.0);
                let body = with_context(body, "DestinationEncryptionContext", contexts.1);
                ("ReEncrypt", asked_for(body, mode, "SourceEncryptionAlgorithm"))
            }
            ScheduleKeyDeletion(key, days) => {
                let days = (days != 0).then_some(days);
                ("ScheduleKeyDeletion", json!({ "KeyId": key_id(key), "PendingWindowInDays": days }))
            }
            TagResource(key, tags) => {
                ("TagResource", json!({ "KeyId": key_id(key), "Tags": spell_tags(tags) }))
            }
            UntagResource(key, tags) => {
                let tags = spell_tags(tags);
                let names: Vec<_> = tags.iter().map(|tag| tag["TagKey"].clone()).collect();
                ("UntagResource", json!({ "KeyId": key_id(key), "TagKeys": names }))
            }
            UpdateAlias(alias, key) => {
                ("UpdateAlias", json!({ "AliasName": spell_alias(alias), "TargetKeyId": key_id(key) }))
            }
            UpdateKeyDescription(key, text) => {
                ("UpdateKeyDescription", json!({ "KeyId": key_id(key), "Description": description(text) }))
            }
        }
    }

    fn paged(&self, who: Who, mut body: Value, page: Page) -> Value {
        let (limit, marker) = match page {
            First(limit) => (limit, None),
            Forged => (1, Some("AAAAforgedAAAA")),
            Next(limit) => (limit, self.marker(who).map(|marker| marker.text.as_str())),
        };
        if limit != 0 {
            body["Limit"] = json!(limit);
        }
        body["Marker"] = json!(marker);
        body
    }

    fn spell_blob(&self, blob: u8, damage: Damage) -> String {
        let mut bytes = self.blob(blob).map_or_else(|| vec![7; 40], |blob| blob.bytes.clone());
        match damage {
            Cut => bytes.truncate(30),
            Flipped => *bytes.last_mut().expect("a blob is not empty") ^= 1,
            Whole => {}
        }
        base64(&bytes)
    }

    /// Takes what the answer brings: a new key, a blob, a marker. Then nothing is left of it that the model does not know.
    /// `Err` says what is wrong with what only the service could know.
    pub(crate) fn learn(
        &mut self,
        who: Who,
        op: &Op,
        sent: &Value,
        answer: &mut Value,
    ) -> Result<(), String> {
        let marker = take(answer, "NextMarker");
        match *op {
            CreateKey { slot, .. } => {
                let id = text(&answer["KeyMetadata"]["KeyId"]);
                let home = Home { region: who.region(), account: who.account().unwrap_or(OWNER) };
                self.learn_material(&id, &mut answer["KeyMetadata"], "CurrentKeyMaterialId")?;
                self.keys.insert(slot, (id, home));
            }
            DescribeKey(_) => {
                let id = text(&answer["KeyMetadata"]["KeyId"]);
                self.learn_material(&id, &mut answer["KeyMetadata"], "CurrentKeyMaterialId")?;
            }
            GetKeyLastUsage(_) => {
                let since = take(answer, "TrackingStartDate").and_then(|since| since.as_f64());
                if since
                    .is_none_or(|since| answer["KeyCreationDate"].as_f64().is_none_or(|made| since < made))
                {
                    return Err(format!("tracked since {since:?}, before the key was there"));
                }
                let usage = &mut answer["KeyLastUsage"];
                let is_used = usage.get("Operation").is_some();
                if take(usage, "CloudTrailEventId").is_some() != is_used {
                    return Err("a use without its record".to_owned());
                }
            }
            Decrypt { .. } => {
                let id = id_of(&answer["KeyId"]);
                self.learn_material(&id, answer, "KeyMaterialId")?;
            }
            Encrypt { context, size, into, .. } => self.keep(answer, into, context, plaintext(size)),
            GenerateDataKey { context, size, plain, into, .. } => {
                let id = id_of(&answer["KeyId"]);
                self.learn_material(&id, answer, "KeyMaterialId")?;
                let length = match size {
                    Aes128 => 16,
                    Bytes(bytes) => usize::from(bytes),
                    Aes256 | Both | Neither => 32,
                };
                match take(answer, "Plaintext") {
                    Some(plaintext) if plain => {
                        let plaintext = bytes(&plaintext);
                        if plaintext.len() != length {
                            return Err(format!("a data key of {} bytes, not {length}", plaintext.len()));
                        }
                        self.keep(answer, into, context, plaintext);
                    }
                    None if !plain => {
                        // Nobody knows what is in it.
                        take(answer, "CiphertextBlob").ok_or("no blob")?;
                    }
                    _ => return Err("a plaintext too many, or none".to_owned()),
                }
            }
            GenerateRandom(size) => {
                let random = take(answer, "Plaintext").map(|plaintext| bytes(&plaintext).len());
                if random != Some(usize::from(size)) {
                    return Err(format!("{random:?} random bytes"));
                }
            }
            ListAliases(..) | ListKeys(_) | ListResourceTags(..) => {
                self.learn_marker(who, op, sent, marker.as_ref(), answer)?;
            }
            ReEncrypt { blob, contexts, into, .. } => {
                let (from, to) = (id_of(&answer["SourceKeyId"]), id_of(&answer["KeyId"]));
                self.learn_material(&from, answer, "SourceKeyMaterialId")?;
                self.learn_material(&to, answer, "DestinationKeyMaterialId")?;
                let plaintext = self.blob(blob).map(|blob| blob.plaintext.clone()).unwrap_or_default();
                self.keep(answer, into, contexts.1, plaintext);
            }
            _ => {}
        }
        Ok(())
    }

    /// A key has one material as long as there is no rotation.
    fn learn_material(&mut self, key_id: &str, answer: &mut Value, member: &str) -> Result<(), String> {
        let told = text(&take(answer, member).ok_or_else(|| format!("no {member}"))?);
        let known = self.materials.entry(key_id.to_owned()).or_insert_with(|| told.clone());
        if *known == told { Ok(()) } else { Err(format!("{member} was {known}")) }
    }

    fn keep(&mut self, answer: &mut Value, into: u8, context: u8, plaintext: Vec<u8>) {
        let Some(blob) = take(answer, "CiphertextBlob") else { return };
        let key_id = id_of(&answer["KeyId"]);
        self.blobs.insert(into, Blob { key_id, context, plaintext, bytes: bytes(&blob) });
    }

    fn learn_marker(
        &mut self,
        who: Who,
        op: &Op,
        sent: &Value,
        marker: Option<&Value>,
        answer: &Value,
    ) -> Result<(), String> {
        if answer["Truncated"] != json!(marker.is_some()) {
            return Err("Truncated and NextMarker contradict each other".to_owned());
        }
        let Some(marker) = marker else {
            self.markers.remove(&who);
            return Ok(());
        };
        let account = who.account().unwrap_or_default();
        let last = |list: &str, member: &str| {
            let entries = answer[list].as_array().ok_or("no list")?;
            Ok::<_, String>(text(&entries.last().ok_or("an empty page that is truncated")?[member]))
        };
        let (list, after) = match op {
            ListKeys(_) => (Position::keys(account, who.region()), last("Keys", "KeyId")?),
            ListAliases(..) => {
                let list = Position::aliases(account, who.region(), sent["KeyId"].as_str());
                (list, last("Aliases", "AliasName")?)
            }
            _ => {
                let key = text(&sent["KeyId"]);
                (Position::tags(who.region(), &id_of(&json!(key))), last("Tags", "TagKey")?)
            }
        };
        self.markers.insert(who, Marker { list, after, made: self.now, text: text(marker) });
        Ok(())
    }

    pub(crate) fn homes(&self) -> impl Iterator<Item = (u8, Home)> {
        self.keys.iter().map(|(slot, (_, home))| (*slot, *home))
    }

    pub(crate) fn blobs(&self) -> impl Iterator<Item = (u8, &Blob)> {
        self.blobs.iter().map(|(slot, blob)| (*slot, blob))
    }
}

fn take(answer: &mut Value, member: &str) -> Option<Value> {
    answer.as_object_mut()?.remove(member)
}

fn id_of(arn: &Value) -> String {
    let arn = text(arn);
    arn.rsplit('/').next().unwrap_or(&arn).to_owned()
}

fn plaintext(size: u16) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at % 251).expect("less than a byte")).collect()
}

fn spell_alias(alias: Alias) -> String {
    match alias {
        Named(name) => alias_name(name),
        Reserved => "alias/aws/mine".to_owned(),
        Spaced => "alias/a b".to_owned(),
        Unprefixed => "a000".to_owned(),
    }
}

fn spell_tags(tags: Tags) -> Vec<Value> {
    let tag = |name: &str, value: &str| json!({ "TagKey": name, "TagValue": value });
    match tags {
        Range(from, count, value) => {
            (from..from + count).map(|number| tag(&tag_name(number), &format!("v{value}"))).collect()
        }
        ReservedTag => vec![tag("Aws:x", "")],
        TwiceTheSame => vec![tag("twice", "a"), tag("twice", "b")],
        WrongAlphabet => vec![tag("a#b", "")],
    }
}

fn create_key(who: Who, policy: Policy, bypass: bool, text: Text, tags: Tags, kind: Kind) -> Value {
    let mut body = json!({ "BypassPolicyLockoutSafetyCheck": bypass, "Description": description(text) });
    if policy != Standard {
        body["Policy"] = json!(policies::text(policy, who.account().unwrap_or(OWNER)));
    }
    let tags = spell_tags(tags);
    if !tags.is_empty() {
        body["Tags"] = json!(tags);
    }
    match kind {
        External => body["Origin"] = json!("EXTERNAL"),
        MultiRegion => body["MultiRegion"] = json!(true),
        Symmetric => {}
        WrongUsage => body["KeyUsage"] = json!("SIGN_VERIFY"),
    }
    body
}

/// Context 0 is none.
fn with_context(mut body: Value, member: &str, context: u8) -> Value {
    if context != 0 {
        body[member] = json!({ "tenant": format!("{context}"), "a": "b" });
    }
    body
}

fn asked_for(mut body: Value, mode: Mode, algorithm: &str) -> Value {
    match mode {
        DryRun => body["DryRun"] = json!(true),
        OtherAlgorithm => body[algorithm] = json!("RSAES_OAEP_SHA_256"),
        Plain => {}
        WithToken => body["GrantTokens"] = json!(["a-token"]),
    }
    body
}

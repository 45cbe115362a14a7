//! What a new deployment begins with: keys and aliases that somebody wrote down.
//!
//! For other people's tests, which want key ids, aliases and policies that are the same in every run. A seed keeps to the
//! rules of the API: tags, aliases and policies go through the same checks as in CreateKey, CreateAlias and PutKeyPolicy,
//! by the account's root user, and the trail has a record of each key and alias. [`Seed::check`] finds everything that is
//! wrong with it before anything is made; [`Seed::plan`] can only fail where cryptography does.
//!
//! **Fixed material** stands in a file, so it is no secret, and nothing that is encrypted under it is protected. Its id is
//! the same in every deployment, so that deployments with one seed open each other's blobs.
//!
//! Deliberately absent: reading files, and seeds for a deployment that exists.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Display;

use strongroom_audit::{Event, EventKind, EventSource, Identity, Parameters, Resource, Value};
use strongroom_crypto::{CryptoError, GivenMaterial, Keyring};
use strongroom_pipeline::{Fault, Operation};
use strongroom_policy::KeyPolicy;
use strongroom_records::{KeyRow, Material, NewKey, OutboxRow, Writes};
use strongroom_types::{
    AccountId, AliasArn, AliasName, Credential, Env, KeyArn, KeyId, KeySpec, KeyUsage, RegionName, RequestId,
    Tag, limits,
};
use strongroom_wire::{CreateAliasRequest, CreateKeyRequest, Tag as WireTag};

use crate::aliases::{self, CreateAlias};
use crate::keys::{self, CreateKey};
use crate::policies::{AcceptedPolicy, ProposedPolicy};
use crate::tags;

/// Where the records say that it comes from.
const SOURCE: &str = "strongroom init";

/// One key as a seed has it.
#[derive(Debug, Default)]
pub struct SeedKey {
    pub aliases: Vec<String>,
    pub description: Option<String>,
    pub id: String,
    /// 32 bytes in base64.
    pub material: Option<Credential>,
    pub policy: Option<String>,
    /// May be left out where the deployment has one region only.
    pub region: Option<String>,
    pub tags: Vec<(String, String)>,
}

/// What is wrong with a seed, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    #[error("table `[[key]]` number {number}, field `{field}`: {problem}")]
    Field { number: usize, field: &'static str, problem: String },
    #[error("there are {found} tables `[[key]]`; a seed has at most {max}", max = limits::SEED_KEYS_MAX)]
    TooManyKeys { found: usize },
}

/// A seed without fault.
pub struct Seed {
    account: AccountId,
    keys: Vec<CheckedKey>,
}

struct CheckedKey {
    aliases: Vec<AliasName>,
    arn: KeyArn,
    material: Option<GivenMaterial>,
    policy: (String, KeyPolicy),
    request: CreateKeyRequest,
    tags: Vec<Tag>,
}

impl Seed {
    /// Takes a seed for a deployment of this account and these regions, whole or not at all.
    pub fn check(keys: Vec<SeedKey>, account: AccountId, regions: &[RegionName]) -> Result<Self, SeedError> {
        if keys.len() > limits::SEED_KEYS_MAX {
            return Err(SeedError::TooManyKeys { found: keys.len() });
        }
        let (mut ids, mut names) = (HashSet::new(), HashSet::new());
        let mut checked = Vec::with_capacity(keys.len());
        for (at, key) in keys.into_iter().enumerate() {
            let place = Place { number: at + 1 };
            let key = CheckedKey::check(key, account, regions, place)?;
            let region = &key.arn.region;
            if !ids.insert(key.arn.key_id) {
                return Err(place.wrong("id", format!("`{}` is the id of two keys", key.arn.key_id)));
            }
            if let Some(twice) =
                key.aliases.iter().find(|name| !names.insert((region.clone(), (*name).clone())))
            {
                return Err(place.wrong("aliases", format!("`{twice}` stands twice in region `{region}`")));
            }
            checked.push(key);
        }
        Ok(Self { account, keys: checked })
    }

    /// How many keys and aliases there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.keys.len(), self.keys.iter().map(|key| key.aliases.len()).sum())
    }

    /// Adds the rows of the keys and aliases, and the record of each.
    pub fn plan(self, keyring: &Keyring, env: &dyn Env, writes: &mut Writes) -> Result<(), CryptoError> {
        let recorder = Recorder { account: self.account, env };
        self.keys.into_iter().try_for_each(|key| key.plan(keyring, &recorder, writes))
    }
}

/// Which key of the seed it is, counted from one.
#[derive(Debug, Clone, Copy)]
struct Place {
    number: usize,
}

impl Place {
    fn wrong(self, field: &'static str, problem: impl Display) -> SeedError {
        SeedError::Field { number: self.number, field, problem: problem.to_string() }
    }

    /// For `map_err`: the API's own refusal, word by word.
    fn refused(self, field: &'static str) -> impl Fn(Fault) -> SeedError {
        move |fault| {
            let error = fault.error();
            self.wrong(field, error.message.as_deref().unwrap_or_else(|| error.kind.name()))
        }
    }
}

impl CheckedKey {
    fn check(
        key: SeedKey,
        account: AccountId,
        regions: &[RegionName],
        place: Place,
    ) -> Result<Self, SeedError> {
        let key_id = KeyId::parse(&key.id).map_err(|error| place.wrong("id", error))?;
        if key_id.is_multi_region() {
            return Err(place.wrong("id", "multi-Region keys are not built yet"));
        }
        let arn = KeyArn { region: region_of(&key, regions, place)?, account, key_id };
        let description = key.description.unwrap_or_default();
        let max = limits::DESCRIPTION_CHARACTERS_MAX;
        if description.chars().count() > max {
            return Err(place.wrong("description", format!("it has more than {max} characters")));
        }
        let wire_tag = |(tag_key, tag_value): (String, String)| WireTag { tag_key, tag_value };
        let wire_tags: Vec<_> = key.tags.into_iter().map(wire_tag).collect();
        let tags = tags::read(&wire_tags).map_err(place.refused("tags"))?;
        let policy = policy_of(key.policy.as_deref(), &arn).map_err(place.refused("policy"))?;
        let aliases = aliases_of(&key.aliases).map_err(place.refused("aliases"))?;
        let material = match key.material {
            Some(text) => Some(
                GivenMaterial::from_base64(&text)
                    .ok_or_else(|| place.wrong("material", "it is not 32 bytes in base64"))?,
            ),
            None => None,
        };
        let request = CreateKeyRequest {
            description: Some(description),
            policy: key.policy,
            tags: Some(wire_tags),
            key_usage: None,
            customer_master_key_spec: None,
            key_spec: None,
            origin: None,
            custom_key_store_id: None,
            bypass_policy_lockout_safety_check: None,
            multi_region: None,
            xks_key_id: None,
        };
        Ok(Self { aliases, arn, material, policy, request, tags })
    }

    /// As CreateKey and CreateAlias would.
    fn plan(
        self,
        keyring: &Keyring,
        recorder: &Recorder<'_>,
        writes: &mut Writes,
    ) -> Result<(), CryptoError> {
        let Self { aliases, arn, material, policy: (policy_text, policy), request, tags } = self;
        let KeyArn { region, account, key_id } = &arn;
        let is_fixed = material.is_some();
        let (id, wrapped) = match material {
            Some(given) => keyring.danger_wrap_given(region, key_id, given)?,
            None => keyring.generate_symmetric(region, key_id)?,
        };
        let created = recorder.env.now();
        let mut key = KeyRow::new(NewKey {
            region: region.clone(),
            account: *account,
            key_id: *key_id,
            created,
            description: request.description.clone().unwrap_or_default(),
            policy_text,
            policy,
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            material: Material { id, wrapped, created },
            public_key: None,
        });
        for tag in tags {
            key.set_tag(tag);
        }
        let resources = vec![key.arn_text().to_owned()];
        let details = vec![("seeded", Value::Bool(true)), ("fixedMaterial", Value::Bool(is_fixed))];
        let record =
            Record { name: "CreateKey", parameters: CreateKey::parameters(&request), details, resources };
        recorder.write(region, record, writes);
        for name in aliases {
            let alias_arn = AliasArn { region: region.clone(), account: *account, name: name.clone() };
            aliases::write_new(&alias_arn, *key_id, created, writes);
            let request =
                CreateAliasRequest { alias_name: name.to_string(), target_key_id: key_id.to_string() };
            let resources = vec![key.arn_text().to_owned(), alias_arn.to_string()];
            let details = vec![("seeded", Value::Bool(true))];
            let parameters = CreateAlias::parameters(&request);
            recorder.write(region, Record { name: "CreateAlias", parameters, details, resources }, writes);
            key.add_alias(name);
        }
        keys::write_new(key, writes);
        Ok(())
    }
}

fn region_of(key: &SeedKey, regions: &[RegionName], place: Place) -> Result<RegionName, SeedError> {
    match (&key.region, regions) {
        (Some(text), _) => {
            let region = RegionName::parse(text).map_err(|error| place.wrong("region", error))?;
            if !regions.contains(&region) {
                return Err(place.wrong("region", format!("the deployment has no region `{region}`")));
            }
            Ok(region)
        }
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(place.wrong("region", "the deployment has several regions: say which")),
    }
}

/// The account's root user proposes it, and it must not lock that user out.
fn policy_of(text: Option<&str>, arn: &KeyArn) -> Result<(String, KeyPolicy), Fault> {
    let Some(text) = text else { return keys::default_policy(arn) };
    let AcceptedPolicy { text, policy, .. } = ProposedPolicy::of_root(text, arn)?.judge(false)?;
    Ok((text, policy))
}

fn aliases_of(names: &[String]) -> Result<Vec<AliasName>, Fault> {
    aliases::check_count(names.len())?;
    names.iter().map(|name| aliases::own_name(name)).collect()
}

/// Writes the records of what a seed makes: events of the service itself, which `init` leaves for the first `serve` to
/// bring to the journal.
struct Recorder<'a> {
    account: AccountId,
    env: &'a dyn Env,
}

struct Record<'a> {
    name: &'static str,
    parameters: Vec<(&'static str, Value<'a>)>,
    details: Vec<(&'static str, Value<'a>)>,
    resources: Vec<String>,
}

impl Recorder<'_> {
    fn write(&self, region: &RegionName, record: Record<'_>, writes: &mut Writes) {
        let (account, time) = (self.account, self.env.now());
        let id = RequestId::from_random(self.env.random_id());
        let resource = |arn: &String| {
            let kind = if arn.contains(":alias/") { "AWS::KMS::Alias" } else { "AWS::KMS::Key" };
            Resource { arn: Cow::Owned(arn.clone()), account, kind: Cow::Borrowed(kind) }
        };
        let event = Event {
            id,
            request_id: None,
            time,
            region: Cow::Borrowed(region.as_str()),
            kind: EventKind::ServiceEvent,
            source: EventSource::Kms,
            identity: Identity::service(account),
            name: Cow::Borrowed(record.name),
            source_ip: Cow::Borrowed(SOURCE),
            user_agent: Cow::Borrowed(SOURCE),
            tls: None,
            failure: None,
            read_only: false,
            request_parameters: fields(record.parameters),
            response_elements: Parameters::None,
            additional: fields(record.details),
            resources: record.resources.iter().map(resource).collect::<Vec<_>>().into(),
            recipient: Some(account),
        };
        let mut bytes = Vec::with_capacity(1024);
        event.encode(&mut bytes);
        writes.create(OutboxRow::address(region, &id), OutboxRow { created: time, event: bytes });
    }
}

fn fields<'a>(fields: Vec<(&'static str, Value<'a>)>) -> Parameters<'a> {
    Parameters::from(fields.into_iter().map(|(name, value)| (name.into(), value)).collect::<Vec<_>>())
}

//! CreateKey, DescribeKey and ListKeys.

use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, NewKeyFacts, Operation, Permit, Reader, RequestFacts, Targets, Weight,
    World,
};
use strongroom_policy::{Action, KeyPolicy, default_key_policy};
use strongroom_records::{AccountKeyRow, KeyRow, Loaded, Material, NewKey, Writes};
use strongroom_types::{AccountId, KeyArn, KeyId, KeyUsage, limits};
use strongroom_wire::{
    CreateKeyReply, CreateKeyRequest, CustomerMasterKeySpec, DescribeKeyReply, DescribeKeyRequest,
    KeyListEntry, KeySpec, KeyUsageType, ListKeysReply, ListKeysRequest, OriginType, ResourceOwnerType, Tag,
};

use crate::fault;
use crate::lookup::{self, Accept};
use crate::metadata::key_metadata;
use crate::paging::{List, page_size};
use crate::policies::{AcceptedPolicy, ProposedPolicy};
use crate::specs::{self, Algorithms};
use crate::tags;

pub(crate) struct CreateKey;
pub(crate) struct DescribeKey;
pub(crate) struct ListKeys;

/// What CreateKey needs to know before it is decided: the key's ARN, and the policy it proposes.
pub(crate) struct Plan {
    arn: KeyArn,
    policy: Option<ProposedPolicy>,
}

impl Operation for CreateKey {
    type Request = CreateKeyRequest;
    type Rows = Plan;
    type Reply = CreateKeyReply;

    const KIND: Kind = Kind::Change;

    /// A hostile policy of 32 KB takes milliseconds to compile, and an RSA key up to a second to be found.
    fn weight(request: &Self::Request) -> Weight {
        let has_public_half = specs::spec_of(effective_spec(request)).is_asymmetric();
        if request.policy.is_some() || has_public_half { Weight::Heavy } else { Weight::Light }
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Plan>, Fault> {
        let account = lookup::caller_account(reader, Action::CreateKey)?;
        let key_id = KeyId::single_region(reader.world().env.random_id());
        let arn = KeyArn { region: reader.region().clone(), account, key_id };
        let policy = match &request.policy {
            Some(text) => Some(ProposedPolicy::read(text, reader, &arn, None, facts(request))?),
            None => None,
        };
        let create = Check::Account { action: Action::CreateKey };
        let checks = if tags(request).is_empty() {
            Checks::one(create)
        } else {
            Checks::two(create, Check::NewKey { action: Action::TagResource })
        };
        Ok(Targets { rows: Plan { arn, policy }, checks })
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        facts(request)
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let request = permit.request();
        check_built(request)?;
        let spec = specs::spec_of(effective_spec(request));
        specs::check_region(spec, permit.caller().region(), world.offers)?;
        let tags = tags::read(tags(request))?;
        let region = permit.caller().region();
        let arn = &permit.rows().arn;
        let (account, key_id) = (arn.account, arn.key_id);
        let AcceptedPolicy { text: policy_text, policy, bindings } = policy_for(permit)?;
        let now = world.env.now();
        let spec = specs::spec_of(effective_spec(request));
        let usage = request.key_usage.map_or(KeyUsage::EncryptDecrypt, specs::usage_of);
        let made = world.keyring.generate(region, &key_id, spec).map_err(fault::crypto)?;
        let mut key = KeyRow::new(NewKey {
            region: region.clone(),
            account,
            key_id,
            created: now,
            description: request.description.clone().unwrap_or_default(),
            policy_text,
            policy,
            spec,
            usage,
            material: Material { id: made.material_id, wrapped: made.wrapped, created: now },
            public_key: made.public_key,
        });
        key.bind_policy(bindings);
        for tag in tags {
            key.set_tag(tag);
        }
        let metadata = key_metadata(&key);
        let recorded = recorded_metadata(&key);
        let mut done = Done::reply(CreateKeyReply { key_metadata: Some(metadata) });
        write_new(key, &mut done.writes);
        done.response_elements = Some(vec![("keyMetadata", recorded)]);
        done.resources = vec![arn.to_string()];
        Ok(done)
    }

    /// CloudTrail shows the defaults that were filled in.
    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let spec = effective_spec(request);
        let usage = request.key_usage.unwrap_or(KeyUsageType::EncryptDecrypt);
        let origin = request.origin.unwrap_or(OriginType::AwsKms);
        let mut out = vec![
            ("description", Value::from(request.description.as_deref().unwrap_or_default())),
            ("origin", Value::from(origin.as_str())),
            ("keySpec", Value::from(spec.as_str())),
            ("customerMasterKeySpec", Value::from(spec.as_str())),
            ("keyUsage", Value::from(usage.as_str())),
            (
                "bypassPolicyLockoutSafetyCheck",
                Value::Bool(request.bypass_policy_lockout_safety_check.unwrap_or(false)),
            ),
            ("multiRegion", Value::Bool(request.multi_region.unwrap_or(false))),
        ];
        if let Some(policy) = &request.policy {
            out.push(("policy", Value::from(policy.as_str())));
        }
        if !tags(request).is_empty() {
            out.push(("tags", tags::recorded(tags(request))));
        }
        out
    }
}

/// With the defaults that are filled in.
fn facts(request: &CreateKeyRequest) -> RequestFacts<'_> {
    RequestFacts {
        bypasses_lockout_check: Some(request.bypass_policy_lockout_safety_check.unwrap_or(false)),
        new_key: Some(NewKeyFacts {
            is_multi_region: request.multi_region.unwrap_or(false),
            origin: request.origin.unwrap_or(OriginType::AwsKms).as_str(),
            spec: effective_spec(request).as_str(),
            usage: request.key_usage.unwrap_or(KeyUsageType::EncryptDecrypt).as_str(),
        }),
        tags: request.tags.as_deref(),
        ..RequestFacts::default()
    }
}

fn tags(request: &CreateKeyRequest) -> &[Tag] {
    request.tags.as_deref().unwrap_or_default()
}

fn effective_spec(request: &CreateKeyRequest) -> KeySpec {
    let legacy = request.customer_master_key_spec.map(CustomerMasterKeySpec::as_str);
    request.key_spec.or_else(|| KeySpec::parse(legacy?)).unwrap_or(KeySpec::SymmetricDefault)
}

/// Refuses what AWS refuses, with its texts; then what is AWS's and not built yet.
fn check_built(request: &CreateKeyRequest) -> Result<(), Fault> {
    if request.key_spec.is_some() && request.customer_master_key_spec.is_some() {
        let message = "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
                       CustomerMasterKeySpec is deprecated.";
        return Err(fault::validation(message));
    }
    let spec = effective_spec(request);
    match request.key_usage {
        None if spec != KeySpec::SymmetricDefault => {
            let message =
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.";
            return Err(fault::validation(message));
        }
        Some(usage) if !specs::spec_of(spec).usages().contains(&specs::usage_of(usage)) => {
            let (usage, spec) = (usage.as_str(), spec.as_str());
            return Err(fault::validation(format!("KeyUsage {usage} is not compatible with KeySpec {spec}")));
        }
        None | Some(_) => {}
    }
    match request.origin {
        None | Some(OriginType::AwsKms) => {}
        Some(origin) => return Err(fault::not_built(format_args!("Origin {}", origin.as_str()))),
    }
    if request.multi_region == Some(true) {
        return Err(fault::not_built("MultiRegion"));
    }
    if request.custom_key_store_id.is_some() {
        return Err(fault::not_built("CustomKeyStoreId"));
    }
    if request.xks_key_id.is_some() {
        return Err(fault::not_built("XksKeyId"));
    }
    Ok(())
}

fn policy_for(permit: &Permit<CreateKey>) -> Result<AcceptedPolicy, Fault> {
    let bypass = permit.request().bypass_policy_lockout_safety_check.unwrap_or(false);
    match &permit.rows().policy {
        Some(proposed) => proposed.judge(bypass),
        None => {
            let (text, policy) = default_policy(&permit.rows().arn)?;
            Ok(AcceptedPolicy { text, policy, bindings: Vec::new() })
        }
    }
}

/// The policy of a key for which none was given.
pub(crate) fn default_policy(arn: &KeyArn) -> Result<(String, KeyPolicy), Fault> {
    let text = default_key_policy(arn.region.partition(), arn.account);
    let policy = KeyPolicy::parse(&text).map_err(Fault::internal)?;
    Ok((text, policy))
}

/// The rows of a new key: its own, and its place in the account's index.
pub(crate) fn write_new(key: KeyRow, writes: &mut Writes) {
    let (address, key_id) = (KeyRow::address(key.region(), &key.key_id()), key.key_id());
    let index = AccountKeyRow::address(key.region(), key.account(), &key_id);
    writes.create(address, key);
    writes.create(index, AccountKeyRow { key_id });
}

fn recorded_metadata(key: &KeyRow) -> Value<'static> {
    let text = |text: String| Value::from(text);
    let (list_name, algorithms) = Algorithms::of(key.spec(), key.usage()).named();
    let algorithms: Vec<_> = algorithms.into_iter().map(Value::from).collect();
    let fields = [
        ("aWSAccountId", text(key.account().to_string())),
        ("keyId", text(key.key_id().to_string())),
        ("arn", text(key.arn_text().to_owned())),
        ("creationDate", Value::Timestamp(key.created())),
        ("enabled", Value::Bool(true)),
        ("description", text(key.description().to_owned())),
        ("keyUsage", text(key.usage().to_string())),
        ("keyState", text(key.state().to_string())),
        ("origin", text(key.origin().to_string())),
        ("keyManager", text("CUSTOMER".to_owned())),
        ("customerMasterKeySpec", text(key.spec().to_string())),
        ("keySpec", text(key.spec().to_string())),
        (list_name, Value::List(algorithms.into())),
        ("multiRegion", Value::Bool(false)),
    ];
    Value::Map(fields.map(|(name, value)| (name.into(), value)).to_vec().into())
}

impl Operation for DescribeKey {
    type Request = DescribeKeyRequest;
    type Rows = Arc<Loaded<KeyRow>>;
    type Reply = DescribeKeyReply;

    const KIND: Kind = Kind::Read;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        let key = lookup::find(reader, &request.key_id, Accept::Any, Action::DescribeKey)?;
        let checks = Checks::one(Check::key(Action::DescribeKey, &key));
        Ok(Targets { rows: key, checks })
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts { key_reference: Some(&request.key_id), ..RequestFacts::default() }
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        Ok(Done::reply(DescribeKeyReply { key_metadata: Some(key_metadata(permit.rows())) }))
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        vec![("keyId", Value::from(request.key_id.as_str()))]
    }
}

impl Operation for ListKeys {
    type Request = ListKeysRequest;
    type Rows = KeyPage;
    type Reply = ListKeysReply;

    const KIND: Kind = Kind::Read;

    fn weight(_: &Self::Request) -> Weight {
        Weight::Heavy
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<KeyPage>, Fault> {
        let account = lookup::caller_account(reader, Action::ListKeys)?;
        let check = Check::Account { action: Action::ListKeys };
        let rows = KeyPage::read(request, account, reader)?;
        Ok(Targets { rows, checks: Checks::one(check) })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let page = permit.rows();
        let region = permit.caller().region();
        let list = list_of(permit.caller(), page.account, permit.request());
        let next_marker = match page.key_ids.last() {
            Some(last) if page.truncated => Some(list.seal(&last.to_string(), world)?),
            _ => None,
        };
        let entry = |key_id: &KeyId| KeyListEntry {
            key_id: Some(key_id.to_string()),
            key_arn: Some(
                KeyArn { region: region.clone(), account: page.account, key_id: *key_id }.to_string(),
            ),
        };
        Ok(Done::reply(ListKeysReply {
            keys: Some(page.key_ids.iter().map(entry).collect()),
            next_marker,
            truncated: Some(page.truncated),
        }))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        request.limit.map(|limit| ("limit", Value::Integer(limit.into()))).into_iter().collect()
    }
}

/// One page of an account's keys.
pub(crate) struct KeyPage {
    account: AccountId,
    key_ids: Vec<KeyId>,
    truncated: bool,
}

impl KeyPage {
    fn read(request: &ListKeysRequest, account: AccountId, reader: &Reader<'_>) -> Result<Self, Fault> {
        let size = page_size(request.limit, limits::LIST_KEYS_DEFAULT, limits::LIST_KEYS_MAX)?;
        let after = match &request.marker {
            Some(marker) => {
                let position = list_of(reader.caller(), account, request).open(marker, reader.world())?;
                Some(KeyId::parse(&position).map_err(|_| fault::invalid_marker())?)
            }
            None => None,
        };
        // Keys of other accounts would come through AWS RAM, which there is none of: that list is empty.
        let own =
            request.resource_owners.as_ref().is_none_or(|owners| owners.contains(&ResourceOwnerType::Own));
        let mut key_ids = if own {
            reader.account_keys(account, after.as_ref(), size + 1).map_err(fault::records)?
        } else {
            Vec::new()
        };
        let truncated = key_ids.len() > size;
        key_ids.truncate(size);
        Ok(Self { account, key_ids, truncated })
    }
}

/// The list that a ListKeys request pages through: a marker is only good with the same `ResourceOwners`.
fn list_of<'a>(
    caller: &'a strongroom_pipeline::Caller,
    account: AccountId,
    request: &ListKeysRequest,
) -> List<'a> {
    let owners = request.resource_owners.as_deref().unwrap_or_default();
    let parameters: &'static [u8] = match (
        owners.contains(&ResourceOwnerType::Own),
        owners.contains(&ResourceOwnerType::OtherAccountsViaRam),
    ) {
        (false, false) | (true, false) => b"self",
        (false, true) => b"ram",
        (true, true) => b"self,ram",
    };
    List { caller, account, operation: "ListKeys", parameters }
}

//! GenerateMac and VerifyMac.

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Key, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::Action;
use strongroom_records::{KeyRow, TrackedOperation};
use strongroom_types::KeyUsage;
use strongroom_wire::{
    GenerateMacReply, GenerateMacRequest, MacAlgorithmSpec, VerifyMacReply, VerifyMacRequest,
};

use crate::encryption::push_dry_run;
use crate::fault;
use crate::lifecycle::ReadyKey;
use crate::lookup::{self, Accept};
use crate::specs;

pub(crate) struct GenerateMac;
pub(crate) struct VerifyMac;

fn ready<'a>(key: &'a KeyRow, algorithm: MacAlgorithmSpec, operation: &str) -> Result<ReadyKey<'a>, Fault> {
    specs::check_usage(key, KeyUsage::GenerateVerifyMac, operation)?;
    if specs::mac_algorithm(key.spec()) != Some(algorithm) {
        return Err(fault::algorithm_incompatible(algorithm.as_str(), key.spec()));
    }
    ReadyKey::check(key)
}

fn targets(key_id: &str, action: Action, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
    let key = lookup::find(reader, key_id, Accept::Any, action)?;
    let checks = Checks::one(Check::key(action, &key));
    Ok(Targets { rows: key, checks })
}

fn parameters(
    key_id: &str,
    algorithm: MacAlgorithmSpec,
    dry_run: Option<bool>,
) -> Vec<(&'static str, Value<'_>)> {
    let mut out = vec![("keyId", Value::from(key_id)), ("macAlgorithm", Value::from(algorithm.as_str()))];
    push_dry_run(&mut out, dry_run);
    out
}

impl Operation for GenerateMac {
    type Request = GenerateMacRequest;
    type Rows = Key;
    type Reply = GenerateMacReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::GenerateMac);

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        targets(&request.key_id, Action::GenerateMac, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            key_reference: Some(&request.key_id),
            mac_algorithm: Some(request.mac_algorithm.as_str()),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let ready = ready(key, request.mac_algorithm, "GenerateMac")?;
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let mac = world.keyring.generate_mac(&ready.stored(), request.message.expose());
        Ok(Done::reply(GenerateMacReply {
            mac: Some(mac.map_err(fault::crypto)?),
            mac_algorithm: Some(request.mac_algorithm),
            key_id: Some(key.arn_text().to_owned()),
        }))
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        parameters(&request.key_id, request.mac_algorithm, request.dry_run)
    }
}

impl Operation for VerifyMac {
    type Request = VerifyMacRequest;
    type Rows = Key;
    type Reply = VerifyMacReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::VerifyMac);

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        targets(&request.key_id, Action::VerifyMac, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            key_reference: Some(&request.key_id),
            mac_algorithm: Some(request.mac_algorithm.as_str()),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let ready = ready(key, request.mac_algorithm, "VerifyMac")?;
        let verified = world.keyring.verify_mac(&ready.stored(), request.message.expose(), &request.mac);
        if !verified.map_err(fault::crypto)? {
            return Err(fault::invalid_mac());
        }
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        Ok(Done::reply(VerifyMacReply {
            key_id: Some(key.arn_text().to_owned()),
            mac_valid: Some(true),
            mac_algorithm: Some(request.mac_algorithm),
        }))
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        parameters(&request.key_id, request.mac_algorithm, request.dry_run)
    }
}

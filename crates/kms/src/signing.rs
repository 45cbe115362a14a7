//! Sign and Verify.

use strongroom_audit::Value;
use strongroom_crypto::{Signed, SigningAlgorithm};
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Key, Kind, Operation, Permit, Reader, RequestFacts, Targets, Weight, World,
};
use strongroom_policy::Action;
use strongroom_records::{KeyRow, TrackedOperation};
use strongroom_types::{KeyUsage, Plaintext};
use strongroom_wire::{
    MessageType, SignReply, SignRequest, SigningAlgorithmSpec, VerifyReply, VerifyRequest,
};

use crate::encryption::push_dry_run;
use crate::fault;
use crate::lifecycle::ReadyKey;
use crate::lookup::{self, Accept};
use crate::specs;

pub(crate) struct Sign;
pub(crate) struct Verify;

/// FIPS 204 section 6.2.
const MU_BYTES: usize = 64;

fn ready<'a>(
    key: &'a KeyRow,
    algorithm: SigningAlgorithmSpec,
    operation: &str,
) -> Result<(ReadyKey<'a>, SigningAlgorithm), Fault> {
    specs::check_usage(key, KeyUsage::SignVerify, operation)?;
    let known = specs::signing_algorithm(algorithm);
    if !SigningAlgorithm::of(key.spec()).contains(&known) {
        return Err(fault::algorithm_incompatible(algorithm.as_str(), key.spec()));
    }
    Ok((ReadyKey::check(key)?, known))
}

/// What is signed, once it is of a kind and length that the algorithm takes (AWS KMS API reference, Sign, MessageType).
fn signed(
    message: &Plaintext,
    kind: Option<MessageType>,
    algorithm: SigningAlgorithmSpec,
) -> Result<Signed<'_>, Fault> {
    let kind = kind.unwrap_or(MessageType::Raw);
    let bytes = message.expose();
    let invalid_length =
        || fault::validation(format!("Digest is invalid length for algorithm {}.", algorithm.as_str()));
    let known = specs::signing_algorithm(algorithm);
    match (kind, known, known.digest_bytes()) {
        (MessageType::Raw, SigningAlgorithm::Ed25519Ph, _) => {}
        (MessageType::Raw, _, _) => return Ok(Signed::Message(bytes)),
        (MessageType::Digest, _, Some(length)) if bytes.len() == length => return Ok(Signed::Digest(bytes)),
        (MessageType::Digest, _, Some(_)) => return Err(invalid_length()),
        (MessageType::ExternalMu, SigningAlgorithm::MlDsa, _) if bytes.len() == MU_BYTES => {
            return Ok(Signed::Mu(bytes));
        }
        (MessageType::ExternalMu, SigningAlgorithm::MlDsa, _) => return Err(invalid_length()),
        (MessageType::Digest | MessageType::ExternalMu, _, _) => {}
    }
    let (kind, algorithm) = (kind.as_str(), algorithm.as_str());
    Err(fault::validation(format!("MessageType {kind} is not compatible with SigningAlgorithm {algorithm}.")))
}

fn targets(key_id: &str, action: Action, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
    let key = lookup::find(reader, key_id, Accept::Any, action)?;
    let checks = Checks::one(Check::key(action, &key));
    Ok(Targets { rows: key, checks })
}

fn parameters(
    key_id: &str,
    algorithm: SigningAlgorithmSpec,
    kind: Option<MessageType>,
    dry_run: Option<bool>,
) -> Vec<(&'static str, Value<'_>)> {
    let mut out = vec![
        ("keyId", Value::from(key_id)),
        ("signingAlgorithm", Value::from(algorithm.as_str())),
        ("messageType", Value::from(kind.unwrap_or(MessageType::Raw).as_str())),
    ];
    push_dry_run(&mut out, dry_run);
    out
}

impl Operation for Sign {
    type Request = SignRequest;
    type Rows = Key;
    type Reply = SignReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::Sign);

    /// P-256, secp256k1 and Ed25519 take less than 30 µs.
    fn weight(request: &Self::Request) -> Weight {
        match specs::signing_algorithm(request.signing_algorithm) {
            SigningAlgorithm::Ecdsa256 | SigningAlgorithm::Ed25519 | SigningAlgorithm::Ed25519Ph => {
                Weight::Light
            }
            _ => Weight::Heavy,
        }
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        targets(&request.key_id, Action::Sign, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            key_reference: Some(&request.key_id),
            message_type: Some(request.message_type.unwrap_or(MessageType::Raw).as_str()),
            signing_algorithm: Some(request.signing_algorithm.as_str()),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let (ready, algorithm) = ready(key, request.signing_algorithm, "Sign")?;
        let signed = signed(&request.message, request.message_type, request.signing_algorithm)?;
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let signature = world.keyring.sign(&ready.stored(), algorithm, signed).map_err(fault::crypto)?;
        Ok(Done::reply(SignReply {
            key_id: Some(key.arn_text().to_owned()),
            signature: Some(signature),
            signing_algorithm: Some(request.signing_algorithm),
        }))
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        parameters(&request.key_id, request.signing_algorithm, request.message_type, request.dry_run)
    }
}

impl Operation for Verify {
    type Request = VerifyRequest;
    type Rows = Key;
    type Reply = VerifyReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::Verify);

    /// P-384, P-521 and SM2 take more than 100 µs.
    fn weight(request: &Self::Request) -> Weight {
        match specs::signing_algorithm(request.signing_algorithm) {
            SigningAlgorithm::Ecdsa384 | SigningAlgorithm::Ecdsa512 | SigningAlgorithm::Sm2Dsa => {
                Weight::Heavy
            }
            _ => Weight::Light,
        }
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        targets(&request.key_id, Action::Verify, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            key_reference: Some(&request.key_id),
            message_type: Some(request.message_type.unwrap_or(MessageType::Raw).as_str()),
            signing_algorithm: Some(request.signing_algorithm.as_str()),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let (_, algorithm) = ready(key, request.signing_algorithm, "Verify")?;
        let signed = signed(&request.message, request.message_type, request.signing_algorithm)?;
        let verified = specs::public_key(key)?.verify(key.spec(), algorithm, signed, &request.signature);
        if !verified.map_err(fault::crypto)? {
            return Err(fault::invalid_signature());
        }
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        Ok(Done::reply(VerifyReply {
            key_id: Some(key.arn_text().to_owned()),
            signature_valid: Some(true),
            signing_algorithm: Some(request.signing_algorithm),
        }))
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        parameters(&request.key_id, request.signing_algorithm, request.message_type, request.dry_run)
    }
}

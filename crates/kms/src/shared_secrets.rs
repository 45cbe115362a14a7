//! DeriveSharedSecret, Encapsulate and Decapsulate.

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Key, Kind, Operation, Permit, Reader, RequestFacts, Targets, Weight, World,
};
use strongroom_policy::Action;
use strongroom_records::{KeyRow, TrackedOperation};
use strongroom_types::KeyUsage;
use strongroom_wire::{
    DecapsulateReply, DecapsulateRequest, DeriveSharedSecretReply, DeriveSharedSecretRequest,
    EncapsulateReply, EncapsulateRequest, EncapsulationAlgorithmSpec, ErrorKind, KeyAgreementAlgorithmSpec,
    RecipientInfo,
};

use crate::encryption::push_dry_run;
use crate::fault;
use crate::lifecycle::ReadyKey;
use crate::lookup::{self, Accept};
use crate::recipients;
use crate::specs;

pub(crate) struct Decapsulate;
pub(crate) struct DeriveSharedSecret;
pub(crate) struct Encapsulate;

/// Every key of these usages has the one algorithm that there is.
fn ready<'a>(key: &'a KeyRow, usage: KeyUsage, operation: &str) -> Result<ReadyKey<'a>, Fault> {
    specs::check_usage(key, usage, operation)?;
    ReadyKey::check(key)
}

fn targets(key_id: &str, action: Action, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
    let key = lookup::find(reader, key_id, Accept::Any, action)?;
    let checks = Checks::one(Check::key(action, &key));
    Ok(Targets { rows: key, checks })
}

impl Operation for DeriveSharedSecret {
    type Request = DeriveSharedSecretRequest;
    type Rows = Key;
    type Reply = DeriveSharedSecretReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::DeriveSharedSecret);

    /// P-384 and P-521 take more than 100 µs, and the request does not tell the curve.
    fn weight(_: &Self::Request) -> Weight {
        Weight::Heavy
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        targets(&request.key_id, Action::DeriveSharedSecret, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            key_agreement_algorithm: Some(request.key_agreement_algorithm.as_str()),
            key_reference: Some(&request.key_id),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let ready = ready(key, KeyUsage::KeyAgreement, "DeriveSharedSecret")?;
        let KeyAgreementAlgorithmSpec::Ecdh = request.key_agreement_algorithm;
        let secret = world.keyring.derive_shared_secret(&ready.stored(), &request.public_key);
        // AWS's refusal of a peer's key has no text.
        let secret = secret.map_err(fault::crypto)?.ok_or_else(|| Fault::bare(ErrorKind::Validation))?;
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let given = recipients::give(permit.recipient(), secret)?;
        Ok(Done::reply(DeriveSharedSecretReply {
            key_id: Some(key.arn_text().to_owned()),
            shared_secret: given.plaintext,
            ciphertext_for_recipient: given.ciphertext_for_recipient,
            key_agreement_algorithm: Some(request.key_agreement_algorithm),
            key_origin: Some(specs::wire_origin(key.origin())),
        }))
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn recipient(request: &Self::Request) -> Option<&RecipientInfo> {
        request.recipient.as_ref()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let mut out = vec![
            ("keyId", Value::from(request.key_id.as_str())),
            ("keyAgreementAlgorithm", Value::from(request.key_agreement_algorithm.as_str())),
        ];
        push_dry_run(&mut out, request.dry_run);
        out
    }
}

fn encapsulation_parameters(
    key_id: &str,
    algorithm: EncapsulationAlgorithmSpec,
    dry_run: Option<bool>,
) -> Vec<(&'static str, Value<'_>)> {
    let mut out =
        vec![("keyId", Value::from(key_id)), ("encapsulationAlgorithm", Value::from(algorithm.as_str()))];
    push_dry_run(&mut out, dry_run);
    out
}

impl Operation for Encapsulate {
    type Request = EncapsulateRequest;
    type Rows = Key;
    type Reply = EncapsulateReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::Encapsulate);

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        targets(&request.key_id, Action::Encapsulate, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts { key_reference: Some(&request.key_id), ..RequestFacts::default() }
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        ready(key, KeyUsage::EncapsulateDecapsulate, "Encapsulate")?;
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let made = specs::public_key(key)?.encapsulate(key.spec()).map_err(fault::crypto)?;
        Ok(Done::reply(EncapsulateReply {
            key_id: Some(key.arn_text().to_owned()),
            shared_secret: Some(made.shared_secret),
            shared_secret_ciphertext_blob: Some(made.ciphertext),
            encapsulation_algorithm: Some(request.encapsulation_algorithm),
        }))
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        encapsulation_parameters(&request.key_id, request.encapsulation_algorithm, request.dry_run)
    }
}

impl Operation for Decapsulate {
    type Request = DecapsulateRequest;
    type Rows = Key;
    type Reply = DecapsulateReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::Decapsulate);

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        targets(&request.key_id, Action::Decapsulate, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts { key_reference: Some(&request.key_id), ..RequestFacts::default() }
    }

    /// Only a wrong length is refused: every other encapsulation that is not this key's gives a secret that nobody has, so
    /// that nothing can be learned from the answer (FIPS 203 section 6.3).
    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let ready = ready(key, KeyUsage::EncapsulateDecapsulate, "Decapsulate")?;
        let secret = world.keyring.decapsulate(&ready.stored(), &request.shared_secret_ciphertext_blob);
        let secret = secret.map_err(fault::crypto)?.ok_or_else(fault::invalid_ciphertext)?;
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        Ok(Done::reply(DecapsulateReply {
            key_id: Some(key.arn_text().to_owned()),
            shared_secret: Some(secret),
            encapsulation_algorithm: Some(request.encapsulation_algorithm),
        }))
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        encapsulation_parameters(&request.key_id, request.encapsulation_algorithm, request.dry_run)
    }
}

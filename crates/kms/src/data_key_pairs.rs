//! GenerateDataKeyPair and GenerateDataKeyPairWithoutPlaintext.

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Key, Kind, Operation, Permit, Reader, RequestFacts, Targets, Weight, World,
};
use strongroom_policy::{Action, GrantFacts};
use strongroom_records::{KeyRow, TrackedOperation};
use strongroom_types::{EncryptionContext, MaterialId, Plaintext};
use strongroom_wire::{
    DataKeyPairSpec, GenerateDataKeyPairReply, GenerateDataKeyPairRequest,
    GenerateDataKeyPairWithoutPlaintextReply, GenerateDataKeyPairWithoutPlaintextRequest, RecipientInfo,
};

use crate::encryption::{
    DEFAULT_ALGORITHM, context_facts, context_of, encrypt, material_value, push_context, push_dry_run,
    ready_symmetric,
};
use crate::fault;
use crate::lookup::{self, Accept};
use crate::recipients;
use crate::specs;

pub(crate) struct GenerateDataKeyPair;
pub(crate) struct GenerateDataKeyPairWithoutPlaintext;

/// The parameters that both operations share.
struct PairRequest<'a> {
    context: Option<&'a EncryptionContext>,
    dry_run: Option<bool>,
    spec: DataKeyPairSpec,
}

struct Pair {
    blob: Vec<u8>,
    material_id: MaterialId,
    private_key: Plaintext,
    public_key: Vec<u8>,
}

impl<'a> PairRequest<'a> {
    fn generate(&self, key: &KeyRow, operation: &str, world: &World<'_>) -> Result<Pair, Fault> {
        let ready = ready_symmetric(key, operation)?;
        let spec = specs::pair_spec(self.spec);
        specs::check_region(spec, key.region(), world.offers)?;
        if self.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let pair = world.keyring.generate_data_key_pair(spec).map_err(fault::crypto)?;
        let blob = encrypt(&ready, context_of(self.context), pair.private_key.expose(), world)?;
        let material_id = ready.current().id;
        Ok(Pair { blob, material_id, private_key: pair.private_key, public_key: pair.public_key })
    }

    fn parameters(self, key_id: &'a str) -> Vec<(&'static str, Value<'a>)> {
        let mut out = vec![("keyId", Value::from(key_id)), ("keyPairSpec", Value::from(self.spec.as_str()))];
        push_context(&mut out, "encryptionContext", self.context);
        push_dry_run(&mut out, self.dry_run);
        out
    }

    /// RSA keys take up to a second; the larger curves some 100 µs.
    fn weight(&self) -> Weight {
        match self.spec {
            DataKeyPairSpec::EccNistP256
            | DataKeyPairSpec::EccNistEdwards25519
            | DataKeyPairSpec::MlKem512
            | DataKeyPairSpec::MlKem768
            | DataKeyPairSpec::MlKem1024 => Weight::Light,
            _ => Weight::Heavy,
        }
    }
}

impl<'a> From<&'a GenerateDataKeyPairRequest> for PairRequest<'a> {
    fn from(request: &'a GenerateDataKeyPairRequest) -> Self {
        Self {
            context: request.encryption_context.as_ref(),
            dry_run: request.dry_run,
            spec: request.key_pair_spec,
        }
    }
}

impl<'a> From<&'a GenerateDataKeyPairWithoutPlaintextRequest> for PairRequest<'a> {
    fn from(request: &'a GenerateDataKeyPairWithoutPlaintextRequest) -> Self {
        Self {
            context: request.encryption_context.as_ref(),
            dry_run: request.dry_run,
            spec: request.key_pair_spec,
        }
    }
}

fn targets(key_id: &str, action: Action, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
    let key = lookup::find(reader, key_id, Accept::Any, action)?;
    let checks = Checks::one(Check::key(action, &key));
    Ok(Targets { rows: key, checks })
}

impl Operation for GenerateDataKeyPair {
    type Request = GenerateDataKeyPairRequest;
    type Rows = Key;
    type Reply = GenerateDataKeyPairReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::GenerateDataKeyPair);

    fn weight(request: &Self::Request) -> Weight {
        PairRequest::from(request).weight()
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        targets(&request.key_id, Action::GenerateDataKeyPair, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            data_key_pair_spec: Some(request.key_pair_spec.as_str()),
            encryption_algorithm: Some(DEFAULT_ALGORITHM.as_str()),
            encryption_context: request.encryption_context.as_ref(),
            key_reference: Some(&request.key_id),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let pair = PairRequest::from(request).generate(key, "GenerateDataKeyPair", world)?;
        let given = recipients::give(permit.recipient(), pair.private_key)?;
        let mut done = Done::reply(GenerateDataKeyPairReply {
            private_key_ciphertext_blob: Some(pair.blob),
            private_key_plaintext: given.plaintext,
            public_key: Some(pair.public_key),
            key_id: Some(key.arn_text().to_owned()),
            key_pair_spec: Some(request.key_pair_spec),
            ciphertext_for_recipient: given.ciphertext_for_recipient,
            key_material_id: recipients::material_id(permit.recipient(), Some(pair.material_id)),
        });
        done.additional_data = vec![material_value(pair.material_id)];
        Ok(done)
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn recipient(request: &Self::Request) -> Option<&RecipientInfo> {
        request.recipient.as_ref()
    }

    fn grant_facts<'a>(request: &'a Self::Request, _: &'a Self::Rows, _: Action) -> GrantFacts<'a> {
        context_facts(request.encryption_context.as_ref())
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        PairRequest::from(request).parameters(&request.key_id)
    }
}

impl Operation for GenerateDataKeyPairWithoutPlaintext {
    type Request = GenerateDataKeyPairWithoutPlaintextRequest;
    type Rows = Key;
    type Reply = GenerateDataKeyPairWithoutPlaintextReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::GenerateDataKeyPairWithoutPlaintext);

    fn weight(request: &Self::Request) -> Weight {
        PairRequest::from(request).weight()
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        targets(&request.key_id, Action::GenerateDataKeyPairWithoutPlaintext, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            data_key_pair_spec: Some(request.key_pair_spec.as_str()),
            encryption_algorithm: Some(DEFAULT_ALGORITHM.as_str()),
            encryption_context: request.encryption_context.as_ref(),
            key_reference: Some(&request.key_id),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let pair = PairRequest::from(request).generate(key, "GenerateDataKeyPairWithoutPlaintext", world)?;
        let mut done = Done::reply(GenerateDataKeyPairWithoutPlaintextReply {
            private_key_ciphertext_blob: Some(pair.blob),
            public_key: Some(pair.public_key),
            key_id: Some(key.arn_text().to_owned()),
            key_pair_spec: Some(request.key_pair_spec),
            key_material_id: Some(pair.material_id.to_string()),
        });
        done.additional_data = vec![material_value(pair.material_id)];
        Ok(done)
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn grant_facts<'a>(request: &'a Self::Request, _: &'a Self::Rows, _: Action) -> GrantFacts<'a> {
        context_facts(request.encryption_context.as_ref())
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        PairRequest::from(request).parameters(&request.key_id)
    }
}

//! GenerateDataKey and GenerateDataKeyWithoutPlaintext.

use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::{Action, GrantFacts};
use strongroom_records::{KeyRow, Loaded, TrackedOperation};
use strongroom_types::{EncryptionContext, MaterialId, Plaintext};
use strongroom_wire::{
    DataKeySpec, GenerateDataKeyReply, GenerateDataKeyRequest, GenerateDataKeyWithoutPlaintextReply,
    GenerateDataKeyWithoutPlaintextRequest, RecipientInfo,
};

use crate::encryption::{
    DEFAULT_ALGORITHM, context_facts, context_of, encrypt, material_value, push_context, push_dry_run,
    ready_symmetric,
};
use crate::fault;
use crate::lookup::{self, Accept};
use crate::recipients;

pub(crate) struct GenerateDataKey;
pub(crate) struct GenerateDataKeyWithoutPlaintext;

type Key = Arc<Loaded<KeyRow>>;

/// The parameters that both operations share.
struct DataKeyRequest<'a> {
    spec: Option<DataKeySpec>,
    number_of_bytes: Option<u32>,
    context: Option<&'a EncryptionContext>,
    dry_run: Option<bool>,
}

struct DataKey {
    plaintext: Plaintext,
    blob: Vec<u8>,
    material_id: MaterialId,
}

impl<'a> DataKeyRequest<'a> {
    /// Exactly one of KeySpec and NumberOfBytes.
    fn size(&self) -> Result<usize, Fault> {
        let size = match (self.spec, self.number_of_bytes) {
            (Some(DataKeySpec::Aes128), None) => Some(16),
            (Some(DataKeySpec::Aes256), None) => Some(32),
            (None, Some(size)) => usize::try_from(size).ok(),
            (Some(_), Some(_)) | (None, None) => None,
        };
        size.ok_or_else(|| fault::validation("Please specify either number of bytes or key spec."))
    }

    fn generate(&self, key: &KeyRow, operation: &str, world: &World<'_>) -> Result<DataKey, Fault> {
        let size = self.size()?;
        let ready = ready_symmetric(key, operation)?;
        if self.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let plaintext = strongroom_crypto::random_plaintext(size).map_err(fault::crypto)?;
        let blob = encrypt(&ready, context_of(self.context), plaintext.expose(), world)?;
        Ok(DataKey { plaintext, blob, material_id: ready.current().id })
    }

    fn parameters(self, key_id: &'a str) -> Vec<(&'static str, Value<'a>)> {
        let mut out = vec![("keyId", Value::from(key_id))];
        out.extend(self.spec.map(|spec| ("keySpec", Value::from(spec.as_str()))));
        out.extend(self.number_of_bytes.map(|size| ("numberOfBytes", Value::Integer(size.into()))));
        push_context(&mut out, "encryptionContext", self.context);
        push_dry_run(&mut out, self.dry_run);
        out
    }
}

impl<'a> From<&'a GenerateDataKeyRequest> for DataKeyRequest<'a> {
    fn from(request: &'a GenerateDataKeyRequest) -> Self {
        Self {
            spec: request.key_spec,
            number_of_bytes: request.number_of_bytes,
            context: request.encryption_context.as_ref(),
            dry_run: request.dry_run,
        }
    }
}

impl<'a> From<&'a GenerateDataKeyWithoutPlaintextRequest> for DataKeyRequest<'a> {
    fn from(request: &'a GenerateDataKeyWithoutPlaintextRequest) -> Self {
        Self {
            spec: request.key_spec,
            number_of_bytes: request.number_of_bytes,
            context: request.encryption_context.as_ref(),
            dry_run: request.dry_run,
        }
    }
}

fn key_targets(key_id: &str, action: Action, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
    let key = lookup::find(reader, key_id, Accept::Any, action)?;
    let checks = Checks::one(Check::key(action, &key));
    Ok(Targets { rows: key, checks })
}

/// A data key is encrypted with the one algorithm that there is for symmetric keys.
fn facts<'a>(key_id: &'a str, context: Option<&'a EncryptionContext>) -> RequestFacts<'a> {
    RequestFacts {
        encryption_algorithm: Some(DEFAULT_ALGORITHM.as_str()),
        encryption_context: context,
        key_reference: Some(key_id),
        ..RequestFacts::default()
    }
}

impl Operation for GenerateDataKey {
    type Request = GenerateDataKeyRequest;
    type Rows = Key;
    type Reply = GenerateDataKeyReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::GenerateDataKey);

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        key_targets(&request.key_id, Action::GenerateDataKey, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        facts(&request.key_id, request.encryption_context.as_ref())
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let data_key = DataKeyRequest::from(request).generate(key, "GenerateDataKey", world)?;
        let given = recipients::give(permit.recipient(), data_key.plaintext)?;
        let mut done = Done::reply(GenerateDataKeyReply {
            ciphertext_blob: Some(data_key.blob),
            plaintext: given.plaintext,
            key_id: Some(key.arn_text().to_owned()),
            ciphertext_for_recipient: given.ciphertext_for_recipient,
            key_material_id: recipients::material_id(permit.recipient(), Some(data_key.material_id)),
        });
        done.additional_data = vec![material_value(data_key.material_id)];
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
        DataKeyRequest::from(request).parameters(&request.key_id)
    }
}

impl Operation for GenerateDataKeyWithoutPlaintext {
    type Request = GenerateDataKeyWithoutPlaintextRequest;
    type Rows = Key;
    type Reply = GenerateDataKeyWithoutPlaintextReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::GenerateDataKeyWithoutPlaintext);

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        key_targets(&request.key_id, Action::GenerateDataKeyWithoutPlaintext, reader)
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        facts(&request.key_id, request.encryption_context.as_ref())
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        let data_key =
            DataKeyRequest::from(request).generate(key, "GenerateDataKeyWithoutPlaintext", world)?;
        let mut done = Done::reply(GenerateDataKeyWithoutPlaintextReply {
            ciphertext_blob: Some(data_key.blob),
            key_id: Some(key.arn_text().to_owned()),
            key_material_id: Some(data_key.material_id.to_string()),
        });
        done.additional_data = vec![material_value(data_key.material_id)];
        Ok(done)
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn grant_facts<'a>(request: &'a Self::Request, _: &'a Self::Rows, _: Action) -> GrantFacts<'a> {
        context_facts(request.encryption_context.as_ref())
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        DataKeyRequest::from(request).parameters(&request.key_id)
    }
}

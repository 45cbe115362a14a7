//! Encrypt, Decrypt and ReEncrypt.

use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_crypto::{Blob, PublicEncryption, SymmetricKey};
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, Weight, World,
};
use strongroom_policy::{Action, GrantFacts, KeyNamed};
use strongroom_records::{KeyRow, Loaded, TrackedOperation};
use strongroom_types::{EncryptionContext, KeySpec, KeyUsage, MaterialId, Plaintext};
use strongroom_wire::{
    DecryptReply, DecryptRequest, DryRunModifierType, EncryptReply, EncryptRequest, EncryptionAlgorithmSpec,
    ReEncryptReply, ReEncryptRequest, RecipientInfo,
};

use crate::fault;
use crate::lifecycle::ReadyKey;
use crate::lookup::{self, Accept};
use crate::recipients;
use crate::specs;

pub(crate) struct Decrypt;
pub(crate) struct Encrypt;
pub(crate) struct ReEncrypt;

type Key = Arc<Loaded<KeyRow>>;

/// The algorithm that a request means when it names none.
pub(crate) const DEFAULT_ALGORITHM: EncryptionAlgorithmSpec = EncryptionAlgorithmSpec::SymmetricDefault;

/// How a key that is ready encrypts.
enum Cipher<'a> {
    Public(ReadyKey<'a>, PublicEncryption),
    Symmetric(ReadyKey<'a>),
}

/// Usage and algorithm, then state: the order that AWS's answers show. The usage is the caller's to check: its refusals
/// differ.
fn ready(key: &KeyRow, algorithm: Option<EncryptionAlgorithmSpec>) -> Result<Cipher<'_>, Fault> {
    let algorithm = algorithm.unwrap_or(DEFAULT_ALGORITHM);
    match specs::public_encryption(algorithm) {
        None if key.spec() == KeySpec::SymmetricDefault => ReadyKey::check(key).map(Cipher::Symmetric),
        Some(public) if PublicEncryption::of(key.spec()).contains(&public) => {
            ReadyKey::check(key).map(|ready| Cipher::Public(ready, public))
        }
        _ => Err(fault::algorithm_incompatible(algorithm.as_str(), key.spec())),
    }
}

/// A key that makes blobs.
pub(crate) fn ready_symmetric<'a>(key: &'a KeyRow, operation: &str) -> Result<ReadyKey<'a>, Fault> {
    specs::check_usage(key, KeyUsage::EncryptDecrypt, operation)?;
    if key.spec() != KeySpec::SymmetricDefault {
        return Err(fault::algorithm_incompatible(DEFAULT_ALGORITHM.as_str(), key.spec()));
    }
    ReadyKey::check(key)
}

/// Private keys are slow, and so is all of SM2.
fn weight(private: Option<EncryptionAlgorithmSpec>, public: Option<EncryptionAlgorithmSpec>) -> Weight {
    let is_light = matches!(private, None | Some(DEFAULT_ALGORITHM))
        && !matches!(public, Some(EncryptionAlgorithmSpec::Sm2pke));
    if is_light { Weight::Light } else { Weight::Heavy }
}

impl Cipher<'_> {
    /// The ciphertext, and the material that a symmetric key made it with.
    fn encrypt(
        &self,
        context: Option<&EncryptionContext>,
        plaintext: &[u8],
        world: &World<'_>,
    ) -> Result<(Vec<u8>, Option<MaterialId>), Fault> {
        match self {
            Self::Symmetric(ready) => {
                let blob = encrypt(ready, context_of(context), plaintext, world)?;
                Ok((blob, Some(ready.current().id)))
            }
            Self::Public(ready, algorithm) => {
                let key = ready.key();
                let ciphertext = specs::public_key(key)?.encrypt(key.spec(), *algorithm, plaintext);
                Ok((ciphertext.map_err(fault::crypto)?, None))
            }
        }
    }

    /// What an Encrypt is refused for, though the key is ready: a context that public-key encryption has no place for, and
    /// too long a plaintext.
    fn check_input(&self, context: Option<&EncryptionContext>, plaintext: &[u8]) -> Result<(), Fault> {
        let Self::Public(ready, algorithm) = self else { return Ok(()) };
        no_context(context)?;
        let spec = ready.key().spec();
        let max = algorithm.plaintext_bytes_max(spec);
        if plaintext.len() > max {
            let algorithm = specs::wire_encryption(*algorithm);
            return Err(fault::plaintext_too_long(algorithm.as_str(), spec, max));
        }
        Ok(())
    }

    fn decrypt(
        &self,
        ciphertext: &[u8],
        context: Option<&EncryptionContext>,
        world: &World<'_>,
    ) -> Result<(Plaintext, Option<MaterialId>), Fault> {
        match self {
            Self::Symmetric(ready) => {
                let (plaintext, material_id) = decrypt(ready, ciphertext, context_of(context), world)?;
                Ok((plaintext, Some(material_id)))
            }
            Self::Public(ready, algorithm) => {
                no_context(context)?;
                let opened = world.keyring.decrypt_with_private(&ready.stored(), *algorithm, ciphertext);
                let plaintext = opened.map_err(fault::crypto)?.ok_or_else(fault::invalid_ciphertext)?;
                Ok((plaintext, None))
            }
        }
    }
}

/// Asymmetric ciphertexts have no place for a context: to drop it silently would be to promise what is not kept.
fn no_context(context: Option<&EncryptionContext>) -> Result<(), Fault> {
    match context {
        Some(context) if !context.is_empty() => Err(fault::validation(
            "EncryptionContext can only be specified with a symmetric encryption KMS key.",
        )),
        _ => Ok(()),
    }
}

pub(crate) fn encrypt(
    key: &ReadyKey<'_>,
    context: &EncryptionContext,
    plaintext: &[u8],
    world: &World<'_>,
) -> Result<Vec<u8>, Fault> {
    let row = key.key();
    let symmetric = SymmetricKey {
        key_id: &row.key_id(),
        material_id: &key.current().id,
        wrapped: &key.current().wrapped,
    };
    world.keyring.encrypt(row.region(), &symmetric, context, plaintext).map_err(fault::crypto)
}

fn decrypt(
    key: &ReadyKey<'_>,
    blob: &[u8],
    context: &EncryptionContext,
    world: &World<'_>,
) -> Result<(Plaintext, MaterialId), Fault> {
    let blob = Blob::parse(blob).map_err(|_| fault::invalid_ciphertext())?;
    let row = key.key();
    if blob.key_id() != row.key_id() {
        return Err(fault::incorrect_key());
    }
    world
        .keyring
        .decrypt(row.region(), &row.key_id(), key.candidates(), &blob, context)
        .map_err(fault::decrypt)
}

/// The record's encryption context: in clear, as CloudTrail has it.
pub(crate) fn context_value(context: &EncryptionContext) -> Value<'_> {
    let fields: Vec<_> =
        context.pairs().iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    Value::Map(fields.into())
}

/// What a grant may depend on: the context, where a null one is the empty one.
pub(crate) fn context_facts(context: Option<&EncryptionContext>) -> GrantFacts<'_> {
    GrantFacts { context: Some(context_of(context)), ..GrantFacts::default() }
}

/// A null context is the empty one.
pub(crate) fn context_of(context: Option<&EncryptionContext>) -> &EncryptionContext {
    static EMPTY: std::sync::LazyLock<EncryptionContext> = std::sync::LazyLock::new(Default::default);
    context.unwrap_or(&EMPTY)
}

impl Operation for Encrypt {
    type Request = EncryptRequest;
    type Rows = Key;
    type Reply = EncryptReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::Encrypt);

    fn weight(request: &Self::Request) -> Weight {
        weight(None, request.encryption_algorithm)
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        let key = lookup::find(reader, &request.key_id, Accept::Any, Action::Encrypt)?;
        let checks = Checks::one(Check::key(Action::Encrypt, &key));
        Ok(Targets { rows: key, checks })
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            encryption_algorithm: Some(request.encryption_algorithm.unwrap_or(DEFAULT_ALGORITHM).as_str()),
            encryption_context: request.encryption_context.as_ref(),
            key_reference: Some(&request.key_id),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        specs::check_usage(key, KeyUsage::EncryptDecrypt, "Encrypt")?;
        let cipher = ready(key, request.encryption_algorithm)?;
        let (context, plaintext) = (request.encryption_context.as_ref(), request.plaintext.expose());
        cipher.check_input(context, plaintext)?;
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let (blob, material_id) = cipher.encrypt(context, plaintext, world)?;
        let mut done = Done::reply(EncryptReply {
            ciphertext_blob: Some(blob),
            key_id: Some(key.arn_text().to_owned()),
            encryption_algorithm: Some(request.encryption_algorithm.unwrap_or(DEFAULT_ALGORITHM)),
        });
        done.additional_data = material_id.map(material_value).into_iter().collect();
        Ok(done)
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn grant_facts<'a>(request: &'a Self::Request, _: &'a Self::Rows, _: Action) -> GrantFacts<'a> {
        context_facts(request.encryption_context.as_ref())
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let algorithm = request.encryption_algorithm.unwrap_or(DEFAULT_ALGORITHM);
        let mut out = vec![
            ("keyId", Value::from(request.key_id.as_str())),
            ("encryptionAlgorithm", Value::from(algorithm.as_str())),
        ];
        push_context(&mut out, "encryptionContext", request.encryption_context.as_ref());
        push_dry_run(&mut out, request.dry_run);
        out
    }
}

pub(crate) fn material_value(id: MaterialId) -> (&'static str, Value<'static>) {
    ("keyMaterialId", Value::from(id.to_string()))
}

pub(crate) fn push_context<'a>(
    out: &mut Vec<(&'static str, Value<'a>)>,
    name: &'static str,
    context: Option<&'a EncryptionContext>,
) {
    if let Some(context) = context.filter(|context| !context.is_empty()) {
        out.push((name, context_value(context)));
    }
}

pub(crate) fn push_dry_run(out: &mut Vec<(&'static str, Value<'_>)>, dry_run: Option<bool>) {
    if let Some(dry_run) = dry_run {
        out.push(("dryRun", Value::Bool(dry_run)));
    }
}

/// The key that a Decrypt or the source side of a ReEncrypt is about: the one the request names, or else the one that
/// the blob names.
fn source_key(
    reader: &mut Reader<'_>,
    named: Option<&str>,
    blob: Option<&[u8]>,
    algorithm: Option<EncryptionAlgorithmSpec>,
    action: Action,
) -> Result<(Key, KeyNamed), Fault> {
    if let Some(text) = named {
        return Ok((lookup::find(reader, text, Accept::Any, action)?, KeyNamed::ByRequest));
    }
    if algorithm.is_some_and(|algorithm| algorithm != DEFAULT_ALGORITHM) {
        return Err(fault::validation("KeyId is required when the encryption algorithm is asymmetric."));
    }
    let blob = blob.ok_or_else(|| null_member("ciphertextBlob"))?;
    let blob = Blob::parse(blob).map_err(|_| fault::invalid_ciphertext())?;
    let key = reader.key(&blob.key_id()).map_err(fault::records)?;
    let key = key.ok_or_else(|| lookup::foreign(reader, action, KeyNamed::ByCiphertext))?;
    Ok((key, KeyNamed::ByCiphertext))
}

/// What a key that encrypts nothing is told by the operations that decrypt.
fn usable_source(key: &KeyRow) -> Result<(), Fault> {
    if key.usage() == KeyUsage::EncryptDecrypt { Ok(()) } else { Err(fault::incorrect_key()) }
}

fn null_member(path: &str) -> Fault {
    fault::validation(format!(
        "1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member must not be null"
    ))
}

/// Whether the blob is to be ignored: only in a dry run, and then the key must be named.
fn ignores_ciphertext(
    dry_run: Option<bool>,
    modifiers: Option<&[DryRunModifierType]>,
    named: Option<&str>,
    path: &str,
) -> Result<bool, Fault> {
    match modifiers {
        None | Some([]) => Ok(false),
        Some(_) if dry_run != Some(true) => {
            Err(fault::validation("DryRunModifiers can only be specified when DryRun is true."))
        }
        Some(_) if named.is_none() => Err(null_member(path)),
        Some(_) => Ok(true),
    }
}

impl Operation for Decrypt {
    type Request = DecryptRequest;
    type Rows = Key;
    type Reply = DecryptReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::Decrypt);

    fn weight(request: &Self::Request) -> Weight {
        weight(request.encryption_algorithm, None)
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Key>, Fault> {
        let named = request.key_id.as_deref();
        ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_deref(), named, "keyId")?;
        let blob = request.ciphertext_blob.as_deref();
        let (key, named) = source_key(reader, named, blob, request.encryption_algorithm, Action::Decrypt)?;
        let checks = Checks::one(Check::Key { action: Action::Decrypt, key: Arc::clone(&key), named });
        Ok(Targets { rows: key, checks })
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            encryption_algorithm: Some(request.encryption_algorithm.unwrap_or(DEFAULT_ALGORITHM).as_str()),
            encryption_context: request.encryption_context.as_ref(),
            key_reference: request.key_id.as_deref(),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, key) = (permit.request(), permit.rows());
        usable_source(key)?;
        let cipher = ready(key, request.encryption_algorithm)?;
        let modifiers = request.dry_run_modifiers.as_deref();
        if ignores_ciphertext(request.dry_run, modifiers, request.key_id.as_deref(), "keyId")? {
            return Err(fault::dry_run());
        }
        let blob = request.ciphertext_blob.as_deref().ok_or_else(|| null_member("ciphertextBlob"))?;
        let (plaintext, material_id) = cipher.decrypt(blob, request.encryption_context.as_ref(), world)?;
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let given = recipients::give(permit.recipient(), plaintext)?;
        let mut done = Done::reply(DecryptReply {
            key_id: Some(key.arn_text().to_owned()),
            plaintext: given.plaintext,
            encryption_algorithm: Some(request.encryption_algorithm.unwrap_or(DEFAULT_ALGORITHM)),
            ciphertext_for_recipient: given.ciphertext_for_recipient,
            key_material_id: recipients::material_id(permit.recipient(), material_id),
        });
        done.additional_data = material_id.map(material_value).into_iter().collect();
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
        let algorithm = request.encryption_algorithm.unwrap_or(DEFAULT_ALGORITHM);
        let key_id = request.key_id.as_deref().map(|key_id| ("keyId", Value::from(key_id)));
        let mut out: Vec<_> = key_id.into_iter().collect();
        out.push(("encryptionAlgorithm", Value::from(algorithm.as_str())));
        push_context(&mut out, "encryptionContext", request.encryption_context.as_ref());
        push_dry_run(&mut out, request.dry_run);
        out
    }
}

/// Both keys of a ReEncrypt.
pub(crate) struct SourceAndDestination {
    source: Key,
    destination: Key,
}

impl Operation for ReEncrypt {
    type Request = ReEncryptRequest;
    type Rows = SourceAndDestination;
    type Reply = ReEncryptReply;

    const KIND: Kind = Kind::Read;
    const TRACKED: Option<TrackedOperation> = Some(TrackedOperation::ReEncrypt);

    fn weight(request: &Self::Request) -> Weight {
        weight(request.source_encryption_algorithm, request.destination_encryption_algorithm)
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        let named = request.source_key_id.as_deref();
        ignores_ciphertext(request.dry_run, request.dry_run_modifiers.as_deref(), named, "sourceKeyId")?;
        let blob = request.ciphertext_blob.as_deref();
        let algorithm = request.source_encryption_algorithm;
        let (source, named) = source_key(reader, named, blob, algorithm, Action::ReEncryptFrom)?;
        let destination =
            lookup::find(reader, &request.destination_key_id, Accept::Any, Action::ReEncryptTo)?;
        let checks = Checks::two(
            Check::Key { action: Action::ReEncryptFrom, key: Arc::clone(&source), named },
            Check::key(Action::ReEncryptTo, &destination),
        );
        Ok(Targets { rows: SourceAndDestination { source, destination }, checks })
    }

    /// Each side is asked about with its own context, algorithm and alias.
    fn facts(request: &Self::Request, action: Action) -> RequestFacts<'_> {
        let (algorithm, context, key) = if action == Action::ReEncryptFrom {
            let named = request.source_key_id.as_deref();
            (request.source_encryption_algorithm, &request.source_encryption_context, named)
        } else {
            let named = Some(request.destination_key_id.as_str());
            (request.destination_encryption_algorithm, &request.destination_encryption_context, named)
        };
        RequestFacts {
            encryption_algorithm: Some(algorithm.unwrap_or(DEFAULT_ALGORITHM).as_str()),
            encryption_context: context.as_ref(),
            key_reference: key,
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let request = permit.request();
        let SourceAndDestination { source, destination } = permit.rows();
        usable_source(source)?;
        specs::check_usage(destination, KeyUsage::EncryptDecrypt, "ReEncrypt")?;
        let from = ready(source, request.source_encryption_algorithm)?;
        let to = ready(destination, request.destination_encryption_algorithm)?;
        let modifiers = request.dry_run_modifiers.as_deref();
        let named = request.source_key_id.as_deref();
        if ignores_ciphertext(request.dry_run, modifiers, named, "sourceKeyId")? {
            return Err(fault::dry_run());
        }
        let blob = request.ciphertext_blob.as_deref().ok_or_else(|| null_member("ciphertextBlob"))?;
        let (plaintext, source_material) =
            from.decrypt(blob, request.source_encryption_context.as_ref(), world)?;
        let context = request.destination_encryption_context.as_ref();
        to.check_input(context, plaintext.expose())?;
        if request.dry_run == Some(true) {
            return Err(fault::dry_run());
        }
        let (blob, destination_material) = to.encrypt(context, plaintext.expose(), world)?;
        let algorithm = |named: Option<EncryptionAlgorithmSpec>| Some(named.unwrap_or(DEFAULT_ALGORITHM));
        let mut done = Done::reply(ReEncryptReply {
            ciphertext_blob: Some(blob),
            source_key_id: Some(source.arn_text().to_owned()),
            key_id: Some(destination.arn_text().to_owned()),
            source_encryption_algorithm: algorithm(request.source_encryption_algorithm),
            destination_encryption_algorithm: algorithm(request.destination_encryption_algorithm),
            source_key_material_id: source_material.map(|id| id.to_string()),
            destination_key_material_id: destination_material.map(|id| id.to_string()),
        });
        let materials =
            [("sourceKeyMaterialId", source_material), ("destinationKeyMaterialId", destination_material)];
        let named = materials.into_iter().filter_map(|(name, id)| Some((name, Value::from(id?.to_string()))));
        done.additional_data = named.collect();
        Ok(done)
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    fn grant_facts<'a>(request: &'a Self::Request, _: &'a Self::Rows, action: Action) -> GrantFacts<'a> {
        context_facts(match action {
            Action::ReEncryptFrom => request.source_encryption_context.as_ref(),
            _ => request.destination_encryption_context.as_ref(),
        })
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let source = request.source_key_id.as_deref().map(|key_id| ("sourceKeyId", Value::from(key_id)));
        let mut out: Vec<_> = source.into_iter().collect();
        let from = request.source_encryption_algorithm.unwrap_or(DEFAULT_ALGORITHM);
        let to = request.destination_encryption_algorithm.unwrap_or(DEFAULT_ALGORITHM);
        out.push(("destinationKeyId", Value::from(request.destination_key_id.as_str())));
        out.push(("sourceEncryptionAlgorithm", Value::from(from.as_str())));
        out.push(("destinationEncryptionAlgorithm", Value::from(to.as_str())));
        push_context(&mut out, "sourceEncryptionContext", request.source_encryption_context.as_ref());
        push_context(
            &mut out,
            "destinationEncryptionContext",
            request.destination_encryption_context.as_ref(),
        );
        push_dry_run(&mut out, request.dry_run);
        out
    }
}

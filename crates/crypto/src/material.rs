//! Key material: made here, wrapped here, unwrapped here, never seen elsewhere.
//!
//! Formula: `wrap key = KDF(domain key, "strongroom/material-wrap/v1", salt)`, `wrapped = header ‖ AES-256-GCM(wrap
//! key, nonce, aad, material)`, `header = version 1 (= 1) | kind 1 | domain key version 4 | salt 16 | nonce 12`, `aad =
//! header ‖ region ‖ key id 16 ‖ multi-region flag 1`, each of the three length-prefixed. The kind is the key spec's code
//! plus one: kind 1 is a symmetric key of 256 bits. The form of the material depends on the kind: `docs/formats.md`.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use strongroom_types::limits::WRAPPED_KEY_BYTES_MAX;
use strongroom_types::{Credential, KeyId, KeySpec, KeyUsage, MaterialId, RegionName};
use zeroize::Zeroizing;

use crate::asymmetric::{self, PrivateKey, PublicKey};
use crate::envelope::{self, Envelope, SALT_BYTES, versioned_prefix};
use crate::error::CryptoError;
use crate::fields::length_prefix;
use crate::kdf;
use crate::keyring::{Keyring, Scope, ServicePurpose};
use crate::random::Fresh;
use crate::secret::{KEY_BYTES, SecretKey};
use crate::suite;

const FORMAT: u8 = 1;
const PREFIX_BYTES: usize = 6;
const WHAT: &str = "wrapped key";
const MATERIAL_ID_LABEL: &[u8] = b"strongroom/material-id/v1\0";

/// The material of one KMS key, ready to be used. Not outside this crate.
pub(crate) enum KeyMaterial {
    Mac(Box<hmac::Key>),
    Private(PrivateKey),
    Symmetric(SecretKey),
}

impl KeyMaterial {
    fn parse(secret: &Secret, usage: KeyUsage) -> Result<Self, CryptoError> {
        let algorithm = match secret.spec {
            KeySpec::SymmetricDefault => {
                let mut key = SecretKey::zeroed();
                let bytes: &[u8; KEY_BYTES] =
                    secret.bytes.first_chunk().ok_or(CryptoError::Malformed { what: WHAT })?;
                key.expose_mut().copy_from_slice(bytes);
                return Ok(Self::Symmetric(key));
            }
            KeySpec::Hmac224 => hmac::HMAC_SHA224,
            KeySpec::Hmac256 => hmac::HMAC_SHA256,
            KeySpec::Hmac384 => hmac::HMAC_SHA384,
            KeySpec::Hmac512 => hmac::HMAC_SHA512,
            spec => {
                return PrivateKey::parse(spec, usage, &secret.bytes).map(Self::Private);
            }
        };
        Ok(Self::Mac(Box::new(hmac::Key::new(algorithm, &secret.bytes))))
    }

    pub(crate) fn expose_symmetric(&self) -> Result<&SecretKey, CryptoError> {
        match self {
            Self::Symmetric(key) => Ok(key),
            Self::Mac(_) | Self::Private(_) => Err(CryptoError::Unsuited),
        }
    }

    pub(crate) fn mac(&self) -> Result<&hmac::Key, CryptoError> {
        match self {
            Self::Mac(key) => Ok(key),
            Self::Private(_) | Self::Symmetric(_) => Err(CryptoError::Unsuited),
        }
    }

    pub(crate) fn private(&self) -> Result<&PrivateKey, CryptoError> {
        match self {
            Self::Private(key) => Ok(key),
            Self::Mac(_) | Self::Symmetric(_) => Err(CryptoError::Unsuited),
        }
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(..)")
    }
}

/// Material as it is wrapped: bytes in the form of their spec. Not outside this crate.
pub(crate) struct Secret {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) spec: KeySpec,
}

impl Secret {
    pub(crate) fn symmetric(key: &SecretKey) -> Self {
        Self { bytes: Zeroizing::new(key.expose().to_vec()), spec: KeySpec::SymmetricDefault }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Material that was given from outside, and that others therefore know.
pub struct GivenMaterial(Secret);

impl GivenMaterial {
    /// 32 bytes in base64, with padding (RFC 4648 section 4).
    pub fn from_base64(text: &Credential) -> Option<Self> {
        let decoded = Zeroizing::new(base64_simd::STANDARD.decode_to_vec(text.expose()).ok()?);
        let bytes: &[u8; KEY_BYTES] = decoded.as_slice().try_into().ok()?;
        Some(Self(Secret { bytes: Zeroizing::new(bytes.to_vec()), spec: KeySpec::SymmetricDefault }))
    }
}

impl fmt::Debug for GivenMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenMaterial(..)")
    }
}

/// Wrapped key material, as rows keep it; everything above this crate holds keys in this form only.
///
/// A private slot keeps the material once it has been unwrapped, so that a cached row opens its key once. Clones share
/// the slot; when the last one is dropped the material is wiped. A row that must stop working is therefore dropped,
/// and evicting it from the cache is what forgets its key.
#[derive(Clone)]
pub struct WrappedKey(Arc<Wrapped>);

struct Wrapped {
    bytes: Box<[u8]>,
    slot: OnceLock<Unwrapped>,
}

/// Material and the place it was unwrapped for. The slot must not open for another key or region what the associated
/// data would have refused.
struct Unwrapped {
    key_id: KeyId,
    material: KeyMaterial,
    region: RegionName,
}

impl WrappedKey {
    /// Takes wrapped bytes as they were stored. Whether they open is seen when they are used.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.len() > WRAPPED_KEY_BYTES_MAX {
            return Err(CryptoError::TooLarge { max_bytes: WRAPPED_KEY_BYTES_MAX, what: WHAT });
        }
        Ok(Self(Arc::new(Wrapped { bytes: bytes.into(), slot: OnceLock::new() })))
    }

    /// The version of the domain key that wraps it, as its header says; `None` if it has no header of this format.
    pub fn domain_key_version(&self) -> Option<u32> {
        let envelope = Envelope::<PREFIX_BYTES>::parse(self.as_bytes())?;
        let [format, _, version @ ..] = *envelope.prefix;
        (format == FORMAT).then(|| u32::from_be_bytes(version))
    }

    /// What kind of key it is, as its header says; `None` if it has no header of this format.
    pub fn spec(&self) -> Option<KeySpec> {
        let envelope = Envelope::<PREFIX_BYTES>::parse(self.as_bytes())?;
        let [format, kind, ..] = *envelope.prefix;
        if format == FORMAT { spec_of(kind) } else { None }
    }

    /// The wrapped bytes, which are no secret.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Equal when the wrapped bytes are; the slot does not count.
impl PartialEq for WrappedKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for WrappedKey {}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({} bytes)", self.as_bytes().len())
    }
}

impl<C> minicbor::Encode<C> for WrappedKey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(self.as_bytes())?.ok()
    }
}

impl<C> minicbor::CborLen<C> for WrappedKey {
    fn cbor_len(&self, context: &mut C) -> usize {
        let length = self.as_bytes().len();
        length.cbor_len(context) + length
    }
}

impl<'b, C> minicbor::Decode<'b, C> for WrappedKey {
    fn decode(decoder: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_bytes(decoder.bytes()?).map_err(minicbor::decode::Error::message)
    }
}

impl Keyring {
    /// Makes the material of a new symmetric key and wraps it for its region.
    pub fn generate_symmetric(
        &self,
        region: &RegionName,
        key_id: &KeyId,
    ) -> Result<(MaterialId, WrappedKey), CryptoError> {
        let key = SecretKey::random()?;
        let (material_id, wrapped) = self.wrap_new(region, key_id, &Secret::symmetric(&key))?;
        // The slot of a value made a line ago is empty: the key starts unwrapped, and its first use is not slower.
        let material = KeyMaterial::Symmetric(key);
        let _ = wrapped.0.slot.set(Unwrapped { key_id: *key_id, material, region: region.clone() });
        Ok((material_id, wrapped))
    }

    /// Wraps a material that was given, for its region. Whoever has seen where it was given can open everything under
    /// it: for tests only.
    pub fn danger_wrap_given(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        given: GivenMaterial,
    ) -> Result<(MaterialId, WrappedKey), CryptoError> {
        let material_id = material_id(&given_material_id_key(), key_id, &given.0)?;
        Ok((material_id, self.wrap_material(region, key_id, &given.0)?))
    }

    /// Names and wraps the material of a new key.
    pub(crate) fn wrap_new(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        secret: &Secret,
    ) -> Result<(MaterialId, WrappedKey), CryptoError> {
        let (_, service_key) = self.service_keys(ServicePurpose::MaterialId)?.current();
        let material_id = material_id(service_key, key_id, secret)?;
        Ok((material_id, self.wrap_material(region, key_id, secret)?))
    }

    /// Whether a wrapped key opens for this key and region, is the material that `material_id` names, and has this public
    /// half, if one is given. Opens the wrapped bytes anew, whatever the slot holds.
    pub fn check_material(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        material_id: &MaterialId,
        wrapped: &WrappedKey,
        public_key: Option<&PublicKey>,
    ) -> Result<(), CryptoError> {
        let secret = self.unwrap_material(region, key_id, wrapped.as_bytes())?;
        if let Some(public_key) = public_key {
            let own = asymmetric::public_of(secret.spec, &secret.bytes)?;
            if own != public_key.as_der() {
                return Err(CryptoError::NotAuthentic { what: "public key" });
            }
        }
        // Ids are kept for ever, so the id may come from an older service key than the current one.
        for service_key in self.service_keys(ServicePurpose::MaterialId)?.newest_first() {
            let computed = self::material_id(service_key, key_id, &secret)?;
            if verify_slices_are_equal(computed.as_bytes(), material_id.as_bytes()).is_ok() {
                return Ok(());
            }
        }
        let given = self::material_id(&given_material_id_key(), key_id, &secret)?;
        if verify_slices_are_equal(given.as_bytes(), material_id.as_bytes()).is_ok() {
            return Ok(());
        }
        Err(CryptoError::NotAuthentic { what: "key material id" })
    }

    /// The same material wrapped by its region's current domain key; `None` if it is already. A symmetric key that was
    /// unwrapped in memory stays so; others are parsed again when they are next used.
    pub fn rewrap(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        wrapped: &WrappedKey,
    ) -> Result<Option<WrappedKey>, CryptoError> {
        let (current, _) = self.domain_keys(Scope::Region(region))?.current();
        if wrapped.domain_key_version() == Some(current) {
            return Ok(None);
        }
        let secret = self.unwrap_material(region, key_id, wrapped.as_bytes())?;
        let rewrapped = self.wrap_material(region, key_id, &secret)?;
        if wrapped.0.slot.get().is_some() && secret.spec == KeySpec::SymmetricDefault {
            let material = KeyMaterial::parse(&secret, KeyUsage::EncryptDecrypt)?;
            let _ = rewrapped.0.slot.set(Unwrapped { key_id: *key_id, material, region: region.clone() });
        }
        Ok(Some(rewrapped))
    }

    /// The material of a wrapped key, from its slot or, the first time, unwrapped into it and parsed for what the key is
    /// for.
    pub(crate) fn material<'w>(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        wrapped: &'w WrappedKey,
        usage: KeyUsage,
    ) -> Result<&'w KeyMaterial, CryptoError> {
        let slot = &wrapped.0.slot;
        if slot.get().is_none() {
            let secret = self.unwrap_material(region, key_id, wrapped.as_bytes())?;
            let material = KeyMaterial::parse(&secret, usage)?;
            // Another thread may have been faster; both unwrapped the same.
            let _ = slot.set(Unwrapped { key_id: *key_id, material, region: region.clone() });
        }
        let unwrapped = slot.get().ok_or(CryptoError::Module)?;
        // What the associated data binds, the slot binds too.
        if unwrapped.key_id != *key_id || unwrapped.region != *region {
            return Err(CryptoError::NotAuthentic { what: WHAT });
        }
        Ok(&unwrapped.material)
    }

    /// Wraps material for a region under its current domain key.
    pub(crate) fn wrap_material(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        secret: &Secret,
    ) -> Result<WrappedKey, CryptoError> {
        let (version, domain_key) = self.domain_keys(Scope::Region(region))?.current();
        let bytes = wrap_with(version, &domain_key, region, key_id, secret, &Fresh::draw()?)?;
        WrappedKey::from_bytes(&bytes)
    }

    pub(crate) fn unwrap_material(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        wrapped: &[u8],
    ) -> Result<Secret, CryptoError> {
        let malformed = CryptoError::Malformed { what: WHAT };
        let Some(envelope) = Envelope::<PREFIX_BYTES>::parse(wrapped) else { return Err(malformed) };
        let [format, kind, version @ ..] = *envelope.prefix;
        let Some(spec) = spec_of(kind).filter(|_| format == FORMAT) else { return Err(malformed) };
        if suite::secret_bytes(spec).is_some_and(|bytes| bytes != envelope.plaintext_len()) {
            return Err(malformed);
        }
        let scope = Scope::Region(region);
        let domain_key = self.domain_keys(scope)?.version(scope, u32::from_be_bytes(version))?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        kdf::material_wrapping_key(&domain_key, envelope.salt, &mut key)?;
        let mut bytes = Zeroizing::new(vec![0; envelope.plaintext_len()]);
        with_fields(region, key_id, |fields| envelope.open(WHAT, &key, fields, &mut bytes))?;
        Ok(Secret { bytes, spec })
    }
}

fn kind_of(spec: KeySpec) -> u8 {
    spec.code() + 1
}

fn spec_of(kind: u8) -> Option<KeySpec> {
    KeySpec::from_code(kind.checked_sub(1)?)
}

fn wrap_with(
    version: u32,
    domain_key: &SecretKey,
    region: &RegionName,
    key_id: &KeyId,
    secret: &Secret,
    fresh: &Fresh<SALT_BYTES>,
) -> Result<Vec<u8>, CryptoError> {
    let [format, v0, v1, v2, v3] = versioned_prefix(FORMAT, version);
    let prefix = [format, kind_of(secret.spec), v0, v1, v2, v3];
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    kdf::material_wrapping_key(domain_key, &fresh.salt, &mut key)?;
    with_fields(region, key_id, |fields| envelope::seal(&prefix, fresh, &key, fields, &secret.bytes))
}

/// `HMAC-SHA256(material id service key, "strongroom/material-id/v1" ‖ 00 ‖ key id 16 ‖ material)`, key id and material
/// length-prefixed (RFC 2104, FIPS 198-1). Keyed, because an unkeyed hash would let anyone test guesses of material
/// that was imported and is weak.
fn material_id(service_key: &SecretKey, key_id: &KeyId, secret: &Secret) -> Result<MaterialId, CryptoError> {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, service_key.expose()));
    mac.update(MATERIAL_ID_LABEL);
    for field in [&key_id.as_bytes()[..], &secret.bytes] {
        mac.update(&length_prefix(field));
        mac.update(field);
    }
    mac.sign().as_ref().try_into().map(MaterialId::from_bytes).map_err(|_| CryptoError::Module)
}

/// Zeros, in place of the service key: a given material has the same id in every deployment that it is given to, so that
/// each opens the others' blobs. Its id hides nothing, as it need not.
fn given_material_id_key() -> SecretKey {
    SecretKey::zeroed()
}

fn with_fields<T>(region: &RegionName, key_id: &KeyId, then: impl FnOnce(&[&[u8]]) -> T) -> T {
    let multi_region = [u8::from(key_id.is_multi_region())];
    then(&[region.as_str().as_bytes(), key_id.as_bytes(), &multi_region])
}

#[cfg(test)]
mod tests;

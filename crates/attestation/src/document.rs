//! The document as bytes: a COSE_Sign1 (RFC 9052 section 4.2) around a map of CBOR (RFC 8949).
//!
//! Total and bounded: what is borrowed is no longer than what came, and nothing is allocated by a length that was only
//! announced. A member that counts is refused when it is there twice. Members of other names are passed over, as AWS has
//! added some over time; they are signed like the others, and nobody asks for them.
//!
//! Nothing here is to be believed before the signature was verified.

use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder, decode};
use strongroom_types::limits::{
    ATTESTATION_CERTIFICATE_BYTES_MAX, ATTESTATION_DOCUMENT_BYTES_MAX, ATTESTATION_MODULE_ID_BYTES_MAX,
    ATTESTATION_PAYLOAD_BYTES_MAX, ATTESTATION_REGISTERS_MAX, ATTESTATION_USER_DATA_BYTES_MAX,
};

use crate::error::{AttestationError, malformed};

/// ECDSA with SHA-384 (RFC 9053 section 2.1).
const ES384: i64 = -35;
const SIGNATURE_BYTES: usize = 96;
/// COSE_Sign1, which may stand before the array (RFC 9052 section 2).
const TAG_SIGN1: Tag = Tag::new(18);
/// What a register may hold: a SHA-256, SHA-384 or SHA-512.
const REGISTER_BYTES: [usize; 3] = [32, 48, 64];

type Parsed<T> = Result<T, AttestationError>;

/// The signed message.
pub(crate) struct Signed<'d> {
    protected: &'d [u8],
    payload: &'d [u8],
    pub(crate) signature: &'d [u8],
}

/// The payload.
pub(crate) struct Document<'d> {
    pub(crate) cabundle: Vec<&'d [u8]>,
    pub(crate) certificate: &'d [u8],
    /// Registers of an enclave.
    pub(crate) enclave: Option<Registers<'d>>,
    pub(crate) module_id: &'d str,
    /// Registers of a NitroTPM.
    pub(crate) nitro_tpm: Option<Registers<'d>>,
    pub(crate) public_key: Option<&'d [u8]>,
    pub(crate) timestamp_millis: u64,
}

/// At most one register for each index.
pub(crate) type Registers<'d> = Vec<(u8, &'d [u8])>;

impl<'d> Signed<'d> {
    pub(crate) fn parse(bytes: &'d [u8]) -> Parsed<Self> {
        if bytes.len() > ATTESTATION_DOCUMENT_BYTES_MAX {
            return Err(malformed("too long"));
        }
        let shape = |_: decode::Error| malformed("no COSE_Sign1");
        let mut d = Decoder::new(bytes);
        if d.datatype().map_err(shape)? == Type::Tag && d.tag().map_err(shape)? != TAG_SIGN1 {
            return Err(malformed("no COSE_Sign1"));
        }
        if d.array().map_err(shape)? != Some(4) {
            return Err(malformed("no COSE_Sign1"));
        }
        let protected = d.bytes().map_err(shape)?;
        check_algorithm(protected)?;
        // Unprotected: anybody could have put it there.
        if !matches!(d.datatype().map_err(shape)?, Type::Map | Type::MapIndef) {
            return Err(malformed("no COSE_Sign1"));
        }
        d.skip().map_err(shape)?;
        let payload = d.bytes().map_err(shape)?;
        let signature = d.bytes().map_err(shape)?;
        if d.position() != bytes.len() {
            return Err(malformed("bytes after the COSE_Sign1"));
        }
        if payload.len() > ATTESTATION_PAYLOAD_BYTES_MAX {
            return Err(malformed("too long"));
        }
        if signature.len() != SIGNATURE_BYTES {
            return Err(malformed("a signature of another length"));
        }
        Ok(Self { protected, payload, signature })
    }

    pub(crate) fn document(&self) -> Parsed<Document<'d>> {
        Document::parse(self.payload)
    }

    /// What the signature is over: `Sig_structure` (RFC 9052 section 4.4), without further data.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 64);
        let mut e = Encoder::new(&mut out);
        // Writing to a vector cannot fail.
        let _ = e
            .array(4)
            .and_then(|e| e.str("Signature1"))
            .and_then(|e| e.bytes(self.protected))
            .and_then(|e| e.bytes(&[]))
            .and_then(|e| e.bytes(self.payload));
        out
    }
}

/// The protected header is `{1: -35}`, and nothing that would have to be understood as well.
fn check_algorithm(protected: &[u8]) -> Parsed<()> {
    let mut d = Decoder::new(protected);
    let read = |d: &mut Decoder<'_>| Ok::<_, decode::Error>((d.map()?, d.i64()?, d.i64()?));
    match read(&mut d) {
        Ok((Some(1), 1, ES384)) if d.position() == protected.len() => Ok(()),
        Ok(_) | Err(_) => Err(malformed("its algorithm is not ES384")),
    }
}

impl<'d> Document<'d> {
    fn parse(payload: &'d [u8]) -> Parsed<Self> {
        let mut d = Decoder::new(payload);
        let mut members = Members::default();
        let mut entries = Entries::of_map(&mut d, "payload")?;
        while entries.has_next(&mut d)? {
            let name = d.str().map_err(|_| malformed("a member without a name"))?;
            members.read(name, &mut d)?;
        }
        if d.position() != payload.len() {
            return Err(malformed("bytes after the payload"));
        }
        members.into_document()
    }
}

#[derive(Default)]
struct Members<'d> {
    cabundle: Option<Vec<&'d [u8]>>,
    certificate: Option<&'d [u8]>,
    digest: Option<()>,
    enclave: Option<Registers<'d>>,
    module_id: Option<&'d str>,
    nitro_tpm: Option<Registers<'d>>,
    nonce: Optional<'d>,
    public_key: Optional<'d>,
    timestamp_millis: Option<u64>,
    user_data: Optional<'d>,
}

/// What may be left out, or null: read or not, and what was there.
type Optional<'d> = Option<Option<&'d [u8]>>;

impl<'d> Members<'d> {
    fn read(&mut self, name: &str, d: &mut Decoder<'d>) -> Parsed<()> {
        match name {
            "cabundle" => once(&mut self.cabundle, cabundle(d)?, "cabundle"),
            "certificate" => once(&mut self.certificate, certificate(d)?, "certificate"),
            "digest" => once(&mut self.digest, digest(d)?, "digest"),
            "module_id" => once(&mut self.module_id, module_id(d)?, "module_id"),
            "nitrotpm_pcrs" => once(&mut self.nitro_tpm, registers(d, "nitrotpm_pcrs")?, "nitrotpm_pcrs"),
            "nonce" => once(&mut self.nonce, optional(d, 0, "nonce")?, "nonce"),
            "pcrs" => once(&mut self.enclave, registers(d, "pcrs")?, "pcrs"),
            "public_key" => once(&mut self.public_key, optional(d, 1, "public_key")?, "public_key"),
            "timestamp" => {
                let millis = d.u64().ok().filter(|millis| *millis > 0);
                once(&mut self.timestamp_millis, millis.ok_or(malformed("timestamp"))?, "timestamp")
            }
            "user_data" => once(&mut self.user_data, optional(d, 0, "user_data")?, "user_data"),
            _ => d.skip().map_err(|_| malformed("a member without a value")),
        }
    }

    fn into_document(self) -> Parsed<Document<'d>> {
        self.digest.ok_or(malformed("digest"))?;
        if self.enclave.is_none() && self.nitro_tpm.is_none() {
            return Err(malformed("pcrs"));
        }
        Ok(Document {
            cabundle: self.cabundle.ok_or(malformed("cabundle"))?,
            certificate: self.certificate.ok_or(malformed("certificate"))?,
            enclave: self.enclave,
            module_id: self.module_id.ok_or(malformed("module_id"))?,
            nitro_tpm: self.nitro_tpm,
            public_key: self.public_key.flatten(),
            timestamp_millis: self.timestamp_millis.ok_or(malformed("timestamp"))?,
        })
    }
}

fn once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Parsed<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed(name)),
    }
}

fn module_id<'d>(d: &mut Decoder<'d>) -> Parsed<&'d str> {
    let text = d.str().map_err(|_| malformed("module_id"))?;
    let is_good = (1..=ATTESTATION_MODULE_ID_BYTES_MAX).contains(&text.len());
    if is_good { Ok(text) } else { Err(malformed("module_id")) }
}

fn digest(d: &mut Decoder<'_>) -> Parsed<()> {
    match d.str() {
        Ok("SHA384") => Ok(()),
        Ok(_) | Err(_) => Err(malformed("digest")),
    }
}

fn certificate<'d>(d: &mut Decoder<'d>) -> Parsed<&'d [u8]> {
    let bytes = d.bytes().map_err(|_| malformed("certificate"))?;
    let is_good = (1..=ATTESTATION_CERTIFICATE_BYTES_MAX).contains(&bytes.len());
    if is_good { Ok(bytes) } else { Err(malformed("certificate")) }
}

fn cabundle<'d>(d: &mut Decoder<'d>) -> Parsed<Vec<&'d [u8]>> {
    let mut certificates = Vec::new();
    let mut entries = Entries::of_array(d, "cabundle")?;
    while entries.has_next(d)? {
        certificates.push(certificate(d).map_err(|_| malformed("cabundle"))?);
    }
    if certificates.is_empty() { Err(malformed("cabundle")) } else { Ok(certificates) }
}

/// Null is as good as nothing: that is how the Nitro hypervisor leaves them out.
fn optional<'d>(d: &mut Decoder<'d>, bytes_min: usize, name: &'static str) -> Parsed<Option<&'d [u8]>> {
    if d.datatype().map_err(|_| malformed(name))? == Type::Null {
        return d.null().map(|()| None).map_err(|_| malformed(name));
    }
    let bytes = d.bytes().map_err(|_| malformed(name))?;
    let is_good = (bytes_min..=ATTESTATION_USER_DATA_BYTES_MAX).contains(&bytes.len());
    if is_good { Ok(Some(bytes)) } else { Err(malformed(name)) }
}

fn registers<'d>(d: &mut Decoder<'d>, name: &'static str) -> Parsed<Registers<'d>> {
    let failed = |_: decode::Error| malformed(name);
    let mut registers = Registers::new();
    let mut entries = Entries::of_map(d, name)?;
    while entries.has_next(d)? {
        let index = d.u8().map_err(failed)?;
        let bytes = d.bytes().map_err(failed)?;
        let is_new = !registers.iter().any(|(other, _)| *other == index);
        if !is_new || index >= ATTESTATION_REGISTERS_MAX || !REGISTER_BYTES.contains(&bytes.len()) {
            return Err(malformed(name));
        }
        registers.push((index, bytes));
    }
    if registers.is_empty() { Err(malformed(name)) } else { Ok(registers) }
}

/// The items of an array or a map whose length stands before or whose end is marked.
struct Entries(Option<u64>);

impl Entries {
    fn of_array(d: &mut Decoder<'_>, name: &'static str) -> Parsed<Self> {
        d.array().map(Self).map_err(|_| malformed(name))
    }

    fn of_map(d: &mut Decoder<'_>, name: &'static str) -> Parsed<Self> {
        d.map().map(Self).map_err(|_| malformed(name))
    }

    fn has_next(&mut self, d: &mut Decoder<'_>) -> Parsed<bool> {
        match &mut self.0 {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => match d.datatype() {
                Ok(Type::Break) => d.skip().map(|()| false).map_err(|_| malformed("no end")),
                Ok(_) => Ok(true),
                Err(_) => Err(malformed("no end")),
            },
        }
    }
}

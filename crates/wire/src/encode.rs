//! Replies to JSON, written by hand: no intermediate tree, one pass, into one buffer that does not move.

use strongroom_types::{Credential, EncryptionContext, Plaintext, Timestamp};

use crate::base64;

/// A reply that can be written to a body.
pub trait WireReply {
    /// Appends the body. Room for [`size_hint`](Self::size_hint) bytes is reserved first, so `out` does not move once
    /// a secret has been written to it. The owner of `out` wipes it.
    fn encode(&self, out: &mut Vec<u8>);

    /// An upper bound for the number of bytes that [`encode`](Self::encode) appends.
    fn size_hint(&self) -> usize;

    /// The members as the query protocol has them, in its order; none for replies of services that do not speak it.
    fn query_members(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }
}

/// The reply of the operations that answer with an empty body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoReply;

impl WireReply for NoReply {
    fn encode(&self, _out: &mut Vec<u8>) {}

    fn size_hint(&self) -> usize {
        0
    }
}

/// Makes output shapes of the model replies.
macro_rules! wire_replies {
    ($($name:ident,)+) => {$(
        impl $crate::encode::WireReply for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.reserve($crate::encode::Encode::size(self));
                $crate::encode::Encode::write(self, out);
            }

            fn size_hint(&self) -> usize {
                $crate::encode::Encode::size(self)
            }
        }
    )+};
}

pub(crate) use wire_replies;

/// A value that has a JSON form.
pub(crate) trait Encode {
    fn write(&self, out: &mut Vec<u8>);

    /// An upper bound for what `write` appends; close to it unless a text has escapes.
    fn size(&self) -> usize;
}

/// A structure of the model. It lists its members once, for writing and for measuring alike.
pub(crate) trait Structure {
    fn members(&self, sink: &mut impl Sink);
}

/// Where the members of a structure go. Names are the model's: they need no escapes.
pub(crate) trait Sink {
    fn required<T: Encode + ?Sized>(&mut self, name: &'static str, value: &T);

    fn optional<T: Encode + ?Sized>(&mut self, name: &'static str, value: Option<&T>) {
        if let Some(value) = value {
            self.required(name, value);
        }
    }
}

impl<T: Structure> Encode for T {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        self.members(&mut object);
        object.close();
    }

    fn size(&self) -> usize {
        let mut measure = Measure(2);
        self.members(&mut measure);
        measure.0
    }
}

/// A JSON object in the making.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    before_next: &'static [u8],
}

impl<'a> Object<'a> {
    pub(crate) fn open(out: &'a mut Vec<u8>) -> Self {
        Self { out, before_next: b"{\"" }
    }

    pub(crate) fn close(self) {
        // Nothing was written yet if the opening is still pending.
        self.out.extend_from_slice(if self.before_next == b"{\"" { b"{}" } else { b"}" });
    }
}

impl Sink for Object<'_> {
    fn required<T: Encode + ?Sized>(&mut self, name: &'static str, value: &T) {
        self.out.extend_from_slice(self.before_next);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.before_next = b",\"";
        value.write(self.out);
    }
}

/// The size of a JSON object in the making.
struct Measure(usize);

impl Sink for Measure {
    fn required<T: Encode + ?Sized>(&mut self, name: &'static str, value: &T) {
        // The quotes, the colon and a comma.
        self.0 += name.len() + 4 + value.size();
    }
}

impl Encode for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }

    fn size(&self) -> usize {
        5
    }
}

impl Encode for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
    }

    fn size(&self) -> usize {
        10
    }
}

impl Encode for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        self.write_epoch_seconds(out);
    }

    /// `u64::MAX` milliseconds have seventeen digits before the point.
    fn size(&self) -> usize {
        21
    }
}

impl Encode for str {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        if is_plain(self.as_bytes()) {
            out.extend_from_slice(self.as_bytes());
        } else {
            write_escaped(self.as_bytes(), out);
        }
        out.push(b'"');
    }

    fn size(&self) -> usize {
        // The longest escape, \u00XX, has six bytes.
        2 + if is_plain(self.as_bytes()) { self.len() } else { 6 * self.len() }
    }
}

impl Encode for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }

    fn size(&self) -> usize {
        self.as_str().size()
    }
}

impl Encode for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        write_blob(self, out);
    }

    fn size(&self) -> usize {
        base64::encoded_len(self.len()) + 2
    }
}

impl Encode for Plaintext {
    fn write(&self, out: &mut Vec<u8>) {
        write_blob(self.expose(), out);
    }

    fn size(&self) -> usize {
        base64::encoded_len(self.len()) + 2
    }
}

impl Encode for Credential {
    fn write(&self, out: &mut Vec<u8>) {
        exposed_text(self).write(out);
    }

    fn size(&self) -> usize {
        exposed_text(self).size()
    }
}

impl Encode for EncryptionContext {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (key, value)) in self.pairs().iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            key.write(out);
            out.push(b':');
            value.write(out);
        }
        out.push(b'}');
    }

    fn size(&self) -> usize {
        2 + self.pairs().iter().map(|(key, value)| key.size() + value.size() + 2).sum::<usize>()
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, item) in self.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            item.write(out);
        }
        out.push(b']');
    }

    fn size(&self) -> usize {
        2 + self.iter().map(|item| item.size() + 1).sum::<usize>()
    }
}

/// Appends a text that is known to need no escapes.
pub(crate) fn write_name(name: &'static str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
}

fn write_blob(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    base64::encode(bytes, out);
    out.push(b'"');
}

/// Whether no byte needs an escape. It does not stop at the first that does, so that it runs on whole vectors: nearly
/// every text in a reply is plain.
fn is_plain(text: &[u8]) -> bool {
    !text.iter().fold(false, |found, byte| found | needs_escape(*byte))
}

/// RFC 8259 section 7: the quote, the backslash and control characters must be escaped, nothing else need be.
const fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = tail.split_first() else { break };
        write_escape(*byte, out);
        rest = after;
    }
    out.extend_from_slice(rest);
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// INVARIANT: credentials come from JSON strings, so they are UTF-8; anything else is not shown at all.
fn exposed_text(credential: &Credential) -> &str {
    std::str::from_utf8(credential.expose()).unwrap_or_default()
}

/// What `Debug` shows of a blob: its size. Ciphertexts and keys are long, and nobody reads them in a log.
pub(crate) struct BlobSize<'a>(pub(crate) &'a Vec<u8>);

impl std::fmt::Debug for BlobSize<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// As [`BlobSize`], for a blob that may be absent.
pub(crate) struct OptionalBlobSize<'a>(pub(crate) &'a Option<Vec<u8>>);

impl std::fmt::Debug for OptionalBlobSize<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map(BlobSize).fmt(f)
    }
}

#[cfg(test)]
mod tests;

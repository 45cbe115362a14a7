//! Base64 (RFC 4648 section 4: standard alphabet, padded), the form of blobs on the wire.
//!
//! The one place that knows the base64 library. Missing padding, white space and non-canonical last characters are
//! refused.

use base64_simd::STANDARD;

/// Text that is not base64. Says nothing of it: it may be a secret's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotBase64;

/// Appends the bytes that `text` stands for. `out` does not grow if it has [`decoded_len_max`] bytes to spare.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
    STANDARD.decode_append(text, out).map_err(|_| NotBase64)
}

/// Appends the text for `bytes`, exactly [`encoded_len`] of it.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    STANDARD.encode_append(bytes, out);
}

pub(crate) const fn decoded_len_max(text_len: usize) -> usize {
    STANDARD.estimated_decoded_length(text_len)
}

pub(crate) const fn encoded_len(bytes_len: usize) -> usize {
    STANDARD.encoded_length(bytes_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Result<Vec<u8>, NotBase64> {
        let mut out = Vec::new();
        decode(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn loose_forms_are_refused() {
        for text in
            ["QQ", "QQ=", "QR==", "QQ==\n", " QQ==", "QQ==QQ==", "Q", "=", "Q-==", "Q_==", "QQ\0=", "ÄÄ=="]
        {
            assert_eq!(decoded(text), Err(NotBase64), "{text:?}");
        }
    }

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in vectors {
            let mut out = Vec::new();
            encode(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
            assert_eq!(out.len(), encoded_len(bytes.len()));
            assert_eq!(decoded(text), Ok(bytes.as_bytes().to_vec()));
        }
    }

    #[test]
    fn decoding_stays_within_the_reserved_capacity() {
        for len in 0..200 {
            let mut text = Vec::new();
            encode(&vec![7; len], &mut text);
            let mut out = Vec::with_capacity(decoded_len_max(text.len()));
            let capacity = out.capacity();
            decode(&text, &mut out).unwrap();
            assert_eq!((out.len(), out.capacity()), (len, capacity));
        }
    }
}

//! How several parts become one string of bytes: each part behind its length, so that no two different lists of parts
//! share an encoding.

/// Appends `be32(length) ‖ field`.
pub(crate) fn push_field(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&length_prefix(field));
    out.extend_from_slice(field);
}

/// `be32(length)`.
pub(crate) fn length_prefix(field: &[u8]) -> [u8; 4] {
    // Fields are ids, names and requests; `types::limits` keeps them far below 4 GiB.
    u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// The number of bytes that `fields` take when each is pushed.
pub(crate) fn encoded_len(fields: &[&[u8]]) -> usize {
    fields.iter().map(|field| 4 + field.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_cannot_move_between_fields() {
        let encode = |fields: &[&[u8]]| {
            let mut out = Vec::new();
            fields.iter().for_each(|field| push_field(&mut out, field));
            assert_eq!(out.len(), encoded_len(fields));
            out
        };
        assert_ne!(encode(&[b"ab", b"c"]), encode(&[b"a", b"bc"]));
        assert_ne!(encode(&[b"abc"]), encode(&[b"abc", b""]));
        assert_eq!(encode(&[b"ab", b""]), b"\0\0\0\x02ab\0\0\0\0");
    }
}

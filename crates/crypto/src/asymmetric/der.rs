//! The little of DER that is written by hand: fixed heads before keys of fixed length.

/// `SEQUENCE { SEQUENCE { OID }, BIT STRING }`: a SubjectPublicKeyInfo whose algorithm has no parameters.
pub(super) fn public_key(oid: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = [&[0], key].concat();
    element(0x30, &[element(0x30, &element(0x06, oid)), element(0x03, &bits)].concat())
}

/// What is in the one SEQUENCE that `bytes` are. AWS-LC's parser would leave unread what follows.
pub(crate) fn one_sequence(bytes: &[u8]) -> Option<&[u8]> {
    let (length, content) = match bytes {
        [0x30, length, content @ ..] if *length < 0x80 => (usize::from(*length), content),
        [0x30, 0x81, length, content @ ..] => (usize::from(*length), content),
        [0x30, 0x82, high, low, content @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), content),
        _ => return None,
    };
    (length == content.len()).then_some(content)
}

/// INVARIANT: no key here reaches 64 KiB, so three bytes say every length.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, low) if low < 0x80 => out.push(low),
        (0, low) => out.extend([0x81, low]),
        (high, low) => out.extend([0x82, high, low]),
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_few_bytes_as_they_can() {
        for (length, head) in [
            (0, vec![4, 0]),
            (127, vec![4, 127]),
            (128, vec![4, 0x81, 128]),
            (255, vec![4, 0x81, 255]),
            (256, vec![4, 0x82, 1, 0]),
            (1568, vec![4, 0x82, 6, 32]),
        ] {
            let made = element(4, &vec![7; length]);
            assert_eq!(made.len(), head.len() + length);
            assert_eq!(made[..head.len()], head);
        }
    }

    #[test]
    fn what_follows_a_sequence_is_seen() {
        for length in [0, 127, 128, 255, 256, 1568] {
            let whole = element(0x30, &vec![7; length]);
            assert_eq!(one_sequence(&whole).unwrap().len(), length);
            assert!(one_sequence(&[&whole[..], &[0]].concat()).is_none());
            assert!(one_sequence(&whole[..whole.len() - 1]).is_none());
        }
        assert!(one_sequence(&[]).is_none());
        assert!(one_sequence(&[0x31, 0]).is_none());
    }
}

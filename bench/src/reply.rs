//! As much of an HTTP reply as a load generator needs: where it ends, and whether it says 200.

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// Head and body.
    pub(crate) bytes: usize,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplyError {
    #[error("it does not say how long it is")]
    NoLength,
    #[error("it does not begin with a status")]
    NoStatus,
}

/// The reply at the beginning of `bytes`; `None` if more must come first.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Reply<'_>>, ReplyError> {
    let mut head_bytes = 0;
    let mut status = None;
    let mut length = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if !line.ends_with(b"\n") {
            return Ok(None);
        }
        head_bytes += line.len();
        let line = line.trim_ascii_end();
        if line.is_empty() {
            let length: usize = length.ok_or(ReplyError::NoLength)?;
            let bytes_wanted = head_bytes + length;
            let body = bytes.get(head_bytes..bytes_wanted);
            let status = status.ok_or(ReplyError::NoStatus)?;
            return Ok(body.map(|body| Reply { status, body, bytes: bytes_wanted }));
        }
        if status.is_none() {
            let digits = line.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
            status = Some(digits.and_then(number).ok_or(ReplyError::NoStatus)?);
        } else if let Some((b"content-length:", digits)) = line.split_at_checked(15)
            && length.is_none()
        {
            length = Some(number(digits.trim_ascii_start()).ok_or(ReplyError::NoLength)?);
        }
    }
    Ok(None)
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 3\r\n\r\nabc";

    #[test]
    fn what_is_no_reply_is_an_error() {
        assert_eq!(parse(b"SSH-2.0\r\n\r\n"), Err(ReplyError::NoStatus));
        assert_eq!(parse(b"HTTP/1.1 2x0 OK\r\n\r\n"), Err(ReplyError::NoStatus));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n"), Err(ReplyError::NoLength));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"), Err(ReplyError::NoLength));
    }

    #[test]
    fn every_part_of_a_reply_waits_for_the_rest() {
        for length in 0..WHOLE.len() {
            assert_eq!(parse(&WHOLE[..length]), Ok(None));
        }
        assert_eq!(parse(WHOLE), Ok(Some(Reply { status: 200, body: b"abc", bytes: WHOLE.len() })));
    }

    #[test]
    fn what_follows_is_left_alone() {
        let two = [WHOLE, WHOLE].concat();
        assert_eq!(parse(&two).unwrap().unwrap().bytes, WHOLE.len());
    }
}

//! Numbers, dates, networks and bytes as conditions write them. Read in the same way from a policy and from a request,
//! without an allocation.

use std::net::IpAddr;

/// Decimal places that are kept.
const PLACES: u32 = 9;

/// A decimal number, counted in billionths. Compared exactly; what does not fit is no number.
pub(crate) fn decimal(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, text.get(1..)?),
        [b'+', ..] => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || whole.len() > 20 {
        return None;
    }
    let places = u32::try_from(fraction.len()).ok().filter(|places| *places <= PLACES)?;
    let value = whole.parse::<i128>().ok()? * 10_i128.pow(PLACES)
        + fraction.parse::<i128>().ok()? * 10_i128.pow(PLACES - places);
    Some(if negative { -value } else { value })
}

pub(crate) fn whole_number(value: u64) -> i128 {
    i128::from(value) * 10_i128.pow(PLACES)
}

/// An instant in milliseconds since 1970: seconds since then, or one of the ISO 8601 forms that W3C's note "Date and Time
/// Formats" allows, from `2026` to `2026-11-22T09:30:00.123+01:00`.
pub(crate) fn instant(text: &str) -> Option<i64> {
    if !text.is_empty() && text.len() != 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut fields = date.split('-');
    let year = digits(fields.next()?, 4)?;
    let month = fields.next().map_or(Some(1), |field| digits(field, 2))?;
    let day = fields.next().map_or(Some(1), |field| digits(field, 2))?;
    // A time of day belongs to a whole date.
    if fields.next().is_some() || (time.is_some() && date.len() != "2026-11-22".len()) {
        return None;
    }
    let days = days_since_1970(year, month, day)?;
    let millis = time.map_or(Some(0), time_of_day)?;
    days.checked_mul(86_400_000)?.checked_add(millis)
}

/// `09:30Z`, `09:30:00Z`, `09:30:00.123+01:00`: milliseconds since midnight UTC, which may be negative.
fn time_of_day(text: &str) -> Option<i64> {
    let zone_at = text.find(['Z', '+', '-'])?;
    let (clock, zone) = text.split_at_checked(zone_at)?;
    let mut fields = clock.split(':');
    let (hour, minute) = (digits(fields.next()?, 2)?, digits(fields.next()?, 2)?);
    let (second, milli) = match fields.next() {
        None => (0, 0),
        Some(field) => match field.split_once('.') {
            None => (digits(field, 2)?, 0),
            Some((second, fraction)) => (digits(second, 2)?, thousandths(fraction)?),
        },
    };
    if fields.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = match zone.as_bytes() {
        b"Z" => 0,
        [sign, ..] => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        [] => return None,
    };
    Some(((hour * 60 + minute - offset) * 60 + second) * 1000 + milli)
}

fn thousandths(fraction: &str) -> Option<i64> {
    let kept = fraction.get(..fraction.len().min(3))?;
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let scale = match kept.len() {
        1 => 100,
        2 => 10,
        _ => 1,
    };
    if is_number { Some(kept.parse::<i64>().ok()? * scale) } else { None }
}

/// Exactly so many digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Civil-to-days after Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// An address, or a range of addresses in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    V4 { bits: u32, mask: u32 },
    V6 { bits: u128, mask: u128 },
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
                (address, Some(length.parse::<u32>().ok()?))
            }
            Some(_) => return None,
            None => (text, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(ip) => Self::v4(ip.to_bits(), length.unwrap_or(32)),
            IpAddr::V6(ip) => {
                let length = length.unwrap_or(128);
                // IPv4 inside IPv6 is IPv4 everywhere here.
                if let (Some(inner), Some(length)) = (ip.to_ipv4_mapped(), length.checked_sub(96)) {
                    return Self::v4(inner.to_bits(), length);
                }
                let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?).unwrap_or(0);
                Some(Self::V6 { bits: ip.to_bits() & mask, mask })
            }
        }
    }

    fn v4(bits: u32, length: u32) -> Option<Self> {
        let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
        Some(Self::V4 { bits: bits & mask, mask })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Self::V4 { bits, mask }, IpAddr::V4(ip)) => ip.to_bits() & mask == *bits,
            (Self::V6 { bits, mask }, IpAddr::V6(ip)) => ip.to_bits() & mask == *bits,
            (Self::V4 { .. }, IpAddr::V6(_)) | (Self::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }
}

/// Whether a text is canonical base64 (RFC 4648 section 4): of such texts, two are the same bytes when they are the same.
pub(crate) fn is_base64(text: &str) -> bool {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits = text.trim_end_matches('=');
    // Bits of the last digit that stand for nothing must be zero.
    let unused = match (digits.len() % 4, text.len() - digits.len()) {
        (0, 0) => 0,
        (2, 2) => 0b1111,
        (3, 1) => 0b11,
        _ => return false,
    };
    let last = digits.bytes().last().and_then(value).unwrap_or(0);
    digits.bytes().all(|byte| value(byte).is_some()) && last & unused == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_none() {
        for text in [
            "",
            "-",
            "+",
            "++1",
            "+-1",
            "1e3",
            "1.",
            "1.+5",
            ".5",
            "1.0000000000",
            "123456789012345678901",
            "0x1",
            "1_0",
            " 1",
            "１",
        ] {
            assert_eq!(decimal(text), None, "{text}");
        }
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("7", 7_000_000_000),
            ("+7.50", 7_500_000_000),
            ("-0.000000001", -1),
            ("18446744073709551615", 18_446_744_073_709_551_615_000_000_000),
        ] {
            assert_eq!(decimal(text), Some(expected), "{text}");
        }
        assert_eq!(decimal("18446744073709551615"), Some(whole_number(u64::MAX)));
    }

    #[test]
    fn instants_are_read_in_every_form_of_the_note() {
        for text in [
            "",
            "x",
            "2026-13",
            "2026-02-29",
            "2100-02-29",
            "2026-11-22T",
            "2026-11-22T09",
            "2026-11-22T09:30",
            "2026-11T09:30Z",
            "2026-11-22T24:00Z",
            "2026-11-22T09:60Z",
            "2026-11-22T09:30:60Z",
            "2026-11-22T09:30:00.Z",
            "2026-11-22T09:30:00.123xZ",
            "2026-11-22T09:30Zx",
            "2026-11-22T09:30+1:00",
            "2026-11-22T09:30+24:00",
            "2026-11-22T09:30+01:60",
            "2026-11-22 09:30Z",
            "99999999999999999999",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
        let at = 1_795_339_800_000;
        for (text, expected) in [
            ("0", 0),
            ("1795339800", at),
            ("1970", 0),
            ("2000-02-29", 951_782_400_000),
            ("2024-02-29", 1_709_164_800_000),
            ("2026-02-28", 1_772_236_800_000),
            ("2026-11", 1_793_491_200_000),
            ("2026-11-22T09:30Z", at),
            ("2026-11-22T09:30:00Z", at),
            ("2026-11-22T10:30:00+01:00", at),
            ("2026-11-22T00:30-09:00", at),
            ("2026-11-22T15:00+05:30", at),
            ("2026-11-23T09:29+23:59", at),
            ("2026-11-22T09:30:00.5Z", at + 500),
            ("2026-11-22T09:30:00.25Z", at + 250),
            ("2026-11-22T09:30:00.1239Z", at + 123),
            ("1969-12-31T23:59:59Z", -1000),
        ] {
            assert_eq!(instant(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "010.0.0.1",
            "x",
            "10.0.0.1 ",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
        let holds = |network: &str, ip: &str| Network::parse(network).unwrap().contains(ip.parse().unwrap());
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(!holds("10.0.0.1", "10.0.0.2"));
        assert!(!holds("0.0.0.0/0", "::1"));
        assert!(!holds("::/0", "10.0.0.1"));
        assert!(holds("10.1.2.3/8", "10.255.0.1"));
        assert!(holds("0.0.0.0/0", "255.255.255.255"));
        assert!(holds("::/0", "ffff::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::5"));
        // However an IPv4 address is written.
        assert!(holds("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(holds("::ffff:10.0.0.0/104", "10.1.1.1"));
    }

    #[test]
    fn base64_is_canonical() {
        for text in ["A", "AB", "AAA", "AB==", "Ah==", "AAB=", "=", "====", "AA==AA==", "A-==", "AAAAA"] {
            assert!(!is_base64(text), "{text}");
        }
        for text in ["", "AA==", "Ag==", "AAA=", "AAAA", "+/8=", "U3Ryb25ncm9vbQ=="] {
            assert!(is_base64(text), "{text}");
        }
    }
}

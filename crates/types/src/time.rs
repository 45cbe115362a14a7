//! Instants and their text forms.

use std::fmt;
use std::time::Duration;

/// A wall-clock instant: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// A monotonic instant: nanoseconds since some start that differs from process to process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(u64);

/// The fields of a civil date and time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Civil {
    year: u32,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl Timestamp {
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    pub const fn as_millis(self) -> u64 {
        self.0
    }

    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long before `later` this instant was; zero if it was not before.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// `20261122T093000Z`, the form of `X-Amz-Date`.
    pub fn to_basic_iso8601(self) -> String {
        let c = self.civil();
        format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", c.year, c.month, c.day, c.hour, c.minute, c.second)
    }

    /// Parses `20261122T093000Z`. Strict: sixteen ASCII characters, a date that exists, no leap second.
    pub fn parse_basic_iso8601(text: &str) -> Option<Self> {
        let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
        let [y0, y1, y2, y3, mo0, mo1, d0, d1, b'T', h0, h1, mi0, mi1, s0, s1, b'Z'] = *bytes else {
            return None;
        };
        let two = |a: u8, b: u8| -> Option<u8> {
            (a.is_ascii_digit() && b.is_ascii_digit()).then(|| (a - b'0') * 10 + (b - b'0'))
        };
        let year = u32::from(two(y0, y1)?) * 100 + u32::from(two(y2, y3)?);
        let civil = Civil {
            year,
            month: two(mo0, mo1)?,
            day: two(d0, d1)?,
            hour: two(h0, h1)?,
            minute: two(mi0, mi1)?,
            second: two(s0, s1)?,
        };
        civil.to_timestamp()
    }

    /// `2026-11-22T09:30:00Z`, the form of CloudTrail's `eventTime`.
    pub fn to_extended_iso8601(self) -> String {
        let mut text = String::with_capacity("2026-11-22T09:30:00Z".len());
        // Writing to a String cannot fail.
        let _ = self.write_extended_iso8601(&mut text);
        text
    }

    /// The same, without an allocation.
    pub fn write_extended_iso8601(self, out: &mut impl fmt::Write) -> fmt::Result {
        let c = self.civil();
        write!(
            out,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            c.year, c.month, c.day, c.hour, c.minute, c.second
        )
    }

    /// `2026-11-22T09:30:00.123Z`, for logs.
    pub fn to_extended_iso8601_millis(self) -> String {
        let mut text = self.to_extended_iso8601();
        text.pop();
        text.push_str(&format!(".{:03}Z", self.0 % 1000));
        text
    }

    /// Seconds since the epoch with three decimals, the number form of the JSON protocol: `1773253425.560`.
    pub fn write_epoch_seconds(self, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{}.{:03}", self.0 / 1000, self.0 % 1000);
    }

    /// Days-to-civil after Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
    fn civil(self) -> Civil {
        let secs = self.0 / 1000;
        let (days, rest) = (secs / 86_400, secs % 86_400);
        let z = days + 719_468;
        let era = z / 146_097;
        let doe = z % 146_097;
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + u64::from(month <= 2);
        let small = |n: u64| u8::try_from(n).unwrap_or(u8::MAX);
        Civil {
            year: u32::try_from(year).unwrap_or(u32::MAX),
            month: small(month),
            day: small(day),
            hour: small(rest / 3600),
            minute: small(rest / 60 % 60),
            second: small(rest % 60),
        }
    }
}

impl Civil {
    fn to_timestamp(self) -> Option<Timestamp> {
        if self.year < 1970 || self.hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let leap =
            (self.year.is_multiple_of(4) && !self.year.is_multiple_of(100)) || self.year.is_multiple_of(400);
        let last = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        if self.day == 0 || self.day > last {
            return None;
        }
        let (month, day) = (u64::from(self.month), u64::from(self.day));
        let year = u64::from(self.year) - u64::from(month <= 2);
        let era = year / 400;
        let yoe = year % 400;
        let mp = if month > 2 { month - 3 } else { month + 9 };
        let doy = (153 * mp + 2) / 5 + day - 1;
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        let days = era * 146_097 + doe - 719_468;
        let secs = days * 86_400
            + u64::from(self.hour) * 3600
            + u64::from(self.minute) * 60
            + u64::from(self.second);
        Some(Timestamp::from_secs(secs))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_extended_iso8601_millis())
    }
}

impl Monotonic {
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from this instant to `later`; zero if `later` is earlier.
    pub const fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "20260229T000000Z",
            "20261301T000000Z",
            "20260100T000000Z",
            "20260101T240000Z",
            "20260101T006000Z",
            "20260101T000060Z",
            "20260101T000000",
            "2026-01-01T00:00:00Z",
            "20260101t000000z",
            "+0260101T000000Z",
            "19691231T235959Z",
            "",
        ] {
            assert_eq!(Timestamp::parse_basic_iso8601(text), None, "{text}");
        }
    }

    #[test]
    fn basic_form_round_trips_over_four_centuries() {
        // Steps of a prime number of seconds reach every month, hour and leap rule.
        let mut secs = 0;
        while secs < 13_000_000_000 {
            let at = Timestamp::from_secs(secs);
            assert_eq!(Timestamp::parse_basic_iso8601(&at.to_basic_iso8601()), Some(at), "{secs}");
            secs += 2_000_003;
        }
    }

    #[test]
    fn known_instants_have_their_text() {
        let at = Timestamp::from_millis(1_440_938_160_250);
        assert_eq!(at.to_basic_iso8601(), "20150830T123600Z");
        assert_eq!(at.to_extended_iso8601(), "2015-08-30T12:36:00Z");
        assert_eq!(at.to_string(), "2015-08-30T12:36:00.250Z");
        let mut out = Vec::new();
        at.write_epoch_seconds(&mut out);
        assert_eq!(out, b"1440938160.250");
        assert_eq!(
            Timestamp::parse_basic_iso8601("20240229T235959Z").map(Timestamp::as_secs),
            Some(1_709_251_199)
        );
    }
}

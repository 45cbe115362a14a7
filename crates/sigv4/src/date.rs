//! The two forms in which a request may say when it was signed.

use std::borrow::Cow;

use strongroom_types::Timestamp;

/// When a request was signed: the instant, and its text as the string to sign has it.
#[derive(Debug, Clone)]
pub(crate) struct SignedAt<'a> {
    pub(crate) at: Timestamp,
    /// Always the basic ISO 8601 form, `20150830T123600Z`.
    pub(crate) text: Cow<'a, str>,
}

impl<'a> SignedAt<'a> {
    /// The basic ISO 8601 form, the only one that `X-Amz-Date` may have.
    pub(crate) fn parse_iso8601(text: Cow<'a, str>) -> Option<Self> {
        let at = Timestamp::parse_basic_iso8601(&text)?;
        Some(Self { at, text })
    }

    /// The `Date` header: the basic ISO 8601 form or an HTTP-date.
    ///
    /// Of the HTTP-dates (RFC 9110 section 5.6.7) only `Sun, 30 Aug 2015 12:36:00 GMT` is taken, not the two obsolete
    /// forms. botocore writes the zone as `-0000`, which RFC 5322 section 3.3 makes the same. The name of the day is
    /// not held against the date: the signature covers the instant, not its name.
    pub(crate) fn parse_date_header(text: &'a str) -> Option<Self> {
        Self::parse_iso8601(Cow::Borrowed(text)).or_else(|| Self::parse_http_date(text))
    }

    fn parse_http_date(text: &str) -> Option<Self> {
        let (day_name, rest) = text.split_once(", ")?;
        if !["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&day_name) {
            return None;
        }
        let mut fields = rest.split(' ');
        let (day, month, year) = (fields.next()?, fields.next()?, fields.next()?);
        let (time, zone) = (fields.next()?, fields.next()?);
        if fields.next().is_some() || !["GMT", "UTC", "-0000", "+0000"].contains(&zone) {
            return None;
        }
        let mut clock = time.split(':');
        let (hour, minute, second) = (clock.next()?, clock.next()?, clock.next()?);
        if clock.next().is_some() {
            return None;
        }
        // Short fields are filled with zeros (RFC 5322 lets a day have one digit). A field that is too long makes the
        // text longer than sixteen characters, so nothing can shift into its neighbour: `parse_iso8601` refuses it.
        let month = month_number(month)?;
        Self::parse_iso8601(Cow::Owned(format!(
            "{year:0>4}{month}{day:0>2}T{hour:0>2}{minute:0>2}{second:0>2}Z"
        )))
    }

    /// The date as the credential scope must have it: `20150830`.
    pub(crate) fn day(&self) -> &str {
        // INVARIANT: the text is sixteen ASCII characters, so this is its first half.
        self.text.get(..8).unwrap_or_default()
    }
}

fn month_number(name: &str) -> Option<&'static str> {
    Some(match name {
        "Jan" => "01",
        "Feb" => "02",
        "Mar" => "03",
        "Apr" => "04",
        "May" => "05",
        "Jun" => "06",
        "Jul" => "07",
        "Aug" => "08",
        "Sep" => "09",
        "Oct" => "10",
        "Nov" => "11",
        "Dec" => "12",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(date: &str) -> Option<String> {
        SignedAt::parse_date_header(date).map(|signed| signed.text.into_owned())
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2015-08-30T12:36:00Z",
            "Sunday, 30-Aug-15 12:36:00 GMT",
            "Sun Aug 30 12:36:00 2015",
            "Sun, 30 Aug 2015 12:36:00",
            "Sun, 30 Aug 2015 12:36:00 CEST",
            "Sun, 30 Aug 2015 12:36:00 GMT GMT",
            "Sun, 30 Aug 2015 12:36:00:00 GMT",
            "Sun, 30 aug 2015 12:36:00 GMT",
            "Sun, 31 Feb 2015 12:36:00 GMT",
            "Sun, 30 Aug 20151 2:36:00 GMT",
            "Son, 30 Aug 2015 12:36:00 GMT",
        ] {
            assert_eq!(text_of(text), None, "{text}");
        }
    }

    #[test]
    fn fields_of_wrong_lengths_never_shift_into_another_date() {
        for text in
            ["Sun, 300 Aug 201 12:36:00 GMT", "Sun, 3 Aug 2015 123:6:0 GMT", "Sun, 30 Aug 215 12:36:000 GMT"]
        {
            assert_eq!(text_of(text), None, "{text}");
        }
    }

    #[test]
    fn http_dates_become_basic_iso8601() {
        for zone in ["GMT", "UTC", "-0000", "+0000"] {
            let date = format!("Sun, 30 Aug 2015 12:36:00 {zone}");
            assert_eq!(text_of(&date).as_deref(), Some("20150830T123600Z"));
        }
        assert_eq!(text_of("20150830T123600Z").as_deref(), Some("20150830T123600Z"));
        assert_eq!(SignedAt::parse_date_header("20150830T123600Z").unwrap().day(), "20150830");
    }
}

//! The period in which a certificate is valid (RFC 5280, 4.1.2.5). rustls does not read it from a server's own
//! certificate, because clients check it.

use std::time::{Duration, SystemTime};

use humantime_serde::re::humantime::{format_rfc3339_seconds, parse_rfc3339};

/// The longest time before expiry in which a certificate is warned of. ACME clients renew in the last third of the
/// validity, which is a month for a certificate of ninety days.
const WARN_BEFORE_MAX: Duration = Duration::from_secs(14 * 24 * 60 * 60);

const SEQUENCE: u8 = 0x30;
const EXPLICIT_VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The validity period of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Validity {
    /// The validity of a certificate in DER. `None` if it cannot be parsed.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate, _) = element(certificate)?;
        let (_, mut fields, _) = element(certificate)?;
        if let (EXPLICIT_VERSION, _, rest) = element(fields)? {
            fields = rest;
        }
        // The serial number, the algorithm and the issuer precede it.
        for _preceding in 0..3 {
            (_, _, fields) = element(fields)?;
        }
        let (SEQUENCE, validity, _) = element(fields)? else { return None };
        let (tag, not_before, rest) = element(validity)?;
        let not_before = time(tag, not_before)?;
        let (tag, not_after, _) = element(rest)?;
        Some(Self { not_before, not_after: time(tag, not_after)? })
    }

    /// When the certificate expires, in seconds since 1970.
    pub(super) fn expires_at(&self) -> f64 {
        self.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    /// Why clients do not accept the certificate at `now`, or soon will not. Continues the words «the certificate».
    pub(super) fn problem(&self, now: SystemTime) -> Option<String> {
        if now > self.not_after {
            return Some(format!("has expired at {}", format_rfc3339_seconds(self.not_after)));
        }
        if now < self.not_before {
            return Some(format!("is not valid before {}", format_rfc3339_seconds(self.not_before)));
        }
        let expires_soon = now + self.warn_before() > self.not_after;
        expires_soon.then(|| format!("expires at {}", format_rfc3339_seconds(self.not_after)))
    }

    /// How long before expiry the certificate is warned of: for one that is valid for six days, two days. A fixed time
    /// would warn of short-lived certificates from their first day on, even if they are renewed in time.
    fn warn_before(&self) -> Duration {
        let validity = self.not_after.duration_since(self.not_before).unwrap_or_default();
        WARN_BEFORE_MAX.min(validity / 3)
    }
}

/// The first element of `bytes`: its tag, its contents, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..0x80 => (usize::from(*first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().try_fold(0_usize, |length, digit| {
                length.checked_mul(256)?.checked_add(usize::from(*digit))
            })?;
            (length, rest)
        }
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            // Two digits mean a year from 1950 to 2049.
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME => text.split_at_checked(4).map(|(year, rest)| (year.to_owned(), rest))?,
        _ => return None,
    };
    let digits = rest.strip_suffix('Z').filter(|digits| digits.len() == 10 && digits.is_ascii())?;
    let part = |at: usize| &digits[at..at + 2];
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(part);
    parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn both_forms_of_a_time_are_parsed() {
        let seconds = |tag, text: &str| {
            time(tag, text.as_bytes()).map(|time| time.duration_since(UNIX_EPOCH).expect("later").as_secs())
        };
        assert_eq!(seconds(UTC_TIME, "261128120000Z"), Some(1_795_867_200));
        assert_eq!(seconds(GENERALIZED_TIME, "20261128120000Z"), Some(1_795_867_200));
        assert_eq!(seconds(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(seconds(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        for text in ["", "2", "261128120000", "2611281200Z", "261328120000Z", "26112812000éZ"] {
            assert_eq!(seconds(UTC_TIME, text), None, "{text}");
        }
    }

    #[test]
    fn a_certificate_outside_its_validity_is_a_problem() {
        let mut parameters = rcgen::CertificateParams::new(["a".to_owned()]).expect("a name");
        (parameters.not_before, parameters.not_after) =
            (rcgen::date_time_ymd(2020, 1, 2), rcgen::date_time_ymd(2021, 3, 4));
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let validity = Validity::of(certificate.der()).expect("it can be parsed");
        let at = |text| parse_rfc3339(text).expect("a time");
        assert_eq!(validity.problem(at("2020-06-01T00:00:00Z")), None);
        let problem = |time| validity.problem(at(time)).expect("it is not valid");
        assert_eq!(problem("2021-03-04T00:00:01Z"), "has expired at 2021-03-04T00:00:00Z");
        assert_eq!(problem("2020-01-01T00:00:00Z"), "is not valid before 2020-01-02T00:00:00Z");
    }

    #[test]
    fn a_certificate_is_warned_of_in_its_last_two_weeks_or_its_last_third() {
        let day = Duration::from_secs(24 * 60 * 60);
        let not_before = UNIX_EPOCH + 20_000 * day;
        for (days_valid, days_warned) in [(400, 14), (90, 14), (42, 14), (6, 2), (3, 1)] {
            let validity = Validity { not_before, not_after: not_before + days_valid * day };
            let problem = |days_left: u32| validity.problem(validity.not_after - days_left * day);
            assert_eq!(problem(days_warned), None, "{days_valid} days");
            let warning = problem(days_warned - 1).expect("it expires soon");
            assert!(warning.starts_with("expires at 20"), "{warning}");
        }
    }

    #[test]
    fn bytes_that_are_not_a_certificate_have_no_validity() {
        let certificate =
            rcgen::generate_simple_self_signed(["a".to_owned()]).expect("a certificate").cert.der().to_vec();
        for end in 0..100.min(certificate.len()) {
            assert_eq!(Validity::of(&certificate[..end]), None, "{end}");
        }
        assert_eq!(Validity::of(&[0x30, 0x8f, 0xff]), None);
        for at in 0..certificate.len() {
            let mut damaged = certificate.clone();
            damaged[at] = 0xff;
            // It may be parsed, but does not panic.
            let _validity = Validity::of(&damaged);
        }
    }
}

//! Values of columns as they are compared in this process, for types whose order does not depend on the database.
//!
//! Both sides are the text that PostgreSQL writes of a value of the type.

use std::cmp::Ordering;

use crate::tenants::database::changes::CompareKind;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Integer(i64),
    Float(f64),
    Decimal(Decimal),
    /// Ordered by its bytes: texts of which only equality is asked, UUIDs, booleans, and times of the usual form.
    Bytes(Box<[u8]>),
}

/// A `numeric` that is finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    /// Digits before the point, without leading zeros.
    whole: Box<[u8]>,
    /// Digits after the point, without trailing zeros.
    fraction: Box<[u8]>,
}

impl Operand {
    /// Reads a value. `None` if its text has a form that is not compared here, such as a date before Christ.
    pub(super) fn read(kind: CompareKind, text: &[u8]) -> Option<Self> {
        match kind {
            CompareKind::Integer => std::str::from_utf8(text).ok()?.parse().ok().map(Self::Integer),
            CompareKind::Float => read_float(text).map(Self::Float),
            CompareKind::Numeric => Decimal::read(text).map(Self::Decimal),
            CompareKind::Date if text.len() == 10 => Some(Self::bytes(text)),
            CompareKind::Time | CompareKind::Timestamp | CompareKind::TimestampTz => {
                is_usual_time(kind, text).then(|| Self::bytes(text))
            }
            CompareKind::Uuid | CompareKind::Text => Some(Self::bytes(text)),
            CompareKind::Boolean | CompareKind::Bytea => Some(Self::bytes(key(Some(kind), text))),
            CompareKind::Date => None,
        }
    }

    fn bytes(text: &[u8]) -> Self {
        Self::Bytes(text.into())
    }

    /// How the values compare. `None` for values of two kinds.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(own), Self::Integer(other)) => Some(own.cmp(other)),
            (Self::Float(own), Self::Float(other)) => Some(compare_floats(*own, *other)),
            (Self::Decimal(own), Self::Decimal(other)) => Some(own.cmp(other)),
            (Self::Bytes(own), Self::Bytes(other)) => Some(own.cmp(other)),
            _ => None,
        }
    }

    /// Whether values of the kind have one text each, so that equal values are found by their text.
    pub(super) fn has_one_text(kind: CompareKind) -> bool {
        !matches!(kind, CompareKind::Float | CompareKind::Numeric)
    }
}

/// The text by which a value of a row is found among those that filters name.
pub(super) fn key(kind: Option<CompareKind>, text: &[u8]) -> &[u8] {
    match kind {
        // The log has `t`, a cast to text gives `true`.
        Some(CompareKind::Boolean) => text.get(..1).unwrap_or(text),
        // Compared as the digits that clients see.
        Some(CompareKind::Bytea) => text.strip_prefix(b"\\x").unwrap_or(text),
        _ => text,
    }
}

/// As PostgreSQL compares: `NaN` equals itself and is greater than all others.
fn compare_floats(own: f64, other: f64) -> Ordering {
    own.partial_cmp(&other).unwrap_or_else(|| own.is_nan().cmp(&other.is_nan()))
}

fn read_float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether the text of a time has the form by which texts are ordered as times are: a year of four digits, no era.
fn is_usual_time(kind: CompareKind, text: &[u8]) -> bool {
    match kind {
        CompareKind::Time => text.get(2) == Some(&b':'),
        CompareKind::Timestamp => text.get(10) == Some(&b' ') && !text.ends_with(b"BC"),
        // All sessions use UTC.
        _ => text.get(10) == Some(&b' ') && text.ends_with(b"+00"),
    }
}

impl Decimal {
    fn read(text: &[u8]) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
        let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
        if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let leading = whole.iter().take_while(|digit| **digit == b'0').count();
        let trailing = fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        let (whole, fraction) = (&whole[leading..], &fraction[..fraction.len() - trailing]);
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self { is_negative: is_negative && !is_zero, whole: whole.into(), fraction: fraction.into() })
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        let lengths = self.whole.len().cmp(&other.whole.len());
        lengths.then_with(|| self.whole.cmp(&other.whole)).then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.compare_magnitude(other),
            (true, true) => other.compare_magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(kind: CompareKind, own: &str, other: &str) -> Option<Ordering> {
        Operand::read(kind, own.as_bytes())?.compare(&Operand::read(kind, other.as_bytes())?)
    }

    #[test]
    fn numbers_are_compared_by_their_value() {
        use CompareKind::{Float, Integer, Numeric};
        assert_eq!(compare(Integer, "-3", "12"), Some(Ordering::Less));
        assert_eq!(compare(Integer, "9007199254740993", "9007199254740992"), Some(Ordering::Greater));
        assert_eq!(compare(Numeric, "10.10", "10.1"), Some(Ordering::Equal));
        assert_eq!(compare(Numeric, "-0.0", "0"), Some(Ordering::Equal));
        assert_eq!(compare(Numeric, "-2.5", "-2.25"), Some(Ordering::Less));
        assert_eq!(compare(Numeric, "99.9", "100"), Some(Ordering::Less));
        assert_eq!(compare(Numeric, "NaN", "1"), None, "asked of the database");
        assert_eq!(compare(Float, "NaN", "NaN"), Some(Ordering::Equal));
        assert_eq!(compare(Float, "NaN", "Infinity"), Some(Ordering::Greater));
        assert_eq!(compare(Float, "1e+300", "-0.5"), Some(Ordering::Greater));
    }

    #[test]
    fn times_of_the_usual_form_are_compared_by_their_text() {
        use CompareKind::{Date, Time, Timestamp, TimestampTz};
        assert_eq!(compare(Date, "2024-02-03", "2024-10-01"), Some(Ordering::Less));
        assert_eq!(compare(Date, "0044-03-15 BC", "2024-10-01"), None);
        assert_eq!(compare(Time, "12:34:56", "12:34:56.5"), Some(Ordering::Less));
        assert_eq!(
            compare(Timestamp, "2024-02-03 12:00:00.5", "2024-02-03 12:00:00"),
            Some(Ordering::Greater)
        );
        let (own, other) = ("2024-02-03 12:00:00+00", "2024-02-03 12:00:00.123+00");
        assert_eq!(compare(TimestampTz, own, other), Some(Ordering::Less));
        assert_eq!(compare(TimestampTz, own, "infinity"), None);
        assert_eq!(compare(TimestampTz, own, "10000-01-01 00:00:00+00"), None);
    }
}

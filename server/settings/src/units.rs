//! How durations, sizes and secrets are converted between text and the fields of the section structs.
//!
//! Nothing here checks what an operator wrote: [`crate::value_kind`] does, and passes on values in canonical form. So
//! the serde functions accept that form only and have no error texts of their own. A size is written without
//! rounding, a secret never.

use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is serialized instead of a secret.
const REDACTED: &str = "[redacted]";

/// Parses a duration such as `30s`, `1h 30m` or `10y`. Command lines use it too.
///
/// # Errors
/// What was expected, as a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime_serde::re::humantime::parse_duration(text)
        .map_err(|_| format!("must be a duration such as 30s, 5m or 1h, not {text:?}"))
}

/// Formats a duration as [`parse_duration`] reads it.
pub fn format_duration(duration: Duration) -> String {
    humantime_serde::re::humantime::format_duration(duration).to_string()
}

/// Parses a size such as `64 KiB`, `5 MB`, or a plain number of bytes.
pub(crate) fn parse_size(text: &str) -> Option<ByteSize> {
    text.trim().parse().ok()
}

/// Formats a size in the largest unit that needs no fraction, so that reading it again gives the same size.
pub(crate) fn format_size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (1 << 30, "GiB"),
        (1_000_000_000, "GB"),
        (1 << 20, "MiB"),
        (1_000_000, "MB"),
        (1 << 10, "KiB"),
        (1000, "kB"),
    ];
    match UNITS.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}

/// `ByteSize` as text, such as "64 KiB".
pub(crate) mod size {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &ByteSize, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_size(value.as_u64()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ByteSize, D::Error> {
        parse_size(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("not a size"))
    }
}

/// `Option<ByteSize>` as text.
pub(crate) mod optional_size {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<ByteSize>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|size| format_size(size.as_u64())).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ByteSize>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| parse_size(&text).ok_or_else(|| D::Error::custom("not a size"))).transpose()
    }
}

/// `Option<SecretString>`, never written out.
pub(crate) mod secret {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|_| REDACTED).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
    }
}

/// A list of `SecretString`, never written out.
pub(crate) mod secrets {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(values: &[SecretString], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|_| REDACTED))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SecretString>, D::Error> {
        Ok(Vec::<String>::deserialize(from)?.into_iter().map(SecretString::from).collect())
    }
}

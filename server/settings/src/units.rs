//! How durations, sizes, secrets and optional texts are written in a file and in a variable.
//!
//! The crates beside us read these well; here they learn to say what they expected in words a person
//! understands, to write a size without rounding it, and never to show a secret.

use std::time::Duration;

use bytesize::ByteSize;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration as people write it: `30s`, `1h 30m`, `10y`. Also how a command line reads one.
///
/// # Errors
/// What was expected, as a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime_serde::re::humantime::parse_duration(text)
        .map_err(|_| format!("must be a duration such as 30s, 5m or 1h, not {text:?}"))
}

/// A duration as [`parse_duration`] reads it.
pub fn format_duration(duration: Duration) -> String {
    humantime_serde::re::humantime::format_duration(duration).to_string()
}

/// A size as people write it: `64 KiB`, `5 MB`, or a bare number of bytes.
pub(crate) fn parse_size(text: &str) -> Result<ByteSize, String> {
    text.trim().parse().map_err(|_| format!("must be a size such as 64 KiB, not {text:?}"))
}

/// A size in the largest unit that needs no fraction, so that reading it again gives the same size.
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

/// A string, or whatever else was written instead. The latter is not looked at, let alone repeated in an
/// error: it may be half a secret.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Other(serde::de::IgnoredAny),
}

impl Text {
    fn or_complain<E: serde::de::Error>(self, expected: &str) -> Result<String, E> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Other(_) => Err(E::custom(format_args!("must be {expected}"))),
        }
    }
}

/// `Duration` as "30s".
pub(crate) mod duration {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        humantime_serde::serialize(value, to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text =
            Text::deserialize(from)?.or_complain("a duration in quotes with its unit, such as \"30s\"")?;
        parse_duration(&text).map_err(D::Error::custom)
    }
}

/// `ByteSize` as "64 KiB", or as a plain number of bytes.
pub(crate) mod size {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &ByteSize, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_size(value.as_u64()))
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bytes(u64),
        Text(Text),
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ByteSize, D::Error> {
        let text = match Written::deserialize(from)? {
            Written::Bytes(bytes) => return Ok(ByteSize::b(bytes)),
            Written::Text(text) => text.or_complain("a number of bytes, or a size such as \"64 KiB\"")?,
        };
        parse_size(&text).map_err(D::Error::custom)
    }
}

/// `Option<String>`, blank counting as unset.
pub(crate) mod text {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
        let Some(text) = Option::<Text>::deserialize(from)? else { return Ok(None) };
        let text = text.or_complain("text in quotes")?;
        Ok(if text.trim().is_empty() { None } else { Some(text) })
    }
}

/// `Option<SecretString>`, blank counting as unset, and never written out.
pub(crate) mod secret {
    use secrecy::SecretString;

    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|_| "[redacted]").serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
        Ok(text::deserialize(from)?.map(SecretString::from))
    }
}

/// A list of `SecretString`, blank ones left out, the others as they are; never written out.
pub(crate) mod secrets {
    use secrecy::SecretString;

    use super::*;

    pub(crate) fn serialize<S: Serializer>(values: &[SecretString], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|_| "[redacted]"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SecretString>, D::Error> {
        let list = Vec::<Text>::deserialize(from)?.into_iter();
        let texts = list.map(|text| text.or_complain("a list of texts in quotes"));
        let texts = texts.collect::<Result<Vec<_>, _>>()?.into_iter();
        Ok(texts.filter(|text| !text.trim().is_empty()).map(SecretString::from).collect())
    }
}

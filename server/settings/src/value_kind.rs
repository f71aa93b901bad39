//! The kinds of single values: how each is described, read from plain text, and checked.
//!
//! A checked value comes back in one canonical form («60s» becomes «1m»), so that two files which say the
//! same compare as equal.

use std::net::IpAddr;
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::Value;

use crate::address;
use crate::database::SLOT_SUFFIX_BYTES_MAX;
use crate::metric_choice::is_metric_choice;
use crate::tenants::NO_TENANT;
use crate::topic_pattern::is_topic_pattern;
use crate::units::{self, format_duration, format_size, parse_duration};

/// A year. Longer waits are typing errors, and far longer ones overflow the clock.
const DURATION_MAX: Duration = Duration::from_secs(31_557_600);

/// What one value may be.
#[derive(Debug)]
pub(crate) enum ValueKind {
    /// Any text, number or truth value.
    Anything,
    Text,
    Boolean,
    Integer {
        min: u64,
        max: u64,
    },
    /// A number from 0 to 1.
    Fraction,
    /// One of some words.
    Choice(Vec<String>),
    Duration {
        min: Duration,
        max: Duration,
    },
    Size {
        min: u64,
        max: u64,
    },
    IpAddress,
    Network,
    /// An address that begins with one of these.
    Url(Vec<String>),
    TenantId,
    TopicPattern,
    MetricChoice,
    SlotSuffix,
    Module,
    Jwks,
}

impl ValueKind {
    /// The kind of a leaf of the schema.
    ///
    /// # Panics
    /// If the schema has a type that is not handled here; a test covers all types.
    pub(crate) fn of(schema: &Value) -> Self {
        let text = |mark: &str| schema[mark].as_str();
        match text("x-kind") {
            Some("duration") => {
                let bound = |mark| text(mark).map(|text| parse_duration(text).expect("a mark is a duration"));
                let (min, max) = (bound("x-min"), bound("x-max"));
                return Self::Duration { min: min.unwrap_or_default(), max: max.unwrap_or(DURATION_MAX) };
            }
            Some("size") => {
                let bound = |mark| text(mark).map(|text| units::parse_size(text).expect("a mark is a size"));
                let bytes = |size: ByteSize| size.as_u64();
                let (min, max) = (bound("x-min").map(bytes), bound("x-max").map(bytes));
                return Self::Size { min: min.unwrap_or(0), max: max.unwrap_or(u64::MAX) };
            }
            Some("network") => return Self::Network,
            Some(name @ ("tenant" | "module")) => return Self::name(name),
            Some("jwks") => return Self::Jwks,
            Some("topic-pattern") => return Self::TopicPattern,
            Some("metric-choice") => return Self::MetricChoice,
            Some("slot-suffix") => return Self::SlotSuffix,
            Some("fraction") => return Self::Fraction,
            Some("url") => return Self::Url(words(&schema["x-schemes"])),
            Some(other) => panic!("`x-kind` {other} is unknown"),
            None => {}
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            return Self::Choice(choices.iter().flat_map(|choice| words(&choice["const"])).collect());
        }
        if text("format") == Some("ip") {
            return Self::IpAddress;
        }
        let types = words(&schema["type"]);
        match types.iter().map(String::as_str).find(|name| *name != "null") {
            Some("boolean") => Self::Boolean,
            Some("string") => Self::Text,
            Some("integer") => Self::Integer {
                min: schema["minimum"].as_u64().unwrap_or(0),
                max: schema["maximum"].as_u64().unwrap_or(match text("format") {
                    Some("uint32") => u32::MAX.into(),
                    _ => i64::MAX as u64,
                }),
            },
            None => Self::Anything,
            Some(other) => panic!("no kind of value is {other}: {schema}"),
        }
    }

    /// A kind of name, by its mark.
    pub(crate) fn name(mark: &str) -> Self {
        match mark {
            "tenant" => Self::TenantId,
            "module" => Self::Module,
            other => panic!("no kind of name is {other}"),
        }
    }

    /// What was expected, to follow this very word.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Anything => "a value".into(),
            Self::Text => "text in quotes".into(),
            Self::Boolean => "true or false".into(),
            Self::Integer { min, max } if *max >= i64::MAX as u64 => {
                format!("a whole number of at least {min}")
            }
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Fraction => "a number from 0 to 1".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Duration { min, max } if min.is_zero() => {
                format!("a duration of at most {}", format_duration(*max))
            }
            Self::Duration { min, max } => {
                format!("a duration from {} to {}", format_duration(*min), format_duration(*max))
            }
            Self::Size { min, max: u64::MAX } => format!("a size of at least {}", format_size(*min)),
            Self::Size { min, max } => {
                format!("a size from {} to {}", format_size(*min), format_size(*max))
            }
            Self::IpAddress => "an IP address such as 0.0.0.0 or ::1".into(),
            Self::Network => "a network such as 10.0.0.0/8".into(),
            Self::Url(schemes) => format!("an address that begins with {}", schemes.join(" or ")),
            Self::TenantId => format!(
                "1 to 63 of the letters a-z, digits, `-` and `_`, not `-` first, and not `{NO_TENANT}`"
            ),
            Self::TopicPattern => "a pattern of topics of 1 to 255 bytes, such as chat:*".into(),
            Self::MetricChoice => {
                "the name of a metric, and perhaps of labels, such as realtime_codes_total{code}".into()
            }
            Self::SlotSuffix => {
                format!("at most {SLOT_SUFFIX_BYTES_MAX} of the letters a-z, digits and `_`")
            }
            Self::Module => "the path of a module, such as realtime_server::edge".into(),
            Self::Jwks => r#"a JSON Web Key Set: {"keys": […]}, as text"#.into(),
        }
    }

    /// What plain text means for this kind, or the text itself, for [`ValueKind::check`] to complain about.
    pub(crate) fn read(&self, text: &str) -> Value {
        let word = text.trim();
        let read = match self {
            Self::Boolean => match word.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(Value::Bool(true)),
                "false" | "0" => Some(Value::Bool(false)),
                _ => None,
            },
            Self::Integer { .. } => whole(word),
            Self::Fraction => decimal(word),
            Self::Size { .. } => whole(word).or_else(|| Some(word.into())),
            Self::Anything => serde_json::from_str(word).ok(),
            Self::Text => None,
            Self::Choice(words) => {
                let known = words.iter().find(|known| known.eq_ignore_ascii_case(word));
                Some(known.map_or(word, String::as_str).into())
            }
            _ => Some(word.into()),
        };
        read.unwrap_or_else(|| text.into())
    }

    /// The value in its canonical form, if it is of this kind.
    pub(crate) fn check(&self, value: &Value) -> Option<Value> {
        match self {
            Self::Anything => (!holds_null(value)).then(|| value.clone()),
            Self::Boolean => value.as_bool().map(Value::from),
            Self::Integer { min, max } => {
                value.as_u64().filter(|n| (min..=max).contains(&n)).map(Value::from)
            }
            // Negative zero is another text.
            Self::Fraction => {
                value.as_f64().filter(|part| (0.0..=1.0).contains(part)).map(|part| part.abs().into())
            }
            Self::Duration { min, max } => {
                let wait = parse_duration(value.as_str()?).ok().filter(|wait| (min..=max).contains(&wait))?;
                Some(format_duration(wait).into())
            }
            Self::Size { min, max } => {
                let size = match value.as_str() {
                    Some(text) => units::parse_size(text)?.as_u64(),
                    None => value.as_u64()?,
                };
                (min..=max).contains(&&size).then(|| format_size(size).into())
            }
            Self::IpAddress => Some(value.as_str()?.parse::<IpAddr>().ok()?.to_string().into()),
            Self::Text => value.as_str().map(Value::from),
            Self::Choice(words) => words.iter().find(|word| value == *word).map(|word| word.as_str().into()),
            Self::Network => {
                value.as_str().filter(|text| crate::parse_network(text).is_ok()).map(Value::from)
            }
            Self::Url(schemes) => address::canonical(value.as_str()?, schemes).map(Value::from),
            Self::TenantId => value.as_str().filter(|text| is_tenant_id(text)).map(Value::from),
            Self::TopicPattern => value.as_str().filter(|text| is_topic_pattern(text)).map(Value::from),
            Self::MetricChoice => value.as_str().filter(|text| is_metric_choice(text)).map(Value::from),
            Self::SlotSuffix => value.as_str().filter(|text| is_slot_suffix(text)).map(Value::from),
            Self::Module => value.as_str().filter(|text| is_module(text)).map(Value::from),
            Self::Jwks => value.as_str().filter(|text| is_jwks(text)).map(Value::from),
        }
    }
}

/// Whether a tenant may be called this: it is the first label of a host name, too, and in metrics no series of another meaning has it.
pub(crate) fn is_tenant_id(text: &str) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && text != NO_TENANT
}

/// Whether the name of a replication slot may end with this.
fn is_slot_suffix(text: &str) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    text.len() <= SLOT_SUFFIX_BYTES_MAX && text.bytes().all(allowed)
}

fn is_module(text: &str) -> bool {
    text.split("::").all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn words(value: &Value) -> Vec<String> {
    let words = match value {
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        word => word.as_str().into_iter().collect::<Vec<_>>(),
    };
    words.into_iter().map(str::to_owned).collect()
}

/// Digits and nothing else; `+5` and `5_000` are no whole numbers in a variable.
fn whole(text: &str) -> Option<Value> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse::<u64>().ok())?.map(Value::from)
}

/// Digits with at most one point.
fn decimal(text: &str) -> Option<Value> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    digits.then(|| text.parse::<f64>().ok())?.map(Value::from)
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(inside) => inside.values().any(holds_null),
        value => value.is_null(),
    }
}

fn is_jwks(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|set| set["keys"].is_array())
}

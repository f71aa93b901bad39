//! What to do about a key or a value that is wrong: the line of help below a problem.
//!
//! It suggests the most likely intention, in the form in which it has to be written. A value is repeated only where it
//! cannot be a secret.

use std::net::SocketAddr;

use serde_json::Value;

use super::environment::variable_of;
use super::layer::{Layer, Origin};
use super::merge::{Content, Merged};
use super::{misspelt, near};
use crate::address;
use crate::shape::{self, Key, Shape, dotted};
use crate::units;
use crate::value_kind::{self, ValueKind};
use crate::variables::Conversion;

/// Maximum of names that one help suggests.
const OFFERED: usize = 3;

/// For the unknown `path` below `section`, `written` in this layer.
pub(super) fn for_unknown(section: &Key, path: &[String], merged: &Merged, layer: &Layer) -> Option<String> {
    let in_a_variable = layer.origin == Origin::Variable;
    let name = |meant: &[String]| {
        if in_a_variable { variable_of(meant) + rest_below(path, meant, &layer.name) } else { dotted(meant) }
    };
    let (last, above) = path.split_last()?;
    let mut meant: Vec<String> = Vec::new();
    if in_a_variable {
        meant.extend(misspelt::nearest_own_variable(&layer.name).filter(|near| *near != layer.name));
    }
    if meant.is_empty() {
        meant.extend(near::meant(section, path).iter().map(|path| name(path)));
    }
    if let (true, Content::Table(keys)) = (meant.is_empty(), &merged.content) {
        meant.extend(near::meant_by_section(last, keys.keys()).iter().map(|path| name(path)));
    }
    meant.truncate(OFFERED);
    Some(match (meant.is_empty(), above) {
        (false, _) => format!("did you mean {}?", meant.join(" or ")),
        (true, []) => format!("the sections are {}", near::names(section)),
        (true, above) => format!("the keys of {} are {}", dotted(above), near::names(section)),
    })
}

/// What the name of a variable has after the unknown `path`: keys of the section that was meant, if it is one.
fn rest_below<'a>(path: &[String], meant: &[String], variable: &'a str) -> &'a str {
    let is_section = shape::root().find(meant).is_some_and(|key| matches!(key.shape, Shape::Section(_)));
    if is_section { variable.strip_prefix(&*variable_of(path)).unwrap_or_default() } else { "" }
}

/// For a name, chosen by the operator, that is not of this kind.
pub(super) fn for_name(kind: &ValueKind, name: &str) -> Option<String> {
    let better = name.trim().to_lowercase().replace(['.', ' '], "-");
    (matches!(kind, ValueKind::TenantId) && value_kind::is_tenant_id(&better))
        .then(|| format!("write {better}"))
}

/// For `value`, which is not what `key` at `path` expects.
pub(super) fn for_value(key: &Key, path: &[String], value: &Value, origin: Origin) -> Option<String> {
    match &key.shape {
        Shape::Section(_) => for_section(key, path),
        Shape::Table(item) if matches!(item.shape, Shape::One(_)) => {
            let example =
                if origin == Origin::Variable { r#"{"<name>": "…"}"# } else { "{ <name> = \"…\" }" };
            Some(format!("write names of your own with their values: {example}"))
        }
        Shape::Table(_) => Some(format!("write [{}.<id>], with a name of your own for <id>", dotted(path))),
        Shape::List(_) if origin == Origin::Variable => {
            Some("write items separated by commas, or JSON: [\"…\", \"…\"]".into())
        }
        Shape::List(_) => match value.as_str().filter(|_| !key.secret) {
            Some(text) => Some(format!("write it as a list: [{text:?}]")),
            None => Some("write it as a list: [\"…\"]".into()),
        },
        Shape::One(kind) => for_kind(kind, value, origin).or_else(|| meaning(key)),
    }
}

fn for_section(key: &Key, path: &[String]) -> Option<String> {
    let (last, above) = path.split_last()?;
    // `tenants.suspended = true`: the tenant is missing.
    let leaves = key.leaves().into_iter().map(|(path, _)| path);
    let meant = leaves.filter(|path| path.last() == Some(last)).min_by_key(Vec::len);
    Some(match meant.filter(|_| above == ["tenants"]) {
        Some(meant) => format!("write it under the id of a tenant: tenants.<id>.{}", dotted(&meant)),
        None => format!("the keys of {} are {}", dotted(path), near::names(key)),
    })
}

/// The description of the key and its default.
fn meaning(key: &Key) -> Option<String> {
    let sentence = key.meaning.split_inclusive(". ").next()?.trim_end();
    match &key.default {
        Value::Null => Some(sentence.into()),
        Value::String(text) if text.is_empty() => Some(sentence.into()),
        Value::String(text) => Some(format!("{sentence} Default: {text}.")),
        default => Some(format!("{sentence} Default: {default}.")),
    }
}

fn for_kind(kind: &ValueKind, value: &Value, origin: Origin) -> Option<String> {
    let in_a_file = origin == Origin::File;
    match (kind, value) {
        (ValueKind::Duration { .. }, Value::Number(_)) => {
            Some("write it in quotes with its unit, such as \"30s\"".into())
        }
        (ValueKind::Duration { .. }, Value::String(text)) => for_wait(text.trim(), origin),
        (ValueKind::Size { .. }, Value::Number(number)) if !number.is_u64() => Some(
            "write a whole number of bytes, or a number with its unit in quotes, such as \"64 KiB\"".into(),
        ),
        (ValueKind::Size { .. }, Value::String(text)) => {
            let wrong = units::parse_size(text).is_none();
            wrong.then(|| "write a number with its unit, such as 64 KiB, 5 MB or 1 GiB".into())
        }
        (ValueKind::Boolean | ValueKind::Integer { .. } | ValueKind::Fraction, Value::String(text))
            if in_a_file && kind.check(&kind.read(text)).is_some() =>
        {
            Some("write it without quotes".into())
        }
        (ValueKind::Boolean, value) => for_switch(value),
        (ValueKind::Integer { .. }, Value::Number(number)) if number.is_f64() => {
            Some("write it without a fraction".into())
        }
        (ValueKind::Integer { .. }, Value::String(text))
            if text.trim().parse::<f64>().is_ok_and(|number| number.fract() != 0.0) =>
        {
            Some("write it without a fraction".into())
        }
        (ValueKind::Integer { .. }, Value::String(text)) if is_grouped(text.trim()) => {
            Some("write its digits without anything between them".into())
        }
        (ValueKind::Choice(words), Value::String(text)) => for_word(words, text),
        (ValueKind::IpAddress, Value::String(text)) => for_address(text.trim()),
        (ValueKind::Network, Value::String(_)) => {
            Some("write an address and a prefix length: /0 to /32, for IPv6 up to /128".into())
        }
        (ValueKind::Url(schemes), Value::String(text)) => address::advice(text, schemes),
        (ValueKind::TenantId, Value::String(text)) => for_name(kind, text),
        (ValueKind::Jwks, Value::String(text)) => for_jwks(text.trim()),
        (
            ValueKind::Text
            | ValueKind::IpAddress
            | ValueKind::Network
            | ValueKind::Url(_)
            | ValueKind::SlotSuffix
            | ValueKind::Choice(_),
            Value::Number(_) | Value::Bool(_),
        ) => Some("write it in quotes".into()),
        _ => None,
    }
}

fn for_wait(text: &str, origin: Origin) -> Option<String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let quote = if origin == Origin::File { "\"" } else { "" };
        return Some(format!("add its unit, such as {quote}{text}s{quote} for seconds"));
    }
    // A duration that is too long or too short has a unit already.
    let wrong = units::parse_duration(text).is_err();
    wrong.then(|| "write whole numbers, each with its unit, such as 30s, 5m or 1h 30m".into())
}

/// For the text of a variable that cannot be read as its program documents it.
pub(super) fn for_variable(conversion: Conversion, text: &str) -> Option<String> {
    const LEVELS: [&str; 8] =
        ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];
    let word = text.trim();
    match conversion {
        Conversion::Milliseconds => {
            let duration = units::parse_duration(word).ok()?;
            Some(format!("write {}", duration.as_millis()))
        }
        Conversion::HeaderBytes => Some(format!("write {}", units::parse_size(word)?.as_u64())),
        Conversion::LogLevel => near::nearest(word, LEVELS).map(|level| format!("did you mean {level}?")),
        Conversion::Inverted => for_switch(&word.into()),
        _ => None,
    }
}

/// `1_000` or `1,000`.
fn is_grouped(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || "_,.' ".contains(c))
}

/// For a value that should have been `true` or `false`.
pub(super) fn for_switch(value: &Value) -> Option<String> {
    let word = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_lowercase());
    match word.as_str() {
        "yes" | "on" | "y" | "t" | "1" | "enabled" => Some("write true".into()),
        "no" | "off" | "n" | "f" | "0" | "disabled" => Some("write false".into()),
        _ => None,
    }
}

fn for_word(words: &[String], text: &str) -> Option<String> {
    let known = |word: &str| words.iter().find(|known| *known == word);
    let elsewhere = Conversion::LogLevel.read(text).ok().flatten();
    let elsewhere = elsewhere.and_then(|word| known(word.as_str()?).map(String::as_str));
    let near = elsewhere.or_else(|| near::nearest(text.trim(), words.iter().map(String::as_str)))?;
    Some(format!("did you mean {near}?"))
}

fn for_address(text: &str) -> Option<String> {
    let port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let help = match text {
        "localhost" => "write 127.0.0.1, or ::1 for IPv6",
        "*" => "write 0.0.0.0 for all IPv4 addresses, or :: for all",
        _ if text.parse::<SocketAddr>().is_ok() || port => {
            "write the address without a port, which has a key of its own"
        }
        _ if text.starts_with('[') => "write it without brackets",
        _ => return None,
    };
    Some(help.into())
}

fn for_jwks(text: &str) -> Option<String> {
    let help = match text {
        _ if text.starts_with("http") => "the address of a key set is jwks_url",
        _ if text.starts_with(['/', '.']) => {
            "write the key set itself; to read it from a file, let a variable that ends in _FILE name the file"
        }
        _ => return None,
    };
    Some(help.into())
}

//! How the values of variables elsewhere become values of ours.

use serde_json::Value;

use crate::value_kind;

/// How one value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// As the key reads plain text.
    Verbatim,
    /// A whole number of milliseconds.
    Milliseconds,
    /// Bytes of one header's value; ours counts the whole head.
    HeaderBytes,
    /// `ipv4` or `ipv6`; other words left the choice to the system.
    IpVersion,
    /// One of eight words; ours are five.
    LogLevel,
    /// A truth value that means the contrary here.
    Inverted,
    /// A JSON object.
    Json,
    /// Names and values: `a=b,c=d`.
    Pairs,
    /// The only item of a list, whatever stands in it.
    SingleItem,
    /// Whether TLS is used.
    Tls,
    /// Whether secrets are written in the current form.
    WrittenForm,
    /// `true` and nothing else names the tenant that is created.
    Seed,
}

/// The least our HTTP library lives with, and so what a smaller number means.
const LEAST_HEAD: u64 = 8 * 1024;

/// A truth value.
fn truth(word: &str) -> Result<bool, &'static str> {
    match value_kind::ValueKind::Boolean.read(word) {
        Value::Bool(value) => Ok(value),
        _ => Err("one of true, 1, false, 0"),
    }
}

/// An object of names and values. Empty items are left out, as upstream does.
fn pairs(text: &str) -> Result<Value, &'static str> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let pair = |item: &str| match item.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().into())),
        _ => Err("names and values such as name=value,name=value"),
    };
    items.map(pair).collect::<Result<_, _>>().map(Value::Object)
}

impl Conversion {
    /// The value that is meant; nothing when this one changes nothing.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn read(self, text: &str) -> Result<Option<Value>, &'static str> {
        let word = text.trim();
        let whole = || match word.bytes().all(|byte| byte.is_ascii_digit()) {
            true => word.parse::<u64>().ok(),
            false => None,
        };
        match self {
            Self::Verbatim => Ok(Some(text.into())),
            Self::Milliseconds => match whole() {
                Some(number) => Ok(Some(format!("{number}ms").into())),
                None => Err("a whole number of milliseconds"),
            },
            Self::HeaderBytes => match whole() {
                Some(number) => Ok(Some(number.saturating_mul(2).max(LEAST_HEAD).into())),
                None => Err("a whole number of bytes"),
            },
            Self::IpVersion => Ok(match word.to_ascii_lowercase().as_str() {
                "ipv4" => Some("0.0.0.0".into()),
                "ipv6" => Some("::".into()),
                _ => None,
            }),
            Self::LogLevel => match word.to_ascii_lowercase().as_str() {
                "emergency" | "alert" | "critical" | "error" => Ok(Some("error".into())),
                "warning" | "warn" => Ok(Some("warn".into())),
                "notice" | "info" => Ok(Some("info".into())),
                word @ ("debug" | "trace") => Ok(Some(word.into())),
                _ => Err("one of emergency, alert, critical, error, warning, notice, info, debug"),
            },
            Self::Inverted => truth(word).map(|value| Some((!value).into())),
            Self::Tls => truth(word).map(|value| Some(if value { "require" } else { "off" }.into())),
            Self::WrittenForm => {
                truth(word).map(|value| Some(if value { "current" } else { "legacy" }.into()))
            }
            Self::Json => match serde_json::from_str(word) {
                Ok(Value::Object(object)) => Ok(Some(Value::Object(object))),
                _ => Err(r#"a JSON object such as {"name": "value"}"#),
            },
            Self::Pairs => pairs(word).map(Some),
            Self::SingleItem if word.is_empty() => Ok(Some(Value::Array(Vec::new()))),
            Self::SingleItem => Ok(Some(vec![text].into())),
            Self::Seed => Ok(word.eq_ignore_ascii_case("true").then(|| "realtime-dev".into())),
        }
    }

    /// What to tell when a value changes nothing.
    pub(crate) fn without_effect(self) -> &'static str {
        match self {
            Self::Seed => "creates no tenant: only `true` does",
            _ => "changes nothing: it is neither ipv4 nor ipv6",
        }
    }

    /// How the value is read, for the table people read.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Verbatim | Self::SingleItem => "",
            Self::Milliseconds => "in milliseconds",
            Self::HeaderBytes => "doubled, because ours is that of all headers together; at least 8 KiB",
            Self::IpVersion => "`ipv4` is `0.0.0.0`, `ipv6` is `::`",
            Self::LogLevel => "eight levels become five",
            Self::Inverted => "inverted",
            Self::Json => "as JSON",
            Self::Pairs => "as `name=value,name=value`",
            Self::Tls => "`true` is `require`, `false` is `off`",
            Self::WrittenForm => "`true` is `current`, `false` is `legacy`",
            Self::Seed => "`true` is `realtime-dev`",
        }
    }
}

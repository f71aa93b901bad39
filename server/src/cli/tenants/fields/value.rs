//! Values of options, as JSON.

use std::str::FromStr;

use anyhow::anyhow;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use crate::cli::input::Input;

/// A limit; `default` is what a new tenant has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(Option<i64>);

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "default" => Ok(Self(None)),
            number => number
                .parse()
                .map(|number| Self(Some(number)))
                .map_err(|_| "write a whole number, or `default`"),
        }
    }
}

impl From<Limit> for Value {
    fn from(Limit(limit): Limit) -> Self {
        limit.into()
    }
}

/// A JSON object.
#[derive(Debug, Clone)]
pub(super) struct Object(Map<String, Value>);

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map(Self).map_err(|error| position("it is no JSON object", &error))
    }
}

impl From<Object> for Value {
    fn from(Object(fields): Object) -> Self {
        fields.into()
    }
}

/// The secret for `option`, as it is sent.
///
/// # Errors
/// When it cannot be read.
pub(super) fn secret(input: &Input, option: &str) -> anyhow::Result<Value> {
    Ok(input.secret(option)?.expose_secret().into())
}

/// The JSON for `option`.
///
/// # Errors
/// When it cannot be read, or is no JSON.
pub(super) fn json(input: &Input, option: &str) -> anyhow::Result<Value> {
    let text = input.secret(option)?;
    let parsed = serde_json::from_str(text.expose_secret());
    parsed.map_err(|error| anyhow!("{option}: {}", position("it is no JSON", &error)))
}

/// Where JSON is wrong. Without the text of the error, which repeats values.
fn position(problem: &str, error: &serde_json::Error) -> String {
    format!("{problem} (line {}, column {})", error.line(), error.column())
}

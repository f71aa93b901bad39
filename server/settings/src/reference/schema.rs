//! The JSON Schema of a settings file, by which editors complete and check it.
//!
//! Of a single value it refuses what the loader refuses, as far as patterns and bounds can say so. Editors read
//! different drafts (Taplo reads draft 7), so it keeps to keywords that mean the same in all of them: nothing counts
//! beside a `$ref`, and no format decides alone, since many programs do not look at formats.

use serde_json::{Map, Value, json};

use crate::Settings;
use crate::database::SLOT_SUFFIX_BYTES_MAX;
use crate::value_kind::ValueKind;

/// The id of a tenant: any name but [`NO_TENANT`](crate::NO_TENANT), letter by letter, because the patterns of Helm have no other way
/// to leave a word out.
const TENANT_ID: &str = "^([a-mo-z0-9_][a-z0-9_-]{0,62}|n([a-hj-z0-9_-][a-z0-9_-]{0,61})?|\
    ni([a-km-z0-9_-][a-z0-9_-]{0,60})?|nil[a-z0-9_-]{1,60})$";

/// The schema as indented JSON.
pub(super) fn text() -> String {
    // A `Schema` writes its keywords in an order that people expect.
    let schema = schemars::Schema::try_from(value()).expect("what was a schema still is one");
    serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"
}

/// The schema as data.
pub(super) fn value() -> Value {
    let mut schema = schemars::schema_for!(Settings).to_value();
    refine(&mut schema);
    schema
}

/// Adds to each part what the types of our structs do not say.
fn refine(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let parts = fields.iter_mut().filter(|(name, _)| *name != "default");
            parts.for_each(|(_, part)| refine(part));
            constrain(fields);
        }
        Value::Array(parts) => parts.iter_mut().for_each(refine),
        _ => {}
    }
}

fn constrain(fields: &mut Map<String, Value>) {
    if let Some(mark) = fields.get("x-names").and_then(Value::as_str) {
        let names = pattern(&ValueKind::name(mark)).map(|pattern| json!({ "pattern": pattern }));
        fields.extend(names.map(|names| ("propertyNames".to_owned(), names)));
    }
    let is_type = |name: &str| match fields.get("type") {
        Some(Value::Array(names)) => names.iter().any(|one| one == name),
        Some(one) => one == name,
        None => false,
    };
    let (is_integer, is_optional) = (is_type("integer"), is_type("null"));
    let is_marked = fields.get("x-kind").is_some_and(Value::is_string);
    if !is_integer && !is_marked && fields.get("format").is_none() {
        return;
    }
    let kind = ValueKind::of(&Value::Object(fields.clone()));
    // No other validator knows the formats `uint16` and `ip`.
    fields.remove("format");
    let mut set = |name: &str, value: Value| drop(fields.insert(name.into(), value));
    match &kind {
        ValueKind::Integer { min, max } | ValueKind::Size { min, max } => {
            set("minimum", (*min).into());
            if i64::try_from(*max).is_ok_and(|max| max < i64::MAX) {
                set("maximum", (*max).into());
            }
        }
        ValueKind::Fraction => {
            set("minimum", 0.into());
            set("maximum", 1.into());
        }
        ValueKind::IpAddress => set("anyOf", json!([{ "format": "ipv4" }, { "format": "ipv6" }])),
        _ => {}
    }
    let needs_more_than_zero = match &kind {
        ValueKind::Duration { min, .. } => !min.is_zero(),
        ValueKind::Size { min, .. } => *min > 0,
        _ => false,
    };
    if needs_more_than_zero {
        set("not", json!({ "type": "string", "pattern": "^[^1-9]*$" }));
    }
    if let Some(pattern) = pattern(&kind) {
        // Blank text leaves unset what may be unset.
        let pattern = if is_optional { format!("^\\s*$|{pattern}") } else { pattern };
        set("pattern", pattern.into());
    }
}

/// What every text of this kind matches, where that says something.
fn pattern(kind: &ValueKind) -> Option<String> {
    const BYTE: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    const V6: &str = "[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*";
    const TIME: &str = "nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|\
        weeks?|wks?|w|months?|M|years?|yrs?|y";
    let v4 = format!("({BYTE}\\.){{3}}{BYTE}");
    let pattern = match kind {
        ValueKind::Duration { .. } => format!("^\\s*([0-9]+(\\.[0-9]+)?\\s*({TIME})\\s*)+$"),
        ValueKind::Size { .. } => {
            "^\\s*([0-9]+|[0-9]+(\\.[0-9]+)?\\s*([kKmMgGtTpPeE][iI]?[bB]?|[bB]))\\s*$".into()
        }
        ValueKind::IpAddress => format!("^({v4}|{V6})$"),
        ValueKind::Network => {
            format!("^\\s*({v4}(/(3[0-2]|[12]?[0-9]))?|{V6}(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?)\\s*$")
        }
        ValueKind::Url(schemes) => {
            let schemes: Vec<_> = schemes.iter().map(|scheme| without_case(scheme)).collect();
            format!("^({})[^\\s/\\\\]\\S*$", schemes.join("|"))
        }
        ValueKind::TenantId => TENANT_ID.into(),
        ValueKind::TopicPattern => "^[\\s\\S]{1,255}$".into(),
        ValueKind::MetricChoice => {
            format!("^{WORD}(\\{{{WORD}(,{WORD})*\\}})?$", WORD = "[a-zA-Z_][a-zA-Z0-9_]*")
        }
        ValueKind::SlotSuffix => format!("^[a-z0-9_]{{0,{SLOT_SUFFIX_BYTES_MAX}}}$"),
        ValueKind::Module => "^[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*$".into(),
        ValueKind::Jwks => "^\\s*\\{".into(),
        ValueKind::Anything
        | ValueKind::Text
        | ValueKind::Boolean
        | ValueKind::Integer { .. }
        | ValueKind::Fraction
        | ValueKind::Choice(_) => return None,
    };
    Some(pattern)
}

/// A pattern for a word in any case.
fn without_case(word: &str) -> String {
    let sign = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{c}]", c.to_ascii_uppercase()),
        false => c.to_string(),
    };
    word.chars().map(sign).collect()
}

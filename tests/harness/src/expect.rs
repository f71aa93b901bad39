//! Patterns of expected frames: JSON with two wildcards.
//!
//! A bare `_` stands for any value, `…` inside a string for any run of characters. Keys have no
//! order; none is optional, because an additional key is a change that clients see.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The string that stands for a bare `_`; no server sends it.
const ANY: &str = "\u{0}any";

/// Parses a pattern.
pub(crate) fn pattern(text: &str) -> Result<Value> {
    let mut json = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for letter in text.chars() {
        match letter {
            '_' if !in_string => {
                json.push_str("\"\\u0000any\"");
                continue;
            }
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && letter == '\\' && !escaped;
        json.push(letter);
    }
    serde_json::from_str(&json).with_context(|| format!("the expected frame is not JSON: {text}"))
}

/// Whether `value` matches `pattern`.
pub fn matches(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::String(any), _) if any == ANY => true,
        (Value::String(pattern), Value::String(text)) => text_matches(pattern, text),
        (Value::Array(patterns), Value::Array(values)) => {
            patterns.len() == values.len() && patterns.iter().zip(values).all(|(p, v)| matches(p, v))
        }
        (Value::Object(patterns), Value::Object(values)) => {
            patterns.len() == values.len()
                && patterns.iter().all(|(key, p)| values.get(key).is_some_and(|v| matches(p, v)))
        }
        _ => pattern == value,
    }
}

fn text_matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| text_matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_underscore_is_any_value_outside_strings_only() {
        let pattern = pattern(r#"["a_b",_,{"k\"_":_}]"#).expect("a pattern");
        assert!(matches(&pattern, &json!(["a_b", {"x": 1}, {"k\"_": null}])));
        assert!(!matches(&pattern, &json!(["axb", 1, {"k\"_": null}])));
    }

    #[test]
    fn an_ellipsis_is_any_run_of_characters() {
        let pattern = json!("expired … seconds ago");
        assert!(matches(&pattern, &json!("expired 12 seconds ago")));
        assert!(!matches(&pattern, &json!("expired 12 minutes ago")));
    }

    #[test]
    fn an_additional_key_is_a_difference() {
        assert!(!matches(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        assert!(matches(&json!({"a": 1, "b": 2}), &json!({"b": 2, "a": 1})));
    }
}

//! JSON values as the types of columns, as Ecto casts them: a number or a boolean may be a string. Ours are the bounds.

use serde_json::{Map, Value};

use super::invalid::FieldError;

/// Bytes of a name.
pub(super) const TEXT_BYTES_MAX: usize = 255;

/// Bytes of a secret: less than 64 KiB.
pub(super) const SECRET_BYTES_MAX: usize = 64 * 1024 - 1;

/// Levels of an object that is stored as JSON. A key set has three.
pub(super) const DEPTH_MAX: usize = 32;

/// Whether a value stands for the default of its field.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// A name.
pub(super) fn text(value: &Value) -> Result<String, FieldError> {
    // PostgreSQL has no text with this character.
    let text = value.as_str().filter(|text| !text.contains('\0')).ok_or(FieldError::Invalid)?;
    bounded(text, TEXT_BYTES_MAX)
}

/// A secret that is not encrypted yet.
pub(super) fn secret(value: &Value) -> Result<String, FieldError> {
    bounded(value.as_str().ok_or(FieldError::Invalid)?, SECRET_BYTES_MAX)
}

fn bounded(text: &str, bytes_max: usize) -> Result<String, FieldError> {
    if text.len() > bytes_max { Err(FieldError::TooLong(bytes_max)) } else { Ok(text.into()) }
}

/// How upstream sends messages between its nodes.
pub(super) fn broadcast_adapter(value: &Value) -> Result<String, FieldError> {
    let known = value.as_str().filter(|name| ["phoenix", "gen_rpc"].contains(name));
    known.map(str::to_owned).ok_or(FieldError::Invalid)
}

/// A switch.
pub(super) fn boolean(value: &Value) -> Result<bool, FieldError> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) => match &**text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(FieldError::Invalid),
        },
        _ => Err(FieldError::Invalid),
    }
}

/// A limit. Upstream stores zero and negative ones, and then refuses everything that they limit; `[limits]` has no such
/// values, and `suspend` is there for that.
pub(super) fn limit(value: &Value) -> Result<i32, FieldError> {
    at_least(1, value)
}

/// A number that limits nothing here.
pub(super) fn count(value: &Value) -> Result<i32, FieldError> {
    at_least(0, value)
}

/// A limit that is as good as none when it is not positive.
pub(super) fn limit_if_positive(value: &Value) -> Result<i32, FieldError> {
    at_least(i32::MIN, value)
}

fn at_least(min: i32, value: &Value) -> Result<i32, FieldError> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.ok_or(FieldError::Invalid)?;
    if number < i64::from(min) {
        return Err(FieldError::Below(min));
    }
    i32::try_from(number).map_err(|_above| FieldError::Above(i32::MAX))
}

/// An object of any content.
pub(super) fn object(value: &Value) -> Result<Value, FieldError> {
    fields(value).cloned().map(Value::Object)
}

/// A JSON Web Key Set. Which of its keys can be used is checked where tokens are.
pub(super) fn key_set(value: &Value) -> Result<Value, FieldError> {
    let set = object(value)?;
    if set["keys"].is_array() { Ok(set) } else { Err(FieldError::Invalid) }
}

/// The fields of an object that can be stored.
pub(super) fn fields(value: &Value) -> Result<&Map<String, Value>, FieldError> {
    let fields = value.as_object().ok_or(FieldError::Invalid)?;
    check_json(value, DEPTH_MAX)?;
    Ok(fields)
}

/// Checks that JSON has no more than these levels, and no character that PostgreSQL refuses in it.
fn check_json(value: &Value, levels: usize) -> Result<(), FieldError> {
    let check_text = |text: &str| if text.contains('\0') { Err(FieldError::Invalid) } else { Ok(()) };
    let below = || levels.checked_sub(1).ok_or(FieldError::TooDeep(DEPTH_MAX));
    match value {
        Value::String(text) => check_text(text),
        Value::Array(items) => {
            let below = below()?;
            items.iter().try_for_each(|item| check_json(item, below))
        }
        Value::Object(fields) => {
            let below = below()?;
            fields.iter().try_for_each(|(name, value)| {
                check_text(name)?;
                check_json(value, below)
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A list in a list, and so on.
    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!([]), |inside, _| json!([inside]))
    }

    #[test]
    fn numbers_may_be_strings_and_have_no_fraction() {
        for (value, number) in [
            (json!(5), Ok(5)),
            (json!("5"), Ok(5)),
            (json!("+5"), Ok(5)),
            (json!(i32::MAX), Ok(i32::MAX)),
            (json!(1_u64 << 31), Err(FieldError::Above(i32::MAX))),
            (json!("2147483648"), Err(FieldError::Above(i32::MAX))),
            (json!(0), Err(FieldError::Below(1))),
            (json!("-1"), Err(FieldError::Below(1))),
            (json!(u64::MAX), Err(FieldError::Invalid)),
            (json!(5.0), Err(FieldError::Invalid)),
            (json!("5.0"), Err(FieldError::Invalid)),
            (json!(" 5"), Err(FieldError::Invalid)),
            (json!("five"), Err(FieldError::Invalid)),
            (json!(true), Err(FieldError::Invalid)),
            (json!([5]), Err(FieldError::Invalid)),
            (json!({}), Err(FieldError::Invalid)),
        ] {
            assert_eq!(limit(&value), number, "{value}");
        }
        assert_eq!((count(&json!(0)), count(&json!(-1))), (Ok(0), Err(FieldError::Below(0))));
        assert_eq!(limit_if_positive(&json!(-1)), Ok(-1));
        assert_eq!(limit_if_positive(&json!(i64::MIN)), Err(FieldError::Below(i32::MIN)));
    }

    #[test]
    fn booleans_may_be_strings_and_are_no_numbers() {
        for (value, boolean) in [
            (json!(true), Some(true)),
            (json!("true"), Some(true)),
            (json!("1"), Some(true)),
            (json!(false), Some(false)),
            (json!("false"), Some(false)),
            (json!("0"), Some(false)),
            (json!(1), None),
            (json!("yes"), None),
            (json!("True"), None),
            (json!([]), None),
        ] {
            assert_eq!(super::boolean(&value).ok(), boolean, "{value}");
        }
    }

    #[test]
    fn what_a_database_cannot_hold_is_invalid() {
        for value in [json!("a\0b"), json!(5), json!(["a"])] {
            assert_eq!(text(&value), Err(FieldError::Invalid), "{value}");
        }
        for value in [json!({"a\0": 1}), json!({"a": ["\0"]}), json!([]), json!("{}")] {
            assert_eq!(object(&value), Err(FieldError::Invalid), "{value}");
        }
        assert_eq!(text(&json!("ä".repeat(128))), Err(FieldError::TooLong(255)));
        assert_eq!(secret(&json!("s".repeat(65_536))), Err(FieldError::TooLong(65_535)));
        assert_eq!(secret(&json!("s\0".repeat(32_767))).map(|secret| secret.len()), Ok(65_534));
        assert_eq!(object(&json!({ "a": nested(32) })), Err(FieldError::TooDeep(32)));
        assert!(object(&json!({ "a": nested(31), "b": 1.5 })).is_ok());
    }

    #[test]
    fn null_and_white_space_are_empty() {
        let values = [json!(null), json!(""), json!(" \t\n"), json!("a"), json!(0), json!(false), json!([])];
        assert_eq!(values.map(|value| is_empty(&value)), [true, true, true, false, false, false, false]);
    }
}

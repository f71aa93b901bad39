//! JSON Schemas (draft 2020-12) of what routes receive and send, as the OpenAPI document contains them.
//!
//! They are JSON values, written with `json!` where a schema is used once; here is what many of them share.

use serde_json::{Map, Value, json};

/// The member of a schema that names it. The document has named schemas once, in `components`, and refers to them.
pub(crate) const NAME: &str = "$component";

/// A schema that the document has once, under this name. All schemas of one name are equal.
#[must_use]
pub fn named(name: &str, mut schema: Value) -> Value {
    schema[NAME] = name.into();
    schema
}

/// An object with these members, all of which it has, and no others.
///
/// # Panics
/// When `properties` is not an object.
#[must_use]
pub fn object(properties: Value) -> Value {
    object_with(properties, json!({}))
}

/// An object with the members `required`, some of the members `optional`, and no others.
///
/// # Panics
/// When one of them is not an object.
#[must_use]
pub fn object_with(required: Value, optional: Value) -> Value {
    let (required, optional) = (members(required), members(optional));
    let names: Vec<_> = required.keys().cloned().collect();
    let properties: Map<_, _> = required.into_iter().chain(optional).collect();
    json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
}

fn members(schemas: Value) -> Map<String, Value> {
    match schemas {
        Value::Object(members) => members,
        other => panic!("the members of an object are an object, not {other}"),
    }
}

/// `schema`, or null.
#[must_use]
pub fn nullable(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

/// A number of things, bytes or seconds.
#[must_use]
pub fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// `{"message": <one of these texts>}`.
#[must_use]
pub fn message(texts: &[&str]) -> Value {
    object(json!({"message": {"type": "string", "enum": texts}}))
}

/// `{"message": <a text>}` that differs from case to case.
#[must_use]
pub fn any_message() -> Value {
    named("Message", object(json!({"message": {"type": "string"}})))
}

/// The texts about one field of a body that is refused with 422.
#[must_use]
pub fn field_errors() -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}, "minItems": 1});
    named("FieldErrors", texts)
}

//! Marks in the schema that say how a value is written, where its type alone does not.
//!
//! A field that is text in the file and something else in the program names one of these as its schema
//! (`#[schemars(with = "marks::Wait")]`) or carries `x-kind`. [`crate::kind`] reads the marks again to check
//! values, the reference to explain them, and the schema makes patterns of them for editors.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A length of time as text: `"30s"`, `"1h 30m"`. Ends of its range: `x-least`, `x-most`.
pub(crate) struct Wait;

/// A number of bytes, or a size as text: `"64 KiB"`. Ends of its range: `x-least`, `x-most`.
pub(crate) struct Size;

impl JsonSchema for Wait {
    fn schema_name() -> Cow<'static, str> {
        "Wait".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-kind": "wait" })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "x-kind": "size" })
    }
}

/// A network of addresses: `"10.0.0.0/8"`, or a single address.
pub(crate) struct Network;

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-kind": "network" })
    }
}

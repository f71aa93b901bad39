//! Marks in the schema for the format of a value, where its type alone does not define it.
//!
//! A field that is text in the file and something else in the program names one of these as its schema
//! (`#[schemars(with = "marks::DurationText")]`) or carries `x-kind`. [`crate::value_kind`] reads the marks to check
//! values, the reference to explain them, and the schema makes patterns of them for editors.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A length of time as text: `"30s"`, `"1h 30m"`. Its range: `x-min`, `x-max`.
pub(crate) struct DurationText;

/// A number of bytes, or a size as text: `"64 KiB"`. Its range: `x-min`, `x-max`.
pub(crate) struct SizeText;

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "DurationText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-kind": "duration" })
    }
}

impl JsonSchema for SizeText {
    fn schema_name() -> Cow<'static, str> {
        "SizeText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "x-kind": "size" })
    }
}

/// A network of addresses: `"10.0.0.0/8"`, or a single address.
pub(crate) struct NetworkText;

impl JsonSchema for NetworkText {
    fn schema_name() -> Cow<'static, str> {
        "NetworkText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-kind": "network" })
    }
}

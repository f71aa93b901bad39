//! The values of rows as JSON. Texts and results are PostgreSQL's, with `to_jsonb` as the judge.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Value as Json;
use wire::pgoutput::json::{CompositeField, ValueError, ValueKind, write};

use crate::fuzz;

fn json(kind: &ValueKind, text: &str) -> Result<String, ValueError> {
    let mut out = b">".to_vec();
    let written = write(kind, text.as_bytes(), &mut out);
    let json = String::from_utf8(out).unwrap().strip_prefix('>').unwrap().to_owned();
    assert!(written.is_ok() || json.is_empty(), "an error writes nothing: {json}");
    written.map(|()| json)
}

fn array(element: ValueKind) -> ValueKind {
    ValueKind::Array { element: Box::new(element), delimiter: b',' }
}

fn composite(fields: &[(&str, ValueKind)]) -> ValueKind {
    let field =
        |(name, kind): &(&str, ValueKind)| CompositeField { name: (*name).to_owned(), kind: kind.clone() };
    ValueKind::Composite { fields: fields.iter().map(field).collect() }
}

/// Each text with its JSON.
fn check(kind: &ValueKind, values: &[(&str, &str)]) {
    for (text, expected) in values {
        assert_eq!(json(kind, text).as_deref(), Ok(*expected), "{kind:?} {text}");
    }
}

/// Texts that are not of this kind.
fn check_malformed(kind: &ValueKind, texts: &[&str]) {
    for text in texts {
        assert_eq!(json(kind, text), Err(ValueError::Malformed), "{kind:?} {text}");
    }
}

#[test]
fn booleans_are_letters_in_text() {
    check(&ValueKind::Boolean, &[("t", "true"), ("f", "false")]);
    check_malformed(&ValueKind::Boolean, &["", "true", "T"]);
}

#[test]
fn numbers_are_bare() {
    let integers = [("0", "0"), ("-7", "-7"), ("9007199254740993", "9007199254740993")];
    check(&ValueKind::Integer, &integers);
    check(&ValueKind::Numeric, &[("10.10", "10.10"), ("-0.5", "-0.5"), ("0", "0")]);
    for kind in [ValueKind::Float, ValueKind::Numeric] {
        check(&kind, &[("NaN", "null"), ("Infinity", "null"), ("-Infinity", "null")]);
    }
    for kind in [ValueKind::Integer, ValueKind::Numeric, ValueKind::Float] {
        check_malformed(&kind, &["", "-", "1.", ".5", "01", "1x", " 1", "+1", "--1", "nan", "1.5.5"]);
    }
}

#[test]
fn the_exponent_of_a_float_is_written_out() {
    check(
        &ValueKind::Float,
        &[
            ("1.5", "1.5"),
            ("-0", "0"),
            ("0.1", "0.1"),
            ("1e+20", "100000000000000000000"),
            ("-1.2345e+15", "-1234500000000000"),
            ("1.2345e+02", "123.45"),
            ("1.5e-07", "0.00000015"),
            ("-5e-324", &format!("-0.{}5", "0".repeat(323))),
            ("1e+300", &format!("1{}", "0".repeat(300))),
        ],
    );
    check_malformed(
        &ValueKind::Float,
        &["1e", "e5", "1e+", "1e+401", "1e99999999999999999999", "12e5", "1.e5", "0e1"],
    );
}

#[test]
fn times_are_iso_8601_with_minutes_in_the_zone() {
    check(
        &ValueKind::Timestamp,
        &[
            ("2024-02-03 12:34:56.789123", "\"2024-02-03T12:34:56.789123\""),
            ("0044-03-15 00:00:00 BC", "\"0044-03-15T00:00:00 BC\""),
            ("10000-01-01 00:00:00", "\"10000-01-01T00:00:00\""),
            ("-infinity", "\"-infinity\""),
        ],
    );
    check(
        &ValueKind::TimestampTz,
        &[
            ("2024-02-03 10:34:56.789123+00", "\"2024-02-03T10:34:56.789123+00:00\""),
            ("2024-02-03 10:34:56-03", "\"2024-02-03T10:34:56-03:00\""),
            ("2024-02-03 10:34:56+05:30", "\"2024-02-03T10:34:56+05:30\""),
            ("0044-03-15 08:00:00+00 BC", "\"0044-03-15T08:00:00+00:00 BC\""),
            ("infinity", "\"infinity\""),
        ],
    );
    check_malformed(&ValueKind::Timestamp, &["2024-02-03 12:34:56\"", "\\", "\u{e9}"]);
}

#[test]
fn bytes_have_no_prefix_except_within_other_values() {
    check(&ValueKind::Bytea, &[("\\x0102ff", "\"0102ff\""), ("\\x", "\"\"")]);
    check_malformed(&ValueKind::Bytea, &["", "01", "\\xg0", "\\001"]);
    check(&array(ValueKind::Bytea), &[("{\"\\\\x0102\",NULL}", "[\"\\\\x0102\",null]")]);
}

#[test]
fn other_types_are_strings() {
    check(&ValueKind::Text, &[("a\"\\\n\u{1}é", "\"a\\\"\\\\\\n\\u0001é\""), ("42", "\"42\""), ("", "\"\"")]);
    let mut out = Vec::new();
    write(&ValueKind::Text, b"a\xFFb", &mut out).unwrap();
    assert_eq!(out, "\"a\u{FFFD}b\"".as_bytes(), "SQL_ASCII");
}

#[test]
fn json_stays_as_it_is_written() {
    let written = r#"{"b": 1.0, "a": [null, "é"], "a": 1e400}"#;
    check(&ValueKind::Json, &[(written, written), ("null", "null")]);
    check_malformed(&ValueKind::Json, &["", "{", "1 2", "{\"a\":}"]);
}

#[test]
fn arrays_are_nested_lists() {
    check(
        &array(ValueKind::Integer),
        &[
            ("{}", "[]"),
            ("{1,NULL,3}", "[1,null,3]"),
            ("{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            ("[0:2]={1,2,3}", "[1,2,3]"),
            ("[-1:0][5:5]={{1},{2}}", "[[1],[2]]"),
        ],
    );
    let texts = (r#"{a,"b,\"c\"","NULL","","d\\e"}"#, r#"["a","b,\"c\"","NULL","","d\\e"]"#);
    check(&array(ValueKind::Text), &[texts]);
    check(
        &array(ValueKind::Float),
        &[("{1e+20,NaN,-Infinity}", "[100000000000000000000,\"NaN\",\"-Infinity\"]")],
    );
    check(&array(ValueKind::Boolean), &[("{t,f}", "[true,false]")]);
    check(
        &array(ValueKind::TimestampTz),
        &[("{\"2024-02-03 10:34:56+00\"}", "[\"2024-02-03T10:34:56+00:00\"]")],
    );
    check(&array(ValueKind::Json), &[(r#"{"{\"a\": \"\\\\\"}",NULL}"#, r#"[{"a": "\\"},null]"#)]);
    let boxes = ValueKind::Array { element: Box::new(ValueKind::Text), delimiter: b';' };
    check(&boxes, &[("{(1,1),(0,0);(2,2),(1,1)}", "[\"(1,1),(0,0)\",\"(2,2),(1,1)\"]")]);
    check_malformed(&array(ValueKind::Integer), &["", "{", "1", "{a}", "{1,}", "{1}2", "{{{{{{{1}}}}}}}"]);
}

#[test]
fn composite_values_are_objects() {
    let pair =
        composite(&[("a", ValueKind::Integer), ("b \"é\"", ValueKind::Text), ("c", ValueKind::Boolean)]);
    check(
        &pair,
        &[
            (r#"(1,"a ""b""",)"#, r#"{"a":1,"b \"é\"":"a \"b\"","c":null}"#),
            (r#"(,"",t)"#, r#"{"a":null,"b \"é\"":"","c":true}"#),
            (r#"(1,"x\\y,)",f)"#, r#"{"a":1,"b \"é\"":"x\\y,)","c":false}"#),
        ],
    );
    check_malformed(&pair, &["", "(1,a)", "(1,a,t,)", "(1,a,t", "(1,a,t)x", "(x,a,t)"]);
    check(&composite(&[]), &[("()", "{}")]);
    check_malformed(&composite(&[]), &["(1)", "("]);
    let nested = array(composite(&[("a", ValueKind::Integer), ("b", array(ValueKind::Text))]));
    let text = r#"{"(1,\"{x,\"\"y z\"\"}\")",NULL}"#;
    check(&nested, &[(text, r#"[{"a":1,"b":["x","y z"]},null]"#)]);
}

#[test]
fn an_hstore_is_an_object_of_strings() {
    check(
        &ValueKind::Hstore,
        &[("", "{}"), (r#""a"=>"1", "b\"\\"=>NULL, "c"=>"NULL""#, r#"{"a":"1","b\"\\":null,"c":"NULL"}"#)],
    );
    check_malformed(
        &ValueKind::Hstore,
        &["a=>1", "\"a\"", "\"a\"=>\"1\", ", "\"a\"=>\"1", "\"a\"=>\"1\"\"b\"=>\"2\""],
    );
}

#[test]
fn the_depth_is_bounded() {
    let nested = |levels| (0..levels).fold(ValueKind::Text, |kind, _| composite(&[("a", kind)]));
    let text = |levels| (0..levels).fold("x".to_owned(), |text, _| composite_text(&[Some(text)]));
    assert_eq!(json(&nested(2), &text(2)).unwrap(), r#"{"a":{"a":"x"}}"#);
    assert!(json(&nested(16), &text(16)).is_ok());
    assert_eq!(json(&nested(17), &text(17)), Err(ValueError::TooDeep));
}

/// An array of texts, as PostgreSQL writes it.
fn array_text(elements: &[Option<String>]) -> String {
    let written = elements.iter().map(|element| match element {
        None => "NULL".to_owned(),
        Some(text) => {
            let special = |c: char| "{},\"\\ \t\n\r\u{b}\u{c}".contains(c);
            if text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special) {
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            } else {
                text.clone()
            }
        }
    });
    format!("{{{}}}", written.collect::<Vec<_>>().join(","))
}

/// A composite value of texts, as PostgreSQL writes it.
fn composite_text(fields: &[Option<String>]) -> String {
    let written = fields.iter().map(|field| match field {
        None => String::new(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\"")),
    });
    format!("({})", written.collect::<Vec<_>>().join(","))
}

fn texts() -> impl Strategy<Value = Vec<Option<String>>> {
    vec(option::of("[a-b{}(),\"\\\\ ]{0,6}|NULL|null|.*"), 1..6)
}

proptest! {
    #[test]
    fn elements_and_fields_are_what_was_written(values in texts()) {
        let expected = serde_json::to_value(&values).unwrap();
        let kind = array(ValueKind::Text);
        let read: Json = serde_json::from_str(&json(&kind, &array_text(&values)).unwrap()).unwrap();
        prop_assert_eq!(&read, &expected);

        let names: Vec<_> = (0..values.len()).map(|index| index.to_string()).collect();
        let fields: Vec<_> = names.iter().map(|name| (&**name, ValueKind::Text)).collect();
        let kind = composite(&fields);
        let text = composite_text(&values);
        let read: Json = serde_json::from_str(&json(&kind, &text).unwrap()).unwrap();
        for (name, value) in names.iter().zip(expected.as_array().unwrap()) {
            prop_assert_eq!(&read[name], value);
        }

        let nested: Json = serde_json::from_str(&json(&array(kind), &array_text(&[Some(text)])).unwrap()).unwrap();
        prop_assert_eq!(&nested[0], &read);
    }

    #[test]
    fn a_float_keeps_its_value(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
        let text = format!("{value:e}");
        let text = text.replace('e', if text.contains("e-") { "e" } else { "e+" });
        let written = json(&ValueKind::Float, &text).unwrap();
        prop_assert!(!written.contains('e'));
        prop_assert_eq!(written.parse::<f64>().unwrap(), value);
    }

    #[test]
    fn any_text_of_any_kind_is_json_or_an_error(
        kind in "[bifnxtzjhs\\[;()]{0,8}",
        text in "[{}(),;\"\\\\=>NULL0-9e.+: tf-]{0,40}|.*",
    ) {
        fuzz::values(format!("{kind}\0{text}").as_bytes());
    }
}

//! Properties of every message, and of arbitrary bytes.

use hub::Dialect;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use wire::phoenix::{self, UserPayload, V1, V2};

use crate::fuzz::{TARGETS, payload, reader};

/// Any JSON value, a few levels deep.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0..300u16).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::from),
            vec(0..300u16, 0..8).prop_map(Value::from),
            vec(("[a-z_]*|.*", inner), 0..8).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A ref as clients make them, in JSON.
fn reference() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        any::<u32>().prop_map(|number| number.to_string()),
        "[ -~]{0,30}".prop_map(|text| Value::from(text).to_string()),
    ]
}

/// Text that is nearly a message, so that more than its first byte is read.
fn almost_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        proptest::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "true",
            "1",
            "-",
            "1e5",
            "\"",
            "\\u",
            "\\ud800",
            " ",
            "\"topic\"",
            "\"event\"",
            "\"payload\"",
            "\"ref\"",
            "\"config\"",
            "\"private\"",
            "\"track\"",
            "\"phx_ref\"",
            "\"broadcast\"",
            "\"replay\"",
            "\"since\"",
            "\"after\"",
            "\"presence\"",
            "\"key\"",
            "\"postgres_changes\"",
        ])
        .prop_map(str::to_owned),
        json().prop_map(|value| value.to_string()),
    ];
    vec(token, 0..24).prop_map(|tokens| tokens.concat().into_bytes())
}

fn check_round_trip(dialect: Dialect, join_ref: &str, topic: &str, event: &str, payload: &str) {
    let frame = phoenix::push(dialect, join_ref, topic, event, payload);
    let push = phoenix::decode_text(dialect, reader::text(&frame)).unwrap();
    let join_ref = if dialect == V1 { "null" } else { join_ref };
    assert_eq!((push.join_ref.as_json(), push.reference.as_json()), (join_ref, "null"));
    assert_eq!((&*push.topic, &*push.event, push.payload), (topic, event, payload));
}

/// A kind 3 frame, as the table of the protocol has it.
fn kind_3(fields: [&str; 5], encoding: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![3];
    frame.extend(fields.map(|field| u8::try_from(field.len()).unwrap()));
    frame.push(encoding);
    frame.extend(fields.concat().as_bytes());
    frame.extend(payload);
    frame
}

proptest! {
    #[test]
    fn decode_undoes_encode(join_ref in reference(), topic in ".*", event in ".*", payload in json()) {
        for dialect in [V1, V2] {
            check_round_trip(dialect, &join_ref, &topic, &event, &payload.to_string());
        }
    }

    #[test]
    fn a_binary_broadcast_is_read_as_it_was_written(
        fields in [".{0,60}", ".{0,60}", ".{0,60}", ".{0,60}"],
        payload in json(),
    ) {
        let [join_ref, reference, topic, event] = fields.each_ref().map(String::as_str);
        let text = payload.to_string();
        let frame = kind_3([join_ref, reference, topic, event, "{}"], 1, text.as_bytes());
        let broadcast = phoenix::decode_binary(V2, &frame).unwrap();
        let json = |text: &str| if text.is_empty() { "null".into() } else { Value::from(text).to_string() };
        prop_assert_eq!(broadcast.join_ref.as_json(), json(join_ref));
        prop_assert_eq!(broadcast.reference.as_json(), json(reference));
        prop_assert_eq!((broadcast.topic, broadcast.event), (topic, event));
        prop_assert_eq!((broadcast.metadata, broadcast.payload), (Some("{}"), UserPayload::Json(&text)));
    }

    #[test]
    fn the_size_of_a_term_is_that_of_the_table(value in json()) {
        let expected = 1 + payload::reference_size(&value);
        prop_assert_eq!(wire::term_size::json(&value.to_string()), expected);
        prop_assert_eq!(wire::term_size::json(&serde_json::to_string_pretty(&value).unwrap()), expected);
    }

    #[test]
    fn any_value_is_safe_everywhere(value in json()) {
        for (_, check) in TARGETS {
            check(value.to_string().as_bytes());
        }
    }

    #[test]
    fn nearly_json_is_safe_everywhere(bytes in almost_json()) {
        for (_, check) in TARGETS {
            check(&bytes);
        }
    }

    #[test]
    fn any_bytes_are_safe_everywhere(header in vec(0..5u8, 7), bytes in vec(any::<u8>(), 0..200)) {
        for (_, check) in TARGETS {
            check(&bytes);
            // Mostly zero lengths, so that the fields of a binary frame fit.
            check(&[&header[..], &bytes].concat());
            // Version 1, kind, sender, and numbers that are small: lengths of a message between nodes.
            check(&[&[1, header[0]][..], &[0; 8], &[0, 0, 0], &header, &[0; 30], &bytes].concat());
        }
    }

    #[test]
    fn only_1_0_and_2_0_are_accepted(version in "[0-9.a-z+-]{0,12}|[12]\\.0\\.[0-9a-z+-]{0,4}|.*") {
        match phoenix::dialect_of_version(Some(&version)) {
            Some(V1) => prop_assert!(version.starts_with("1.0.")),
            Some(dialect) => prop_assert!(dialect == V2 && version.starts_with("2.0.")),
            None => {}
        }
    }
}

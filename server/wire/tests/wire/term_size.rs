//! Sizes as in upstream's own tests (docs/protocol/limits.md#payload-size).

use wire::phoenix::UserPayload;
use wire::term_size::{bytes, exceeds, json, user_broadcast};

#[test]
fn sizes_agree_with_upstreams_tests() {
    assert_eq!(json("{}"), 6);
    assert_eq!(json(r#"{"a":"b"}"#), 18);
    assert_eq!(json(r#"{"A":"b","c":"b"}"#), 30);
    assert_eq!(json(&format!(r#"{{"content":"{}"}}"#, "x".repeat(32))), 55);
}

#[test]
fn every_row_of_the_table() {
    for (text, size) in [
        ("\"é\"", 7),
        (r#""\u00e9""#, 7),
        ("0", 2),
        ("255", 2),
        ("256", 5),
        ("-1", 5),
        ("2147483647", 5),
        ("2147483648", 7),
        ("-2147483648", 5),
        ("-2147483649", 7),
        ("4294967296", 8),
        ("18446744073709551615", 11),
        ("1.0", 9),
        ("true", 6),
        ("false", 7),
        ("null", 5),
        ("[]", 1),
        ("[1,2,255]", 6),
        ("[1,256]", 13),
        ("[1,\"\"]", 13),
    ] {
        assert_eq!(json(text), size + 1, "{text}");
    }
}

#[test]
fn a_list_of_bytes_is_a_string_up_to_65535() {
    let list = |length| format!("[{}]", vec!["7"; length].join(","));
    assert_eq!(json(&list(65535)), 1 + 3 + 65535);
    assert_eq!(json(&list(65536)), 1 + 6 + 2 * 65536);
}

#[test]
fn a_binary_broadcast_is_a_tuple_of_four() {
    assert_eq!(user_broadcast("cursor", UserPayload::Json(r#"{"x":1}"#), None), 1 + 2 + 11 + 6 + 12 + 5);
    assert_eq!(
        user_broadcast("bin", UserPayload::Binary(&[1, 2, 3]), Some(r#"{"a":"b"}"#)),
        1 + 2 + 8 + 8 + 8 + 17
    );
    assert_eq!(bytes(100), 106);
}

#[test]
fn equal_to_the_limit_is_allowed() {
    let text = r#"{"a":"b"}"#;
    assert!(exceeds(text, 17));
    assert!(!exceeds(text, 18));
    assert!(!exceeds(text, 3_000_500));
    // The largest term for a text: found by the fuzzer, because -0 is a float.
    assert_eq!(json("[-0,-0]"), 3 * "[-0,-0]".len() + 4);
    assert!(exceeds("[-0,-0]", 24) && !exceeds("[-0,-0]", 25));
}

#[test]
fn json_that_cannot_be_decoded_counts_as_its_text() {
    let deep = ["[".repeat(1000), "]".repeat(1000)].concat();
    for text in [deep.as_str(), r#""\ud800""#, "1e999"] {
        assert_eq!(json(text), text.len() + 1);
    }
}

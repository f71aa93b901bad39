//! Reading of the claim, and its patterns.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn permissions(claim: &Value) -> Permissions {
    Permissions::read(claim).unwrap_or_else(|error| panic!("{claim} {error}"))
}

fn matches(pattern: &str, name: &str) -> bool {
    permissions(&json!({"rooms": [pattern]})).in_room(name) == Some(RoomAccess::Write)
}

#[test]
fn a_star_stands_for_any_characters_and_everything_else_for_itself() {
    for (pattern, name) in [
        ("", ""),
        ("*", ""),
        ("*", "a/b:c"),
        ("document-*", "document-"),
        ("document-*", "document-1/2"),
        ("*-draft", "a-draft-draft"),
        ("a*b*c", "abbc"),
        ("**", "x"),
        ("ü*ü", "üü"),
        (r"a\*b", "a*b"),
        (r"a\b", r"a\b"),
        (r"\\*", r"\*"),
        ("[a-z]?.+", "[a-z]?.+"),
    ] {
        assert!(matches(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("", "a"),
        ("document-*", "Document-1"),
        ("document-*", "my document-1"),
        ("document", "document-1"),
        ("a*a", "a"),
        ("ab*bc", "abc"),
        ("a*b*c", "acb"),
        (r"a\*b", "axb"),
        (r"\\*", r"\x"),
    ] {
        assert!(!matches(pattern, name), "{pattern} {name}");
    }
}

/// By its definition: either `*` stands for nothing more, or for one character more.
fn naive(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['\\', '*', rest @ ..] => name.first() == Some(&'*') && naive(rest, &name[1..]),
        ['*', rest @ ..] => naive(rest, name) || (!name.is_empty() && naive(pattern, &name[1..])),
        [literal, rest @ ..] => name.first() == Some(literal) && naive(rest, &name[1..]),
    }
}

proptest! {
    #[test]
    fn a_pattern_matches_what_it_matches_by_definition(pattern in r"[ab*\\/]{0,8}", name in r"[ab*\\/]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(matches(&pattern, &name), naive(&chars(&pattern), &chars(&name)));
    }

    #[test]
    fn a_name_matches_itself_with_any_part_replaced(name in "[^\0*\\\\]{0,40}", cut in any::<(prop::sample::Index, prop::sample::Index)>()) {
        let chars: Vec<char> = name.chars().collect();
        let mut ends = [cut.0.index(chars.len() + 1), cut.1.index(chars.len() + 1)];
        ends.sort_unstable();
        let part = |range: &[char]| range.iter().collect::<String>();
        let pattern = format!("{}*{}", part(&chars[..ends[0]]), part(&chars[ends[1]..]));
        prop_assert!(matches(&pattern, &name), "{}", pattern);
    }

    #[test]
    fn no_claim_panics(list in prop::collection::vec(".{0,300}", 0..3), name in ".{0,40}") {
        if let Ok(permissions) = Permissions::read(&json!({"rooms": list, "documents": list})) {
            permissions.in_room(&name);
            permissions.with_document(&name, &name);
        }
    }
}

// With backtracking it would take longer than the universe has existed.
#[test]
fn a_pattern_of_many_stars_takes_linear_time() {
    let name = "a".repeat(100_000);
    assert!(!matches(&format!("{}b", "a*".repeat(127)), &name));
    assert!(!matches(&format!("{}b*", "*a".repeat(127)), &name));
}

#[test]
fn of_several_patterns_the_greatest_access_counts() {
    let read = |pattern| json!({"pattern": pattern, "access": "read"});
    let permissions = permissions(&json!({"rooms": [
        {"pattern": "*", "access": "presence", "more": 1}, read("team-*"), "team-1", {"pattern": "mine"}, read("mine"),
    ]}));
    for (room, access) in [
        ("team-1", RoomAccess::Write),
        ("team-2", RoomAccess::Read),
        ("mine", RoomAccess::Write),
        ("other", RoomAccess::Presence),
    ] {
        assert_eq!(permissions.in_room(room), Some(access), "{room}");
    }
}

#[test]
fn a_missing_list_restricts_nothing_and_an_empty_one_everything() {
    let none = permissions(&json!({"teams": 1}));
    assert_eq!((none.in_room("a"), none.restricts_rooms()), (Some(RoomAccess::Write), false));
    let empty = permissions(&json!({"rooms": []}));
    assert_eq!((empty.in_room("a"), empty.restricts_rooms()), (None, true));
    assert_eq!(empty.with_document("a", "b"), Some(RoomAccess::Write));
    let documents = permissions(&json!({"documents": ["a/b*"]}));
    assert_eq!(documents.with_document("a", "b/c"), Some(RoomAccess::Write));
    assert_eq!(documents.with_document("a", "c"), None);
}

#[test]
fn a_claim_of_another_form_or_size_is_refused() {
    let many = |count: usize| vec!["a"; count];
    assert!(Permissions::read(&json!({"rooms": many(100), "documents": many(100)})).is_ok());
    assert!(Permissions::read(&json!({"rooms": ["ü".repeat(128)]})).is_ok());
    for (claim, expected) in [
        (json!(["room"]), "is not an object"),
        (json!(null), "is not an object"),
        (json!({"rooms": "a"}), "has `rooms` that is not a list"),
        (json!({"documents": null}), "has `documents` that is not a list"),
        (json!({"rooms": many(101)}), "has more than 100 entries in `rooms`"),
        (
            json!({"documents": ["a".repeat(257)]}),
            "has a pattern in `documents` that is longer than 256 bytes",
        ),
        (json!({"rooms": ["a\0"]}), "has a pattern in `rooms` that contains U+0000"),
        (
            json!({"rooms": [1]}),
            "has an entry of `rooms` that is neither a string nor an object with a string `pattern`",
        ),
        (
            json!({"rooms": [{"access": "read"}]}),
            "has an entry of `rooms` that is neither a string nor an object with a string `pattern`",
        ),
        (
            json!({"rooms": [{"pattern": "a", "access": "admin"}]}),
            "has an entry of `rooms` whose `access` is not \"read\", \"write\" or \"presence\"",
        ),
    ] {
        let refused = Permissions::read(&claim).map_err(|error| error.to_string());
        assert_eq!(refused, Err(expected.to_owned()), "{claim}");
    }
}

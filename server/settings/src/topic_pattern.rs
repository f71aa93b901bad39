//! Patterns that select rooms by their topics.
//!
//! `*` stands for any text, also none; every other character for itself. Nothing else is special, so that matching takes
//! linear time, whatever topic a client chooses.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Bytes of a topic, and so of a pattern.
const BYTES_MAX: usize = 255;

/// A pattern such as `chat:*`, of topics without the prefix of a protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct TopicPattern(String);

impl TopicPattern {
    /// The pattern of this text, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        is_topic_pattern(text).then(|| Self(text.into()))
    }

    /// Whether it selects the room with this topic.
    pub fn matches(&self, topic: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(last) = pieces.next_back() else { return topic == first };
        let between = topic.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
        let Some(mut rest) = between else { return false };
        // The first occurrence of each piece leaves the most for those that follow.
        pieces.all(|piece| {
            let found = rest.find(piece);
            rest = found.map_or("", |at| &rest[at + piece.len()..]);
            found.is_some()
        })
    }
}

impl JsonSchema for TopicPattern {
    fn schema_name() -> Cow<'static, str> {
        "TopicPattern".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-kind": "topic-pattern" })
    }
}

/// Whether a text can match a topic.
pub(crate) fn is_topic_pattern(text: &str) -> bool {
    (1..=BYTES_MAX).contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        TopicPattern::new(pattern).expect("a pattern").matches(topic)
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, topic) in [
            ("chat:1", "chat:1"),
            ("chat:*", "chat:"),
            ("chat:*", "chat:a*b"),
            ("*", ""),
            ("*:chat", "a:b:chat"),
            ("a*b*c", "abbbc"),
            ("a*bc*bc", "abcbc"),
            ("**é*", "é"),
            ("?[a]", "?[a]"),
        ] {
            assert!(matches(pattern, topic), "{pattern} {topic}");
        }
        for (pattern, topic) in [
            ("chat:1", "chat:12"),
            ("chat:*", "chat"),
            ("a*a", "a"),
            ("a*bc*bc", "abc"),
            ("*x*", "abc"),
            ("a*b*c*b*d", "abcd"),
            ("?", "a"),
        ] {
            assert!(!matches(pattern, topic), "{pattern} {topic}");
        }
    }

    #[test]
    fn an_empty_text_or_one_longer_than_a_topic_is_no_pattern() {
        assert_eq!(TopicPattern::new(""), None);
        assert_eq!(TopicPattern::new(&"*".repeat(256)), None);
        assert!(matches(&"*".repeat(255), "chat"));
    }
}

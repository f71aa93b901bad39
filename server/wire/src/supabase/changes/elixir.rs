//! Values as Elixir displays them, because the texts of errors that clients and their tests read contain such values.
//!
//! As upstream's `inspect`, it displays no more than 50 elements of a list or a map and 4096 characters of a string, so that
//! a text has a bounded length whatever a client sends.

use std::fmt;

use serde_json::Value;

/// The most elements of a list or a map.
const ELEMENTS_MAX: usize = 50;

/// The most characters of a string.
const CHARACTERS_MAX: usize = 4096;

/// The most lists and maps within each other.
const DEPTH_MAX: usize = 8;

/// A JSON object as a map literal: `%{"event" => "*"}`. `%{...}` stands for one that cannot be decoded.
pub(super) struct MapLiteral<'a>(pub(super) &'a str);

impl fmt::Display for MapLiteral<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::from_str(self.0) {
            Ok(map) => value(f, &map, 0),
            Err(_) => f.write_str("%{...}"),
        }
    }
}

fn value(f: &mut fmt::Formatter<'_>, of: &Value, depth: usize) -> fmt::Result {
    match of {
        Value::Null => f.write_str("nil"),
        Value::Bool(boolean) => write!(f, "{boolean}"),
        Value::Number(number) => f.write_str(&number.to_string()),
        Value::String(text) => binary(f, text),
        Value::Array(_) | Value::Object(_) if depth == DEPTH_MAX => f.write_str("..."),
        Value::Array(elements) => list(f, elements.iter(), |f, element| value(f, element, depth + 1)),
        Value::Object(members) => {
            // Upstream's maps of up to 32 keys are sorted; those of more keys are in no order.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            f.write_str("%{")?;
            separated(f, members.into_iter(), |f, (key, member)| {
                binary(f, key)?;
                f.write_str(" => ")?;
                value(f, member, depth + 1)
            })?;
            f.write_str("}")
        }
    }
}

/// A list, each element written by `write`.
pub(super) fn list<T>(
    f: &mut fmt::Formatter<'_>,
    elements: impl Iterator<Item = T>,
    write: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str("[")?;
    separated(f, elements, write)?;
    f.write_str("]")
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    elements: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (index, element) in elements.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        if index == ELEMENTS_MAX {
            return f.write_str("...");
        }
        write(f, element)?;
    }
    Ok(())
}

/// A string: quoted if it is printable, otherwise its bytes.
pub(super) fn binary(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if !text.chars().take(CHARACTERS_MAX).all(is_printable) {
        f.write_str("<<")?;
        separated(f, text.bytes(), |f, byte| write!(f, "{byte}"))?;
        return f.write_str(">>");
    }
    f.write_str("\"")?;
    let mut characters = text.char_indices();
    for (index, character) in characters.by_ref().take(CHARACTERS_MAX) {
        match escape(character) {
            Some(escape) => f.write_str(escape)?,
            // Otherwise it would begin an interpolation.
            None if text[index..].starts_with("#{") => f.write_str("\\#")?,
            None => write!(f, "{character}")?,
        }
    }
    f.write_str(if characters.next().is_none() { "\"" } else { "\" <> ..." })
}

fn escape(character: char) -> Option<&'static str> {
    Some(match character {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{B}' => "\\v",
        '\u{C}' => "\\f",
        '\r' => "\\r",
        '\u{1B}' => "\\e",
        '\u{7F}' => "\\d",
        _ => return None,
    })
}

fn is_printable(character: char) -> bool {
    matches!(character, '\u{7}'..='\r' | '\u{1B}' | ' '..='\u{7F}' | '\u{A0}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: &str) -> String {
        MapLiteral(json).to_string()
    }

    #[test]
    fn a_map_is_displayed_as_its_literal_with_its_keys_in_order() {
        assert_eq!(map("{}"), "%{}");
        assert_eq!(
            map(r#"{"table":null,"event":"*","n":[1,2.5,true,{"a":{}}]}"#),
            r#"%{"event" => "*", "n" => [1, 2.5, true, %{"a" => %{}}], "table" => nil}"#
        );
    }

    #[test]
    fn strings_are_escaped_as_in_source_code() {
        assert_eq!(map(r##"{"a":"\"\\\n\u001b#{x}#é"}"##), r##"%{"a" => "\"\\\n\e\#{x}#é"}"##);
        assert_eq!(map(r#"{"a":"\u0000b"}"#), r#"%{"a" => <<0, 98>>}"#);
    }

    #[test]
    fn the_text_is_bounded() {
        let many = format!("{{\"a\":[{}1]}}", "1,".repeat(60));
        assert!(map(&many).ends_with("1, 1, ...]}"));
        assert_eq!(map(&many).matches('1').count(), 50);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(5000));
        assert!(map(&long).ends_with("x\" <> ...}"));
        assert!(map(&long).len() < 4200);
        assert_eq!(map(&format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100))).matches('[').count(), 7);
        assert_eq!(map(&format!("{{\"a\":{}{}}}", "[".repeat(999), "]".repeat(999))), "%{...}");
    }
}

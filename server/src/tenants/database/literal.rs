//! Literals and identifiers of SQL, for statements that go to the database as one text and so have no parameters.

use std::fmt::Write as _;

/// A literal of SQL, in a session with `standard_conforming_strings`. The text has no NUL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A literal of an array of text. The texts have no NUL.
pub(super) fn array_literal<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    nullable_array_literal(texts.into_iter().map(Some))
}

/// A literal of an array of text, some of which are NULL. The texts have no NUL character.
pub(super) fn nullable_array_literal<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut array = String::from("{");
    for (index, text) in texts.into_iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let _infallible = match text {
            Some(text) => {
                let escaped = text.replace('\\', r"\\").replace('"', r#"\""#);
                write!(array, "{separator}\"{escaped}\"")
            }
            None => write!(array, "{separator}NULL"),
        };
    }
    array.push('}');
    literal(&array)
}

/// An identifier of SQL that is taken as it is.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

//! TOML as text: its values, and the line and column of every key.
//!
//! The only file that knows the TOML parser. Its messages name what it expected; they do not repeat the
//! text, which may be a secret.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use crate::problem::{Location, Problem, floor_char_boundary};

/// The text of the file `name`, or the position of the first invalid byte.
pub(crate) fn text(name: &str, bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|error| {
        let end = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..end]);
        let location = Location { source: name.to_owned(), position: Some(Lines::of(&text).position(end)) };
        Problem::at(location, "not text in UTF-8").help("save the file as UTF-8")
    })
}

/// What the parser reports about a text that is no TOML.
pub(super) struct SyntaxError {
    pub message: String,
    /// The byte range of the error in the text.
    pub span: Option<Range<usize>>,
}

/// How much text after the first syntax error is searched for further ones. Every error takes memory.
const SEARCHED_AFTER_ERROR: usize = 64 << 10;

/// The values in `text` and the positions of their keys, or its syntax errors: the first one, and those in the
/// [`SEARCHED_AFTER_ERROR`] bytes after it.
pub(super) fn parse(text: &str) -> Result<(Map<String, Value>, Positions), Vec<SyntaxError>> {
    let table = DeTable::parse(text).map_err(|first| syntax_errors(text, &first))?.into_inner();
    let positions = Positions::in_table(text, &table);
    Ok((object(table), positions))
}

fn syntax_errors(text: &str, first: &toml::de::Error) -> Vec<SyntaxError> {
    let end = first.span().map_or(text.len(), |span| end_of_search(text, span.end));
    let (_, errors) = DeTable::parse_recoverable(&text[..end]);
    let errors = errors
        .into_iter()
        .map(|error| SyntaxError { message: error.message().to_owned(), span: error.span() });
    // A list or a text that is open where the search ends is not an error of the whole text.
    let is_of_text = |error: &SyntaxError| {
        !error.message.starts_with("unclosed") && error.span.as_ref().is_none_or(|span| span.end < end)
    };
    if end < text.len() { errors.filter(is_of_text).collect() } else { errors.collect() }
}

/// Where the search for further errors ends: at the end of a line, unless a line is too long.
fn end_of_search(text: &str, from: usize) -> usize {
    let limit = from.saturating_add(SEARCHED_AFTER_ERROR);
    if limit >= text.len() {
        return text.len();
    }
    let end_of_line = text.as_bytes()[from..limit].iter().rposition(|byte| *byte == b'\n');
    end_of_line.map_or_else(|| floor_char_boundary(text, limit), |line| from + line + 1)
}

/// A dotted key as a path; names in quotes may contain dots.
pub(super) fn path(key: &str) -> Vec<String> {
    path_of(key).unwrap_or_else(|| key.split('.').map(str::to_owned).collect())
}

/// The names in a dotted key, quoted ones included; `None` if it is not a valid key.
pub(crate) fn path_of(key: &str) -> Option<Vec<String>> {
    let text = format!("{key} = 0");
    let table = DeTable::parse(&text).ok()?;
    let mut path = Vec::new();
    let mut inside = Some(table.get_ref());
    while let Some((name, value)) = inside.and_then(|table| table.iter().next()) {
        path.push(name.get_ref().to_string());
        inside = value.get_ref().as_table();
    }
    Some(path)
}

/// By value, so that each part of the table is freed when it has been read.
fn object(table: DeTable<'_>) -> Map<String, Value> {
    table
        .into_iter()
        .map(|(name, value)| (name.into_inner().into_owned(), json(value.into_inner())))
        .collect()
}

/// Dates, which JSON does not have, become text; `inf` and `nan` become `null`, which TOML does not have and no key
/// accepts.
fn json(value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            let whole = i64::from_str_radix(number.as_str(), number.radix());
            whole.map_or_else(|_| number.as_str().into(), Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(value) => value.into(),
        DeValue::Datetime(date) => date.to_string().into(),
        DeValue::Array(items) => items.into_iter().map(|item| json(item.into_inner())).collect(),
        DeValue::Table(table) => Value::Object(object(table)),
    }
}

/// The text of a file, and the positions of its keys.
pub(crate) struct Positions {
    lines: Lines,
    keys: Vec<KeyOffset>,
}

/// Where a key is written first. A list, and not a map, of those inside: most have none or a few, for which a map takes ten
/// times the memory.
struct KeyOffset {
    name: Box<str>,
    offset: usize,
    /// Sorted by name.
    inside: Vec<Self>,
}

impl Positions {
    /// Those in `text`, as far as it is TOML.
    pub(super) fn of(text: &str) -> Self {
        let (table, _) = DeTable::parse_recoverable(text);
        Self::in_table(text, table.get_ref())
    }

    fn in_table(text: &str, table: &DeTable<'_>) -> Self {
        Self { lines: Lines::of(text), keys: KeyOffset::inside(table) }
    }

    /// Whether there is nothing in the text, not even a comment.
    pub(crate) fn is_blank(&self) -> bool {
        self.lines.text.trim().is_empty()
    }

    /// Line and column of `path`, or of its nearest parent.
    pub(crate) fn find<S: AsRef<str>>(&self, path: &[S]) -> (usize, usize) {
        let (_, offset) = self.nearest(path);
        self.lines.position(offset)
    }

    /// Line and column of `path` itself.
    pub(super) fn find_exactly<S: AsRef<str>>(&self, path: &[S]) -> Option<(usize, usize)> {
        let (found, offset) = self.nearest(path);
        (found == path.len()).then(|| self.lines.position(offset))
    }

    /// How many names of `path` are written, and where the last of them is.
    fn nearest<S: AsRef<str>>(&self, path: &[S]) -> (usize, usize) {
        let (mut keys, mut offset) = (&self.keys, 0);
        for (found, name) in path.iter().enumerate() {
            match keys.binary_search_by(|key| (*key.name).cmp(name.as_ref())) {
                Ok(index) => (keys, offset) = (&keys[index].inside, keys[index].offset),
                Err(_) => return (found, offset),
            }
        }
        (path.len(), offset)
    }
}

impl KeyOffset {
    fn inside(table: &DeTable<'_>) -> Vec<Self> {
        let keys = table.iter().map(|(name, value)| {
            let inside = value.get_ref().as_table().map(Self::inside).unwrap_or_default();
            Self { name: name.get_ref().as_ref().into(), offset: name.span().start, inside }
        });
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        keys
    }
}

/// Where the lines of a text begin.
pub(super) struct Lines {
    starts: Vec<usize>,
    text: String,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(starts).collect(), text: text.to_owned() }
    }

    /// Line and column, from 1; columns count characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = self.text.get(self.starts[line - 1]..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

//! TOML as text: its values, and the line and column of every key.
//!
//! The only file that knows the TOML parser. Its messages name what it expected; they do not repeat the
//! text, which may be a secret.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use crate::problem::{Location, Problem};

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

/// The values in `text`, or every syntax error in it.
pub(super) fn parse(text: &str) -> Result<Map<String, Value>, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(object(table.get_ref()));
    }
    let errors = errors.into_iter();
    Err(errors.map(|error| SyntaxError { message: error.message().to_owned(), span: error.span() }).collect())
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

fn object(table: &DeTable<'_>) -> Map<String, Value> {
    table.iter().map(|(name, value)| (name.get_ref().to_string(), json(value.get_ref()))).collect()
}

/// Dates, which JSON does not have, become text; `inf` and `nan` become `null`, which TOML does not have and no key
/// accepts.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            let whole = i64::from_str_radix(number.as_str(), number.radix());
            whole.map_or_else(|_| number.as_str().into(), Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Datetime(date) => date.to_string().into(),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(object(table)),
    }
}

/// The positions of the keys of a file.
pub(crate) struct Positions {
    lines: Lines,
    root: KeyOffset,
}

#[derive(Default)]
struct KeyOffset {
    offset: usize,
    inside: BTreeMap<String, KeyOffset>,
}

impl Positions {
    pub(crate) fn of(text: &str) -> Self {
        let (table, _) = DeTable::parse_recoverable(text);
        Self {
            lines: Lines::of(text),
            root: KeyOffset { offset: 0, inside: KeyOffset::inside(table.get_ref()) },
        }
    }

    /// Line and column of `path`, or of its nearest parent.
    pub(crate) fn find<S: AsRef<str>>(&self, path: &[S]) -> (usize, usize) {
        let mut entry = &self.root;
        for name in path {
            match entry.inside.get(name.as_ref()) {
                Some(inside) => entry = inside,
                None => break,
            }
        }
        self.lines.position(entry.offset)
    }

    /// Line and column of `path` itself.
    pub(super) fn find_exactly<S: AsRef<str>>(&self, path: &[S]) -> Option<(usize, usize)> {
        let entry = path.iter().try_fold(&self.root, |entry, name| entry.inside.get(name.as_ref()))?;
        Some(self.lines.position(entry.offset))
    }
}

impl KeyOffset {
    fn inside(table: &DeTable<'_>) -> BTreeMap<String, Self> {
        let entries = table.iter().map(|(name, value)| {
            let inside = value.get_ref().as_table().map(Self::inside).unwrap_or_default();
            (name.get_ref().to_string(), Self { offset: name.span().start, inside })
        });
        entries.collect()
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

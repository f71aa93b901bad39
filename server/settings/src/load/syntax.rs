//! Explanations of TOML syntax errors, and how to correct them.
//!
//! The messages of the parser name the token that it expected, which is rarely helpful: it reports `host = 0.0.0.0` as
//! «invalid float». Here the key is looked up, so that the help shows how its value is written. A value is repeated only
//! if its key is known and not a secret.

use std::ops::Range;

use serde_json::Value;

use super::advice;
use super::positions::{Lines, Positions, SyntaxError, path_of};
use crate::problem::{Location, Problem};
use crate::shape::{Shape, dotted, root};
use crate::value_kind::ValueKind;

/// Maximum of errors that are explained. A file may have thousands, and each explanation searches the text before it.
const EXPLAINED: usize = 50;

/// Explains the `errors` in `text`, the content of the file `name`.
pub(super) fn explain(name: &str, text: &str, errors: Vec<SyntaxError>) -> Vec<Problem> {
    let mut explained = SyntaxProblems { name, text, lines: Lines::of(text), problems: Vec::new() };
    for error in errors {
        explained.add(&error.message, error.span);
    }
    explained.problems
}

/// Collects the explained errors of one text.
struct SyntaxProblems<'a> {
    name: &'a str,
    text: &'a str,
    lines: Lines,
    problems: Vec<Problem>,
}

impl<'a> SyntaxProblems<'a> {
    /// Adds an error with the parser's message `why`, located at `span`.
    fn add(&mut self, why: &str, span: Option<Range<usize>>) {
        let why = why.replace('\n', ", ");
        let why = why.strip_suffix(", expected nothing").unwrap_or(&why);
        let Some(span) = span else {
            let location = Location { source: self.name.to_owned(), position: None };
            return self.problems.push(Problem::at(location, format!("not TOML: {why}")));
        };
        let (row, column) = self.lines.position(span.start);
        let location = Location { source: self.name.to_owned(), position: Some((row, column)) };
        let rest = self.text.get(span.start..).unwrap_or_default();
        let problem = match why {
            // The parser takes the end of the line for text without quotes.
            _ if why.starts_with("string values must be quoted") && ends(rest) => {
                Problem::at(location, "not TOML: a value is missing")
            }
            _ if self.problems.len() >= EXPLAINED => Problem::at(location, format!("not TOML: {why}")),
            "duplicate key" => self.duplicate(location, span),
            _ => {
                let help = self.help(why, span.start);
                Problem { help, ..Problem::at(location, format!("not TOML: {why}")) }
            }
        };
        self.problems.push(problem.shortened());
    }

    /// A key at `span` that the text already has.
    fn duplicate(&self, location: Location, span: Range<usize>) -> Problem {
        let Some(path) = self.path_to(span.end) else {
            // In an inline table, which has several keys in one line.
            return Problem::at(location, format!("not TOML: duplicate key {}", &self.text[span]));
        };
        let message = format!("not TOML: duplicate key {}", dotted(&path));
        let before = &self.text[..self.line_start(span.start)];
        let Some((row, column)) = Positions::of(before).find_exactly(&path) else {
            return Problem::at(location, message);
        };
        let first = format!("{message}, first written at {}:{row}:{column}", self.name);
        let is_section = self.line_with(span.start).trim_start().starts_with('[');
        let help =
            if is_section { "write all keys of a section below one header" } else { "keep one of the two" };
        Problem::at(location, first).help(help)
    }

    fn line_start(&self, offset: usize) -> usize {
        self.text[..offset].rfind('\n').map_or(0, |end| end + 1)
    }

    fn line_with(&self, offset: usize) -> &'a str {
        self.text[self.line_start(offset)..].lines().next().unwrap_or_default()
    }

    /// The whole path of the key that ends at `end`, its section included.
    fn path_to(&self, end: usize) -> Option<Vec<String>> {
        let start = self.line_start(end);
        let key = self.text.get(start..end)?.trim_start_matches('\u{feff}').trim_start();
        match key.strip_prefix('[') {
            Some(header) => path_of(header.trim_start_matches('[')),
            None => Some([self.section_at(start), path_of(key)?].concat()),
        }
    }

    /// The section at `offset`.
    fn section_at(&self, offset: usize) -> Vec<String> {
        let headers = self.text[..offset].lines().rev().filter_map(|line| {
            let header = line.trim_start_matches('\u{feff}').trim_start().strip_prefix('[')?;
            path_of(header.trim_start_matches('[').split(']').next()?)
        });
        headers.into_iter().next().unwrap_or_default()
    }

    fn help(&self, why: &str, at: usize) -> Option<String> {
        let (start, line) = (self.line_start(at), self.line_with(at));
        let Some((key, value)) = line.split_once('=').filter(|(key, _)| start + key.len() < at) else {
            return without_equals_sign(line, why);
        };
        let value = value.trim_start_matches('=');
        let bare = value.split('#').next().unwrap_or_default().trim();
        let help = match value.trim_start().chars().next()? {
            '“' | '”' | '„' | '‘' | '’' | '«' => "write straight quotes: \"…\"",
            '"' if why.starts_with("missing escaped value") || why.starts_with("too few unicode") => {
                "a backslash in double quotes begins an escape: write '…'"
            }
            '[' if why.starts_with("string values must") || why.starts_with("invalid float") => {
                "write text in quotes: [\"…\"]"
            }
            '"' | '\'' | '[' | '{' => return None,
            _ if line.contains("==") => "write one equals sign",
            _ => return Some(self.unquoted(key.trim(), bare, start)),
        };
        Some(help.into())
    }

    /// For a value without quotes, in the line that begins at `start`.
    fn unquoted(&self, name: &str, value: &str, start: usize) -> String {
        let path = path_of(name).map(|path| [self.section_at(start), path].concat());
        let key = path.and_then(|path| root().find(&path));
        match key.map(|key| (&key.shape, key.secret)) {
            Some((
                Shape::One(kind @ (ValueKind::Boolean | ValueKind::Integer { .. } | ValueKind::Fraction)),
                _,
            )) => {
                let written = Value::from(value.trim_end_matches([';', ',']));
                let better = kind.read(written.as_str().unwrap_or_default());
                match kind.check(&better) {
                    Some(better) => format!("write {name} = {better}"),
                    None => {
                        advice::for_switch(&written).unwrap_or_else(|| format!("write {}", kind.expected()))
                    }
                }
            }
            // An address may hold a password.
            Some((Shape::One(kind), false))
                if !matches!(kind, ValueKind::Url(_)) && kind.check(&value.into()).is_some() =>
            {
                format!("write it in quotes: {name} = {value:?}")
            }
            Some((Shape::List(_), _)) => format!("write a list: {name} = [\"…\"]"),
            _ => "write text in quotes".into(),
        }
    }
}

/// Whether only the end of the line or a comment follows.
fn ends(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['\n', '\r', '#'])
}

fn without_equals_sign(line: &str, why: &str) -> Option<String> {
    let key = why.starts_with("invalid unquoted key") || why.starts_with("key with no value");
    match line.trim_start() {
        comment if comment.starts_with("//") || comment.starts_with(';') => {
            Some("a comment begins with #".into())
        }
        line if key && line.contains(':') => Some("this is not YAML: write key = value".into()),
        line if line.starts_with('{') => Some("this is not JSON: write key = value".into()),
        _ => None,
    }
}

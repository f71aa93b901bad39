//! Reads the `filter` of a subscription: conditions separated by commas, all of which must hold.
//!
//! ```text
//! filter  = segment *("," segment)
//! segment = column "=" ["not."] operator "." value    split at the first "=", then at the first "."
//! ```
//!
//! White space around the whole and around a segment is ignored. A comma separates only outside parentheses and quoted runs.
//! A quote begins a run only directly behind `.`, `(` or `,`; in a run, a backslash escapes the next byte. A closing
//! parenthesis without an opening one changes nothing.

use std::fmt;

use super::elixir;
use super::filter::{Filter, FilterOperator};

/// Why a filter cannot be read, as the client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterError {
    /// Nothing between two commas.
    EmptySegment,
    /// The value of `in` has no parentheses.
    InWithoutParentheses,
    /// What is left of a segment where it stops to be one: a column without `=`, an operator without `.`, or an unknown
    /// operator and its value.
    Parts(Vec<String>),
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptySegment => {
                f.write_str("filter must not contain empty segments (check for extra commas)")
            }
            Self::InWithoutParentheses => f.write_str("`in` filter value must be wrapped by parentheses"),
            Self::Parts(parts) => elixir::list(f, parts.iter(), |f, part| elixir::binary(f, part)),
        }
    }
}

impl std::error::Error for FilterError {}

/// The conditions of `filter`, in order. The first that cannot be read is the error.
pub(super) fn parse(filter: &str) -> Result<Vec<Filter>, FilterError> {
    let filter = filter.trim();
    if filter.is_empty() {
        return Ok(Vec::new());
    }
    segments(filter).map(|segment| parse_segment(segment.trim())).collect()
}

fn parse_segment(segment: &str) -> Result<Filter, FilterError> {
    if segment.is_empty() {
        return Err(FilterError::EmptySegment);
    }
    let parts = |parts: &[&str]| FilterError::Parts(parts.iter().map(|&part| part.to_owned()).collect());
    let (column, condition) = segment.split_once('=').ok_or_else(|| parts(&[segment]))?;
    let (is_negated, condition) =
        condition.strip_prefix("not.").map_or((false, condition), |condition| (true, condition));
    let (name, value) = condition.split_once('.').ok_or_else(|| parts(&[condition]))?;
    let operator = FilterOperator::from_name(name).ok_or_else(|| parts(&[name, value]))?;
    let value = match operator {
        FilterOperator::In => array_literal(value).ok_or(FilterError::InWithoutParentheses)?,
        _ => unquoted(value).unwrap_or_else(|| value.to_owned()),
    };
    Ok(Filter { column: column.to_owned(), operator, value, is_negated })
}

/// `(…)` as `{…}`.
fn array_literal(value: &str) -> Option<String> {
    let elements = value.strip_prefix('(')?.strip_suffix(')')?;
    Some(["{", elements, "}"].concat())
}

/// The content of a value that is quoted as a whole.
fn unquoted(value: &str) -> Option<String> {
    let mut characters = value.strip_prefix('"')?.chars();
    let mut content = String::with_capacity(value.len());
    while let Some(character) = characters.next() {
        match character {
            '"' => return characters.as_str().is_empty().then_some(content),
            // A backslash at the end is followed by no quote either, so the result is the same.
            '\\' => content.push(characters.next()?),
            _ => content.push(character),
        }
    }
    None
}

/// The texts between separating commas.
fn segments(filter: &str) -> impl Iterator<Item = &str> {
    let mut scanner = Scanner::default();
    filter.split(move |character| scanner.separates(character))
}

/// Where in a filter a character stands.
#[derive(Debug, Default)]
struct Scanner {
    parentheses: usize,
    quotes: Quotes,
    /// The character before, if it belongs to the same segment.
    previous: Option<char>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Quotes {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

impl Scanner {
    /// Whether `character` is a comma between two segments. Called with each character in order.
    fn separates(&mut self, character: char) -> bool {
        let previous = self.previous.replace(character);
        match (self.quotes, character) {
            (Quotes::Inside, '\\') => self.quotes = Quotes::Escaped,
            (Quotes::Inside, '"') => self.quotes = Quotes::Outside,
            (Quotes::Inside, _) => {}
            (Quotes::Escaped, _) => self.quotes = Quotes::Inside,
            (Quotes::Outside, '"') if matches!(previous, Some('.' | '(' | ',')) => {
                self.quotes = Quotes::Inside;
            }
            (Quotes::Outside, '(') => self.parentheses += 1,
            (Quotes::Outside, ')') => self.parentheses = self.parentheses.saturating_sub(1),
            (Quotes::Outside, ',') if self.parentheses == 0 => {
                self.previous = None;
                return true;
            }
            (Quotes::Outside, _) => {}
        }
        false
    }
}

//! Problems in the settings, reported like compiler errors.
//!
//! `config.toml:12:1: limits.max_joins_per_second: expected a whole number of at least 1, found "many"`, and a
//! line of help below. The same text comes from `config check`, from the start and from a reload. It never
//! repeats the line, nor a value that may be a secret.

use std::fmt;

use crate::file_access::Persistence;

/// One problem, as a sentence an operator can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written, if it was written anywhere.
    pub location: Option<Location>,
    /// The setting, such as `server.port`; empty when the place as a whole is meant.
    pub key: String,
    /// What was expected and what was found.
    pub message: Box<str>,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether reading again may help without an edit.
    pub persistence: Persistence,
}

impl Problem {
    /// A problem with `key`, to be given a place and help later.
    pub(crate) fn with(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            location: None,
            key: key.into(),
            message: message.into().into(),
            help: None,
            persistence: Persistence::default(),
        }
    }

    /// A problem with a place as a whole.
    pub(crate) fn at(location: Location, message: impl Into<String>) -> Self {
        Self { location: Some(location), ..Self::with("", message) }
    }

    /// The problem without its help, which is one line.
    pub fn line(&self) -> String {
        Self { help: None, ..self.clone() }.to_string()
    }

    /// The problem with texts that are not too long: a name in a file may be as long as the file, and a problem with
    /// each key below it repeats it.
    pub(crate) fn shortened(mut self) -> Self {
        self.key = shortened(self.key);
        self.message = shortened(self.message.into()).into();
        self.help = self.help.map(shortened);
        self
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// The longest text of a problem, in bytes.
const TEXT_MAX: usize = 2_000;

fn shortened(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(floor_char_boundary(&text, TEXT_MAX));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// The end of the last character of `text` that ends in its first `max` bytes.
pub(crate) fn floor_char_boundary(text: &str, max: usize) -> usize {
    (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n    help: {help}"),
            None => Ok(()),
        }
    }
}

/// Keys that contradict each other.
pub(crate) struct Conflict {
    /// The key to look at first comes first.
    pub keys: Vec<String>,
    pub message: String,
}

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// A file's path, `variable PORT`, or the flag as it is typed.
    pub source: String,
    /// Line and column in the file, both from 1.
    pub position: Option<(usize, usize)>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        match self.position {
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// Why there are no settings: the first problems found, in the order of the layers and of their lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    /// At least one, and [`LoadError::PROBLEMS_MAX`] at most.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
}

impl LoadError {
    /// Maximum of problems that are reported. A file of another program may have thousands, and every reload reports them.
    pub const PROBLEMS_MAX: usize = 100;

    /// The first of these problems.
    pub fn of(mut problems: Vec<Problem>) -> Self {
        let omitted = problems.len().saturating_sub(Self::PROBLEMS_MAX);
        problems.truncate(Self::PROBLEMS_MAX);
        Self { problems, omitted }
    }

    /// How many problems there are.
    pub fn count(&self) -> usize {
        self.problems.len() + self.omitted
    }

    /// A line that says how many are omitted, if any are.
    pub fn summary(&self) -> Option<String> {
        let (omitted, max) = (self.omitted, Self::PROBLEMS_MAX);
        (omitted > 0).then(|| format!("… and {omitted} more problems: only the first {max} are reported"))
    }

    /// The text of each problem, and the line about those that are omitted.
    pub fn texts(&self) -> Vec<String> {
        self.problems.iter().map(Problem::to_string).chain(self.summary()).collect()
    }

    /// Whether reading again may help without an edit: every problem may pass.
    pub fn persistence(&self) -> Persistence {
        let passes = |problem: &Problem| problem.persistence == Persistence::MayPass;
        if self.problems.iter().all(passes) { Persistence::MayPass } else { Persistence::UntilEdited }
    }

    /// The same, with `help` for each problem.
    pub(crate) fn help(self, help: &str) -> Self {
        let problems = self.problems.into_iter().map(|problem| problem.help(help)).collect();
        Self { problems, omitted: self.omitted }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().join("\n"))
    }
}

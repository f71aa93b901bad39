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

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
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

/// Why there are no settings: every problem found, in the order of the layers and of their lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl LoadError {
    /// Whether reading again may help without an edit: every problem may pass.
    pub fn persistence(&self) -> Persistence {
        let passes = |problem: &Problem| problem.persistence == Persistence::MayPass;
        if self.problems.iter().all(passes) { Persistence::MayPass } else { Persistence::UntilEdited }
    }

    /// The same, with `help` for each problem.
    pub(crate) fn help(self, help: &str) -> Self {
        Self { problems: self.problems.into_iter().map(|problem| problem.help(help)).collect() }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.problems.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

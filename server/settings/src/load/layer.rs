//! One layer: some values, and where a person finds them.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::positions::Positions;
use crate::problem::{LoadError, Location, Problem};
use crate::shape::dotted;

/// Where the values of a layer were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Fallback,
    File,
    Variable,
    Flag,
}

/// Clones share the values.
#[derive(Clone)]
pub(crate) struct Layer {
    pub origin: Origin,
    /// A file's path, a variable's name, or a flag as it is typed.
    pub name: String,
    pub values: Arc<Map<String, Value>>,
    /// Of a file.
    positions: Option<Arc<Positions>>,
}

/// The same values from the same place, wherever in it they are written.
impl PartialEq for Layer {
    fn eq(&self, other: &Self) -> bool {
        (self.origin, &self.name, &self.values) == (other.origin, &other.name, &other.values)
    }
}

/// Without its values, which may be secrets.
impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Layer {
    pub(crate) fn file(name: String, values: Map<String, Value>, positions: Positions) -> Self {
        Self { origin: Origin::File, name, values: Arc::new(values), positions: Some(Arc::new(positions)) }
    }

    /// The same, to be kept: its text, in which the positions are, may be another one by the time at which they are asked for.
    pub(crate) fn without_positions(&self) -> Self {
        Self { positions: None, ..self.clone() }
    }

    /// Whether it is a file with nothing in it, not even a comment.
    pub(crate) fn is_blank(&self) -> bool {
        self.positions.as_ref().is_some_and(|positions| positions.is_blank())
    }

    /// A layer of one value.
    pub(crate) fn single(origin: Origin, name: String, path: &[String], value: Value) -> Self {
        let values = match nest(path, value) {
            Value::Object(values) => without_nulls(values),
            _ => Map::new(),
        };
        Self { origin, name, values: Arc::new(values), positions: None }
    }

    /// Where in this layer `path` was written, or the nearest thing above it.
    pub(crate) fn location<S: AsRef<str>>(&self, path: &[S]) -> Location {
        let position = self.positions.as_ref().map(|positions| positions.find(path));
        Location { source: self.to_string(), position }
    }
}

/// Nests `value` below `path`.
fn nest(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, name| Value::Object([(name.clone(), inner)].into_iter().collect()))
}

/// What is `null` in a variable's JSON is not written.
fn without_nulls(values: Map<String, Value>) -> Map<String, Value> {
    let values = values.into_iter().filter(|(_, value)| !value.is_null());
    let inside = |value| match value {
        Value::Object(inside) => Value::Object(without_nulls(inside)),
        value => value,
    };
    values.map(|(name, value)| (name, inside(value))).collect()
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.origin {
            Origin::Variable => write!(f, "variable {}", self.name),
            Origin::Fallback | Origin::File | Origin::Flag => f.write_str(&self.name),
        }
    }
}

/// The problems found so far, each with the number of its layer: the first ones, and how many there are beyond them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Problems {
    first: Vec<(usize, Problem)>,
    omitted: usize,
}

impl Problems {
    pub(crate) fn push(&mut self, layer: usize, problem: Problem) {
        self.first.push((layer, problem.shortened()));
        // Not at each push: sorting a few more at a time costs less.
        if self.first.len() >= 2 * LoadError::PROBLEMS_MAX {
            self.omit();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Fails if there are any, in the order of the layers and of their lines.
    pub(crate) fn none(&mut self) -> Result<(), LoadError> {
        if self.is_empty() {
            return Ok(());
        }
        self.omit();
        let problems = self.first.drain(..).map(|(_, problem)| problem).collect();
        Err(LoadError { problems, omitted: self.omitted })
    }

    /// Sorts them, and keeps only the first ones.
    fn omit(&mut self) {
        self.first.sort_by(|(a_layer, a), (b_layer, b)| {
            (a_layer, &a.location, &a.key).cmp(&(b_layer, &b.location, &b.key))
        });
        self.omitted += self.first.len().saturating_sub(LoadError::PROBLEMS_MAX);
        self.first.truncate(LoadError::PROBLEMS_MAX);
    }
}

/// A value as it is written in TOML.
pub(crate) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "(unset)".into(),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(values) if values.is_empty() => "{}".into(),
        Value::Object(values) => {
            let pairs =
                values.iter().map(|(name, value)| format!("{} = {}", dotted(&[name]), literal(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

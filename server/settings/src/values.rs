//! Settings as values: what serde reads, and what a reload compares.

use std::fmt;

use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::{Settings, shape};

/// Every key with its value, in canonical form; defaults included, secrets too. To be compared, not shown.
#[derive(Clone, PartialEq)]
pub(crate) struct Values(Value);

/// Without the values, which may be secrets.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Values")
    }
}

impl Values {
    /// What was written, and the defaults of everything else.
    pub(crate) fn over_defaults(written: Map<String, Value>) -> Self {
        let mut values = shape::root().defaults();
        lay(&mut values, Value::Object(written), shape::root());
        Self(values)
    }

    pub(crate) fn as_json(&self) -> &Value {
        &self.0
    }

    pub(crate) fn as_json_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// The same as our structs.
    pub(crate) fn settings(&self) -> Result<Settings, Problem> {
        serde_json::from_value(self.0.clone()).map_err(|error| {
            // Our own mistake: a kind of value allows what its type refuses.
            Problem::with("", format!("cannot be used: {error}"))
        })
    }
}

/// Lays `upper` over `lower`: keys of sections each for themselves, everything else as a whole.
fn lay(lower: &mut Value, upper: Value, key: &shape::Key) {
    match (&key.shape, lower, upper) {
        (shape::Shape::Section(keys), Value::Object(lower), Value::Object(upper)) => {
            for (name, value) in upper {
                match (lower.get_mut(&name), keys.get(&name)) {
                    (Some(below), Some(key)) => lay(below, value, key),
                    _ => drop(lower.insert(name, value)),
                }
            }
        }
        (_, lower, upper) => *lower = upper,
    }
}

//! Settings as values: what serde reads, and what a reload compares.

use std::fmt;

use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::{Settings, shape};

/// Every key with its value, in canonical form; defaults included, secrets too. To be compared, not printed.
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
            // A bug: a kind of value accepts what its type refuses. A test of this file looks for it.
            Problem::with("", format!("cannot be used: {error}"))
        })
    }
}

/// Merges `upper` into `lower`: sections key by key, everything else as a whole.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::shape::{Key, Shape};
    use crate::units::{format_duration, format_size};
    use crate::value_kind::ValueKind;

    /// Values that `kind` accepts, the ends of its range included.
    fn ignored(kind: &ValueKind) -> Vec<Value> {
        match kind {
            ValueKind::Anything => vec![json!("text"), json!(1.5), json!(true), json!(["a"])],
            ValueKind::Text => vec![json!("text")],
            ValueKind::Boolean => vec![json!(true), json!(false)],
            ValueKind::Integer { min, max } => vec![json!(min), json!(max)],
            ValueKind::Fraction => vec![json!(0), json!(0.01), json!(1.0)],
            ValueKind::Choice(words) => words.iter().map(|word| json!(word)).collect(),
            ValueKind::Duration { min, max } => {
                vec![json!(format_duration(*min)), json!(format_duration(*max))]
            }
            ValueKind::Size { min, max } => vec![json!(format_size(*min)), json!(format_size(*max))],
            ValueKind::IpAddress => vec![json!("127.0.0.1"), json!("::1")],
            ValueKind::Network => vec![json!("10.0.0.0/8"), json!("::1")],
            ValueKind::Url(schemes) => schemes.iter().map(|scheme| json!(format!("{scheme}host"))).collect(),
            ValueKind::TenantId => vec![json!("acme")],
            ValueKind::Module => vec![json!("hub::room")],
            ValueKind::TopicPattern => vec![json!("chat:*")],
            ValueKind::MetricChoice => vec![json!("a_total"), json!("a_total{code,tenant}")],
            ValueKind::SlotSuffix => vec![json!(""), json!("blue_2")],
            ValueKind::Jwks => vec![json!(r#"{"keys": []}"#)],
        }
    }

    fn samples(key: &Key) -> Vec<Value> {
        match &key.shape {
            Shape::One(kind) => {
                ignored(kind).iter().map(|value| kind.check(value).expect("an accepted value")).collect()
            }
            Shape::List(item) => vec![json!([]), samples(item).into()],
            Shape::Table(item) => samples(item).into_iter().map(|value| json!({ "name": value })).collect(),
            Shape::Section(_) => panic!("a leaf is no section"),
        }
    }

    // Values are checked once, by their kind. This is what makes a second check in serde needless.
    #[test]
    fn what_a_kind_accepts_its_field_accepts() {
        for (path, key) in shape::root().leaves() {
            for value in samples(key) {
                let written = path.iter().rev().fold(value, |inner, name| json!({ name.as_str(): inner }));
                let Value::Object(written) = written else { panic!("a key stands in a section") };
                let settings = Values::over_defaults(written.clone()).settings();
                assert!(settings.is_ok(), "{written:?}: {settings:?}");
            }
        }
    }
}

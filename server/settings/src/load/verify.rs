//! What was written, checked against the shape of our structs: types, ranges, words, unknown keys.

use serde_json::{Map, Value};

use super::advice;
use super::layer::{Layer, Origin, Problems};
use super::merge::{Content, Merged};
use crate::address;
use crate::problem::Problem;
use crate::shape::{Key, Shape, dotted, root};
use crate::value_kind::ValueKind;

/// The longest text that is shown back.
const TEXT_SHOWN_MAX: usize = 60;

/// Unknown keys that get a suggestion. A suggestion compares the key with all others, and a file of another
/// program may have thousands of keys.
const SUGGESTIONS_MAX: usize = 50;

/// The values in canonical form, without those that are wrong, each of which is a problem.
pub(crate) fn verify(layers: &[Layer], merged: &Merged, problems: &mut Problems) -> Map<String, Value> {
    let mut verifier = Verifier { layers, problems, suggestions_left: SUGGESTIONS_MAX, path: Vec::new() };
    match verifier.value(root(), merged) {
        Some(Value::Object(values)) => values,
        _ => Map::new(),
    }
}

struct Verifier<'a> {
    layers: &'a [Layer],
    problems: &'a mut Problems,
    suggestions_left: usize,
    path: Vec<String>,
}

impl Verifier<'_> {
    fn value(&mut self, key: &Key, merged: &Merged) -> Option<Value> {
        match (&key.shape, &merged.content) {
            (Shape::Section(keys), Content::Table(inside)) => {
                let mut values = Map::new();
                for (name, merged) in inside {
                    self.path.push(name.clone());
                    match keys.get(name) {
                        Some(key) => {
                            values.extend(self.value(key, merged).map(|value| (name.clone(), value)))
                        }
                        None => self.unknown_key(key, merged),
                    }
                    self.path.pop();
                }
                Some(Value::Object(values))
            }
            (Shape::Table(item), Content::Table(inside)) => {
                let mut values = Map::new();
                for (name, merged) in inside {
                    self.path.push(name.clone());
                    self.name(key, merged, name);
                    values.extend(self.value(item, merged).map(|value| (name.clone(), value)));
                    self.path.pop();
                }
                Some(Value::Object(values))
            }
            (Shape::One(ValueKind::Anything), Content::Table(inside)) => {
                let inside = inside.iter();
                inside.map(|(name, merged)| Some((name.clone(), self.value(key, merged)?))).collect()
            }
            (Shape::List(item), Content::Value(Value::Array(values))) => {
                let mut list = Vec::new();
                let is_blank_text =
                    |value: &&Value| matches!(item.shape, Shape::One(ValueKind::Text)) && is_blank(value);
                for value in values.iter().filter(|value| !is_blank_text(value)) {
                    list.extend(self.one(item, value, merged.layer));
                }
                Some(Value::Array(list))
            }
            (_, Content::Value(value)) => self.one(key, value, merged.layer),
            (_, Content::Table(_)) => {
                self.invalid_value(key, &Value::Object(Map::new()), merged.layer);
                None
            }
        }
    }

    /// A single value. Blank text leaves unset what may be unset.
    fn one(&mut self, key: &Key, value: &Value, layer: usize) -> Option<Value> {
        if key.optional && is_blank(value) {
            return None;
        }
        let in_a_file = self.layers[layer].origin == Origin::File;
        let checked = match (&key.shape, value) {
            // In the JSON of a variable too, words are read without case.
            (Shape::One(kind @ ValueKind::Choice(_)), Value::String(text)) if !in_a_file => {
                kind.check(&kind.read(text))
            }
            (Shape::One(kind), _) => kind.check(value),
            _ => None,
        };
        if checked.is_none() {
            self.invalid_value(key, value, layer);
        }
        checked
    }

    /// A name of a person's own.
    fn name(&mut self, table: &Key, merged: &Merged, name: &str) {
        let Some(kind) = &table.names else { return };
        if kind.check(&name.into()).is_none() {
            let message = format!("the name must be {}", kind.expected());
            self.report(merged.layer, message, advice::for_name(kind, name));
        }
    }

    fn invalid_value(&mut self, key: &Key, value: &Value, layer: usize) {
        let origin = self.layers[layer].origin;
        let message = format!("expected {}, found {}", key.expected(), found(key, value, origin));
        let help = advice::for_value(key, &self.path, value, origin);
        self.report(layer, message, help);
    }

    fn unknown_key(&mut self, section: &Key, merged: &Merged) {
        let layer = &self.layers[merged.layer];
        let help = match self.suggestions_left.checked_sub(1) {
            Some(left) => {
                self.suggestions_left = left;
                advice::for_unknown(section, &self.path, merged, layer)
            }
            None => None,
        };
        self.report(merged.layer, "unknown key".into(), help);
    }

    fn report(&mut self, layer: usize, message: String, help: Option<String>) {
        let location = Some(self.layers[layer].location(&self.path));
        self.problems.push(layer, Problem { location, help, ..Problem::with(dotted(&self.path), message) });
    }
}

fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// What was there instead, if showing it cannot show a secret.
fn found(key: &Key, value: &Value, origin: Origin) -> String {
    let shown = matches!(key.shape, Shape::One(_)) && !key.secret;
    if let (Shape::One(ValueKind::Url(_)), Value::String(text)) = (&key.shape, value)
        && let Some(seen) = address::redacted(text).filter(|seen| seen.chars().count() <= TEXT_SHOWN_MAX)
    {
        return format!("{seen:?}");
    }
    match value {
        Value::Object(_) => "a section".into(),
        Value::Array(_) => "a list".into(),
        // TOML has no `null`; it stands for the numbers that JSON does not have.
        Value::Null if origin == Origin::File => "inf or nan".into(),
        Value::Null => "nothing".into(),
        // What was meant as an address may hold a password, or a key.
        Value::String(text)
            if shown && !text.contains(['@', '?', '#']) && text.chars().count() <= TEXT_SHOWN_MAX =>
        {
            format!("{text:?}")
        }
        Value::String(_) if shown => "other text".into(),
        Value::String(_) if key.secret => "something else".into(),
        Value::String(_) => "text".into(),
        Value::Number(_) if !shown => "a number".into(),
        Value::Bool(_) if !shown => "true or false".into(),
        other => other.to_string(),
    }
}

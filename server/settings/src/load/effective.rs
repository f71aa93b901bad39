//! What holds, and who said so: `config show`, and the keys of a file that a variable overrides.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::layer::{Origin, literal};
use super::loaded::Loaded;
use super::merge::{Content, Merged};
use super::positions;
use crate::address;
use crate::problem::Location;
use crate::shape::{self, Key, Shape, dotted};
use crate::value_kind::ValueKind;

/// One key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveKey {
    /// Its name, such as `server.port`.
    pub key: String,
    /// Its value as in a file; stars for a secret, `…` for what may be one in an address, `(unset)` for nothing.
    pub value: String,
    /// Where it was written, or `default`.
    pub origin: String,
}

/// What stands for a secret, whatever its length.
const MASK: &str = "********";

impl Loaded {
    /// Every key with its effective value, in the order of their names.
    pub fn effective_keys(&self) -> Vec<EffectiveKey> {
        let mut lines = Vec::new();
        self.collect(shape::root(), self.values.as_json(), &mut Vec::new(), &mut lines);
        lines
    }

    /// A sentence for each key of a file that has no effect, because a variable or flag says otherwise.
    pub fn overridden(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (number, layer) in
            self.layers.iter().enumerate().filter(|(_, layer)| layer.origin == Origin::File)
        {
            let mut paths = Vec::new();
            self.overridden_in(&layer.values, &self.merged, &mut Vec::new(), &mut paths);
            for (path, source) in paths.into_iter().filter(|(_, source)| *source > number) {
                let (location, key) = (layer.location(&path), dotted(&path));
                sentences.push(format!("{location}: {key} is overridden by {}", self.layers[source]));
            }
        }
        sentences
    }

    /// Where the value of `key` was written, if it was written anywhere.
    pub fn location(&self, key: &str) -> Option<Location> {
        let default_tenant = &self.settings.server.default_tenant;
        self.merged
            .location_of(&self.layers, default_tenant, &positions::path(key))
            .map(|(_, location)| location)
    }

    /// The files that were read, secrets' files included, in the order in which they count.
    pub fn files(&self) -> Vec<PathBuf> {
        let layers = self.layers.iter().filter(|layer| layer.origin == Origin::File);
        layers.map(|layer| PathBuf::from(&layer.name)).chain(self.secret_files.iter().cloned()).collect()
    }

    fn collect(&self, key: &Key, value: &Value, path: &mut Vec<String>, lines: &mut Vec<EffectiveKey>) {
        let mut inside = |name: &str, key: &Key, value: &Value| {
            path.push(name.to_owned());
            self.collect(key, value, path, lines);
            path.pop();
        };
        match (&key.shape, value) {
            (Shape::Section(keys), _) => {
                for (name, key) in keys {
                    inside(name, key, value.get(name).unwrap_or(&key.default));
                }
            }
            (Shape::Table(item), Value::Object(values)) if !values.is_empty() => {
                for (name, value) in values {
                    inside(name, item, value);
                }
            }
            _ => lines.push(EffectiveKey {
                key: dotted(path),
                value: visible(key, value),
                origin: self.origin(path),
            }),
        }
    }

    fn origin(&self, at: &[String]) -> String {
        let location = self.merged.location_of(&self.layers, &self.settings.server.default_tenant, at);
        location.map_or_else(|| "default".into(), |(_, location)| location.to_string())
    }

    /// The paths in `values` that a variable or flag decides, with the number of its layer.
    fn overridden_in(
        &self,
        values: &Map<String, Value>,
        merged: &Merged,
        path: &mut Vec<String>,
        found: &mut Vec<(Vec<String>, usize)>,
    ) {
        for (name, value) in values {
            path.push(name.clone());
            let winner = merged.find(std::slice::from_ref(name));
            match (value, winner.map(|winner| &winner.content)) {
                (Value::Object(values), Some(Content::Table(_))) => {
                    self.overridden_in(values, winner.unwrap_or(merged), path, found);
                }
                _ => {
                    let layer = winner.unwrap_or(merged).layer;
                    if matches!(self.layers[layer].origin, Origin::Variable | Origin::Flag) {
                        found.push((path.clone(), layer));
                    }
                }
            }
            path.pop();
        }
    }
}

/// A value as far as it may be seen.
fn visible(key: &Key, value: &Value) -> String {
    match (&key.shape, value) {
        (Shape::One(ValueKind::Url(_)), Value::String(text)) => match address::redacted(text) {
            Some(seen) => literal(&seen.into()),
            None => masked(value),
        },
        _ if key.secret => masked(value),
        _ => literal(value),
    }
}

fn masked(value: &Value) -> String {
    match value {
        Value::Null => literal(value),
        Value::Array(items) => format!("[{}]", vec![format!("{MASK:?}"); items.len()].join(", ")),
        _ => format!("{MASK:?}"),
    }
}

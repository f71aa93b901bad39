//! Layers put upon each other, each value remembering the layer it came from. The only file that knows
//! figment.

use std::cell::Cell;
use std::collections::BTreeMap;

use figment::value::{Dict, Map, Value as FigmentValue};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::Value;

use super::layer::Layer;
use crate::problem::Location;
use crate::shape;

/// What was written, and by which layer.
#[derive(Clone)]
pub(crate) struct Merged {
    /// Its number, from the lowest.
    pub layer: usize,
    pub content: Content,
}

#[derive(Clone)]
pub(crate) enum Content {
    Table(BTreeMap<String, Merged>),
    Value(Value),
}

/// Without the values, which may be secrets.
impl std::fmt::Debug for Merged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written").field("layer", &self.layer).finish_non_exhaustive()
    }
}

impl Merged {
    /// What was written under `path`.
    pub(crate) fn find<S: AsRef<str>>(&self, path: &[S]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match &self.content {
            Content::Table(inside) => inside.get(first.as_ref())?.find(rest),
            Content::Value(_) => None,
        }
    }

    /// Where `path` was written, with the number of that layer.
    pub(crate) fn location<S: AsRef<str>>(&self, layers: &[Layer], path: &[S]) -> Option<(usize, Location)> {
        let number = self.find(path)?.layer;
        layers.get(number).map(|layer| (number, layer.location(path)))
    }

    /// Where the effective value of `path` was written, with the number of that layer. What a tenant inherits is
    /// written in `[limits]` or `[broadcast.history]`, and the `default` one may have a section for its keys.
    pub(super) fn location_of(
        &self,
        layers: &[Layer],
        default: &str,
        path: &[String],
    ) -> Option<(usize, Location)> {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let mut candidates = vec![path.clone()];
        match path.as_slice() {
            // Inherited as a whole, or not at all.
            ["tenants", id, "history", rest @ ..] if self.find(&["tenants", id, "history"]).is_none() => {
                candidates.push([&["broadcast", "history"], rest].concat());
            }
            ["tenants", _, "limits", rest @ ..] => candidates.push([&["limits"], rest].concat()),
            [section @ ("auth" | "limits"), rest @ ..] => {
                candidates.insert(0, [&["tenants", default, section], rest].concat());
            }
            _ => {}
        }
        candidates.iter().find_map(|path| self.location(layers, path))
    }
}

/// The layers upon each other, later ones above. A higher layer replaces values and adds to tables, save
/// those tables that say what all there is.
pub(crate) fn merge(layers: &[Layer]) -> Merged {
    let whole: Vec<_> = shape::root().leaves().into_iter().filter(|(_, key)| key.replaced).collect();
    let top = |path: &[String]| layers.iter().rposition(|layer| held(&layer.values, path));
    let tops: Vec<_> = whole.iter().map(|(path, _)| (path, top(path))).collect();

    let mut figment = Figment::new();
    for (number, layer) in layers.iter().enumerate() {
        let mut values = dict(&layer.values);
        for (path, top) in &tops {
            if top.is_some_and(|top| top > number) {
                remove(&mut values, path);
            }
        }
        figment = figment.merge(Numbered { number, values: Cell::new(values) });
    }
    let data = figment.data().expect("layers are values already, so none can fail");
    let values = data.into_values().next().unwrap_or_default();
    Merged { layer: 0, content: Content::Table(table(&figment, values)) }
}

/// A layer for figment: its name is its number, by which values find it again.
struct Numbered {
    number: usize,
    /// Given away when figment asks for them, which it does once: a copy of many tenants takes much memory.
    values: Cell<Dict>,
}

impl Provider for Numbered {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.number.to_string())
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.values.take())]))
    }
}

fn dict(values: &serde_json::Map<String, Value>) -> Dict {
    let value = |value: &Value| match value {
        Value::Object(inside) => FigmentValue::from(dict(inside)),
        value => FigmentValue::serialize(value).expect("JSON is a value"),
    };
    values.iter().map(|(name, inside)| (name.clone(), value(inside))).collect()
}

fn table(figment: &Figment, values: Dict) -> BTreeMap<String, Merged> {
    let from_figment = |value: FigmentValue| {
        let metadata = figment.get_metadata(value.tag());
        let layer = metadata.and_then(|metadata| metadata.name.parse().ok()).unwrap_or_default();
        let content = match value {
            FigmentValue::Dict(_, inside) => Content::Table(table(figment, inside)),
            value => Content::Value(serde_json::to_value(value).expect("a value is JSON")),
        };
        Merged { layer, content }
    };
    values.into_iter().map(|(name, value)| (name, from_figment(value))).collect()
}

fn held(values: &serde_json::Map<String, Value>, path: &[String]) -> bool {
    match path {
        [] => true,
        [name] => values.contains_key(name),
        [name, rest @ ..] => {
            values.get(name).and_then(Value::as_object).is_some_and(|inside| held(inside, rest))
        }
    }
}

fn remove(values: &mut Dict, path: &[String]) {
    match path {
        [] => {}
        [name] => drop(values.remove(name)),
        [name, rest @ ..] => {
            if let Some(FigmentValue::Dict(_, inside)) = values.get_mut(name) {
                remove(inside, rest);
            }
        }
    }
}

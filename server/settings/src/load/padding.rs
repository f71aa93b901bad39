//! Texts that begin or end with probably unintended characters: white space, a byte order mark, quotes.
//!
//! Secrets and all other texts are used unchanged, since any byte may be part of them. But `echo secret | …` adds a
//! line break, and `docker run --env-file` keeps quotes: then each token is refused without a visible reason. A warning
//! reports this, without the text.

use serde_json::Value;

use super::loaded::Loaded;
use crate::note::Note;
use crate::shape::{self, Key, Shape, dotted};
use crate::value_kind::ValueKind;

/// Maximum of texts that are named; the number of further ones is reported.
const NAMED: usize = 20;

/// A warning for each such text, with its location.
pub(super) fn notes(loaded: &Loaded) -> Vec<Note> {
    let mut found = Vec::new();
    collect(shape::root(), loaded.values.as_json(), &mut Vec::new(), &mut found);
    let more = found.len().saturating_sub(NAMED);
    let default = &loaded.settings.server.default_tenant;
    let sentences = found.into_iter().take(NAMED).map(|(path, what)| {
        let location = loaded.merged.location_of(&loaded.layers, default, &path);
        let location = location.map_or_else(String::new, |(_, location)| format!("{location}: "));
        let key = dotted(&path);
        let signs = path.iter().any(|name| ["auth", "admin", "seed"].contains(&name.as_str()));
        let effect = if signs { ", and tokens that do not have it are refused" } else { "" };
        format!("{location}{key} {what}. It is part of the value{effect}: remove it if it is unintended")
    });
    let more = (more > 0).then(|| format!("{more} more texts have white space or quotes around them"));
    sentences.chain(more).map(Note::warning).collect()
}

fn collect(key: &Key, value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    let mut inside = |name: &str, key: &Key, value: &Value| {
        path.push(name.to_owned());
        collect(key, value, path, found);
        path.pop();
    };
    match (&key.shape, value) {
        (Shape::Section(keys), Value::Object(values)) => {
            let values = values.iter().filter_map(|(name, value)| Some((name, keys.get(name)?, value)));
            values.for_each(|(name, key, value)| inside(name, key, value));
        }
        (Shape::Table(item), Value::Object(values)) => {
            values.iter().for_each(|(name, value)| inside(name, item, value));
        }
        (Shape::List(item), Value::Array(values)) => {
            let what = values.iter().find_map(|value| padding(item, value));
            found.extend(what.map(|what| (path.clone(), format!("has an item that {what}"))));
        }
        _ => found.extend(padding(key, value).map(|what| (path.clone(), what))),
    }
}

/// Describes unintended characters at the ends of a text.
fn padding(key: &Key, value: &Value) -> Option<String> {
    let text =
        value.as_str().filter(|_| matches!(key.shape, Shape::One(ValueKind::Text | ValueKind::Anything)))?;
    let (first, last) = (text.chars().next()?, text.chars().next_back()?);
    match (sign(first), sign(last)) {
        (Some(first), Some(last)) if first == last => Some(format!("begins and ends with {first}")),
        (Some(first), Some(last)) => Some(format!("begins with {first} and ends with {last}")),
        (Some(first), None) => Some(format!("begins with {first}")),
        (None, Some(last)) => Some(format!("ends with {last}")),
        _ if text.len() > 1 && first == last && ['"', '\''].contains(&first) => Some("is in quotes".into()),
        _ if key.secret && text.contains(['\n', '\r']) => Some("has a line break in it".into()),
        _ => None,
    }
}

/// The name of a character that is hard to see.
fn sign(sign: char) -> Option<&'static str> {
    match sign {
        '\n' => Some("a line break"),
        '\r' => Some("a carriage return"),
        ' ' => Some("a space"),
        '\t' => Some("a tab"),
        '\u{feff}' => Some("a byte order mark"),
        '\u{200b}'..='\u{200f}' => Some("an invisible character"),
        sign if sign.is_whitespace() || sign.is_control() => Some("white space"),
        _ => None,
    }
}

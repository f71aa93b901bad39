//! What may be configured, as data: the schema of our structs in a form that is quick to walk.
//!
//! Everything that needs all keys uses this module: the check of a file, `REALTIME__SECTION__KEY`, the
//! reference, `config show`, and the comparison on a reload. There is no second list of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::Settings;
use crate::problem::floor_char_boundary;
use crate::value_kind::ValueKind;

/// When a running server picks up a change of a key (`x-reload`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadMode {
    /// At once, for all connections.
    Live,
    /// For connections that are accepted after the change.
    Connection,
    /// A user, a password, or an address with both: for connections that the server makes after the change. Another address waits
    /// for the next start, with its user and its password.
    Credentials,
    /// At the next start.
    Restart,
}

/// One key, or the schema of every entry of a table.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its doc comment.
    pub meaning: String,
    /// The value when the key is not set.
    pub default: Value,
    pub reload: ReloadMode,
    /// The keys beside it that say where its credentials belong, if it has no address itself.
    pub address: Vec<String>,
    pub secret: bool,
    /// Whether it may be unset, so that blank text unsets it.
    pub optional: bool,
    /// Whether a higher layer replaces it as a whole, instead of adding to it.
    pub replaced: bool,
    /// Whether commas separate the items of a list in plain text. A secret may contain commas.
    pub commas: bool,
    /// What names chosen by the operator must match, if they are restricted.
    pub names: Option<ValueKind>,
    pub shape: Shape,
}

#[derive(Debug)]
pub(crate) enum Shape {
    /// Keys with fixed names.
    Section(BTreeMap<String, Key>),
    /// Keys whose names the operator chooses, such as tenant ids.
    Table(Box<Key>),
    List(Box<Key>),
    One(ValueKind),
}

/// The shape of [`Settings`].
pub(crate) fn root() -> &'static Key {
    static ROOT: LazyLock<Key> = LazyLock::new(|| {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<Settings>();
        Key::of(&schema.to_value(), ReloadMode::Live, false)
    });
    &ROOT
}

impl Key {
    /// `reload` and `secret` are inherited from the parent; items of lists and tables have no marks.
    fn of(schema: &Value, reload: ReloadMode, secret: bool) -> Self {
        let reload = match schema["x-reload"].as_str() {
            None => reload,
            Some("live") => ReloadMode::Live,
            Some("connection") => ReloadMode::Connection,
            Some("credentials") => ReloadMode::Credentials,
            Some("restart") => ReloadMode::Restart,
            Some(other) => panic!("`x-reload` {other} is unknown"),
        };
        let secret = secret || schema["x-secret"] == true;
        let inside = |schema| Self::of(schema, reload, secret);
        let shape = if let Some(keys) = schema["properties"].as_object() {
            let keys = keys.iter().map(|(name, schema)| (name.clone(), inside(schema)));
            Shape::Section(keys.collect())
        } else if schema["type"] == "object" {
            Shape::Table(Box::new(inside(&schema["additionalProperties"])))
        } else if schema["type"] == "array" {
            Shape::List(Box::new(inside(&schema["items"])))
        } else {
            Shape::One(ValueKind::of(schema))
        };
        Self {
            meaning: one_line(schema["description"].as_str().unwrap_or_default()),
            default: schema["default"].clone(),
            reload,
            address: names(&schema["x-address"]),
            secret,
            optional: schema["type"].as_array().is_some_and(|types| types.iter().any(|name| name == "null")),
            replaced: schema["x-merge"] == "replace",
            commas: !secret || schema["x-commas"] == true,
            names: schema["x-names"].as_str().map(ValueKind::name),
            shape,
        }
    }

    /// The key at `path`, if the schema has one.
    pub(crate) fn find<S: AsRef<str>>(&self, path: &[S]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match &self.shape {
            Shape::Section(keys) => keys.get(first.as_ref())?.find(rest),
            Shape::Table(item) => item.find(rest),
            Shape::List(_) | Shape::One(_) => None,
        }
    }

    /// What is expected here, as the words after «expected».
    pub(crate) fn expected(&self) -> String {
        match &self.shape {
            Shape::Section(_) => "a section with keys".into(),
            Shape::Table(_) => "a section of names that you choose".into(),
            Shape::List(item) => format!("a list, each {}", item.expected()),
            Shape::One(kind) => kind.expected(),
        }
    }

    /// What the plain text of a variable or flag means here. Lists are JSON or separated by commas; where an
    /// item may contain a comma, text that is not JSON is one item. Sections and tables are JSON.
    pub(crate) fn read(&self, text: &str) -> Value {
        let json = || serde_json::from_str(text).ok();
        match &self.shape {
            Shape::One(kind) => kind.read(text),
            Shape::Section(_) | Shape::Table(_) => json().unwrap_or_else(|| text.into()),
            Shape::List(_) if text.trim_start().starts_with('[') => json().unwrap_or_else(|| text.into()),
            Shape::List(item) if !self.commas => std::iter::once(item.read(text)).collect(),
            Shape::List(item) => {
                let items = text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
                items.map(|text| item.read(text)).collect()
            }
        }
    }

    /// What the text of a secret's file means here: of a list, each line is an item.
    pub(crate) fn read_file(&self, text: &str) -> Value {
        match &self.shape {
            Shape::List(item) if !self.commas => {
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                lines.map(|line| item.read(line)).collect()
            }
            _ => self.read(text),
        }
    }

    /// Every key that holds a value rather than further keys, with its path; those of tables under `*`.
    pub(crate) fn leaves(&self) -> Vec<(Vec<String>, &Self)> {
        let below = |name: &str, key| -> Vec<(Vec<String>, &Self)> {
            let leaves = Self::leaves(key).into_iter();
            leaves.map(|(path, key)| ([vec![name.to_owned()], path].concat(), key)).collect()
        };
        match &self.shape {
            Shape::Section(keys) => keys.iter().flat_map(|(name, key)| below(name, key)).collect(),
            Shape::Table(item) if matches!(item.shape, Shape::Section(_)) => below("*", item),
            _ => vec![(Vec::new(), self)],
        }
    }

    /// The defaults of a section, as values.
    pub(crate) fn defaults(&self) -> Value {
        match &self.shape {
            Shape::Section(keys) => {
                let values = keys.iter().map(|(name, key)| (name.clone(), key.defaults()));
                Value::Object(values.collect::<Map<_, _>>())
            }
            _ => self.default.clone(),
        }
    }
}

/// A list of names.
fn names(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A doc comment as one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The part of a name that is shown; no valid one is as long. A file may have one of a megabyte, with problems below it.
const NAME_SHOWN_MAX: usize = 300;

/// A path as it is written in TOML: `telemetry.log_modules."realtime_server::edge"`.
pub(crate) fn dotted<S: AsRef<str>>(path: &[S]) -> String {
    let bare = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte))
    };
    let names = path.iter().map(|name| {
        let name = name.as_ref();
        &name[..floor_char_boundary(name, NAME_SHOWN_MAX)]
    });
    let written = names.map(|name| if bare(name) { name.to_owned() } else { format!("{name:?}") });
    written.collect::<Vec<_>>().join(".")
}

//! What a reload changes: new settings compared with the running ones, value by value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::load::{Files, Layer};
use crate::note::Note;
use crate::problem::LoadError;
use crate::shape::{self, Key, ReloadMode, Shape, dotted};
use crate::values::Values;
use crate::{Loaded, Settings, address};

/// What a running server's settings are, and which files they came from: what a reload compares with. Contains
/// secrets and must not be printed.
#[derive(Clone)]
pub struct RunningSettings {
    values: Values,
    pub(crate) files: Files,
    pub(crate) layers: Vec<Layer>,
}

/// New settings, as far as a running server can apply them.
#[derive(Debug)]
pub struct Update {
    /// The new settings, with the running value of everything that takes a restart.
    pub settings: Settings,
    /// What the server runs on once these are applied: the next reload compares with it.
    pub running: RunningSettings,
    /// Whether any layer has changed, even without effect.
    pub edited: bool,
    /// The keys that have changed.
    pub changed: Vec<String>,
    /// The keys that will have changed after a restart.
    pub pending: Vec<String>,
    /// What was accepted without effect, as in [`Loaded::notes`].
    pub notes: Vec<Note>,
    /// Keys of files that have no effect, as in [`Loaded::overridden`].
    pub overridden: Vec<String>,
    /// What a restart would load, the values that wait for it included.
    pub after_restart: Loaded,
}

/// Without its layers, whose values may be secrets.
impl fmt::Debug for RunningSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningSettings").field("files", &self.files).finish_non_exhaustive()
    }
}

impl RunningSettings {
    pub(crate) fn default_tenant(&self) -> &str {
        let name = self.values.as_json()["server"]["default_tenant"].as_str();
        name.expect("settings that run name their default tenant")
    }
}

impl Loaded {
    /// What a server runs on that was started with these settings.
    pub fn running(&self) -> RunningSettings {
        RunningSettings {
            values: self.values.clone(),
            files: self.files.clone(),
            layers: self.accepted_layers(),
        }
    }

    /// What these settings change of those that are `running`.
    pub(crate) fn update(self, running: &RunningSettings) -> Result<Update, LoadError> {
        let overridden = self.overridden();
        let mut comparison = Comparison::default();
        let (mut settings, mut values) = (self.settings.clone(), self.values.clone());
        let root = shape::root();
        comparison.adopt(root, root.reload, running.values.as_json(), values.as_json_mut());
        let Comparison { changed, pending, .. } = comparison;
        if !pending.is_empty() {
            settings = values.settings().map_err(|problem| LoadError::of(vec![problem]))?;
            let problems = settings.check();
            if !problems.is_empty() {
                let until = format!("until a restart, {} stays as it is", pending.join(", "));
                return Err(LoadError::of(problems).help(&until));
            }
        }
        let (layers, notes) = (self.accepted_layers(), self.notes.clone());
        let edited = layers != running.layers;
        let running = RunningSettings { values, files: self.files.clone(), layers };
        Ok(Update { settings, running, edited, changed, pending, notes, overridden, after_restart: self })
    }
}

#[derive(Default)]
struct Comparison {
    path: Vec<String>,
    changed: Vec<String>,
    pending: Vec<String>,
}

impl Comparison {
    /// Records what is different in `new`, and restores the running value of what takes a restart under `mode`.
    fn adopt(&mut self, key: &Key, mode: ReloadMode, running: &Value, new: &mut Value) {
        if running == new {
            return;
        }
        let waits = mode == ReloadMode::Restart || is_other_address(key, running, new);
        match (&key.shape, running, &mut *new) {
            (Shape::Section(keys), Value::Object(running), Value::Object(new)) => {
                let modes: Vec<_> = keys.values().map(|key| mode_beside(key, keys, running, new)).collect();
                for ((name, key), mode) in keys.iter().zip(modes) {
                    self.inside(name, key, mode, running, new);
                }
            }
            (Shape::Table(item), Value::Object(running), Value::Object(new)) => {
                let names: BTreeSet<_> = running.keys().chain(new.keys()).cloned().collect();
                for name in names {
                    self.inside(&name, item, item.reload, running, new);
                }
            }
            _ if waits => {
                self.pending.push(dotted(&self.path));
                *new = running.clone();
            }
            _ => self.changed.push(dotted(&self.path)),
        }
    }

    /// Compares what stands under `name`; what is not written has its default.
    fn inside(
        &mut self,
        name: &str,
        key: &Key,
        mode: ReloadMode,
        running: &Map<String, Value>,
        new: &mut Map<String, Value>,
    ) {
        self.path.push(name.to_owned());
        let running = running.get(name).unwrap_or(&key.default);
        let written = new.remove(name);
        let absent = written.is_none();
        let mut value = written.unwrap_or_else(|| key.default.clone());
        self.adopt(key, mode, running, &mut value);
        if !value.is_null() && (!absent || value != key.default) {
            new.insert(name.to_owned(), value);
        }
        self.path.pop();
    }
}

/// When a change of a key applies. Credentials wait together with the address in the `keys` beside them: that of now does not know them.
fn mode_beside(
    key: &Key,
    keys: &BTreeMap<String, Key>,
    running: &Map<String, Value>,
    new: &Map<String, Value>,
) -> ReloadMode {
    let is_moved = key.address.iter().any(|name| {
        let default = &keys[name].default;
        running.get(name).unwrap_or(default) != new.get(name).unwrap_or(default)
    });
    if is_moved { ReloadMode::Restart } else { key.reload }
}

/// Whether these are addresses that differ in more than user and password.
fn is_other_address(key: &Key, running: &Value, new: &Value) -> bool {
    let has_address = key.reload == ReloadMode::Credentials && key.address.is_empty();
    let place = |value: &Value| value.as_str().and_then(address::without_credentials);
    has_address && (place(running).is_none() || place(running) != place(new))
}

//! What a reload changes: new settings compared with the running ones, value by value.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::problem::LoadError;
use crate::shape::{self, Key, Reload, Shape, dotted};
use crate::values::Values;
use crate::{Loaded, Settings};

/// New settings as far as a running server can take them on.
#[derive(Debug)]
pub struct Update {
    /// The new settings, with the running value of every key that takes a restart.
    pub settings: Settings,
    /// The same as values, to compare the next ones with.
    pub running: Values,
    /// The keys that have changed.
    pub changed: Vec<String>,
    /// The keys that will have changed after a restart.
    pub pending: Vec<String>,
}

impl Loaded {
    /// What these settings make of the `running` ones.
    ///
    /// # Errors
    /// If the new values do not go together with those that stay until a restart.
    pub fn update(self, running: &Values) -> Result<Update, LoadError> {
        let mut comparison = Comparison::default();
        let Loaded { mut settings, mut values, .. } = self;
        comparison.adopt(shape::root(), running.as_json(), values.as_json_mut());
        let Comparison { changed, pending, .. } = comparison;
        if !pending.is_empty() {
            settings = values.settings().map_err(|problem| LoadError { problems: vec![problem] })?;
            let problems = settings.check();
            if !problems.is_empty() {
                let until = format!("until a restart, {} stays as it is", pending.join(", "));
                let problems = problems.into_iter().map(|problem| problem.help(until.clone())).collect();
                return Err(LoadError { problems });
            }
        }
        Ok(Update { settings, running: values, changed, pending })
    }
}

#[derive(Default)]
struct Comparison {
    path: Vec<String>,
    changed: Vec<String>,
    pending: Vec<String>,
}

impl Comparison {
    /// Notes what is different in `new`, and takes back what takes a restart.
    fn adopt(&mut self, key: &Key, running: &Value, new: &mut Value) {
        if running == new {
            return;
        }
        match (&key.shape, running, &mut *new) {
            (Shape::Section(keys), Value::Object(running), Value::Object(new)) => {
                for (name, key) in keys {
                    self.inside(name, key, running, new);
                }
            }
            (Shape::Table(item), Value::Object(running), Value::Object(new)) => {
                let names: BTreeSet<_> = running.keys().chain(new.keys()).cloned().collect();
                for name in names {
                    self.inside(&name, item, running, new);
                }
            }
            _ if key.reload == Reload::Restart => {
                self.pending.push(dotted(&self.path));
                *new = running.clone();
            }
            _ => self.changed.push(dotted(&self.path)),
        }
    }

    /// Compares what stands under `name`; what is not written has its default.
    fn inside(&mut self, name: &str, key: &Key, running: &Map<String, Value>, new: &mut Map<String, Value>) {
        self.path.push(name.to_owned());
        let running = running.get(name).unwrap_or(&key.default);
        let written = new.remove(name);
        let absent = written.is_none();
        let mut value = written.unwrap_or_else(|| key.default.clone());
        self.adopt(key, running, &mut value);
        if !value.is_null() && (!absent || value != key.default) {
            new.insert(name.to_owned(), value);
        }
        self.path.pop();
    }
}

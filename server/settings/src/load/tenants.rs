//! What tenants take over, and how the default one is put together.
//!
//! `[tenants.<id>.limits]` takes over from `[limits]` what it does not say, `[tenants.<id>.history]` the whole of
//! `[broadcast.history]` if it says nothing; `[tenants.<id>.auth]` takes over nothing, because keys are no one else's business. The default tenant is `[auth]` and `[limits]`; a
//! section of its own may say the rest, limits that are for it alone, and its keys if `[auth]` is silent.

use serde_json::{Map, Value};

use super::layer::{Layer, Problems};
use super::merge::{Content, Merged};
use crate::problem::Problem;
use crate::{Settings, shape};

/// Completes `values`, which are in order as far as single keys go, where `default` is the default tenant.
pub(crate) fn complete(
    values: &mut Map<String, Value>,
    default: &str,
    layers: &[Layer],
    merged: &Merged,
    problems: &mut Problems,
) {
    one_auth(default, layers, merged, problems);
    let limits = values.get("limits").and_then(Value::as_object).cloned().unwrap_or_default();
    let history = values.get("broadcast").and_then(|broadcast| broadcast.get("history")).cloned();
    let Some(tenants) = values.get_mut("tenants").and_then(Value::as_object_mut) else { return };
    for tenant in tenants.values_mut().filter_map(Value::as_object_mut) {
        let own = tenant.entry("limits").or_insert_with(|| Value::Object(Map::new()));
        if let Some(own) = own.as_object_mut() {
            for (name, limit) in &limits {
                own.entry(name.clone()).or_insert_with(|| limit.clone());
            }
        }
        if let Some(history) = &history {
            tenant.entry("history").or_insert_with(|| history.clone());
        }
    }
    let own = tenants.get_mut(default).and_then(Value::as_object_mut);
    let said =
        own.into_iter().flat_map(|own| ["auth", "limits"].map(|section| (section, own.remove(section))));
    for (section, said) in said.collect::<Vec<_>>() {
        values.extend(said.map(|said| (section.to_owned(), said)));
    }
}

/// Which tenant is the default one, as far as it is written.
pub(crate) fn default_tenant(values: &Map<String, Value>) -> String {
    let written = values.get("server").and_then(|server| server["default_tenant"].as_str());
    written.map_or_else(|| Settings::default().server.default_tenant, str::to_owned)
}

/// The default tenant's keys are said in one place.
fn one_auth(default: &str, layers: &[Layer], merged: &Merged, problems: &mut Problems) {
    let said = |path: &[&str]| {
        let section = merged.find(path)?;
        let Content::Table(keys) = &section.content else { return None };
        let (name, key) = keys.iter().next()?;
        Some((key.layer, layers.get(key.layer)?.location(&[path, &[name]].concat())))
    };
    let own = ["tenants", default, "auth"];
    if let (Some((layer, location)), Some((_, other))) = (said(&own), said(&["auth"])) {
        let message = format!("the keys of the default tenant are set in [auth] too ({other})");
        let problem = Problem { location: Some(location), ..Problem::with(shape::dotted(&own), message) };
        problems.push(layer, problem.help("set all of them in one of the two"));
    }
}

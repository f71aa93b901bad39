//! What the Helm chart takes from the settings: the schema of its value `config`, and what its templates need to know
//! about single keys.
//!
//! Secrets are no part of `config`, which becomes a ConfigMap: the chart has them as files, named after their keys. The schema lets
//! them pass, because its error would be that of a misspelt key; the templates refuse them, and say where they belong.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::schema;
use crate::shape::{self, Key, ReloadMode, dotted};

/// Keys whose default the templates need while the operator sets none: the tenant of `helm test`, ports, and the time that a stop
/// may take.
const DEFAULTS: [&str; 5] = [
    "server.default_tenant",
    "server.port",
    "server.drain_delay",
    "server.drain_timeout",
    "server.shutdown_timeout",
];

const TEMPLATES_HEAD: &str = "\
{{- /*
Written from the structs in server/settings/src by `UPDATE=1 cargo test -p settings generated`; do not edit.
*/ -}}
";

/// The schema of the chart's values, with the definitions that its own part refers to: `Settings`, `SecretName`.
pub(super) fn values_schema(own: &str) -> serde_json::Result<String> {
    let mut values: Value = serde_json::from_str(own)?;
    values["definitions"] = definitions();
    Ok(serde_json::to_string_pretty(&values)? + "\n")
}

fn definitions() -> Value {
    let mut root = schema::value();
    adapt(&mut root);
    let Value::Object(mut root) = root else { unreachable!("the schema of a struct is an object") };
    root.remove("$schema");
    let Some(Value::Object(mut definitions)) = root.remove("$defs") else { return Value::Null };
    definitions.insert("SecretName".into(), secret_names());
    definitions.insert("Settings".into(), Value::Object(root));
    Value::Object(definitions)
}

/// Leaves out the types of secrets and the defaults of sections, and refers as draft 7 does, which every version of Helm reads.
fn adapt(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                *target = target.replace("#/$defs/", "#/definitions/");
            }
            if fields.get("default").is_some_and(Value::is_object) {
                fields.remove("default");
            }
            if let Some(Value::Object(keys)) = fields.get_mut("properties") {
                for key in keys.values_mut().filter(|key| key["x-secret"] == true) {
                    *key = json!({ "description": "A secret, which belongs to `secrets.existing`." });
                }
            }
            fields.values_mut().for_each(adapt);
        }
        Value::Array(parts) => parts.iter_mut().for_each(adapt),
        _ => {}
    }
}

/// Every key that is a secret, as the name of a file; the id of a tenant is chosen by the operator.
fn secret_names() -> Value {
    let (mut names, mut patterns) = (Vec::new(), Vec::new());
    for (path, key) in shape::root().leaves() {
        match key.secret {
            true if path.contains(&"*".to_owned()) => patterns.push(pattern(&path)),
            true => names.push(dotted(&path)),
            false => {}
        }
    }
    json!({
        "description": "The key of a setting that is a secret, such as auth.jwt_secret.",
        "anyOf": [{ "enum": names }, { "pattern": format!("^({})$", patterns.join("|")) }],
    })
}

fn pattern(path: &[String]) -> String {
    let names = path.iter().map(|name| if name == "*" { "[a-z0-9_][a-z0-9_-]*" } else { name });
    names.collect::<Vec<_>>().join("\\.")
}

/// Named templates: the keys that wait for a restart, addresses whose credentials do not, and secrets, as lists, and some
/// defaults, as a table.
pub(super) fn templates() -> String {
    let leaves = shape::root().leaves();
    let restart = leaves.iter().filter(|(_, key)| key.reload == ReloadMode::Restart);
    let restart: Vec<_> = restart.map(|(path, _)| dotted(path)).collect();
    assert!(!restart.iter().any(|key| key.contains('*')), "the templates look at keys with fixed names only");
    let addresses =
        leaves.iter().filter(|(_, key)| key.reload == ReloadMode::Credentials && key.address.is_empty());
    let addresses: Vec<_> = addresses.map(|(path, _)| dotted(path)).collect();
    let secrets = leaves.iter().filter(|(_, key)| key.secret);
    let secrets: Vec<_> = secrets.map(|(path, _)| dotted(path)).collect();
    let default = |key: &str| shape::root().find(&key.split('.').collect::<Vec<_>>()).map(Key::defaults);
    let defaults = DEFAULTS.map(|key| (key.to_owned(), default(key).expect("a key of the settings")));
    let defaults = Value::Object(defaults.into_iter().collect::<Map<_, _>>());

    let mut page = TEMPLATES_HEAD.to_owned();
    let parts = [
        ("restart", json!(restart)),
        ("addresses", json!(addresses)),
        ("secrets", json!(secrets)),
        ("defaults", defaults),
    ];
    for (name, content) in parts {
        let text = serde_json::to_string_pretty(&content).expect("a value is JSON");
        let _ = write!(page, "{{{{- define \"realtime.settings.{name}\" -}}}}\n{text}\n{{{{- end -}}}}\n");
    }
    page
}

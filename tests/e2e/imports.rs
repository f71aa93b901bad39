//! The modules of `server/src` form layers: a module imports from lower layers only, and some external
//! crates are confined to one module (server/src/lib.rs).

mod cycles;

use crate::repository::rust_sources;

/// The layers of `server/src`, from the top down. A module may use the layers below its own.
const LAYERS: [&[&str]; 8] = [
    &["main"],
    &["cli"],
    &["app", "drain", "reload", "resources"],
    &["edge"],
    &["sessions"],
    &["broadcast", "presence", "documents", "changes", "webhooks", "admin", "openapi"],
    &["node", "routes"],
    &["auth", "tenants"],
];
/// Below all layers: modules that every layer may use.
const FOUNDATION: [&str; 17] = [
    "store",
    "bus",
    "telemetry",
    "outgoing",
    "response",
    "query",
    "watch",
    "crypto",
    "pem",
    "permit",
    "token_bucket",
    "backoff",
    "new_credentials",
    "addresses",
    "version",
    "workers",
    "close_reason",
];
/// The features. They do not import each other; they meet in the hub.
const SLICES: &[&str] = LAYERS[5];

/// External crates that one module hides from the rest: the crate, and the path that may name it. TLS has two of them.
const CONFINED: [(&str, &str); 42] = [
    ("yrs", "server/src/documents/"),
    ("yrs", "server/tests/document_faults/"),
    ("yrs", "server/wire/fuzz/"),
    ("yrs", "server/wire/tests/"),
    ("hyper", "server/src/edge/"),
    ("hyper", "server/src/cli/http_client.rs"),
    ("hyper_util", "server/src/edge/"),
    ("hyper_util", "server/src/cli/http_client.rs"),
    ("tokio_rustls", "server/src/edge/"),
    ("tokio_rustls", "server/src/cli/http_client.rs"),
    ("tokio_rustls", "server/src/bus/redis/"),
    ("tokio_rustls", "server/src/tenants/database/log/"),
    ("pgwire_replication", "server/src/tenants/database/log/"),
    ("md5", "server/src/tenants/database/log/"),
    ("proxy_header", "server/src/edge/"),
    ("tungstenite", "server/src/edge/"),
    ("tungstenite", "server/src/cli/probe/"),
    ("tokio_tungstenite", "server/src/edge/"),
    ("tokio_tungstenite", "server/src/cli/probe/"),
    ("figment", "server/settings/src/load/merge.rs"),
    ("jsonwebtoken", "server/src/auth/"),
    ("reqwest", "server/src/outgoing.rs"),
    ("reqwest", "server/src/auth/jwks/"),
    ("reqwest", "server/src/telemetry/push/"),
    ("reqwest", "server/src/telemetry/traces/"),
    ("opentelemetry", "server/src/telemetry/traces/"),
    ("opentelemetry_proto", "server/src/telemetry/traces/"),
    ("opentelemetry_sdk", "server/src/telemetry/traces/"),
    ("prost", "server/src/telemetry/traces/"),
    ("tonic", "server/src/telemetry/traces/"),
    ("reqwest", "server/src/telemetry/cloudwatch/"),
    ("aws_config", "server/src/telemetry/cloudwatch/"),
    ("aws_credential_types", "server/src/telemetry/cloudwatch/"),
    ("aws_sdk_cloudwatch", "server/src/telemetry/cloudwatch/"),
    ("aws_smithy_runtime_api", "server/src/telemetry/cloudwatch/"),
    ("flate2", "server/src/telemetry/compression.rs"),
    ("notify", "server/src/watch"),
    ("redis", "server/src/bus/"),
    ("sqlx", "server/src/store/"),
    ("sqlx", "server/src/tenants/database/"),
    ("sqlx", "server/tests/tenant_schema/"),
    ("aes", "server/src/store/"),
];

/// The lines of code without comments, up to `mod tests`: unit tests may import anything.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("mod tests"));
    lines.map(|line| line.split("//").next().unwrap_or_default())
}

/// The top-level modules that a line names as `crate::module`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter_map(|(at, prefix)| {
        // `$crate::` and `some_crate::` are something else.
        let before = line[..at].chars().next_back();
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let is_module = rest[..end].starts_with(|c: char| c.is_ascii_lowercase());
        (is_module && !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$'))
            .then_some(&rest[..end])
    })
}

/// The index of a module's layer; the foundation comes after the last one.
fn layer(module: &str) -> Option<usize> {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.or_else(|| FOUNDATION.contains(&module).then_some(LAYERS.len()))
}

#[test]
fn modules_import_from_lower_layers_only() {
    let mut wrong = Vec::new();
    for (file, text) in rust_sources("server/src") {
        let inside = file.strip_prefix("server/src/").expect("below server/src");
        let module = inside.split(['/', '.']).next().unwrap_or_default();
        if module == "lib" {
            continue;
        }
        let Some(own) = layer(module) else {
            wrong.push(format!("{file}: add `{module}` to a layer in tests/e2e/imports.rs"));
            continue;
        };
        for import in code(&text).flat_map(imports).filter(|import| *import != module) {
            let below = layer(import).is_some_and(|other| other > own);
            // Modules of one layer may import each other, slices excepted.
            let beside = layer(import) == Some(own) && !SLICES.contains(&module);
            if !below && !beside {
                wrong.push(format!("{file}: `{module}` must not use `crate::{import}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Whether a line has a path into the crate; the name alone may be a word of a text, or an address such
/// as `redis://`.
fn names(line: &str, krate: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(krate).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        !before.ends_with(of_word) && rest[krate.len()..].starts_with("::")
    })
}

#[test]
fn some_crates_are_confined_to_one_module() {
    let mut wrong = Vec::new();
    for (file, text) in rust_sources("server") {
        let lines: Vec<&str> = code(&text).collect();
        for (krate, module) in CONFINED {
            let modules = CONFINED.iter().filter(|(other, _)| *other == krate);
            let is_within = modules.into_iter().any(|(_, module)| file.starts_with(module));
            // The examples measure the code of `edge`, and so use its crates.
            let allowed = is_within || file.starts_with("server/examples/");
            if !allowed && lines.iter().any(|line| names(line, krate)) {
                wrong.push(format!("{file} uses `{krate}`, which is confined to {module}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_a_header() {
    let files = rust_sources("server").into_iter().chain(rust_sources("tests"));
    let without: Vec<_> = files.filter(|(_, text)| !text.starts_with("//!")).map(|(file, _)| file).collect();
    assert!(without.is_empty(), "without a header: {without:?}");
}

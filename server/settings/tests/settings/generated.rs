//! The files in `config/`, and those of the Helm chart, say what the structs say.
//!
//! `UPDATE=1 cargo test -p settings generated` writes them anew.

use settings::{LogFormat, Sources, Starter};

use crate::{Folder, repository};

fn is_fresh(name: &str, expected: &str) {
    is_fresh_in("config", name, expected);
}

fn is_fresh_in(folder: &str, name: &str, expected: &str) {
    let path = repository(folder).join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, expected).expect("the repository is writable");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{folder}/{name} is stale: write it anew with\n\n    UPDATE=1 cargo test -p settings generated\n"
    );
}

#[test]
fn the_generated_reference_is_fresh() {
    is_fresh("reference.md", &settings::reference());
}

#[test]
fn the_generated_schema_is_fresh() {
    is_fresh("schema.json", &settings::schema());
}

#[test]
fn the_generated_parts_of_the_chart_are_fresh() {
    let chart = "helm/realtime-server";
    let own = std::fs::read_to_string(repository(chart).join("values.schema.json"))
        .expect("the chart has a schema");
    is_fresh_in(chart, "values.schema.json", &settings::chart_schema(&own).expect("the schema is JSON"));
    is_fresh_in(chart, "templates/_settings.tpl", &settings::chart_templates());
}

#[test]
fn the_generated_starters_are_fresh() {
    is_fresh("development.toml", &Starter::Development.text());
    is_fresh("production.toml", &Starter::Production.text());
}

#[test]
fn the_generated_starters_are_good() {
    let load = |starter: Starter| {
        let folder = Folder::with(&[("config.toml", &starter.text())]);
        folder.sources(&[]).load().unwrap_or_else(|error| panic!("{starter:?}: {error}")).settings
    };
    assert!(load(Starter::Development).server.host.is_loopback());
    assert_eq!(load(Starter::Production).telemetry.log_format, LogFormat::Json);
}

#[test]
fn what_a_generated_starter_suggests_is_good_too() {
    let suggestion = |line: &str| {
        let line = line.strip_prefix("# ")?;
        let key = line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        key.then(|| line.to_owned())
    };
    let text = Starter::Production.text();
    let lines = text.lines().map(|line| suggestion(line).unwrap_or_else(|| line.to_owned()));
    let folder = Folder::with(&[("config.toml", &lines.collect::<Vec<_>>().join("\n"))]);
    let sources = Sources::new(Some(&folder.path("config.toml")), []);
    let settings = sources.load().unwrap_or_else(|error| panic!("{error}")).settings;
    assert_eq!(settings.tenants["acme"].limits.max_concurrent_users.map(|n| n.get()), Some(500));
    assert!(settings.auth.jwks_url.is_some() && settings.server.tls.cert_file.is_some());
}

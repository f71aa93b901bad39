//! The files and addresses that the settings name, loaded as the server uses them.
//!
//! One function decides whether they can be used: `serve` runs on its result, a reload calls it before it accepts values that
//! wait for a restart, and `config check` reports its errors.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use secrecy::ExposeSecret;
use settings::file_access::Persistence;
use settings::{LoadError, Loaded, Location, Problem, Settings};

use crate::bus::Redis;
use crate::edge::acceptor::Acceptor;
use crate::node::bus_queue_bounds;
use crate::telemetry::{metric_choices, traces};
use crate::tenants::check_address;

/// What a server needs beside its settings.
pub struct Resources {
    /// Certificates, and the networks of load balancers that send PROXY headers.
    pub acceptor: Acceptor,
    /// The connection to the other nodes, not opened yet.
    pub bus: Option<Redis>,
    /// The files that were read, each with the setting that names it.
    pub files: Vec<(&'static str, PathBuf)>,
    /// What can be used but is probably a mistake, a sentence each.
    pub warnings: Vec<String>,
}

/// The beginnings of the keys that name files and addresses.
const KEY_PREFIXES: [&str; 4] = ["server.tls", "server.proxy_protocol_from", "bus.", TRACES];

const TRACES: &str = "telemetry.traces.";

/// Turns on what not every program has.
const CLOUDWATCH_ENABLED: &str = "telemetry.cloudwatch.enabled";

const CLOUDWATCH_METRICS: &str = "telemetry.cloudwatch.metrics";

impl Resources {
    /// Whether this setting decides which files and addresses are loaded.
    pub fn are_named_by(key: &str) -> bool {
        KEY_PREFIXES.iter().any(|start| key.starts_with(start))
    }

    /// Loads those that `loaded` names.
    ///
    /// # Errors
    /// Everything that cannot be used, with the location that names it.
    pub fn of(loaded: &Loaded) -> Result<Self, LoadError> {
        Self::load(&loaded.settings, |key| loaded.location(key))
    }

    /// Loads those that `settings` name; `location` returns where a key is written.
    ///
    /// # Errors
    /// Everything that cannot be used.
    pub fn load(settings: &Settings, location: impl Fn(&str) -> Option<Location>) -> Result<Self, LoadError> {
        let mut problems = Vec::new();
        let mut report = |key: &str, error| problems.push(problem(location(key), &error));
        let acceptor = Acceptor::of(&settings.server).map_err(|error| report(error.key(), error.into()));
        let bus = Redis::new(&settings.bus, bus_queue_bounds(settings));
        let bus = bus.map_err(|error| report(error.key(), error.into()));
        let databases = check_databases(settings, &mut report);
        let traces = traces::check(&settings.telemetry.traces).map_err(|(key, error)| {
            let key = format!("{TRACES}{key}");
            report(&key, error.context(format!("`{key}`")));
        });
        let exporters = check_cloudwatch(settings).map_err(|(key, error)| report(key, error));
        match (acceptor, bus, databases, traces, exporters) {
            (Ok(acceptor), Ok(bus), Ok(()), Ok(()), Ok(())) => {
                let (files, warnings) = (files(settings, &acceptor), warnings(settings, &acceptor));
                Ok(Self { acceptor, bus, files, warnings })
            }
            _ => Err(LoadError::of(problems)),
        }
    }
}

/// Checks the databases that the tenants of `loaded` name, which a reload applies at once.
///
/// # Errors
/// Everything that cannot be used, with the location that names it.
pub fn check_tenant_databases(loaded: &Loaded) -> Result<(), LoadError> {
    let mut problems = Vec::new();
    let mut report = |key: &str, error| problems.push(problem(loaded.location(key), &error));
    check_databases(&loaded.settings, &mut report).map_err(|()| LoadError::of(problems))
}

/// Checks the addresses of the store and of the bus in `settings`, whose credentials a reload applies at once. `loaded` has their
/// locations.
///
/// # Errors
/// Everything that cannot be used.
pub fn check_credentials(settings: &Settings, loaded: &Loaded) -> Result<(), LoadError> {
    let mut problems = Vec::new();
    if let Err(error) = Redis::new(&settings.bus, bus_queue_bounds(settings)) {
        problems.push(problem(loaded.location(error.key()), &error.into()));
    }
    if let Some(Err((key, error))) = settings.shared_database().map(|address| check_address(&address)) {
        let key = format!("store.{key}");
        problems.push(problem(loaded.location(&key), &error.context(format!("`{key}`"))));
    }
    if problems.is_empty() { Ok(()) } else { Err(LoadError::of(problems)) }
}

/// Checks what `loaded` says of metrics that are sent elsewhere, which a reload applies at once.
///
/// # Errors
/// What this program was built without, or does not have.
pub fn check_exporters(loaded: &Loaded) -> Result<(), LoadError> {
    check_cloudwatch(&loaded.settings)
        .map_err(|(key, error)| LoadError::of(vec![problem(loaded.location(key), &error)]))
}

fn check_cloudwatch(settings: &Settings) -> Result<(), (&'static str, anyhow::Error)> {
    check_built_in(settings).map_err(|error| (CLOUDWATCH_ENABLED, error))?;
    let metrics = metric_choices::check(settings);
    metrics.map_err(|wrong| (CLOUDWATCH_METRICS, anyhow::anyhow!("`{CLOUDWATCH_METRICS}`: {wrong}")))
}

#[cfg(feature = "cloudwatch")]
#[expect(clippy::unnecessary_wraps, reason = "without CloudWatch it may fail")]
fn check_built_in(_settings: &Settings) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(not(feature = "cloudwatch"))]
fn check_built_in(settings: &Settings) -> anyhow::Result<()> {
    anyhow::ensure!(
        !settings.telemetry.cloudwatch.enabled,
        "`{CLOUDWATCH_ENABLED}` is true, and this program was built without CloudWatch: build it with the feature `cloudwatch`, as \
         `cargo build --release` does"
    );
    Ok(())
}

fn check_databases(settings: &Settings, report: &mut impl FnMut(&str, anyhow::Error)) -> Result<(), ()> {
    let mut checked = Ok(());
    for (id, tenant) in &settings.tenants {
        let check = tenant.database_address().map_or(Ok(()), |address| check_address(&address));
        if let Err((key, error)) = check {
            let key = format!("tenants.{id}.database.{key}");
            report(&key, error.context(format!("`{key}`")));
            checked = Err(());
        }
    }
    checked
}

fn problem(location: Option<Location>, error: &anyhow::Error) -> Problem {
    Problem {
        location,
        // The message names the key, and perhaps a second one.
        key: String::new(),
        message: format!("{error:#}").into(),
        help: None,
        persistence: persistence(error),
    }
}

/// Whether it helps to load again: if a file could not be read for a reason that passes.
fn persistence(error: &anyhow::Error) -> Persistence {
    let io_error = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io_error.map(Persistence::of).unwrap_or_default()
}

fn files(settings: &Settings, acceptor: &Acceptor) -> Vec<(&'static str, PathBuf)> {
    let certificates = acceptor.certificates();
    let tls = certificates.iter().flat_map(|certificates| certificates.files());
    let tls = tls.map(|(key, file)| (key, file.to_owned()));
    let ca = settings.bus.tls_ca_file.clone().filter(|_| bus_is_encrypted(settings));
    let traces = &settings.telemetry.traces;
    let of_collector = traces.certificate_file.clone().filter(|_| traces.is_on());
    tls.chain(ca.map(|file| ("bus.tls_ca_file", file)))
        .chain(of_collector.map(|file| ("telemetry.traces.certificate_file", file)))
        .collect()
}

fn warnings(settings: &Settings, acceptor: &Acceptor) -> Vec<String> {
    let mut warnings: Vec<_> = acceptor
        .certificates()
        .map(|certificates| certificates.expiry_warnings(SystemTime::now()))
        .unwrap_or_default();
    if settings.bus.tls_ca_file.is_some() && !bus_is_encrypted(settings) {
        warnings.push(
            "`bus.tls_ca_file` has no effect, because `bus.redis_url` does not begin with rediss://".into(),
        );
    }
    warnings
}

fn bus_is_encrypted(settings: &Settings) -> bool {
    settings.bus.redis_url.as_ref().is_some_and(|url| url.expose_secret().starts_with("rediss://"))
}

#[cfg(all(test, not(feature = "cloudwatch")))]
mod tests {
    use super::*;

    #[test]
    fn without_cloudwatch_it_cannot_be_turned_on() {
        let mut settings = Settings::default();
        assert!(check_cloudwatch(&settings).is_ok());
        settings.telemetry.cloudwatch.enabled = true;
        let (key, error) = check_cloudwatch(&settings).expect_err("it was built without");
        assert_eq!(key, CLOUDWATCH_ENABLED);
        assert!(error.to_string().contains("built without CloudWatch"), "{error}");
    }
}

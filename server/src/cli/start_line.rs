//! The line that the log begins with once clients can connect: version, settings files, and what is off. An operator looks
//! at it first, and a bug report should contain it.

use std::path::PathBuf;

use secrecy::ExposeSecret;
use settings::{Loaded, Settings};
use tracing::info;

use crate::app::Server;
use crate::node::MemoryLimit;
use crate::reload::names;
use crate::resources::Resources;
use crate::version::{COMMIT, VERSION};

/// The files that settings and their resources were read from.
pub(super) fn files(loaded: &Loaded, resources: &Resources) -> Vec<String> {
    let named = resources.files.iter().map(|(_key, file)| file.clone());
    let files = loaded.files().into_iter().chain(named);
    files.map(|file: PathBuf| file.display().to_string()).collect()
}

/// Writes the line.
pub(super) fn write(settings: &Settings, files: &[String], server: &Server) {
    let bus = settings.bus.redis_url.as_ref();
    // Without the password in it.
    let bus =
        bus.map(|url| settings::redacted_address(url.expose_secret()).unwrap_or_else(|| "Redis".into()));
    let tenants = server.node().tenants.all();
    let databases = tenants.iter().filter(|tenant| tenant.policy().database().is_some()).count();
    info!(
        address = %server.address(),
        internal = server.internal_address().map(tracing::field::display),
        version = VERSION,
        commit = COMMIT,
        files = if files.is_empty() { "none".into() } else { names(files) },
        bus = bus.as_deref().unwrap_or("none"),
        public_url = settings.server.public_url.as_deref().unwrap_or("none"),
        region = settings.regions.name.as_deref(),
        tenants = tenants.len(),
        databases,
        tls = settings.server.tls.cert_file.is_some(),
        memory_budget = %MemoryLimit::of(&settings.server),
        off = names(&off(settings)),
        "Listening"
    );
}

/// What is off, each with the setting that turns it on.
fn off(settings: &Settings) -> Vec<String> {
    let (server, admin) = (&settings.server, &settings.admin);
    let operators = admin.jwt_secret.is_some() || !admin.jwt_secrets.is_empty();
    let off = [
        ("TLS", "server.tls", server.tls.cert_file.is_some()),
        ("other nodes", "bus.redis_url", settings.bus.redis_url.is_some()),
        ("administration", "admin.jwt_secret", operators),
        ("tokens for /metrics", "admin.metrics_jwt_secret", admin.metrics_jwt_secret.is_some()),
        ("PROXY protocol", "server.proxy_protocol_from", !server.proxy_protocol_from.is_empty()),
    ];
    off.into_iter().filter(|(.., on)| !on).map(|(what, key, _)| format!("{what} ({key})")).collect()
}

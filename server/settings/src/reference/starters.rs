//! The files people copy: some keys, each with its doc comment, as they come from the structs.

use std::fmt::Write as _;

use super::wrap::wrap;
use crate::load::literal;
use crate::shape;

/// A file to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starter {
    /// For trying things out on one's own machine.
    Development,
    /// For production.
    Production,
}

/// How a key stands in a starter.
enum Entry {
    /// Written, because most will want it so.
    Set(&'static str),
    /// As a comment, with its default.
    Default,
    /// As a comment, with a value that only shows the form.
    Example(&'static str),
}

use Entry::{Default, Example, Set};

/// Lines of comments are broken here, `# ` aside.
const WIDTH: usize = 98;

const DEVELOPMENT_HEAD: &str = "\
#:schema ./schema.json
# Realtime Server on your own machine.
#
#     realtime-server serve --dev --config config/development.toml
#
# `--dev` keeps a secret of its own in the data folder, so none stands here. What is not written has its
# default; every key is explained in reference.md. Edit the file while the server runs, and it follows.
#
# Editors with a language server for TOML (Even Better TOML, Taplo) complete and check it by the first line, which
# names schema.json beside this file. Where that is missing: realtime-server config schema > schema.json
";

const DEVELOPMENT: &[(&str, Entry)] = &[
    ("server.host", Set("\"127.0.0.1\"")),
    ("server.port", Set("8080")),
    ("server.data_dir", Set("\"data\"")),
    ("telemetry.log_level", Set("\"debug\"")),
    ("telemetry.log_format", Set("\"text\"")),
];

const PRODUCTION_HEAD: &str = "\
#:schema ./schema.json
# Realtime Server in production. Copy it to /etc/realtime/config.toml, or name it with --config, and try it:
#
#     realtime-server config check config.toml
#
# Secrets do not belong here but in variables, or in files that variables name:
#
#     JWT_SECRET_FILE=/run/secrets/jwt            signs your users' tokens: openssl rand -base64 48
#     API_JWT_SECRET_FILE=/run/secrets/operators  signs operators' tokens, for tenants, /status and /admin/…
#     METRICS_JWT_SECRET_FILE=/run/secrets/metrics  unset, /metrics needs no token
#     REDIS_URL=redis://redis:6379                several nodes
#     DATABASE_URL_FILE=/run/secrets/database-url  tenants that several nodes share, in PostgreSQL, with
#     DB_ENC_KEY_GCM_FILE=/run/secrets/encryption-key  which encrypts their secrets: openssl rand -base64 24
#     REALTIME__TENANTS__ACME__DATABASE__URL_FILE=/run/secrets/acme-database  private rooms, broadcasts and changes
#                                                 of tables of a tenant, in a PostgreSQL of its own
#
# Keys that are not set have their default; every key is explained in reference.md. A running server follows each
# edit of this file and of files that hold secrets, or reports what is wrong in one and keeps what it had.
#
# Editors with a language server for TOML (Even Better TOML, Taplo) complete and check it by the first line, which
# names schema.json beside this file. Where that is missing: realtime-server config schema > schema.json
";

const PRODUCTION: &[(&str, Entry)] = &[
    ("server.host", Set("\"0.0.0.0\"")),
    ("server.port", Set("8080")),
    ("server.public_url", Example("\"wss://realtime.example.com\"")),
    ("server.max_connections", Set("16384")),
    ("server.max_connections_per_address", Example("100")),
    ("server.proxy_protocol_from", Example("[\"10.0.0.0/8\"]")),
    ("server.memory_budget", Example("\"1 GiB\"")),
    ("server.data_dir", Set("\"/var/lib/realtime\"")),
    ("server.drain_delay", Default),
    ("server.drain_timeout", Default),
    ("server.shutdown_timeout", Default),
    ("server.tls.cert_file", Example("\"/etc/realtime/tls/tls.crt\"")),
    ("server.tls.key_file", Example("\"/etc/realtime/tls/tls.key\"")),
    ("server.internal.port", Example("9090")),
    ("auth.jwt_issuer", Example("\"https://auth.example.com\"")),
    ("auth.jwt_audience", Example("\"authenticated\"")),
    ("auth.jwks_url", Example("\"https://auth.example.com/.well-known/jwks.json\"")),
    ("auth.leeway", Set("\"5s\"")),
    ("limits.max_concurrent_users", Example("10000")),
    ("limits.max_channels_per_client", Set("100")),
    ("limits.max_joins_per_second", Set("2500")),
    ("limits.max_events_per_second", Set("10000")),
    ("limits.max_payload_size_in_kb", Set("3000")),
    ("database.max_connections", Default),
    ("database.query_timeout", Default),
    ("database.recheck_interval", Example("\"5m\"")),
    ("database.slot_suffix", Example("\"blue\"")),
    ("database.publication", Default),
    ("database.retention", Default),
    ("changes.max_record_bytes", Default),
    ("changes.database_wait", Default),
    ("changes.slow_query_pause", Default),
    ("regions.name", Example("\"eu-west-2\"")),
    ("telemetry.log_level", Set("\"info\"")),
    ("telemetry.log_format", Set("\"json\"")),
    ("tenants.acme.suspended", Default),
    ("tenants.acme.private_only", Default),
    ("tenants.acme.auth.jwt_issuer", Example("\"https://auth.acme.example\"")),
    ("tenants.acme.limits.max_concurrent_users", Example("500")),
    ("tenants.acme.database.tls_mode", Example("\"verify\"")),
    ("tenants.acme.database.tls_ca_file", Example("\"/etc/realtime/tls/acme-database.pem\"")),
    ("tenants.acme.database.max_connections", Example("10")),
];

impl Starter {
    /// Its text.
    pub fn text(self) -> String {
        let (head, entries) = match self {
            Self::Development => (DEVELOPMENT_HEAD, DEVELOPMENT),
            Self::Production => (PRODUCTION_HEAD, PRODUCTION),
        };
        let mut text = head.to_owned();
        let mut open = "";
        for (key, entry) in entries {
            let (section, name) = key.rsplit_once('.').expect("a key has a section");
            if section != open {
                let all =
                    entries.iter().filter(|(key, _)| key.rsplit_once('.').is_some_and(|(s, _)| s == section));
                let silent = all.clone().all(|(_, entry)| !matches!(entry, Set(_)));
                let _ = write!(text, "\n{}[{section}]\n", if silent { "# " } else { "" });
                open = section;
            } else {
                text.push('\n');
            }
            write_key(&mut text, key, name, entry);
        }
        text
    }
}

fn write_key(text: &mut String, path: &str, name: &str, entry: &Entry) {
    let names: Vec<_> = path.split('.').collect();
    let key = shape::root().find(&names).expect("a starter names keys that exist");
    for line in wrap(&key.meaning, WIDTH) {
        let _ = writeln!(text, "# {line}");
    }
    let _ = match entry {
        Set(value) => writeln!(text, "{name} = {value}"),
        Default => writeln!(text, "# {name} = {}", literal(&key.default)),
        Example(value) => writeln!(text, "# {name} = {value}"),
    };
}

//! `[store]`: where the server keeps what it remembers.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::note::Note;
use crate::{Settings, marks, units};

/// Where the server keeps what it remembers: tenants that are created over HTTP. Without a database that is an SQLite file
/// in `server.data_dir`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// PostgreSQL (14 or later) that nodes share: `postgres://user:password@host:5432/database`. It takes precedence over
    /// `host` and the keys that belong to it.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "credentials", "x-secret" = true, "x-kind" = "url", "x-schemes" = ["postgres://", "postgresql://"]))]
    pub url: Option<SecretString>,

    /// Host name or address of PostgreSQL, instead of `url`.
    #[schemars(extend("x-reload" = "restart"))]
    pub host: Option<String>,

    /// Its port.
    #[schemars(extend("x-reload" = "restart"))]
    pub port: u16,

    /// The user; it needs to be the owner of the schema `_realtime`, or to have permission to create it.
    #[schemars(extend("x-reload" = "credentials", "x-address" = ["url", "host", "port", "database"]))]
    pub user: String,

    /// The password of the user.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "credentials", "x-address" = ["url", "host", "port", "database"], "x-secret" = true))]
    pub password: Option<SecretString>,

    /// The name of the database.
    #[schemars(extend("x-reload" = "restart"))]
    pub database: String,

    /// Whether connections use TLS.
    #[schemars(extend("x-reload" = "restart"))]
    pub tls_mode: StoreTls,

    /// CA certificates (PEM) that verify the certificate of the database, instead of those that the system trusts.
    #[schemars(extend("x-reload" = "restart"))]
    pub tls_ca_file: Option<PathBuf>,

    /// SQL that is run on each new connection.
    #[schemars(extend("x-reload" = "restart"))]
    pub after_connect_query: Option<String>,

    /// Maximum of connections to the database.
    #[schemars(extend("x-reload" = "restart"))]
    pub max_connections: NonZeroU32,

    /// How long the store may take to answer, the wait for a connection included. A store that takes longer counts as one
    /// that cannot be reached.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "1ms"))]
    pub timeout: Duration,

    /// How long a request waits for a connection.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "1ms"))]
    pub acquire_timeout: Duration,

    /// Key of exactly 32 bytes with which secrets of tenants are encrypted (AES-256-GCM). Unset: with SQLite, one is
    /// generated and kept in `server.data_dir`; with PostgreSQL, secrets are refused
    /// unless `legacy_encryption_key` is set. For example the output of `openssl rand -base64 24`.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true))]
    pub encryption_key: Option<SecretString>,

    /// Key of exactly 32 bytes with which secrets were encrypted before `encryption_key` was set: they can still be read.
    /// `realtime-server store rekey` encrypts them with `encryption_key`; then this is no longer needed.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true))]
    pub previous_encryption_key: Option<SecretString>,

    /// Key of exactly 16 bytes with which Supabase Realtime has encrypted secrets (AES-128-ECB), to read them. New
    /// ones are written with it if there is no `encryption_key`, or if `encrypt_with` says so.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true))]
    pub legacy_encryption_key: Option<SecretString>,

    /// In which form secrets are written if both keys are set. `legacy` is weak; it is for databases that are to be given back
    /// to a Supabase Realtime which reads no other.
    #[schemars(extend("x-reload" = "restart"))]
    pub encrypt_with: WrittenForm,

    /// When the tables are brought up to what this version needs.
    #[schemars(extend("x-reload" = "restart"))]
    pub migrate: Migrate,

    /// Within which time a tenant that was changed elsewhere is noticed at the latest, if the message about it was lost.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "restart", "x-min" = "100ms"))]
    pub refresh: Duration,
}

/// Whether connections to a database use TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreTls {
    /// As `sslmode` in the URL says. If it says nothing: verified if `tls_ca_file` is set, else if the database offers it,
    /// not verified.
    #[default]
    Auto,
    /// They do not.
    Off,
    /// They do; the certificate is verified if `tls_ca_file` is set.
    Require,
    /// They do, and the certificate and the host name are verified.
    Verify,
}

/// The form of new secrets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WrittenForm {
    /// AES-256-GCM.
    #[default]
    Current,
    /// AES-128-ECB.
    Legacy,
}

/// When tables are migrated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Migrate {
    /// Whenever the server starts; several nodes take turns.
    #[default]
    OnStart,
    /// Only by `realtime-server migrate`.
    Never,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: 5432,
            user: "supabase_admin".into(),
            password: None,
            database: "postgres".into(),
            tls_mode: StoreTls::Auto,
            tls_ca_file: None,
            after_connect_query: None,
            max_connections: NonZeroU32::new(5).expect("not zero"),
            timeout: Duration::from_secs(10),
            acquire_timeout: Duration::from_secs(5),
            encryption_key: None,
            previous_encryption_key: None,
            legacy_encryption_key: None,
            encrypt_with: WrittenForm::Current,
            migrate: Migrate::OnStart,
            refresh: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Nodes that exchange messages and do not share what they remember.
    pub(crate) fn store_remark(&self) -> Option<Note> {
        let is_split = self.bus.redis_url.is_some() && !self.store.is_shared();
        is_split.then(|| {
            Note::warning(
                "`bus.redis_url` joins nodes, and each has a store of its own: tenants cannot be changed over HTTP. Set \
                 DATABASE_URL (`store.url`) on all nodes",
            )
        })
    }
}

impl Store {
    /// Whether it is a database that nodes share, and not the embedded file.
    pub fn is_shared(&self) -> bool {
        self.url.is_some() || self.host.is_some()
    }
}

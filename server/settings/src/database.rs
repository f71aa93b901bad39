//! `[database]`: how the databases of tenants are used. `[tenants.<id>.database]` says which one a tenant has, and what is
//! different there.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::store::{Migrate, StoreTls};
use crate::{marks, units};

/// The longest `slot_suffix`: PostgreSQL's names have 63 bytes, of which the beginning of the name of a slot takes 44.
pub const SLOT_SUFFIX_BYTES_MAX: usize = 19;

/// How the PostgreSQL databases of tenants are used: for private rooms, broadcasts from the database, and replay. Which one a
/// tenant has is in `[tenants.<id>.database]`; the default tenant uses that of `[store]` if it names none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Maximum of connections that each node has to the database of a tenant, beside those for migrations and for its
    /// write-ahead log.
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections: NonZeroU32,

    /// How long a question of a client waits for one of them. After that it is refused with `IncreaseConnectionPool`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub acquire_timeout: Duration,

    /// How long the database may take to accept a connection.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub connect_timeout: Duration,

    /// How long the database may take to answer a question, such as what its policies allow (`statement_timeout`).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub query_timeout: Duration,

    /// How long connections are kept while no client of the tenant is connected to the node.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1s"))]
    pub idle_timeout: Duration,

    /// Within which time members of a private room lose rights that the policies no longer give them. Unset: at the next
    /// token refresh.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<marks::DurationText>", extend("x-reload" = "live", "x-min" = "1s"))]
    pub recheck_interval: Option<Duration>,

    /// The publication with the tables whose changes clients may subscribe to.
    #[schemars(extend("x-reload" = "live"))]
    pub publication: String,

    /// The end of the names of replication slots. Clusters that use the same database need different ones.
    #[schemars(extend("x-reload" = "live", "x-kind" = "slot-suffix"))]
    pub slot_suffix: String,

    /// When the schema `realtime` is made in the database.
    #[schemars(extend("x-reload" = "live"))]
    pub migrate: Migrate,

    /// How long broadcasts from the database are kept there, for replay, in whole days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1day"))]
    pub retention: Duration,

    /// Whether broadcasts that are older than `retention` are deleted. Their partitions are made in any case.
    #[schemars(extend("x-reload" = "live"))]
    pub delete_old: bool,

    /// How long after the first use of a database old broadcasts are deleted there for the first time.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub delete_delay: Duration,

    /// Whether up to an hour is added to `partition_interval`, so that nodes take turns.
    #[schemars(extend("x-reload" = "live"))]
    pub randomize_interval: bool,

    /// How often partitions are made and old ones deleted.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1s"))]
    pub partition_interval: Duration,
}

/// The PostgreSQL database of a tenant.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantDatabase {
    /// Where it is: `postgres://user:password@host:5432/database`.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true, "x-kind" = "url", "x-schemes" = ["postgres://", "postgresql://"]))]
    pub url: Option<SecretString>,

    /// Whether the default tenant uses the database of `[store]` if it has no `url`. Without effect for other tenants.
    #[schemars(extend("x-reload" = "live"))]
    pub from_store: bool,

    /// Whether connections use TLS.
    #[schemars(extend("x-reload" = "live"))]
    pub tls_mode: StoreTls,

    /// CA certificates (PEM) that verify the certificate of the database, instead of those that the system trusts.
    #[schemars(extend("x-reload" = "live"))]
    pub tls_ca_file: Option<PathBuf>,

    /// As in `[database]`, for this tenant.
    #[schemars(extend("x-reload" = "live"))]
    pub max_connections: Option<NonZeroU32>,

    /// As in `[database]`, for this tenant.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<marks::DurationText>", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub acquire_timeout: Option<Duration>,

    /// As in `[database]`, for this tenant.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<marks::DurationText>", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub query_timeout: Option<Duration>,

    /// As in `[database]`, for this tenant.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<marks::DurationText>", extend("x-reload" = "live", "x-min" = "1s"))]
    pub recheck_interval: Option<Duration>,

    /// As in `[database]`, for this tenant.
    #[schemars(extend("x-reload" = "live"))]
    pub publication: Option<String>,

    /// As in `[database]`, for this tenant.
    #[schemars(extend("x-reload" = "live", "x-kind" = "slot-suffix"))]
    pub slot_suffix: Option<String>,

    /// As in `[database]`, for this tenant.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<marks::DurationText>", extend("x-reload" = "live", "x-min" = "1day"))]
    pub retention: Option<Duration>,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            max_connections: NonZeroU32::new(5).expect("not zero"),
            acquire_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            query_timeout: Duration::from_secs(4),
            idle_timeout: Duration::from_secs(12 * 60),
            recheck_interval: None,
            publication: "supabase_realtime".into(),
            slot_suffix: String::new(),
            migrate: Migrate::OnStart,
            retention: Duration::from_secs(72 * 3600),
            delete_old: true,
            delete_delay: Duration::from_secs(600),
            randomize_interval: true,
            partition_interval: Duration::from_secs(4 * 3600),
        }
    }
}

impl Default for TenantDatabase {
    fn default() -> Self {
        Self {
            url: None,
            from_store: true,
            tls_mode: StoreTls::Auto,
            tls_ca_file: None,
            max_connections: None,
            acquire_timeout: None,
            query_timeout: None,
            recheck_interval: None,
            publication: None,
            slot_suffix: None,
            retention: None,
        }
    }
}

/// Whether nothing has changed. Not in constant time: both sides are the operator's own.
impl PartialEq for TenantDatabase {
    fn eq(&self, other: &Self) -> bool {
        // Field by field, so that a new one is not forgotten here.
        let Self {
            url,
            from_store,
            tls_mode,
            tls_ca_file,
            max_connections,
            acquire_timeout,
            query_timeout,
            recheck_interval,
            publication,
            slot_suffix,
            retention,
        } = self;
        url.as_ref().map(ExposeSecret::expose_secret) == other.url.as_ref().map(ExposeSecret::expose_secret)
            && (*from_store, *tls_mode) == (other.from_store, other.tls_mode)
            && *tls_ca_file == other.tls_ca_file
            && *max_connections == other.max_connections
            && *acquire_timeout == other.acquire_timeout
            && *query_timeout == other.query_timeout
            && *recheck_interval == other.recheck_interval
            && *publication == other.publication
            && *slot_suffix == other.slot_suffix
            && *retention == other.retention
    }
}

impl Database {
    /// With what is different for a tenant.
    #[must_use]
    pub fn with(&self, tenant: &TenantDatabase) -> Self {
        let defaults = self.clone();
        Self {
            max_connections: tenant.max_connections.unwrap_or(defaults.max_connections),
            acquire_timeout: tenant.acquire_timeout.unwrap_or(defaults.acquire_timeout),
            query_timeout: tenant.query_timeout.unwrap_or(defaults.query_timeout),
            recheck_interval: tenant.recheck_interval.or(defaults.recheck_interval),
            publication: tenant.publication.clone().unwrap_or(defaults.publication),
            slot_suffix: tenant.slot_suffix.clone().unwrap_or(defaults.slot_suffix),
            retention: tenant.retention.unwrap_or(defaults.retention),
            ..defaults
        }
    }
}

//! A tenant as it is stored: the columns of upstream's `_realtime.tenants` and `_realtime.extensions`
//! (docs/protocol/postgres.md#the-_realtime-control-plane).

use serde::Deserialize;
use serde_json::Value;
use sqlx::FromRow;

/// Which version of a row this is. Any write changes it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Revision(pub(super) String);

#[cfg(test)]
impl From<&str> for Revision {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// A row of `tenants` with its extensions. Numbers have the type of their column; what they may be is checked above.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct StoredTenant {
    /// Identifies the row, and nothing else: a UUID.
    pub id: String,
    /// The name that requests use.
    pub external_id: String,
    /// The name that people read.
    pub name: Option<String>,
    /// The secret that signs tokens of its users, encrypted.
    pub jwt_secret: Option<String>,
    /// A JSON Web Key Set.
    #[sqlx(json(nullable))]
    pub jwt_jwks: Option<Value>,
    /// The kind of extension that reads changes of its database.
    pub postgres_cdc_default: Option<String>,
    /// Concurrent clients.
    pub max_concurrent_users: i32,
    /// Messages a second.
    pub max_events_per_second: i32,
    /// Presence calls a second.
    pub max_presence_events_per_second: Option<i32>,
    /// Kilobytes of 1000 bytes.
    pub max_payload_size_in_kb: Option<i32>,
    /// Kept for upstream, and enforced nowhere.
    pub max_bytes_per_second: i32,
    /// Rooms of one client.
    pub max_channels_per_client: i32,
    /// Joins a second.
    pub max_joins_per_second: i32,
    /// Presence calls of one client in one room and window.
    pub max_client_presence_events_per_window: Option<i32>,
    /// Milliseconds of that window.
    pub client_presence_window_ms: Option<i32>,
    /// Whether its clients are refused.
    pub suspend: Option<bool>,
    /// Whether public rooms are refused.
    pub private_only: bool,
    /// Whether a join that does not configure presence has it enabled.
    pub presence_enabled: bool,
    /// How many migrations its own database has.
    pub migrations_ran: Option<i32>,
    /// Kept for upstream.
    pub broadcast_adapter: Option<String>,
    /// An object of switches, kept for upstream.
    #[sqlx(json)]
    pub feature_flags: Value,
    /// When it was created, in UTC: `2026-08-21T12:00:00`. Set by the store.
    pub inserted_at: String,
    /// What it has beside rooms, by type.
    #[sqlx(json)]
    pub extensions: Vec<StoredExtension>,
    /// Set by the store.
    pub revision: Revision,
}

/// A row of `extensions`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StoredExtension {
    /// Its type, once for each tenant.
    #[serde(rename = "type")]
    pub kind: String,
    /// An object, of which some values are encrypted.
    pub settings: Value,
    /// When it was created, in UTC. Set by the store.
    #[serde(default)]
    pub inserted_at: String,
    /// When it was changed, in UTC. Set by the store.
    #[serde(default)]
    pub updated_at: String,
}

impl StoredTenant {
    /// A tenant with the defaults of the columns, that is not stored yet.
    pub fn new(id: String, external_id: &str) -> Self {
        Self {
            id,
            external_id: external_id.into(),
            name: Some(external_id.into()),
            jwt_secret: None,
            jwt_jwks: None,
            postgres_cdc_default: Some("postgres_cdc_rls".into()),
            max_concurrent_users: 200,
            max_events_per_second: 100,
            max_presence_events_per_second: Some(1_000),
            max_payload_size_in_kb: Some(3_000),
            max_bytes_per_second: 100_000,
            max_channels_per_client: 100,
            max_joins_per_second: 500,
            max_client_presence_events_per_window: None,
            client_presence_window_ms: None,
            suspend: Some(false),
            private_only: false,
            presence_enabled: false,
            migrations_ran: Some(0),
            broadcast_adapter: Some("gen_rpc".into()),
            feature_flags: Value::Object(serde_json::Map::new()),
            inserted_at: String::new(),
            extensions: Vec::new(),
            revision: Revision(String::new()),
        }
    }
}

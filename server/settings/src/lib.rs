//! What can be configured. One struct and one file per section; the struct is the only definition.
//!
//! A default stands in `Default` and nowhere else, the meaning and unit in the doc comment, and when a
//! running server picks a change up in the `x-reload` mark: «live», «connection» (for connections made from
//! then on) or «restart». Further marks say what a type cannot: `x-secret`, the kind of a text (`x-kind`), the
//! ends of a range (`x-min`, `x-max`). [`Settings::check`] checks keys that depend on each other.
//!
//! The marks reach the JSON Schema, and everything that must know all keys reads them there ([`Sources`],
//! the reference, the comparison on a reload).
//!
//! Names that Supabase Realtime also has are spelled as there (`max_channels_per_client`).

mod address;
mod admin;
mod auth;
mod broadcast;
mod bus;
mod changes;
mod check;
mod cloudwatch;
mod database;
mod database_address;
mod documents;
pub mod file_access;
mod history;
mod limits;
mod load;
mod marks;
mod metric_choice;
mod metrics_push;
mod network;
mod note;
mod outbox;
mod presence;
mod problem;
mod reference;
mod regions;
mod reload;
mod running;
mod secrets;
mod seed;
mod server;
mod shape;
mod store;
mod telemetry;
mod tenants;
mod topic_pattern;
mod traces;
mod units;
mod value_kind;
mod values;
mod variables;

pub use address::redacted as redacted_address;
pub use admin::Admin;
pub use auth::Auth;
pub use broadcast::Broadcast;
pub use bus::Bus;
pub use bytesize::ByteSize;
pub use changes::Changes;
pub use cloudwatch::CloudWatch;
pub use database::{Database, SLOT_SUFFIX_BYTES_MAX, TenantDatabase};
pub use database_address::DatabaseAddress;
pub use documents::Documents;
pub use history::History;
pub use limits::Limits;
pub use load::{EffectiveKey, Loaded, Sources, environment, nearest};
pub use metric_choice::MetricChoice;
pub use metrics_push::MetricsPush;
pub use network::{NetworkError, parse_network};
pub use note::Note;
pub use outbox::Outbox;
pub use presence::Presence;
pub use problem::{LoadError, Location, Problem};
pub use reference::{Starter, chart_schema, chart_templates, reference, schema};
pub use regions::Regions;
pub use reload::RefusedReload;
pub use running::{RunningSettings, Update};
pub use seed::Seed;
pub use server::{InternalListener, Server, Tls};
pub use shape::ReloadMode;
pub use store::{Migrate, Store, StoreTls, WrittenForm};
pub use telemetry::{LogFormat, LogLevel, MetricsFormat, Telemetry};
pub use tenants::{NO_TENANT, Tenant};
pub use topic_pattern::TopicPattern;
pub use traces::{OtlpCompression, OtlpProtocol, SpanExporter, SpanSampler, Traces};
pub use units::{format_duration, parse_duration};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All settings of the server, section by section.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The listener: addresses, connection limits, timeouts and shutdown.
    pub server: Server,
    /// How tokens of the default tenant are verified.
    pub auth: Auth,
    /// Limits of the default tenant.
    pub limits: Limits,
    /// The queue of outgoing frames of each connection.
    pub outbox: Outbox,
    /// Presence: who is in a room, and how changes are published.
    pub presence: Presence,
    /// Broadcasts sent over HTTP, and the history of all broadcasts.
    pub broadcast: Broadcast,
    /// How nodes exchange messages.
    pub bus: Bus,
    /// Where the server keeps what it remembers.
    pub store: Store,
    /// A tenant that is created in the store at the start.
    pub seed: Seed,
    /// How the databases of tenants are used.
    pub database: Database,
    /// Changes of tables that clients subscribe to.
    pub changes: Changes,
    /// Shared documents.
    pub documents: Documents,
    /// The region of this node, and which nodes serve a tenant's region.
    pub regions: Regions,
    /// Tokens of operators, for status, metrics and administration.
    pub admin: Admin,
    /// Logs, metrics and traces.
    pub telemetry: Telemetry,
    /// Further tenants, by id.
    #[schemars(extend("x-reload" = "live", "x-names" = "tenant"))]
    pub tenants: BTreeMap<String, Tenant>,
}

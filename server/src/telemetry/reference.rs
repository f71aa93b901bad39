//! The page of operational codes and metrics for operators (`docs/codes.md`), from the tables of both.
//!
//! `UPDATE=1 cargo test -p e2e --test e2e metrics::` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;

use super::codes::{Code, Scope, Severity};
use super::metrics::{CODE_COUNTERS, Metrics};
use super::process::CPU_SECONDS;
use super::upstream_names;

const HEAD: &str = "\
# Operational codes and metrics

<!-- Generated from server/src/telemetry: UPDATE=1 cargo test -p e2e --test e2e metrics:: -->

## Codes

A code is in the log as `error_code`, and counted in `realtime_codes_total`, also when its line is suppressed. One with a
limit is counted in `realtime_limits_refused_total` as well. The level is that of the log line: `error` is for an operator to
mend, `warn` is caused by clients. «Ours» marks codes that Supabase Realtime does not have.

";

const METRICS_HEAD: &str = "
## Metrics

All of them at `/metrics`; `region` is a further label of each if `regions.name` is set. A counter with the label `code` or
`setting` has a series once something was counted.

| Name | Type | Labels | Meaning |
|---|---|---|---|
";

const UPSTREAM_HEAD: &str = "
## Names of Supabase Realtime

Codes and metrics that its documentation names and that nothing here reports, with what is seen here instead.

| Name | Here |
|---|---|
";

/// The page.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    page.push_str(
        "| Code | Level | Where | Limit | Meaning | What an operator does |\n|---|---|---|---|---|---|\n",
    );
    for code in Code::ALL.iter().copied() {
        let level = if code.severity() == Severity::Error { "error" } else { "warn" };
        let places: Vec<_> = code.scopes().iter().map(|scope| place(*scope)).collect();
        let limit = code.limit().map_or_else(String::new, |setting| format!("`{setting}`"));
        let (name, places) = (code.name(), places.join(", "));
        let meaning = code.meaning().trim().replace("Ours.", "«Ours».");
        let _written =
            writeln!(page, "| `{name}` | {level} | {places} | {limit} | {meaning} | {} |", action(code));
    }
    page.push_str(METRICS_HEAD);
    for (name, Description { kind, labels, help }) in &described() {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _written = writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    page.push_str(UPSTREAM_HEAD);
    for (name, here) in upstream_names::CODES.iter().chain(upstream_names::METRICS) {
        let _written = writeln!(page, "| `{name}` | {here} |");
    }
    page
}

fn place(scope: Scope) -> &'static str {
    match scope {
        Scope::Handshake => "handshake",
        Scope::Join => "join",
        Scope::Channel => "channel",
        Scope::Http => "HTTP",
        Scope::Log => "log only",
    }
}

/// What an operator does about a code.
fn action(code: Code) -> &'static str {
    match code {
        Code::MissingAPIKey | Code::MalformedJWT => {
            "Nothing; the client sends no token, or something else in its place."
        }
        Code::TenantNotFound | Code::RealtimeDisabledForTenant => {
            "Compare `x-tenant`, `tenant=` or the host name with `realtime-server tenants list`, if the client is known; a suspended tenant is resumed with `tenants resume`, or in `[tenants]`."
        }
        Code::TenantLookupFailed => {
            "Restore the connection to the database (`[store]`), or what it lacks: the reason says what. Tenants that are known stay served."
        }
        Code::ErrorConnectingToWebsocket | Code::JwtSignatureError | Code::JwtSignerError => {
            "Compare the secret or key of the signer with `[auth]` of the tenant; `realtime-server config check` reports white space around a secret."
        }
        Code::JwtKeyRevoked => "Nothing after a rotation: clients join again with their current token.",
        Code::InvalidJWTToken | Code::JwtTimeInMilliseconds => {
            "Nothing if the client refreshes its token; otherwise look at the claims and the clock of the signer."
        }
        Code::UnsupportedProtocolVersion
        | Code::NotAWebSocketHandshake
        | Code::PathNotFound
        | Code::TopicNameRequired
        | Code::TopicNameTooLong
        | Code::InvalidJoinPayload
        | Code::InvalidPresencePayload
        | Code::UnknownPresenceEvent
        | Code::MalformedWebSocketMessage => "Nothing; the request or message of the client is wrong.",
        Code::PrivateOnly => "Nothing, or turn off `private_only` of the tenant.",
        Code::RealtimeRestarting | Code::ChannelShutdown => "Nothing; clients join again.",
        Code::UnableToConnectToProject => {
            "See `UnableToConnectToTenantDatabase` of the tenant. Without that, the tenant has no database: name it in `[tenants.<id>.database]`."
        }
        Code::UnableToReplayMessages => {
            "Nothing if the client asks for what its channel does not have. Otherwise see the reason: the database or Redis does not answer in time."
        }
        Code::UnableToConnectToTenantDatabase => {
            "Restore the connection to the database (`[tenants.<id>.database]`): the reason says what is missing. Clients in public channels notice nothing."
        }
        Code::DatabaseLackOfConnections => {
            "Raise `max_connections` of the database, or lower `database.max_connections`."
        }
        Code::IncreaseConnectionPool => {
            "Raise `database.max_connections`, or see which policies are slow (`pg_stat_activity`, application `realtime_connect`)."
        }
        Code::IncreaseSubscriptionConnectionPool => {
            "Raise `database.max_connections`, or see what takes long (`pg_stat_activity`, application `realtime_connect`)."
        }
        Code::RealtimeDisabledForConfiguration => {
            "Add the table to the publication (`database.publication`) if clients are to subscribe to it, or run the `GRANT` that the reason names; otherwise nothing."
        }
        Code::PostgresChangesSubscribeTimeout => {
            "See why changes are not read (`/status`, `StartReplicationFailed`), or let clients wait longer."
        }
        Code::Unauthorized => "Nothing; the policies of the tenant do not allow it.",
        Code::RlsPolicyError => {
            "Mend the policy on `realtime.messages` or on the table, or the `role` of the token: the reason has the database's error. If the server may not act as that role, `/status` names the `GRANT`."
        }
        Code::QueryCanceled => "Make the policies faster, or raise `database.query_timeout`.",
        Code::MissingPartition | Code::PartitionCreationFailed => {
            "See why the partitions cannot be made: the reason says what the role of the server may not do."
        }
        Code::UnableToBroadcastChanges => {
            "See which value is missing or too large in what the application writes to `realtime.messages`; `too_many_requests` is `limits.max_events_per_second`."
        }
        Code::StartReplicationFailed => {
            "Give the role of the server `REPLICATION`, set `wal_level = logical`, or mend what the reason names."
        }
        Code::ReplicationMaxWalSendersReached => {
            "Raise `max_wal_senders` and `max_replication_slots` of the database."
        }
        Code::ReplicationConnectionTimeout => {
            "See whether transactions stay open for minutes: a new slot waits for them."
        }
        Code::ReplicationConnectionDown
        | Code::ReplicationSlotCheckSkipped
        | Code::ReplicationSlotNotAlive => {
            "Nothing if it happens once, as when the database is restarted; the session is opened again."
        }
        Code::ReplicationSlotLagTooHigh => {
            "Raise `max_slot_wal_keep_size`, or see why the server reads slowly."
        }
        Code::DurableSlotRefused => {
            "Set `max_slot_wal_keep_size` of the database to what its disk has room for, raise its `max_replication_slots`, or turn off `changes.durable`."
        }
        Code::DurableSlotDropped => {
            "If it retains too much: raise `max_slot_wal_keep_size`, lower `changes.resume_wait`, or see why the server reads slowly. If sessions fail: see the reason. The slot is made again."
        }
        Code::MigrationsFailedToRun => {
            "Give the role of the server what the reason names, or make the schema by `realtime-server migrate --tenant` with another role."
        }
        Code::ServerConnectionLimitReached => {
            "Raise it with the memory and the open files of the process, or add nodes."
        }
        Code::TenantConnectionShareReached => {
            "Raise `server.max_connections`, or set `limits.max_connections` of the tenant so that it is reached first."
        }
        Code::AddressConnectionLimitReached
        | Code::AddressSocketLimitReached
        | Code::AddressRateLimitReached => {
            "Nothing against one client; if the address is a proxy's, add it to `server.unlimited_addresses`."
        }
        Code::JwksWaitLimitReached | Code::ServerJwksWaitLimitReached => {
            "See why `auth.jwks_url` of the tenant answers slowly."
        }
        Code::UnreadPageLimitReached => {
            "Nothing against one client; with `admin.metrics_jwt_secret` only those with a token read the page."
        }
        Code::MemoryLimitReached | Code::ConnectionMemoryLimitReached => {
            "See in `/status` how much each tenant uses, and callers without one (`memory.without_tenant`), and how much \
             is used for what by all together; raise it with the memory of the container."
        }
        Code::ConnectionRateLimitReached
        | Code::TenantConnectionLimitReached
        | Code::JoinsRateLimitReached
        | Code::ClientJoinRateLimitReached
        | Code::ChannelRateLimitReached
        | Code::MessagePerSecondRateLimitReached
        | Code::PresenceRateLimitReached
        | Code::ClientPresenceSizeExceeded
        | Code::RoomPresenceSizeExceeded
        | Code::PresenceKeySizeExceeded
        | Code::PayloadSizeExceeded
        | Code::MessageSizeExceeded
        | Code::BodySizeExceeded
        | Code::BatchSizeExceeded => {
            "Raise it if the application needs more; otherwise the client has to send less."
        }
        Code::HeldMessagesLimitReached | Code::HeldBytesLimitReached => "See why joins wait, or raise it.",
        Code::OutboxFull => {
            "Nothing against one slow client; if many read slowly, look at the network and `[outbox]`."
        }
        Code::BusAway => "Mend the way to Redis; the line names the address and the cause.",
        Code::BusPresenceRefused => {
            "Mend what Redis refuses: memory, disk, replicas, ACL; the line names it."
        }
        Code::RealtimeNodeDisconnected => "See whether that node was stopped, and otherwise its log.",
        Code::JwksUnavailable => {
            "See why the address of the key set cannot be fetched; tokens with new keys are refused meanwhile."
        }
        Code::JwksKeyUnusable => "Nothing if other keys of the set sign the tokens; otherwise mend the set.",
        Code::OperatorDenied => {
            "Sign the token with `admin.jwt_secret`; if it was no operator, close the path in the proxy."
        }
    }
}

/// What is known of a metric.
#[derive(Debug, Default)]
struct Description {
    kind: &'static str,
    labels: Vec<String>,
    help: String,
}

/// Keeps the descriptions of metrics by name, and no values.
#[derive(Debug, Default)]
struct Descriptions(Mutex<BTreeMap<String, Description>>);

/// Every metric of a server.
fn described() -> BTreeMap<String, Description> {
    let descriptions = Arc::new(Descriptions::default());
    let metrics = Metrics::new(vec![Arc::clone(&descriptions) as Arc<_>]);
    let of_a_tenant = metrics.tenant("".into());
    let _registered = (&*of_a_tenant, of_a_tenant.database(), of_a_tenant.replay());
    let mut found = std::mem::take(&mut *descriptions.0.lock());
    // As the page has it.
    found.entry(CPU_SECONDS.into()).or_default().kind = "counter";
    for (name, labels, _help) in CODE_COUNTERS {
        found.entry(name.into()).or_default().labels = labels.iter().map(|label| (*label).into()).collect();
    }
    found
}

impl Descriptions {
    fn describe(&self, kind: &'static str, name: &KeyName, help: &SharedString) {
        let mut all = self.0.lock();
        let description = all.entry(name.as_str().into()).or_default();
        (description.kind, description.help) = (kind, help.to_string());
    }

    fn register(&self, key: &Key) {
        let labels = key.labels().map(|label| label.key().to_owned()).collect();
        self.0.lock().entry(key.name().into()).or_default().labels = labels;
    }
}

impl Recorder for Descriptions {
    fn describe_counter(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.describe("counter", &name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.describe("gauge", &name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _unit: Option<Unit>, help: SharedString) {
        self.describe("histogram", &name, &help);
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        self.register(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        self.register(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        self.register(key);
        Histogram::noop()
    }
}

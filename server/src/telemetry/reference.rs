//! The page of operational codes and metrics for operators (`docs/codes.md`), from the tables of both.
//!
//! `UPDATE=1 cargo test -p e2e --test e2e metrics::` writes it anew.

mod described;
mod units;

use std::fmt::Write as _;

use settings::MetricsFormat;

pub(super) use self::described::{MetricDescription, described};
pub(super) use self::units::unit;
use super::codes::{Code, Scope, Severity};
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

All of them at `/metrics`; `region` is a further label of each if `regions.name` is set. «Upstream's» have the name, the type, the
labels and the bounds that Supabase Realtime has; where its values mean something slightly different, the meaning says so. «BEAM» are
those of its runtime that have a counterpart, and exist with `telemetry.metrics_format = \"supabase\"` only.

A counter with the label `code`, `setting`, `reason`, `operation` or `status` has a series once something was counted, and those of
a tenant begin with the first thing that happens to it. The series of a tenant to which nothing happens for ten minutes are left out,
and so are those above `telemetry.tenant_metrics` tenants; they continue where they were, so that a counter goes back to zero only
when the process starts, or when a tenant that was removed is made again.

| Name | Type | Unit | Labels | Origin | Meaning |
|---|---|---|---|---|---|
";

const LABELS_HEAD: &str = "
## Labels of Supabase Realtime

Labels of its metrics that no metric here has. Its `region` is `nil` where the variable is unset; here it is absent then.

| Label | There on | Here |
|---|---|---|
";

const UPSTREAM_HEAD: &str = "
## Names of Supabase Realtime

Codes and metrics that its documentation or its code names and that nothing here reports, with what is seen here instead. What only
its documentation names, no server has ever reported.

| Name | There | Here |
|---|---|---|
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
    for (name, MetricDescription { kind, labels, help }) in &described(MetricsFormat::Supabase) {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let (unit, origin, labels) = (unit(name), origin(name), labels.join(", "));
        let _written = writeln!(page, "| `{name}` | {kind} | {unit} | {labels} | {origin} | {help} |");
    }
    page.push_str(LABELS_HEAD);
    for (label, metrics, here) in upstream_names::LABELS {
        let _written = writeln!(page, "| `{label}` | {metrics} | {here} |");
    }
    page.push_str(UPSTREAM_HEAD);
    for (name, here) in upstream_names::CODES.iter().chain(upstream_names::METRICS) {
        let is_documented = upstream_names::DOCUMENTED_ONLY.contains(name);
        let there = if is_documented { "documentation only" } else { "reported" };
        let _written = writeln!(page, "| `{name}` | {there} | {here} |");
    }
    page
}

/// Whose name a metric has.
fn origin(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("process_") => "Prometheus'",
        _ if name.starts_with("beam_") => "«BEAM»",
        _ if upstream_names::SHARED_METRICS.contains(&name) => "«Upstream's»",
        _ => "ours",
    }
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
        Code::InternalConnectionLimitReached => {
            "See who connects to the internal port, which clients should not reach; raise it if they are all yours."
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
        Code::UnableToLoadDocument => {
            "See whether the store answers; a document that is damaged is restored from a backup of the store."
        }
        Code::UnableToSaveDocument => {
            "Mend the store: its disk, its connection, or what the line says. Clients are not acknowledged until then, and lose nothing."
        }
        Code::UnableToCompactDocument => {
            "Mend the store; the document opens more slowly the longer its log is."
        }
        Code::DocumentForbidden => "Nothing; the token of the client does not permit it, or has expired.",
        Code::DocumentUpdateRefused => "Nothing; see which client sends it, and with which version of Yjs.",
        Code::DocumentUpdateSizeExceeded | Code::DocumentSizeExceeded => {
            "Nothing, or raise it; very large documents are better split."
        }
        Code::DocumentUnsavedLimitReached => {
            "Mend the store, which does not take updates; see `UnableToSaveDocument`."
        }
        Code::DocumentQueueLimitReached => {
            "Nothing; clients synchronise again. If it is frequent, see whether the machine is overloaded, or raise it."
        }
        Code::BusAway => "Mend the way to Redis; the line names the address and the cause.",
        Code::BusCredentialsRefused | Code::StoreCredentialsRefused | Code::DatabaseCredentialsRefused => {
            "Nothing if the password is about to be changed there too; otherwise correct it on one side. Nothing has to be restarted."
        }
        Code::BusPresenceRefused => {
            "Mend what Redis refuses: memory, disk, replicas, ACL; the line names it."
        }
        Code::RealtimeNodeDisconnected => "See whether that node was stopped, and otherwise its log.",
        Code::JwksUnavailable => {
            "See why the address of the key set cannot be fetched; tokens with new keys are refused meanwhile."
        }
        Code::JwksKeyUnusable => "Nothing if other keys of the set sign the tokens; otherwise mend the set.",
        Code::MetricsPusherTimeout | Code::MetricsPusherFailed => {
            "See why the receiver at `telemetry.push.url` does not accept the metrics: the line has its status or the error. Clients notice nothing."
        }
        Code::CloudWatchFailed => {
            "See what CloudWatch answers: the permission `cloudwatch:PutMetricData`, the region, the way to its address. Clients notice nothing."
        }
        Code::CloudWatchCredentialsMissing => {
            "Give the server credentials as the AWS SDK finds them: the role of the task, pod or instance, or variables. Clients notice nothing."
        }
        Code::TracesFailed => {
            "See why the collector at `telemetry.traces.endpoint` does not accept the spans: the line has its status or the error. Clients notice nothing."
        }
        Code::OperatorDenied => {
            "Sign the token with `admin.jwt_secret`; if it was no operator, close the path in the proxy."
        }
    }
}

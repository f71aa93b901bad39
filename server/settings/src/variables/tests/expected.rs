//! What each variable is expected to do: those of Supabase Realtime and of the Realtime SDK's server, by name.
//!
//! Written down apart from the table, row by row from what the two programs document, so that a row that is
//! lost, or moved to where it does less, does not take its test along.

use std::collections::BTreeMap;

use crate::variables::{Treatment, Variable, table};

/// A line each: the name; what the programs' tables ask of us; what becomes of it here; `secret` if `NAME_FILE` may
/// hold it; and after a colon the reason, where that is not what was asked.
///
/// Asked: `S` the same meaning, `M` mapped to a setting of ours, `A` accepted with a word, `W` with a warning; `+` was
/// not asked. Here: `sets`, `planned` (for a feature that is not available yet), `ignored`, `unsupported` (with a warning).
const EXPECTED: &str = "
PORT S sets
REALTIME_IP_VERSION S sets
MAX_CONNECTIONS S sets
NUM_ACCEPTORS A ignored
MAX_HEADER_LENGTH S sets
HTTP_DYNAMIC_BUFFER_MIN A ignored
HTTP_DYNAMIC_BUFFER_MAX A ignored
WEBSOCKET_MAX_HEAP_SIZE M sets
APP_NAME A ignored
SECRET_KEY_BASE A ignored secret
CONNECT_ERROR_BACKOFF_MS S sets
CHANNEL_ERROR_BACKOFF_MS S sets
NO_CHANNEL_TIMEOUT_IN_MS S sets
DISCONNECT_SOCKET_ON_NO_CHANNELS_INTERVAL_IN_MS + sets: what upstream's own documentation calls it
MEASURE_TRAFFIC_INTERVAL_IN_MS A ignored
REQUEST_ID_BAGGAGE_KEY S sets
DISABLE_HEALTHCHECK_LOGGING S sets
DASHBOARD_AUTH M planned
DASHBOARD_USER S planned
DASHBOARD_PASSWORD S planned secret
CF_TEAM_DOMAIN W unsupported

DB_HOST S sets
DB_PORT S sets
DB_USER S sets
DB_PASSWORD S sets secret
DB_NAME S sets
DB_AFTER_CONNECT_QUERY S sets
DB_SSL S sets
DB_SSL_CA_CERT S sets
DB_IP_VERSION S ignored: all addresses of a host are tried, of both families
DB_POOL_SIZE S sets
DB_QUEUE_TARGET M sets
DB_QUEUE_INTERVAL M ignored: a limit of the wait needs no interval
DB_REPLICA_HOST A ignored
DB_REPLICA_POOL_SIZE A ignored
DB_HOST_REPLICA_FRA W unsupported
DB_HOST_REPLICA_IAD W unsupported
DB_HOST_REPLICA_SIN W unsupported
DB_HOST_REPLICA_SJC W unsupported
DB_MASTER_REGION M ignored: every node writes to the database itself
DB_ENC_KEY S sets secret
DB_ENC_KEY_GCM S sets secret
DB_ENC_WRITE_GCM S sets

SEED_SELF_HOST S sets
SELF_HOST_TENANT_NAME S sets
API_JWT_SECRET S sets secret
API_JWT_SECRET_NEXT S sets secret
API_JWT_JWKS S sets secret
API_TOKEN_BLOCKLIST S sets secret
METRICS_JWT_SECRET S sets secret
METRICS_TOKEN_BLOCKLIST S sets secret
JWT_CLAIM_VALIDATORS S sets
TENANT_MAX_CONCURRENT_USERS S sets
TENANT_MAX_EVENTS_PER_SECOND S sets
TENANT_MAX_JOINS_PER_SECOND S sets
TENANT_MAX_CHANNELS_PER_CLIENT S sets
TENANT_MAX_BYTES_PER_SECOND A ignored
TENANT_CACHE_EXPIRATION_IN_MS S sets
CLIENT_PRESENCE_MAX_CALLS S sets
CLIENT_PRESENCE_WINDOW_MS S sets
SLOT_NAME_SUFFIX S sets
CONNECT_PARTITION_SLOTS A ignored
MIGRATION_PARTITION_SLOTS A ignored

RUN_JANITOR S sets
JANITOR_SCHEDULE_TIMER_IN_MS S sets
JANITOR_SCHEDULE_RANDOMIZE S sets
JANITOR_RUN_AFTER_IN_MS S sets
JANITOR_MAX_CHILDREN M ignored: each database has a schedule of its own
JANITOR_CLEANUP_MAX_CHILDREN + ignored: what upstream's own documentation calls it
JANITOR_CHUNK_SIZE M ignored: each database has a schedule of its own
JANITOR_CHILDREN_TIMEOUT A ignored
JANITOR_CLEANUP_CHILDREN_TIMEOUT + ignored: what upstream's own documentation calls it
METRICS_CLEANER_SCHEDULE_TIMER_IN_MS S ignored: the idle time of ten minutes is fixed upstream too, and there is no interval: each page is written without idle tenants
METRICS_RPC_TIMEOUT_IN_MS S ignored: only for a server that gathers the metrics of all nodes, and each exposes its own
PROM_POLL_RATE A ignored
METRICS_PUSHER_ENABLED S sets
METRICS_PUSHER_URL S sets secret
METRICS_PUSHER_USER S sets
METRICS_PUSHER_AUTH S sets secret
METRICS_PUSHER_INTERVAL_MS S sets
METRICS_PUSHER_TIMEOUT_MS S sets
METRICS_PUSHER_COMPRESS S sets
METRICS_PUSHER_EXTRA_LABELS S sets
LOG_LEVEL S sets
LOGS_ENGINE W unsupported
LOGFLARE_LOGGER_BACKEND_URL W unsupported
LOGFLARE_API_KEY W unsupported secret
LOGFLARE_SOURCE_ID W unsupported
LOG_THROTTLE_JANITOR_INTERVAL_IN_MS A ignored

CLUSTER_STRATEGIES M unsupported: nodes find each other through Redis, and an operator who relied on another way has to be warned
DNS_NODES M unsupported: nodes find each other through Redis, and an operator who relied on another way has to be warned
REGION S sets
REGION_MAPPING S sets
CLUSTER S sets
REBALANCE_CHECK_INTERVAL_IN_MS M ignored: every node has connections to the databases of its own clients
NODE_BALANCE_UPTIME_THRESHOLD_IN_MS A ignored
RPC_TIMEOUT M sets
BROADCAST_POOL_SIZE A ignored
PRESENCE_POOL_SIZE A ignored
PRESENCE_BROADCAST_PERIOD_IN_MS M sets
PRESENCE_PERMDOWN_PERIOD_IN_MS M ignored: a lost node is forgotten for good with its lease, and nothing is kept for later
POSTGRES_CDC_SCOPE_SHARDS A ignored
USERS_SCOPE_SHARDS A ignored
MUSTER_SCOPE_SHARDS A ignored
MAX_GEN_RPC_CLIENTS A ignored
MAX_GEN_RPC_CALL_CLIENTS A ignored
GEN_RPC_CERTFILE W unsupported
GEN_RPC_KEYFILE W unsupported
GEN_RPC_CACERTFILE W unsupported
GEN_RPC_* A ignored
ERL_AFLAGS A ignored
ELIXIR_ERL_OPTIONS A ignored
RELEASE_COOKIE A ignored secret
ECTO_IPV6 A ignored
NODE_NAME A ignored
NAME A ignored
POD_IP M ignored: nodes do not connect to each other, so none needs an address
FLY_* A ignored
ECS_* A ignored
AWS_EXECUTION_ENV A ignored
GENERATE_CLUSTER_CERTS W unsupported
CLUSTER_SECRET_ID W unsupported
CLUSTER_SECRET_REGION W unsupported

RLIMIT_NOFILE S sets
ENABLE_ERL_CRASH_DUMP A ignored
ERL_CRASH_DUMP_* A ignored

OTEL_SDK_DISABLED S sets
OTEL_TRACES_EXPORTER S sets
OTEL_EXPORTER_OTLP_ENDPOINT S sets secret
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT S sets secret
OTEL_EXPORTER_OTLP_PROTOCOL S sets
OTEL_EXPORTER_OTLP_TRACES_PROTOCOL S sets
OTEL_EXPORTER_OTLP_HEADERS S sets secret
OTEL_EXPORTER_OTLP_TRACES_HEADERS S sets secret
OTEL_EXPORTER_OTLP_TIMEOUT S sets
OTEL_EXPORTER_OTLP_TRACES_TIMEOUT S sets
OTEL_EXPORTER_OTLP_COMPRESSION S sets
OTEL_EXPORTER_OTLP_TRACES_COMPRESSION S sets
OTEL_EXPORTER_OTLP_CERTIFICATE S sets
OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE S sets
OTEL_SERVICE_NAME S sets
OTEL_RESOURCE_ATTRIBUTES S sets
OTEL_TRACES_SAMPLER S sets
OTEL_TRACES_SAMPLER_ARG S sets
OTEL_BSP_MAX_QUEUE_SIZE S sets
OTEL_BSP_MAX_EXPORT_BATCH_SIZE S sets
OTEL_BSP_SCHEDULE_DELAY S sets
OTEL_METRICS_EXPORTER A ignored
OTEL_LOGS_EXPORTER A ignored
OTEL_EXPORTER_OTLP_METRICS_* + ignored: only traces are sent by OTLP
OTEL_EXPORTER_OTLP_LOGS_* + ignored: only traces are sent by OTLP
OTEL_METRIC_EXPORT_* + ignored: only traces are sent by OTLP
OTEL_BLRP_* + ignored: only traces are sent by OTLP
OTEL_ATTRIBUTE_* + ignored: what spans have is bounded
OTEL_SPAN_* + ignored: what spans have is bounded
OTEL_EVENT_* + ignored: spans have no events
OTEL_LINK_* + ignored: spans have no links
OTEL_BSP_EXPORT_TIMEOUT + ignored: the time-out of a request has a variable
OTEL_EXPORTER_OTLP_INSECURE + ignored: an address has a scheme
OTEL_EXPORTER_OTLP_TRACES_INSECURE + ignored: an address has a scheme
OTEL_EXPORTER_OTLP_CLIENT_* + unsupported: there are no certificates of clients
OTEL_EXPORTER_OTLP_TRACES_CLIENT_* + unsupported: there are no certificates of clients
OTEL_PROPAGATORS W unsupported
OTEL_* W unsupported

JWT_SECRET S sets secret
DATABASE_URL S sets secret
REDIS_URL S sets secret
HOST S sets
JWT_ISSUER S sets
JWT_AUDIENCE S sets
AUTH_REQUIRE_PERMISSIONS S sets
WEBHOOK_MODE S planned
WEBHOOK_ENV_CONFIG_JSON S planned secret
WEBHOOK_TIMEOUT_MS S planned
WEBHOOK_RETRY_MAX_ATTEMPTS S planned
WEBHOOK_RETRY_BASE_DELAY_MS S planned
WEBHOOK_RETRY_MAX_DELAY_MS S planned
WEBHOOK_RETRY_JITTER_FACTOR S planned
";

/// A line of the list above.
struct Expectation {
    name: &'static str,
    asked: &'static str,
    here: String,
    reason: &'static str,
}

fn expectations() -> Vec<Expectation> {
    let expectation = |line: &'static str| {
        let (line, reason) = line.split_once(": ").unwrap_or((line, ""));
        let mut words = line.split(' ');
        let mut word = || words.next().expect("a name, what is asked, what becomes of it");
        Expectation { name: word(), asked: word(), here: words.collect::<Vec<_>>().join(" "), reason }
    };
    EXPECTED.lines().filter(|line| !line.is_empty()).map(expectation).collect()
}

/// What the table does, in the words of the list.
fn done(variable: &Variable) -> String {
    let word = match variable.treatment {
        Treatment::Sets(_) => "sets",
        Treatment::Planned(_) => "planned",
        Treatment::Ignored(_) => "ignored",
        Treatment::Unsupported(_) => "unsupported",
    };
    format!("{word}{}", if variable.secret { " secret" } else { "" })
}

#[test]
fn every_variable_is_treated_as_expected() {
    let mut done: BTreeMap<_, _> =
        table().flat_map(|row| row.names.iter().map(|name| (*name, done(row)))).collect();
    for Expectation { name, here, .. } in expectations() {
        assert_eq!(done.remove(name), Some(here), "{name}");
    }
    assert!(done.is_empty(), "no expectation for {:?}", done.keys());
}

#[test]
fn an_expectation_that_differs_from_what_was_asked_has_a_reason() {
    for Expectation { name, asked, here, reason } in expectations() {
        let here = here.trim_end_matches(" secret");
        let as_asked = match asked {
            "S" | "M" => ["sets", "planned"].contains(&here),
            "A" => here == "ignored",
            "W" => here == "unsupported",
            "+" => false,
            other => panic!("{name}: {other} is no letter of the tables"),
        };
        assert_eq!(reason.is_empty(), as_asked, "{name}");
    }
}

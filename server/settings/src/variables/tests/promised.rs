//! What is promised of each variable: those of Supabase Realtime and of the Realtime SDK's server, by name.
//!
//! Written down apart from the table, row by row from what the two programs document, so that a row that is
//! lost, or moved to where it does less, does not take its test along.

use std::collections::BTreeMap;

use crate::variables::{Treatment, Variable, table};

/// A line each: the name; what the programs' tables ask of us; what becomes of it here; `secret` if `NAME_FILE` may
/// hold it; and after a colon the reason, where that is not what was asked.
///
/// Asked: `S` the same meaning, `M` mapped to a setting of ours, `A` accepted with a word, `W` with a warning; `+` was
/// not asked. Here: `sets`, `later` (with a part that is to come), `accepted`, `warned`.
const PROMISED: &str = "
PORT S sets
REALTIME_IP_VERSION S sets
MAX_CONNECTIONS S sets
NUM_ACCEPTORS A accepted
MAX_HEADER_LENGTH S sets
HTTP_DYNAMIC_BUFFER_MIN A accepted
HTTP_DYNAMIC_BUFFER_MAX A accepted
WEBSOCKET_MAX_HEAP_SIZE M sets
APP_NAME A accepted
SECRET_KEY_BASE A accepted secret
CONNECT_ERROR_BACKOFF_MS S sets
CHANNEL_ERROR_BACKOFF_MS S sets
NO_CHANNEL_TIMEOUT_IN_MS S sets
DISCONNECT_SOCKET_ON_NO_CHANNELS_INTERVAL_IN_MS + sets: what upstream's own documentation calls it
MEASURE_TRAFFIC_INTERVAL_IN_MS A accepted
REQUEST_ID_BAGGAGE_KEY S sets
DISABLE_HEALTHCHECK_LOGGING S sets
DASHBOARD_AUTH M later
DASHBOARD_USER S later
DASHBOARD_PASSWORD S later secret
CF_TEAM_DOMAIN W warned

DB_HOST S later
DB_PORT S later
DB_USER S later
DB_PASSWORD S later secret
DB_NAME S later
DB_AFTER_CONNECT_QUERY S later
DB_SSL S later
DB_SSL_CA_CERT S later
DB_IP_VERSION S later
DB_POOL_SIZE S later
DB_QUEUE_TARGET M later
DB_QUEUE_INTERVAL M later
DB_REPLICA_HOST A accepted
DB_REPLICA_POOL_SIZE A accepted
DB_HOST_REPLICA_FRA W warned
DB_HOST_REPLICA_IAD W warned
DB_HOST_REPLICA_SIN W warned
DB_HOST_REPLICA_SJC W warned
DB_MASTER_REGION M later
DB_ENC_KEY S later secret
DB_ENC_KEY_GCM S later secret
DB_ENC_WRITE_GCM S later

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
TENANT_MAX_BYTES_PER_SECOND A accepted
TENANT_CACHE_EXPIRATION_IN_MS S later
CLIENT_PRESENCE_MAX_CALLS S sets
CLIENT_PRESENCE_WINDOW_MS S sets
SLOT_NAME_SUFFIX S later
CONNECT_PARTITION_SLOTS A accepted
MIGRATION_PARTITION_SLOTS A accepted

RUN_JANITOR S later
JANITOR_SCHEDULE_TIMER_IN_MS S later
JANITOR_SCHEDULE_RANDOMIZE S later
JANITOR_RUN_AFTER_IN_MS S later
JANITOR_MAX_CHILDREN M later
JANITOR_CLEANUP_MAX_CHILDREN + later: what upstream's own documentation calls it
JANITOR_CHUNK_SIZE M later
JANITOR_CHILDREN_TIMEOUT A accepted
JANITOR_CLEANUP_CHILDREN_TIMEOUT + accepted: what upstream's own documentation calls it
METRICS_CLEANER_SCHEDULE_TIMER_IN_MS S later
METRICS_RPC_TIMEOUT_IN_MS S accepted: asked only of who gathers the numbers of all nodes, and each shows its own
PROM_POLL_RATE A accepted
METRICS_PUSHER_ENABLED S later
METRICS_PUSHER_URL S later
METRICS_PUSHER_USER S later
METRICS_PUSHER_AUTH S later secret
METRICS_PUSHER_INTERVAL_MS S later
METRICS_PUSHER_TIMEOUT_MS S later
METRICS_PUSHER_COMPRESS S later
METRICS_PUSHER_EXTRA_LABELS S later
LOG_LEVEL S sets
LOGS_ENGINE W warned
LOGFLARE_LOGGER_BACKEND_URL W warned
LOGFLARE_API_KEY W warned secret
LOGFLARE_SOURCE_ID W warned
LOG_THROTTLE_JANITOR_INTERVAL_IN_MS A accepted

CLUSTER_STRATEGIES M warned: nodes find each other by Redis, and whoever relied on another way must hear of it
DNS_NODES M warned: nodes find each other by Redis, and whoever relied on another way must hear of it
REGION S sets
REGION_MAPPING S sets
CLUSTER S sets
REBALANCE_CHECK_INTERVAL_IN_MS M later
NODE_BALANCE_UPTIME_THRESHOLD_IN_MS A accepted
RPC_TIMEOUT M sets
BROADCAST_POOL_SIZE A accepted
PRESENCE_POOL_SIZE A accepted
PRESENCE_BROADCAST_PERIOD_IN_MS M sets
PRESENCE_PERMDOWN_PERIOD_IN_MS M accepted: a lost node is forgotten for good with its lease, and nothing is kept for later
POSTGRES_CDC_SCOPE_SHARDS A accepted
USERS_SCOPE_SHARDS A accepted
MUSTER_SCOPE_SHARDS A accepted
MAX_GEN_RPC_CLIENTS A accepted
MAX_GEN_RPC_CALL_CLIENTS A accepted
GEN_RPC_CERTFILE W warned
GEN_RPC_KEYFILE W warned
GEN_RPC_CACERTFILE W warned
GEN_RPC_* A accepted
ERL_AFLAGS A accepted
ELIXIR_ERL_OPTIONS A accepted
RELEASE_COOKIE A accepted secret
ECTO_IPV6 A accepted
NODE_NAME A accepted
NAME A accepted
POD_IP M accepted: nodes do not connect to each other, so none needs an address
FLY_* A accepted
ECS_* A accepted
AWS_EXECUTION_ENV A accepted
GENERATE_CLUSTER_CERTS W warned
CLUSTER_SECRET_ID W warned
CLUSTER_SECRET_REGION W warned

RLIMIT_NOFILE S sets
ENABLE_ERL_CRASH_DUMP A accepted
ERL_CRASH_DUMP_* A accepted

OTEL_* S later

JWT_SECRET S sets secret
DATABASE_URL S later secret
REDIS_URL S sets secret
HOST S sets
JWT_ISSUER S sets
JWT_AUDIENCE S sets
WEBHOOK_MODE S later
WEBHOOK_ENV_CONFIG_JSON S later secret
WEBHOOK_TIMEOUT_MS S later
WEBHOOK_RETRY_MAX_ATTEMPTS S later
WEBHOOK_RETRY_BASE_DELAY_MS S later
WEBHOOK_RETRY_MAX_DELAY_MS S later
WEBHOOK_RETRY_JITTER_FACTOR S later
";

/// A line of the list above.
struct Promise {
    name: &'static str,
    asked: &'static str,
    here: String,
    reason: &'static str,
}

fn promises() -> Vec<Promise> {
    let promise = |line: &'static str| {
        let (line, reason) = line.split_once(": ").unwrap_or((line, ""));
        let mut words = line.split(' ');
        let mut word = || words.next().expect("a name, what is asked, what becomes of it");
        Promise { name: word(), asked: word(), here: words.collect::<Vec<_>>().join(" "), reason }
    };
    PROMISED.lines().filter(|line| !line.is_empty()).map(promise).collect()
}

/// What the table does, in the words of the list.
fn done(variable: &Variable) -> String {
    let word = match variable.treatment {
        Treatment::Sets(_) => "sets",
        Treatment::Planned(_) => "later",
        Treatment::Ignored(_) => "accepted",
        Treatment::Unsupported(_) => "warned",
    };
    format!("{word}{}", if variable.secret { " secret" } else { "" })
}

#[test]
fn every_variable_is_treated_as_promised() {
    let mut done: BTreeMap<_, _> =
        table().flat_map(|row| row.names.iter().map(|name| (*name, done(row)))).collect();
    for Promise { name, here, .. } in promises() {
        assert_eq!(done.remove(name), Some(here), "{name}");
    }
    assert!(done.is_empty(), "nobody promised anything of {:?}", done.keys());
}

#[test]
fn a_promise_that_is_not_what_was_asked_has_a_reason() {
    for Promise { name, asked, here, reason } in promises() {
        let here = here.trim_end_matches(" secret");
        let as_asked = match asked {
            "S" | "M" => ["sets", "later"].contains(&here),
            "A" => here == "accepted",
            "W" => here == "warned",
            "+" => false,
            other => panic!("{name}: {other} is no letter of the tables"),
        };
        assert_eq!(reason.is_empty(), as_asked, "{name}");
    }
}

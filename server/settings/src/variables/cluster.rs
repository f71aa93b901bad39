//! Several nodes (docs/protocol/operations.md#cluster).

use super::{Part, Reading, Variable, read, to};

const BY_REDIS: &str = "nodes find and hear each other by Redis: set REDIS_URL";
const TLS: &str = "nodes hear each other by Redis: let REDIS_URL begin with rediss:// to encrypt";
const SHARDS: &str = "nothing is divided into shards by hand";
const NO_ERLANG: &str = "there is no Erlang here";
const NO_NAME: &str = "nodes need no name or address of their own";

pub(super) const ROWS: &[Variable] = &[
    Variable::warned(&["CLUSTER_STRATEGIES"], BY_REDIS),
    Variable::warned(&["DNS_NODES"], BY_REDIS),
    Variable::sets(&["REGION"], &[to("regions.name")]),
    Variable::sets(&["REGION_MAPPING"], &[read("regions.mapping", Reading::Json)]),
    Variable::sets(&["CLUSTER"], &[to("regions.cluster")]),
    Variable::later(&["REBALANCE_CHECK_INTERVAL_IN_MS"], Part::Databases),
    Variable::accepted(&["NODE_BALANCE_UPTIME_THRESHOLD_IN_MS"], "nodes are not chosen by their load"),
    Variable::sets(&["RPC_TIMEOUT"], &[read("bus.timeout", Reading::Milliseconds)]),
    Variable::accepted(&["BROADCAST_POOL_SIZE"], SHARDS),
    Variable::accepted(&["PRESENCE_POOL_SIZE"], SHARDS),
    Variable::sets(&["PRESENCE_BROADCAST_PERIOD_IN_MS"], &[read("presence.coalesce", Reading::Milliseconds)]),
    Variable::accepted(
        &["PRESENCE_PERMDOWN_PERIOD_IN_MS"],
        "nothing of a lost node is kept beyond bus.lease",
    ),
    Variable::accepted(&["POSTGRES_CDC_SCOPE_SHARDS"], SHARDS),
    Variable::accepted(&["USERS_SCOPE_SHARDS"], SHARDS),
    Variable::accepted(&["MUSTER_SCOPE_SHARDS"], SHARDS),
    Variable::accepted(&["MAX_GEN_RPC_CLIENTS"], BY_REDIS),
    Variable::accepted(&["MAX_GEN_RPC_CALL_CLIENTS"], BY_REDIS),
    Variable::warned(&["GEN_RPC_CERTFILE"], TLS),
    Variable::warned(&["GEN_RPC_KEYFILE"], TLS),
    Variable::warned(&["GEN_RPC_CACERTFILE"], TLS),
    Variable::accepted(&["GEN_RPC_*"], BY_REDIS),
    Variable::accepted(&["ERL_AFLAGS"], NO_ERLANG),
    Variable::accepted(&["ELIXIR_ERL_OPTIONS"], NO_ERLANG),
    Variable::accepted(&["RELEASE_COOKIE"], NO_ERLANG).secret(),
    Variable::accepted(&["ECTO_IPV6"], NO_ERLANG),
    Variable::accepted(&["NODE_NAME"], NO_NAME),
    Variable::accepted(&["NAME"], NO_NAME),
    Variable::accepted(&["POD_IP"], NO_NAME),
    Variable::accepted(&["FLY_*"], NO_NAME),
    Variable::accepted(&["ECS_*"], NO_NAME),
    Variable::accepted(&["AWS_EXECUTION_ENV"], NO_NAME),
    Variable::warned(&["GENERATE_CLUSTER_CERTS"], TLS),
    Variable::warned(&["CLUSTER_SECRET_ID"], TLS),
    Variable::warned(&["CLUSTER_SECRET_REGION"], TLS),
];

//! Several nodes (docs/protocol/operations.md#cluster).

use super::conversion::Conversion;
use super::variable::{Variable, converted, verbatim};

const BY_REDIS: &str = "nodes communicate through Redis: set REDIS_URL";
const TLS: &str = "nodes communicate through Redis: use rediss:// in REDIS_URL to encrypt";
const SHARDS: &str = "there are no shards to configure";
const NO_ERLANG: &str = "there is no Erlang here";
const NO_NAME: &str = "nodes need no name or address of their own";

pub(super) const ROWS: &[Variable] = &[
    Variable::unsupported(&["CLUSTER_STRATEGIES"], BY_REDIS),
    Variable::unsupported(&["DNS_NODES"], BY_REDIS),
    Variable::sets(&["REGION"], &[verbatim("regions.name")]),
    Variable::sets(&["REGION_MAPPING"], &[converted("regions.mapping", Conversion::Json)]),
    Variable::sets(&["CLUSTER"], &[verbatim("regions.cluster")]),
    Variable::ignored(
        &["REBALANCE_CHECK_INTERVAL_IN_MS"],
        "every node has connections to the databases of its own clients",
    ),
    Variable::ignored(&["NODE_BALANCE_UPTIME_THRESHOLD_IN_MS"], "nodes are not chosen by their load"),
    Variable::sets(&["RPC_TIMEOUT"], &[converted("bus.timeout", Conversion::Milliseconds)]),
    Variable::ignored(&["BROADCAST_POOL_SIZE"], SHARDS),
    Variable::ignored(&["PRESENCE_POOL_SIZE"], SHARDS),
    Variable::sets(
        &["PRESENCE_BROADCAST_PERIOD_IN_MS"],
        &[converted("presence.coalesce", Conversion::Milliseconds)],
    ),
    Variable::ignored(
        &["PRESENCE_PERMDOWN_PERIOD_IN_MS"],
        "the presence of a lost node expires with bus.lease",
    ),
    Variable::ignored(&["POSTGRES_CDC_SCOPE_SHARDS"], SHARDS),
    Variable::ignored(&["USERS_SCOPE_SHARDS"], SHARDS),
    Variable::ignored(&["MUSTER_SCOPE_SHARDS"], SHARDS),
    Variable::ignored(&["MAX_GEN_RPC_CLIENTS"], BY_REDIS),
    Variable::ignored(&["MAX_GEN_RPC_CALL_CLIENTS"], BY_REDIS),
    Variable::unsupported(&["GEN_RPC_CERTFILE"], TLS),
    Variable::unsupported(&["GEN_RPC_KEYFILE"], TLS),
    Variable::unsupported(&["GEN_RPC_CACERTFILE"], TLS),
    Variable::ignored(&["GEN_RPC_*"], BY_REDIS),
    Variable::ignored(&["ERL_AFLAGS"], NO_ERLANG),
    Variable::ignored(&["ELIXIR_ERL_OPTIONS"], NO_ERLANG),
    Variable::ignored(&["RELEASE_COOKIE"], NO_ERLANG).secret(),
    Variable::ignored(&["ECTO_IPV6"], NO_ERLANG),
    Variable::ignored(&["NODE_NAME"], NO_NAME),
    Variable::ignored(&["NAME"], NO_NAME),
    Variable::ignored(&["POD_IP"], NO_NAME),
    Variable::ignored(&["FLY_*"], NO_NAME),
    Variable::ignored(&["ECS_*"], NO_NAME),
    Variable::ignored(&["AWS_EXECUTION_ENV"], NO_NAME),
    Variable::unsupported(&["GENERATE_CLUSTER_CERTS"], TLS),
    Variable::unsupported(&["CLUSTER_SECRET_ID"], TLS),
    Variable::unsupported(&["CLUSTER_SECRET_REGION"], TLS),
];

//! The control plane's database (docs/protocol/operations.md#control-plane-database).

use super::variable::{PlannedFeature, Variable};

const fn database(names: &'static [&'static str]) -> Variable {
    Variable::planned(names, PlannedFeature::Databases)
}

const REPLICA: &str = "there is no read-only replica";

/// What `DATABASE_URL` says in one.
const fn address(names: &'static [&'static str]) -> Variable {
    database(names).yields_to("DATABASE_URL")
}

pub(super) const ROWS: &[Variable] = &[
    address(&["DB_HOST"]),
    address(&["DB_PORT"]),
    address(&["DB_USER"]),
    address(&["DB_PASSWORD"]).secret(),
    address(&["DB_NAME"]),
    database(&["DB_AFTER_CONNECT_QUERY"]),
    database(&["DB_SSL"]),
    database(&["DB_SSL_CA_CERT"]),
    database(&["DB_IP_VERSION"]),
    database(&["DB_POOL_SIZE"]),
    database(&["DB_QUEUE_TARGET"]),
    database(&["DB_QUEUE_INTERVAL"]),
    Variable::ignored(&["DB_REPLICA_HOST"], REPLICA),
    Variable::ignored(&["DB_REPLICA_POOL_SIZE"], REPLICA),
    Variable::unsupported(&["DB_HOST_REPLICA_FRA"], REPLICA),
    Variable::unsupported(&["DB_HOST_REPLICA_IAD"], REPLICA),
    Variable::unsupported(&["DB_HOST_REPLICA_SIN"], REPLICA),
    Variable::unsupported(&["DB_HOST_REPLICA_SJC"], REPLICA),
    database(&["DB_MASTER_REGION"]),
    database(&["DB_ENC_KEY"]).secret(),
    database(&["DB_ENC_KEY_GCM"]).secret(),
    database(&["DB_ENC_WRITE_GCM"]),
];

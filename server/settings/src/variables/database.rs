//! The control plane's database (docs/protocol/operations.md#control-plane-database). The same variables name the database of
//! the tenant that is seeded, as upstream.

use super::conversion::Conversion;
use super::variable::{TargetKey, Variable, converted, seeds, verbatim};

const REPLICA: &str = "all reads go to the database itself, and tenants are served from memory";

/// What `DATABASE_URL` says in one.
const fn address(names: &'static [&'static str], targets: &'static [TargetKey]) -> Variable {
    Variable::sets(names, targets).yields_to("DATABASE_URL")
}

pub(super) const ROWS: &[Variable] = &[
    address(&["DB_HOST"], &[verbatim("store.host"), seeds("seed.db_host")]),
    address(&["DB_PORT"], &[verbatim("store.port"), seeds("seed.db_port")]),
    address(&["DB_USER"], &[verbatim("store.user"), seeds("seed.db_user")]),
    address(&["DB_PASSWORD"], &[verbatim("store.password"), seeds("seed.db_password")]).secret(),
    address(&["DB_NAME"], &[verbatim("store.database"), seeds("seed.db_name")]),
    Variable::sets(&["DB_AFTER_CONNECT_QUERY"], &[verbatim("store.after_connect_query")]),
    Variable::sets(&["DB_SSL"], &[converted("store.tls_mode", Conversion::Tls)]),
    Variable::sets(&["DB_SSL_CA_CERT"], &[verbatim("store.tls_ca_file")]),
    Variable::ignored(&["DB_IP_VERSION"], "all addresses of the host are tried"),
    Variable::sets(&["DB_POOL_SIZE"], &[verbatim("store.max_connections")]),
    Variable::sets(&["DB_QUEUE_TARGET"], &[converted("store.acquire_timeout", Conversion::Milliseconds)]),
    Variable::ignored(
        &["DB_QUEUE_INTERVAL"],
        "a request that waits longer than `store.acquire_timeout` fails",
    ),
    Variable::ignored(&["DB_REPLICA_HOST"], REPLICA),
    Variable::ignored(&["DB_REPLICA_POOL_SIZE"], REPLICA),
    Variable::unsupported(&["DB_HOST_REPLICA_FRA"], REPLICA),
    Variable::unsupported(&["DB_HOST_REPLICA_IAD"], REPLICA),
    Variable::unsupported(&["DB_HOST_REPLICA_SIN"], REPLICA),
    Variable::unsupported(&["DB_HOST_REPLICA_SJC"], REPLICA),
    Variable::ignored(&["DB_MASTER_REGION"], "every node writes to the database itself"),
    Variable::sets(&["DB_ENC_KEY"], &[verbatim("store.legacy_encryption_key")]).secret(),
    Variable::sets(&["DB_ENC_KEY_GCM"], &[verbatim("store.encryption_key")]).secret(),
    Variable::sets(&["DB_ENC_WRITE_GCM"], &[converted("store.encrypt_with", Conversion::WrittenForm)]),
];

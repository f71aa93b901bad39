//! Tenants, their keys and limits (docs/protocol/operations.md#tenants-and-keys).

use super::conversion::Conversion;
use super::variable::{SEED, Variable, converted, seeds, verbatim};

const SUPERVISORS: &str = "there are no supervisors to partition";

pub(super) const ROWS: &[Variable] = &[
    Variable::sets(&[SEED], &[converted("seed.tenant", Conversion::Seed)]),
    Variable::sets(&["SELF_HOST_TENANT_NAME"], &[seeds("seed.tenant")]),
    Variable::sets(&["API_JWT_SECRET"], &[verbatim("admin.jwt_secret"), seeds("seed.jwt_secret")]).secret(),
    Variable::sets(&["API_JWT_SECRET_NEXT"], &[converted("admin.jwt_secrets", Conversion::SingleItem)])
        .secret(),
    Variable::sets(&["API_JWT_JWKS"], &[seeds("seed.jwt_jwks")]).secret(),
    Variable::sets(&["API_TOKEN_BLOCKLIST"], &[verbatim("admin.token_blocklist")]).secret(),
    Variable::sets(&["METRICS_JWT_SECRET"], &[verbatim("admin.metrics_jwt_secret")]).secret(),
    Variable::sets(&["METRICS_TOKEN_BLOCKLIST"], &[verbatim("admin.metrics_token_blocklist")]).secret(),
    Variable::sets(&["JWT_CLAIM_VALIDATORS"], &[converted("auth.claim_validators", Conversion::Json)]),
    Variable::sets(&["TENANT_MAX_CONCURRENT_USERS"], &[verbatim("limits.max_concurrent_users")]),
    Variable::sets(&["TENANT_MAX_EVENTS_PER_SECOND"], &[verbatim("limits.max_events_per_second")]),
    Variable::sets(&["TENANT_MAX_JOINS_PER_SECOND"], &[verbatim("limits.max_joins_per_second")]),
    Variable::sets(&["TENANT_MAX_CHANNELS_PER_CLIENT"], &[verbatim("limits.max_channels_per_client")]),
    Variable::ignored(&["TENANT_MAX_BYTES_PER_SECOND"], "it was stored and never enforced"),
    Variable::sets(
        &["TENANT_CACHE_EXPIRATION_IN_MS"],
        &[converted("store.refresh", Conversion::Milliseconds)],
    ),
    Variable::sets(
        &["CLIENT_PRESENCE_MAX_CALLS"],
        &[verbatim("limits.max_client_presence_events_per_window")],
    ),
    Variable::sets(&["CLIENT_PRESENCE_WINDOW_MS"], &[verbatim("limits.client_presence_window_ms")]),
    Variable::sets(&["SLOT_NAME_SUFFIX"], &[verbatim("database.slot_suffix")]),
    Variable::ignored(&["CONNECT_PARTITION_SLOTS"], SUPERVISORS),
    Variable::ignored(&["MIGRATION_PARTITION_SLOTS"], SUPERVISORS),
];

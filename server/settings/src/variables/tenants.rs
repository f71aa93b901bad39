//! Tenants, their keys and limits (docs/protocol/operations.md#tenants-and-keys).

use super::{Part, Reading, SEED, Variable, read, seeds, to};

const SUPERVISORS: &str = "nothing is divided among supervisors";

pub(super) const ROWS: &[Variable] = &[
    Variable::sets(&[SEED], &[read("server.default_tenant", Reading::Seed)]),
    Variable::sets(&["SELF_HOST_TENANT_NAME"], &[seeds("server.default_tenant", Reading::AsWritten)]),
    Variable::sets(
        &["API_JWT_SECRET"],
        &[to("admin.jwt_secret"), seeds("auth.jwt_secret", Reading::AsWritten)],
    )
    .secret(),
    Variable::sets(&["API_JWT_SECRET_NEXT"], &[read("admin.jwt_secrets", Reading::Alone)]).secret(),
    Variable::sets(&["API_JWT_JWKS"], &[seeds("auth.jwt_jwks", Reading::AsWritten)]).secret(),
    Variable::sets(&["API_TOKEN_BLOCKLIST"], &[to("admin.token_blocklist")]).secret(),
    Variable::sets(&["METRICS_JWT_SECRET"], &[to("admin.metrics_jwt_secret")]).secret(),
    Variable::sets(&["METRICS_TOKEN_BLOCKLIST"], &[to("admin.metrics_token_blocklist")]).secret(),
    Variable::sets(&["JWT_CLAIM_VALIDATORS"], &[read("auth.claim_validators", Reading::Json)]),
    Variable::sets(&["TENANT_MAX_CONCURRENT_USERS"], &[to("limits.max_concurrent_users")]),
    Variable::sets(&["TENANT_MAX_EVENTS_PER_SECOND"], &[to("limits.max_events_per_second")]),
    Variable::sets(&["TENANT_MAX_JOINS_PER_SECOND"], &[to("limits.max_joins_per_second")]),
    Variable::sets(&["TENANT_MAX_CHANNELS_PER_CLIENT"], &[to("limits.max_channels_per_client")]),
    Variable::accepted(&["TENANT_MAX_BYTES_PER_SECOND"], "it was stored and never enforced"),
    Variable::later(&["TENANT_CACHE_EXPIRATION_IN_MS"], Part::ManagementApi),
    Variable::sets(&["CLIENT_PRESENCE_MAX_CALLS"], &[to("limits.max_client_presence_events_per_window")]),
    Variable::sets(&["CLIENT_PRESENCE_WINDOW_MS"], &[to("limits.client_presence_window_ms")]),
    Variable::later(&["SLOT_NAME_SUFFIX"], Part::Databases),
    Variable::accepted(&["CONNECT_PARTITION_SLOTS"], SUPERVISORS),
    Variable::accepted(&["MIGRATION_PARTITION_SLOTS"], SUPERVISORS),
];

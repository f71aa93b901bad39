//! The Realtime SDK's server. `PORT` and `HOST` stand with the listener.

use super::variable::{PlannedFeature, Variable, verbatim};

const fn webhooks(names: &'static [&'static str]) -> Variable {
    Variable::planned(names, PlannedFeature::Webhooks)
}

pub(super) const ROWS: &[Variable] = &[
    Variable::sets(&["JWT_SECRET"], &[verbatim("auth.jwt_secret")]).secret(),
    Variable::sets(&["DATABASE_URL"], &[verbatim("store.url")]).secret(),
    Variable::sets(&["REDIS_URL"], &[verbatim("bus.redis_url")]).secret(),
    Variable::sets(&["JWT_ISSUER"], &[verbatim("auth.jwt_issuer")]),
    Variable::sets(&["JWT_AUDIENCE"], &[verbatim("auth.jwt_audience")]),
    Variable::sets(&["AUTH_REQUIRE_PERMISSIONS"], &[verbatim("auth.require_permissions")]),
    webhooks(&["WEBHOOK_MODE"]),
    webhooks(&["WEBHOOK_ENV_CONFIG_JSON"]).secret(),
    webhooks(&["WEBHOOK_TIMEOUT_MS"]),
    webhooks(&["WEBHOOK_RETRY_MAX_ATTEMPTS"]),
    webhooks(&["WEBHOOK_RETRY_BASE_DELAY_MS"]),
    webhooks(&["WEBHOOK_RETRY_MAX_DELAY_MS"]),
    webhooks(&["WEBHOOK_RETRY_JITTER_FACTOR"]),
];

//! The Realtime SDK's server. `PORT` and `HOST` stand with the listener.

use super::{Part, Variable, to};

const fn webhooks(names: &'static [&'static str]) -> Variable {
    Variable::later(names, Part::Webhooks)
}

pub(super) const ROWS: &[Variable] = &[
    Variable::sets(&["JWT_SECRET"], &[to("auth.jwt_secret")]).secret(),
    Variable::later(&["DATABASE_URL"], Part::Databases).secret(),
    Variable::sets(&["REDIS_URL"], &[to("bus.redis_url")]).secret(),
    Variable::sets(&["JWT_ISSUER"], &[to("auth.jwt_issuer")]),
    Variable::sets(&["JWT_AUDIENCE"], &[to("auth.jwt_audience")]),
    webhooks(&["WEBHOOK_MODE"]),
    webhooks(&["WEBHOOK_ENV_CONFIG_JSON"]).secret(),
    webhooks(&["WEBHOOK_TIMEOUT_MS"]),
    webhooks(&["WEBHOOK_RETRY_MAX_ATTEMPTS"]),
    webhooks(&["WEBHOOK_RETRY_BASE_DELAY_MS"]),
    webhooks(&["WEBHOOK_RETRY_MAX_DELAY_MS"]),
    webhooks(&["WEBHOOK_RETRY_JITTER_FACTOR"]),
];

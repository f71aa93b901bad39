//! Whether any tenant can believe a token: asked at the start, on a reload, and by `config check`.
//!
//! A server without a key refuses everybody. That is a mistake, and one that would end every channel if a
//! running server made it.

use settings::Settings;

use crate::auth::Verifier;

/// Whether there is a tenant that holds a key to verify tokens with, or knows where to get some.
pub fn anybody_has_keys(settings: &Settings) -> bool {
    let tenants = settings.every_tenant();
    tenants.values().any(|tenant| {
        // One that fetches its keys has none at first, and nothing is fetched for a question.
        tenant.auth.jwks_url.is_some() || Verifier::new(&tenant.auth, None).has_keys()
    })
}

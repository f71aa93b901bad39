//! `[seed]`: a tenant that is created in the store when the server starts, as Supabase Realtime's `SEED_SELF_HOST` does.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{Auth, Settings, units};

/// A tenant that is created in the store at the start, unless it is there already. It is changed and deleted over HTTP like any
/// other; a deleted one is created again at the next start. While `[auth]` has no key, it is the tenant of clients that name none.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    /// Its id. Unset: none is created.
    #[schemars(extend("x-reload" = "restart", "x-kind" = "tenant"))]
    pub tenant: Option<String>,

    /// The secret that signs tokens of its users. Without it and `jwt_jwks` it is not created.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true))]
    pub jwt_secret: Option<SecretString>,

    /// Its JSON Web Key Set: `{"keys": […]}` in quotes.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true, "x-kind" = "jwks"))]
    pub jwt_jwks: Option<SecretString>,

    /// Host name or address of its own database.
    #[schemars(extend("x-reload" = "restart"))]
    pub db_host: String,

    /// The port of its database.
    #[schemars(extend("x-reload" = "restart"))]
    pub db_port: u16,

    /// The user of its database.
    #[schemars(extend("x-reload" = "restart"))]
    pub db_user: String,

    /// The password of that user. Unset: `postgres`, as upstream.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "restart", "x-secret" = true))]
    pub db_password: Option<SecretString>,

    /// The name of its database.
    #[schemars(extend("x-reload" = "restart"))]
    pub db_name: String,
}

impl Default for Seed {
    fn default() -> Self {
        // Those of upstream's `seeds.exs`, except for its secret of users, which is public.
        Self {
            tenant: None,
            jwt_secret: None,
            jwt_jwks: None,
            db_host: "host.docker.internal".into(),
            db_port: 5433,
            db_user: "supabase_admin".into(),
            db_password: None,
            db_name: "postgres".into(),
        }
    }
}

impl Seed {
    /// The id of the tenant, if it has a key and so can be created.
    pub fn tenant_with_key(&self) -> Option<&str> {
        let has_key = self.jwt_secret.is_some() || self.jwt_jwks.is_some();
        self.tenant.as_deref().filter(|_| has_key)
    }
}

impl Auth {
    /// Whether a key is set, or a URL to fetch keys from.
    pub(crate) fn is_set(&self) -> bool {
        let Self { jwt_secret, jwt_secrets, jwt_jwks, jwks_url, .. } = self;
        jwt_secret.is_some() || !jwt_secrets.is_empty() || jwt_jwks.is_some() || jwks_url.is_some()
    }
}

impl Settings {
    /// The id of the tenant of clients that name none: `server.default_tenant`, which is part of the configuration; or, while
    /// `[auth]` has no key, the one that is created in the store.
    pub fn default_tenant(&self) -> &str {
        self.stored_default_tenant().unwrap_or(&self.server.default_tenant)
    }

    /// The id of the tenant of clients that name none, if the store has it.
    pub(crate) fn stored_default_tenant(&self) -> Option<&str> {
        self.seed.tenant_with_key().filter(|_| !self.auth.is_set())
    }
}

//! The tenant that `[seed]` describes (docs/protocol/operations.md#tenants-and-keys).
//!
//! It is created once, as if an operator had sent it, and belongs to the operators from then on: what they change stays.
//! Upstream deletes it and creates it again at each start.

use std::sync::Arc;

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use settings::Seed;
use tracing::info;

use super::changeset;
use super::invalid::Invalid;
use super::write::apply;
use crate::node::Node;
use crate::store::{StoreError, StoredTenant};
use crate::tenants::WriteError;

/// The region of its database, as upstream's seed has it.
const REGION: &str = "us-east-1";

/// The password of its database if none is set, as upstream's seed has it.
const PASSWORD: &str = "postgres";

/// What became of the tenant that is to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeded {
    /// It was created.
    Created,
    /// There is one of this name.
    AlreadyThere,
}

/// Why it is not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// Its settings, or those of the store, do not allow it; trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// The store does not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the tenant is not written.
enum Reason {
    AlreadyThere,
    Invalid(Invalid),
}

/// Creates the tenant `id` in the store, unless there is one of this name. Nodes that do so at the same time create one.
///
/// # Errors
/// When it cannot be created as it is described, or the store does not do it.
pub async fn seed(node: &Arc<Node>, id: &str) -> Result<Seeded, SeedError> {
    let settings = node.settings().clone();
    if settings.seed.tenant_with_key().is_none() {
        return Err(SeedError::Refused("it has no key: set API_JWT_SECRET (`seed.jwt_secret`)".into()));
    }
    let body = body(&settings.seed);
    let edit = |existing: Option<&StoredTenant>| match existing {
        Some(_) => Err(Reason::AlreadyThere),
        None => changeset::apply(&body, None, id, node.stored_tenants.keys(), &settings.limits)
            .map_err(Reason::Invalid),
    };
    match node.stored_tenants.write(id, edit).await {
        Ok(_created) => {
            apply(node, id).await;
            info!(tenant = id, "The tenant of `seed.tenant` was created in the store");
            Ok(Seeded::Created)
        }
        Err(WriteError::Refused(Reason::AlreadyThere)) => Ok(Seeded::AlreadyThere),
        Err(WriteError::Refused(Reason::Invalid(invalid))) => Err(SeedError::Refused(invalid.first())),
        Err(WriteError::Store(error)) => Err(error.into()),
    }
}

/// The tenant as a request describes it.
fn body(seed: &Seed) -> Map<String, Value> {
    let key_set = seed.jwt_jwks.as_ref().map(|set| serde_json::from_str::<Value>(set.expose_secret()));
    let password = seed.db_password.as_ref().map_or(PASSWORD, ExposeSecret::expose_secret);
    let settings = json!({
        "region": REGION,
        "db_host": seed.db_host,
        "db_port": seed.db_port.to_string(),
        "db_user": seed.db_user,
        "db_password": password,
        "db_name": seed.db_name,
        "ssl_enforced": false,
    });
    let extension = json!({ "type": "postgres_cdc_rls", "settings": settings });
    let mut body = Map::from_iter([("extensions".to_owned(), json!([extension]))]);
    if let Some(secret) = &seed.jwt_secret {
        body.insert("jwt_secret".into(), secret.expose_secret().into());
    }
    if let Some(Ok(set)) = key_set {
        body.insert("jwt_jwks".into(), set);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::super::secrets::tests::{decrypted, keys};
    use super::*;

    #[test]
    fn it_has_the_fields_of_upstreams_seed() {
        let seed = Seed {
            tenant: Some("realtime-dev".into()),
            jwt_secret: Some("a secret of users, of 32 bytes or more".into()),
            jwt_jwks: Some(r#"{"keys":[]}"#.into()),
            ..Seed::default()
        };
        let limits = settings::Limits::default();
        let tenant = changeset::apply(&body(&seed), None, "realtime-dev", &keys(), &limits).expect("valid");
        assert_eq!(
            (tenant.external_id.as_str(), tenant.name.as_deref()),
            ("realtime-dev", Some("realtime-dev"))
        );
        assert_eq!(decrypted(&tenant.jwt_secret.into()), "a secret of users, of 32 bytes or more");
        assert_eq!(tenant.jwt_jwks, Some(json!({"keys": []})));
        assert_eq!(tenant.extensions.len(), 1);
        assert_eq!(tenant.extensions[0].kind, "postgres_cdc_rls");
        let settings = &tenant.extensions[0].settings;
        for (name, value) in [
            ("db_name", "postgres"),
            ("db_host", "host.docker.internal"),
            ("db_user", "supabase_admin"),
            ("db_password", "postgres"),
            ("db_port", "5433"),
        ] {
            assert_eq!(decrypted(&settings[name]), value, "{name}");
        }
        for (name, value) in [
            ("region", json!("us-east-1")),
            ("poll_interval_ms", json!(100)),
            ("poll_max_record_bytes", json!(1_048_576)),
            ("ssl_enforced", json!(false)),
        ] {
            assert_eq!(settings[name], value, "{name}");
        }
    }
}

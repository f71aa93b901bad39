//! How a tenant is shown. Of its secrets it shows none in plain text, and `jwt_secret`, the key set and the password of its
//! database not at all.

use serde_json::{Value, json};

use crate::store::{StoredExtension, StoredTenant};

/// A tenant of the store: upstream's fields, and `suspend`, which operators have to see. Settings of extensions are as they are stored, the secret ones
/// encrypted.
pub(super) fn representation(tenant: &StoredTenant) -> Value {
    json!({
        "id": tenant.id,
        "external_id": tenant.external_id,
        "name": tenant.name,
        "max_concurrent_users": tenant.max_concurrent_users,
        "max_channels_per_client": tenant.max_channels_per_client,
        "max_events_per_second": tenant.max_events_per_second,
        "max_joins_per_second": tenant.max_joins_per_second,
        "inserted_at": tenant.inserted_at,
        "extensions": tenant.extensions.iter().map(extension).collect::<Vec<_>>(),
        "private_only": tenant.private_only,
        "max_client_presence_events_per_window": tenant.max_client_presence_events_per_window,
        "client_presence_window_ms": tenant.client_presence_window_ms,
        "presence_enabled": tenant.presence_enabled,
        "suspend": tenant.suspend.unwrap_or(false),
    })
}

fn extension(extension: &StoredExtension) -> Value {
    let mut settings = extension.settings.clone();
    if let Some(settings) = settings.as_object_mut() {
        settings.remove("db_password");
    }
    json!({
        "type": extension.kind,
        "inserted_at": extension.inserted_at,
        "updated_at": extension.updated_at,
        "settings": settings,
    })
}

/// A tenant of the configuration, as [`Settings::every_tenant`](settings::Settings::every_tenant) completes it: the same
/// fields, and `origin`. It has no row, so its id is its name, it was never inserted, and it has no extensions. Without a
/// limit of users that is null.
pub(super) fn configured(id: &str, tenant: &settings::Tenant) -> Value {
    let limits = &tenant.limits;
    json!({
        "id": id,
        "external_id": id,
        "name": id,
        "max_concurrent_users": limits.max_concurrent_users,
        "max_channels_per_client": limits.max_channels_per_client,
        "max_events_per_second": limits.max_events_per_second,
        "max_joins_per_second": limits.max_joins_per_second,
        "inserted_at": null,
        "extensions": [],
        "private_only": tenant.private_only,
        "max_client_presence_events_per_window": limits.max_client_presence_events_per_window,
        "client_presence_window_ms": limits.client_presence_window_ms,
        "presence_enabled": tenant.presence_enabled.unwrap_or_default(),
        "suspend": tenant.suspended,
        "origin": "config",
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use settings::Settings;

    use super::*;

    fn stored() -> StoredTenant {
        let settings = json!({"region": "us-east-1", "db_host": "g1:aG9zdA==", "db_password": "g1:cGFzcw==", "slot_name": "s"});
        let time = || "2026-08-21T12:00:00".to_owned();
        let extension = |kind: &str| StoredExtension {
            kind: kind.into(),
            settings: settings.clone(),
            inserted_at: time(),
            updated_at: time(),
        };
        StoredTenant {
            jwt_secret: Some("g1:c2VjcmV0".into()),
            jwt_jwks: Some(json!({"keys": []})),
            client_presence_window_ms: Some(0),
            inserted_at: time(),
            extensions: vec![extension("postgres_cdc_rls"), extension("another")],
            ..StoredTenant::new("d4448862-666f-4af2-9966-78298e8af6bf".into(), "realtime-dev")
        }
    }

    #[test]
    fn a_stored_tenant_has_the_fields_of_upstream_and_whether_it_is_suspended() {
        let extension = |kind| {
            json!({
                "type": kind,
                "inserted_at": "2026-08-21T12:00:00",
                "updated_at": "2026-08-21T12:00:00",
                "settings": {"region": "us-east-1", "db_host": "g1:aG9zdA==", "slot_name": "s"},
            })
        };
        let expected = json!({
            "id": "d4448862-666f-4af2-9966-78298e8af6bf",
            "external_id": "realtime-dev",
            "name": "realtime-dev",
            "max_concurrent_users": 200,
            "max_channels_per_client": 100,
            "max_events_per_second": 100,
            "max_joins_per_second": 500,
            "inserted_at": "2026-08-21T12:00:00",
            "extensions": [extension("postgres_cdc_rls"), extension("another")],
            "private_only": false,
            "max_client_presence_events_per_window": null,
            "client_presence_window_ms": 0,
            "presence_enabled": false,
            "suspend": false,
        });
        assert_eq!(representation(&stored()), expected);
        let unnamed = StoredTenant { name: None, extensions: Vec::new(), ..stored() };
        let shown = representation(&unnamed);
        assert_eq!((&shown["name"], &shown["extensions"]), (&Value::Null, &json!([])));
    }

    #[test]
    fn a_tenant_of_the_configuration_has_the_same_fields_and_an_origin() {
        let mut settings = Settings::default();
        settings.auth.jwt_secret = Some("a-secret-that-is-not-shown".into());
        settings.limits.max_concurrent_users = NonZeroUsize::new(7);
        let tenants = settings.every_tenant();
        let shown = configured("default", &tenants["default"]);
        let mut fields: Vec<_> = shown.as_object().expect("an object").keys().cloned().collect();
        fields.retain(|field| field != "origin");
        let stored = representation(&stored());
        assert_eq!(fields, stored.as_object().expect("an object").keys().cloned().collect::<Vec<_>>());
        assert_eq!(shown["origin"], "config");
        assert_eq!(shown["max_concurrent_users"], 7);
        assert_eq!(shown["presence_enabled"], settings.presence.enabled);
        assert!(!shown.to_string().contains("not-shown"));
        settings.limits.max_concurrent_users = None;
        let tenants = settings.every_tenant();
        assert_eq!(configured("default", &tenants["default"])["max_concurrent_users"], Value::Null);
    }
}

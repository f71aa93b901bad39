//! A stored tenant as the settings that apply to it.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use std::time::Duration;

use percent_encoding::NON_ALPHANUMERIC;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use settings::StoreTls;

use crate::store::{EncryptionError, EncryptionKeys, StoredTenant};
use crate::tenants::TenantSpec;

/// The type of the extension that names the database of a tenant.
const DATABASE_EXTENSION: &str = "postgres_cdc_rls";

/// What a stored tenant specifies. Limits below one, which upstream stores and which refuse everything there, are one.
pub(in super::super) fn spec(
    tenant: &StoredTenant,
    keys: &EncryptionKeys,
) -> Result<TenantSpec, EncryptionError> {
    let mut settings = settings::Tenant {
        suspended: tenant.suspend.unwrap_or(false),
        private_only: tenant.private_only,
        presence_enabled: Some(tenant.presence_enabled),
        region: region(tenant),
        ..Default::default()
    };
    settings.auth.jwt_secret =
        tenant.jwt_secret.as_deref().map(|secret| decrypted(secret, keys)).transpose()?;
    settings.auth.jwt_jwks = tenant.jwt_jwks.as_ref().map(|keys| keys.to_string().into());
    settings.limits = limits(tenant);
    let extension = tenant.extensions.iter().find(|extension| extension.kind == DATABASE_EXTENSION);
    if let Some(extension) = extension {
        settings.database = database(&extension.settings, keys)?;
    }
    Ok(TenantSpec { id: tenant.external_id.clone(), settings })
}

fn decrypted(secret: &str, keys: &EncryptionKeys) -> Result<SecretString, EncryptionError> {
    let secret = keys.decrypt(secret)?;
    if secret.expose_secret().is_empty() { Err(EncryptionError::Empty) } else { Ok(secret) }
}

/// The database that an extension names. Settings that are not valid count as absent, as upstream's defaults have it.
fn database(settings: &Value, keys: &EncryptionKeys) -> Result<settings::TenantDatabase, EncryptionError> {
    let secret = |name: &str| match settings[name].as_str() {
        Some(encrypted) => keys.decrypt(encrypted).map(Some),
        None => Ok(None),
    };
    let (Some(host), Some(port), Some(name), Some(user), Some(password)) = (
        secret("db_host")?,
        secret("db_port")?,
        secret("db_name")?,
        secret("db_user")?,
        secret("db_password")?,
    ) else {
        return Ok(settings::TenantDatabase::default());
    };
    let text = |name: &str| settings[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let number = |name: &str| settings[name].as_u64().and_then(|number| u32::try_from(number).ok());
    // Upstream uses TLS unless it is told otherwise, and verifies nothing.
    let uses_tls = settings["ssl_enforced"].as_bool().unwrap_or(true);
    Ok(settings::TenantDatabase {
        url: Some(url(&[
            ("host", &host),
            ("port", &port),
            ("dbname", &name),
            ("user", &user),
            ("password", &password),
        ])),
        tls_mode: if uses_tls { StoreTls::Require } else { StoreTls::Off },
        max_connections: number("db_pool").and_then(NonZeroU32::new),
        acquire_timeout: number("db_queue_target").map(|wait| Duration::from_millis(wait.into())),
        publication: text("publication"),
        ..settings::TenantDatabase::default()
    })
}

/// A URL of these parts, whatever they contain.
fn url(parts: &[(&str, &SecretString)]) -> SecretString {
    let encode = |text: &str| percent_encoding::utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = parts.iter().map(|(name, value)| format!("{name}={}", encode(value.expose_secret())));
    format!("postgres:///?{}", pairs.collect::<Vec<_>>().join("&")).into()
}

fn limits(tenant: &StoredTenant) -> settings::Limits {
    let default = settings::Limits::default();
    settings::Limits {
        max_concurrent_users: Some(
            NonZeroUsize::new(count(tenant.max_concurrent_users)).unwrap_or(NonZeroUsize::MIN),
        ),
        max_channels_per_client: NonZeroUsize::new(count(tenant.max_channels_per_client))
            .unwrap_or(NonZeroUsize::MIN),
        max_joins_per_second: number(tenant.max_joins_per_second),
        max_events_per_second: number(tenant.max_events_per_second),
        max_presence_events_per_second: tenant
            .max_presence_events_per_second
            .map_or(default.max_presence_events_per_second, number),
        max_client_presence_events_per_window: tenant
            .max_client_presence_events_per_window
            .filter(|number| *number > 0)
            .map_or(default.max_client_presence_events_per_window, number),
        client_presence_window_ms: tenant
            .client_presence_window_ms
            .filter(|number| *number > 0)
            .map_or(default.client_presence_window_ms, |window| NonZeroU64::from(number(window))),
        max_payload_size_in_kb: tenant.max_payload_size_in_kb.map_or(default.max_payload_size_in_kb, number),
        ..default
    }
}

fn count(column: i32) -> usize {
    usize::try_from(column).unwrap_or(0)
}

fn number(column: i32) -> NonZeroU32 {
    u32::try_from(column).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

/// The region in which its database is.
fn region(tenant: &StoredTenant) -> Option<String> {
    let regions = tenant.extensions.iter().filter_map(|extension| extension.settings["region"].as_str());
    regions.map(str::to_owned).next()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::{StoredExtension, WrittenForm};

    #[test]
    fn what_is_stored_applies() {
        let key = "a key for AES-GCM of 32 bytes !!".into();
        let keys = EncryptionKeys::new(Some(&key), None, WrittenForm::Current).unwrap();
        let mut stored = StoredTenant::new("id".into(), "acme");
        stored.jwt_secret = Some(keys.encrypt(&"secret".into()).unwrap());
        stored.jwt_jwks = Some(json!({"keys": []}));
        stored.suspend = Some(true);
        stored.max_joins_per_second = 0;
        stored.client_presence_window_ms = Some(-1);
        let encrypted = |text: &str| keys.encrypt(&text.into()).unwrap();
        let settings = json!({
            "region": "eu-west-1", "db_host": encrypted("db.example"), "db_port": encrypted("6543"),
            "db_name": encrypted("a/b"), "db_user": encrypted("us@er"), "db_password": encrypted("p:/?&=# ü"),
            "ssl_enforced": false, "db_pool": 3, "publication": "theirs",
        });
        let extension = StoredExtension {
            kind: "postgres_cdc_rls".into(),
            settings,
            inserted_at: String::new(),
            updated_at: String::new(),
        };
        stored.extensions.push(extension);
        let TenantSpec { id, settings } = spec(&stored, &keys).unwrap();
        assert_eq!((id.as_str(), settings.suspended, settings.private_only), ("acme", true, false));
        assert_eq!(settings.auth.jwt_secret.unwrap().expose_secret(), "secret");
        assert_eq!(settings.auth.jwt_jwks.unwrap().expose_secret(), r#"{"keys":[]}"#);
        assert_eq!(settings.limits.max_concurrent_users, NonZeroUsize::new(200));
        assert_eq!(settings.limits.max_joins_per_second, NonZeroU32::MIN);
        assert_eq!(
            settings.limits.client_presence_window_ms,
            settings::Limits::default().client_presence_window_ms
        );
        assert_eq!(settings.region.as_deref(), Some("eu-west-1"));
        let database = settings.database;
        assert_eq!((database.tls_mode, database.publication.as_deref()), (StoreTls::Off, Some("theirs")));
        assert_eq!(database.max_connections, NonZeroU32::new(3));
        assert_eq!(
            database.url.unwrap().expose_secret(),
            "postgres:///?host=db%2Eexample&port=6543&dbname=a%2Fb&user=us%40er&password=p%3A%2F%3F%26%3D%23%20%C3%BC"
        );
        let empty = StoredTenant { jwt_secret: Some(keys.encrypt(&"".into()).unwrap()), ..stored.clone() };
        assert_eq!(spec(&empty, &keys), Err(EncryptionError::Empty));
        let other = EncryptionKeys::new(None, None, WrittenForm::Current).unwrap();
        assert_eq!(spec(&stored, &other), Err(EncryptionError::NoKey("DB_ENC_KEY_GCM")));
    }
}

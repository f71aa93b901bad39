//! A tenant as a request leaves it: the fields that it gives are cast and checked, then its secrets are encrypted.
//!
//! All errors of a body are reported at once, apart from two that can only be found when there are no others: that no key
//! is left, and that secrets cannot be encrypted.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::invalid::{FieldError, Invalid};
use super::{cast, extensions, external_id, secrets};
use crate::store::{EncryptionKeys, StoredTenant};

/// The tenant that `body`, the object at `tenant` in a request, makes of `existing`, or a new one. A field that is not given
/// stays as it is; one that is null or blank gets the value that it has in a new tenant. A new tenant is called
/// `external_id`, whatever its body says, and has `defaults` for the limits that it does not give.
///
/// # Errors
/// What is invalid about the body.
pub(super) fn apply(
    body: &Map<String, Value>,
    existing: Option<&StoredTenant>,
    external_id: &str,
    keys: &EncryptionKeys,
    defaults: &settings::Limits,
) -> Result<StoredTenant, Invalid> {
    let new = new_tenant(external_id, defaults);
    let mut tenant = cast_body(body, existing, &new, keys)?;
    if tenant.jwt_secret.is_none() && tenant.jwt_jwks.is_none() {
        return Err(Invalid::field("jwt_secret", FieldError::NoKeys));
    }
    encrypt(&mut tenant, existing, keys)?;
    Ok(tenant)
}

/// The tenant with the fields of `body`; secrets that it gives are in plain text.
fn cast_body(
    body: &Map<String, Value>,
    existing: Option<&StoredTenant>,
    new: &StoredTenant,
    keys: &EncryptionKeys,
) -> Result<StoredTenant, Invalid> {
    let mut invalid = Invalid::default();
    let mut tenant = existing.unwrap_or(new).clone();
    set_fields(&mut tenant, body, new, &mut invalid);
    let external_id = match existing {
        Some(existing) => external_id::check_same(&existing.external_id, body),
        None => external_id::check_new(&new.external_id, body),
    };
    if let Err(error) = external_id {
        invalid.add("external_id", error);
    }
    if existing.is_none() {
        tenant.name.clone_from(&new.name);
    }
    if let Some(given) = body.get("extensions") {
        let extensions = match existing {
            Some(existing) => extensions::replacing(&existing.extensions, given, keys),
            None => extensions::of_new_tenant(given, keys),
        };
        match extensions {
            Ok(extensions) => tenant.extensions = extensions,
            Err(errors) => invalid.add("extensions", errors),
        }
    }
    if invalid.errors.is_empty() { Ok(tenant) } else { Err(invalid) }
}

/// A new tenant. Upstream reads these limits from its variables, which are `[limits]` here; without a limit of users it has
/// the column's default.
fn new_tenant(external_id: &str, defaults: &settings::Limits) -> StoredTenant {
    let tenant = StoredTenant::new(Uuid::new_v4().to_string(), external_id);
    let users = defaults.max_concurrent_users.map(|max| column(max.get()));
    StoredTenant {
        max_concurrent_users: users.unwrap_or(tenant.max_concurrent_users),
        max_channels_per_client: column(defaults.max_channels_per_client.get()),
        max_events_per_second: column(defaults.max_events_per_second.get()),
        max_joins_per_second: column(defaults.max_joins_per_second.get()),
        ..tenant
    }
}

/// A limit as its column holds it.
fn column(limit: impl TryInto<i32>) -> i32 {
    limit.try_into().unwrap_or(i32::MAX)
}

/// Sets the fields of `tenant` that `body` gives: their names, and what casts them. Empty ones are as in `new`.
macro_rules! set_fields {
    ($tenant:ident, $body:ident, $new:ident, $invalid:ident; $($name:ident: $cast:path,)*) => {
        $(if let Some(value) = $body.get(stringify!($name)) {
            if cast::is_empty(value) {
                $tenant.$name.clone_from(&$new.$name);
            } else {
                match $cast(value) {
                    Ok(value) => $tenant.$name = value.into(),
                    Err(error) => $invalid.add(stringify!($name), error),
                }
            }
        })*
    };
}

fn set_fields(
    tenant: &mut StoredTenant,
    body: &Map<String, Value>,
    new: &StoredTenant,
    invalid: &mut Invalid,
) {
    set_fields! { tenant, body, new, invalid;
        name: cast::text,
        jwt_secret: cast::secret,
        jwt_jwks: cast::key_set,
        max_concurrent_users: cast::limit,
        max_events_per_second: cast::limit,
        max_bytes_per_second: cast::count,
        max_channels_per_client: cast::limit,
        max_joins_per_second: cast::limit,
        max_presence_events_per_second: cast::limit,
        max_payload_size_in_kb: cast::limit,
        max_client_presence_events_per_window: cast::limit_if_positive,
        client_presence_window_ms: cast::limit_if_positive,
        postgres_cdc_default: extensions::kind,
        suspend: cast::boolean,
        private_only: cast::boolean,
        presence_enabled: cast::boolean,
        broadcast_adapter: cast::broadcast_adapter,
        feature_flags: cast::object,
        migrations_ran: cast::count,
    }
}

/// Encrypts the secrets that are not as they are stored.
fn encrypt(
    tenant: &mut StoredTenant,
    existing: Option<&StoredTenant>,
    keys: &EncryptionKeys,
) -> Result<(), Invalid> {
    let mut invalid = Invalid::default();
    if let Some(secret) = &mut tenant.jwt_secret {
        let stored = existing.and_then(|existing| existing.jwt_secret.as_deref());
        match secrets::encrypted(secret, stored, keys) {
            Ok(encrypted) => *secret = encrypted,
            Err(error) => invalid.add("jwt_secret", json!([error.to_string()])),
        }
    }
    let stored = existing.map_or(&[][..], |existing| &existing.extensions);
    if let Err(errors) = extensions::encrypt(&mut tenant.extensions, stored, keys) {
        invalid.add("extensions", errors);
    }
    if invalid.errors.is_empty() { Ok(()) } else { Err(invalid) }
}

#[cfg(test)]
mod tests;

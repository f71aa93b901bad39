//! Encrypts the secrets of all stored tenants with the current key.
//!
//! One tenant at a time, each in a transaction that replaces what was read: a change that another writer makes meanwhile is not
//! overwritten. A secret that is under the current key already stays as it is, so this may be interrupted at any moment, and
//! then begun again. A secret that no key decrypts stays as well, and is reported.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::store::{
    EncryptionError, EncryptionKeys, Revision, StoreError, StoredTenant, TenantStore, UsedKey,
};

/// The settings of an extension that are stored encrypted.
pub const ENCRYPTED_SETTINGS: [&str; 5] = ["db_host", "db_port", "db_name", "db_user", "db_password"];

/// How often one tenant is read again because others write it at the same time, and how often all are looked through again
/// because others write with another key.
const ATTEMPTS: usize = 10;

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RekeyMode {
    /// Secrets are encrypted with the current key.
    Write,
    /// They are only counted.
    Count,
}

/// What was found in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RekeyReport {
    /// Tenants.
    pub tenants: usize,
    /// Secrets under the current key for AES-256-GCM.
    pub current: usize,
    /// Secrets under a previous one.
    pub previous: usize,
    /// Secrets in the legacy form.
    pub legacy: usize,
    /// Secrets that were encrypted again; in [`RekeyMode::Count`] those that would be.
    pub changed: usize,
    /// Secrets that cannot be decrypted: the tenant, the name of the secret, and why.
    pub unreadable: Vec<(String, String, EncryptionError)>,
}

impl RekeyReport {
    /// Adds the secrets of a tenant that was not seen before.
    fn add(&mut self, tenant: &str, secrets: &[Secret]) {
        self.tenants += 1;
        for Secret { name, used, .. } in secrets {
            match used {
                Ok(UsedKey::Current) => self.current += 1,
                Ok(UsedKey::Previous) => self.previous += 1,
                Ok(UsedKey::Legacy) => self.legacy += 1,
                Err(error) => self.unreadable.push((tenant.into(), name.clone(), *error)),
            }
        }
    }
}

/// One secret of a tenant.
struct Secret {
    name: String,
    used: Result<UsedKey, EncryptionError>,
    /// It, under the key that is to be used, if it is under another.
    again: Option<String>,
}

/// Encrypts the secrets in a store again.
#[derive(Debug)]
pub struct Rekey<'a> {
    /// Where the tenants are.
    pub store: &'a dyn TenantStore,
    /// What decrypts their secrets, and is to encrypt them.
    pub keys: &'a EncryptionKeys,
    /// How long the store may take for each answer.
    pub timeout: Duration,
    /// Whether anything is written.
    pub mode: RekeyMode,
}

impl Rekey<'_> {
    /// Visits every tenant. Calls `progress` after each with how many were visited, and how many are known.
    ///
    /// # Errors
    /// Those of the store. What was written before stays.
    pub async fn run(&self, mut progress: impl FnMut(usize, usize)) -> Result<RekeyReport, StoreError> {
        let (mut report, mut visited) = (RekeyReport::default(), HashMap::<String, Revision>::new());
        for _ in 0..ATTEMPTS {
            let mut stored = self.answer(self.store.revisions()).await?;
            stored.retain(|(name, revision)| visited.get(name) != Some(revision));
            let (known, changed) = (visited.len() + stored.len(), report.changed);
            for (name, _) in stored {
                // `None`: it was deleted meanwhile.
                let Some((secrets, revision)) = self.tenant(&name).await? else { continue };
                report.changed += secrets.iter().filter(|secret| secret.again.is_some()).count();
                if visited.insert(name.clone(), revision).is_none() {
                    report.add(&name, &secrets);
                }
                progress(visited.len(), known);
            }
            // A writer that uses another key than this would have left something to do.
            if report.changed == changed || self.mode == RekeyMode::Count {
                return Ok(report);
            }
        }
        Err(StoreError::Changed)
    }

    /// Rekeys one tenant. Returns what its secrets were, and its revision now.
    async fn tenant(&self, name: &str) -> Result<Option<(Vec<Secret>, Revision)>, StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(mut tenant) = self.answer(self.store.tenant(name)).await? else { return Ok(None) };
            let secrets = self.encrypt(&mut tenant);
            let is_changed = secrets.iter().any(|secret| secret.again.is_some());
            if !is_changed || self.mode == RekeyMode::Count {
                return Ok(Some((secrets, tenant.revision)));
            }
            match self.answer(self.store.put(&tenant, Some(&tenant.revision))).await {
                Ok(stored) => return Ok(Some((secrets, stored.revision))),
                Err(StoreError::Changed) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Changed)
    }

    /// Encrypts those secrets of `tenant` that are under another key.
    fn encrypt(&self, tenant: &mut StoredTenant) -> Vec<Secret> {
        let mut secrets = Vec::new();
        if let Some(value) = &mut tenant.jwt_secret {
            secrets.push(self.encrypt_one("jwt_secret".into(), value));
        }
        for extension in &mut tenant.extensions {
            for name in ENCRYPTED_SETTINGS {
                if let Some(Value::String(value)) = extension.settings.get_mut(name) {
                    secrets.push(self.encrypt_one(format!("{}.{name}", extension.kind), value));
                }
            }
        }
        secrets
    }

    fn encrypt_one(&self, name: String, value: &mut String) -> Secret {
        let (used, again) = match self.keys.decrypt_with_any(value) {
            Ok((_, used)) if self.keys.written_with() == Some(used) => (Ok(used), None),
            Ok((secret, used)) => match self.keys.encrypt(&secret) {
                Ok(again) => (Ok(used), Some(again)),
                Err(error) => (Err(error), None),
            },
            Err(error) => (Err(error), None),
        };
        if let Some(again) = &again {
            value.clone_from(again);
        }
        Secret { name, used, again }
    }

    async fn answer<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let late = |_elapsed| Err(StoreError::Unavailable("it does not answer in time".into()));
        timeout(self.timeout, answer).await.unwrap_or_else(late)
    }
}

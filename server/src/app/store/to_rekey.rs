//! A store whose secrets are to be encrypted with another key, without a server.

use anyhow::ensure;
use secrecy::SecretString;
use settings::Settings;

use super::key_file::{self, KeyFile};
use super::{FILE, OpenedStore, keys};
use crate::tenants::RekeyMode;

/// An opened store, with the keys that are to be used and those that were.
#[derive(Debug)]
pub struct StoreToRekey {
    /// The store.
    pub store: OpenedStore,
    /// The key file, if the key in it is replaced.
    replaced: Option<KeyFile>,
}

impl StoreToRekey {
    /// The store that `settings` describe. Secrets may be encrypted with the key of the settings, with one that was it
    /// before, with the generated one, and with `old`. Without a key in the settings, one is generated to replace the
    /// generated one of the embedded store.
    ///
    /// # Errors
    /// When a key cannot be used, the store cannot be opened, or its tables are not those of this version.
    pub async fn open(settings: &Settings, old: Vec<SecretString>, mode: RekeyMode) -> anyhow::Result<Self> {
        let (store, replaced) = if settings.store.is_shared() {
            ensure!(
                settings.store.encryption_key.is_some() || settings.store.legacy_encryption_key.is_some(),
                "there is no key to encrypt with: set `store.encryption_key` (DB_ENC_KEY_GCM)"
            );
            let keys = keys(settings, settings.store.encryption_key.as_ref(), &old)?;
            (OpenedStore { keys, ..OpenedStore::open(settings).await? }, None)
        } else {
            Self::embedded(settings, old, mode).await?
        };
        let status = store.tables.tenants.migration_status().await?;
        let pending = status.pending.len();
        ensure!(pending == 0, "its tables lack {pending} steps: run `realtime-server migrate` first");
        Ok(Self { store, replaced })
    }

    async fn embedded(
        settings: &Settings,
        mut previous: Vec<SecretString>,
        mode: RekeyMode,
    ) -> anyhow::Result<(OpenedStore, Option<KeyFile>)> {
        let folder = &settings.server.data_dir;
        ensure!(folder.join(FILE).is_file(), "there is no store in {} (`server.data_dir`)", folder.display());
        let file = KeyFile::of(folder);
        let (current, replaced) = match (&settings.store.encryption_key, mode) {
            (Some(key), _) => {
                previous.extend(file.existing()?);
                (key.clone(), None)
            }
            (None, RekeyMode::Write) => {
                let kept = file.begin_replacement()?;
                previous.extend(kept.previous);
                (kept.current, Some(file))
            }
            // Nothing is under the key that would be generated.
            (None, RekeyMode::Count) => {
                previous.extend(file.existing()?);
                (key_file::generated()?, None)
            }
        };
        let keys = keys(settings, Some(&current), &previous)?;
        Ok((OpenedStore::embedded_with(settings, keys).await?, replaced))
    }

    /// Makes the key that was generated the only one, when nothing is left under the other.
    ///
    /// # Errors
    /// When its file cannot be renamed. Then the next run goes on.
    pub fn finish(&self) -> std::io::Result<()> {
        self.replaced.as_ref().map_or(Ok(()), KeyFile::finish_replacement)
    }
}

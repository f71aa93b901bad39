//! Opens the store that the settings describe.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;
use settings::Settings;
use settings::file_access::{self, SizeLimit};

use crate::store::{EncryptionKeys, MemoryStore, Migrate, TenantStore, WrittenForm};

/// The file of the embedded store, in `server.data_dir`.
const FILE: &str = "store.sqlite";

/// The file of the key that is generated for it.
const KEY_FILE: &str = "encryption-key";

/// A store that is ready to be asked, and the keys of its secrets.
#[derive(Debug)]
pub struct OpenedStore {
    /// The tenants.
    pub tenants: Arc<dyn TenantStore>,
    /// What encrypts their secrets.
    pub keys: EncryptionKeys,
    /// Its tables, which may have to be migrated once it can be reached.
    pub tables: Arc<dyn Migrate>,
}

impl OpenedStore {
    /// A store in memory.
    pub fn in_memory() -> Self {
        let key = generated_key().expect("the system provides random numbers");
        let keys =
            EncryptionKeys::new(Some(&key), None, WrittenForm::Current).expect("it has the right length");
        let store = Arc::new(MemoryStore::default());
        Self { tenants: Arc::clone(&store) as Arc<dyn TenantStore>, keys, tables: store }
    }

    /// The store that `settings` describe. A database is not connected to yet.
    ///
    /// # Errors
    /// When a key or an address cannot be used, or the embedded file cannot be opened.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        if settings.store.is_shared() { Self::shared(settings) } else { Self::embedded(settings).await }
    }

    /// The tables of the store that `settings` describe, as they are.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn tables(settings: &Settings) -> anyhow::Result<Arc<dyn Migrate>> {
        let never = settings::Store { migrate: settings::Migrate::Never, ..settings.store.clone() };
        let opened = Self::open(&Settings { store: never, ..settings.clone() }).await?;
        Ok(opened.tables)
    }

    #[cfg(feature = "postgres")]
    fn shared(settings: &Settings) -> anyhow::Result<Self> {
        let keys = keys(settings, settings.store.encryption_key.as_ref())?;
        let database = crate::store::PostgresStore::new(&settings.store)?;
        Ok(Self { tenants: Arc::new(database.clone()), keys, tables: Arc::new(database) })
    }

    #[cfg(not(feature = "postgres"))]
    fn shared(_settings: &Settings) -> anyhow::Result<Self> {
        anyhow::bail!(
            "`store.url` names a PostgreSQL, and this program was built without it: build it with the feature `postgres`, \
             as `cargo build --release` does"
        )
    }

    #[cfg(feature = "sqlite")]
    async fn embedded(settings: &Settings) -> anyhow::Result<Self> {
        let folder = &settings.server.data_dir;
        file_access::create_folder(folder)
            .with_context(|| format!("cannot make the folder {} (`server.data_dir`)", folder.display()))?;
        let key = match &settings.store.encryption_key {
            Some(key) => key.clone(),
            None => kept_key(folder)
                .with_context(|| format!("cannot keep a key in {} (`server.data_dir`)", folder.display()))?,
        };
        let keys = keys(settings, Some(&key))?;
        let file = folder.join(FILE);
        // SQLite would make a file that others may read; its further files have the permissions of this one.
        file_access::open(&file, OpenOptions::new().write(true).create(true).truncate(false))
            .with_context(|| format!("cannot open {}", file.display()))?;
        let opened = async {
            let store = crate::store::SqliteStore::open(&file).await?;
            if settings.store.migrate == settings::Migrate::OnStart {
                store.migrate().await?;
            }
            Ok::<_, crate::store::StoreError>(store)
        };
        let store = opened.await.with_context(|| format!("cannot open {}", file.display()))?;
        Ok(Self { tenants: Arc::new(store.clone()), keys, tables: Arc::new(store) })
    }

    #[cfg(not(feature = "sqlite"))]
    #[expect(clippy::unused_async, reason = "with the embedded store it awaits")]
    async fn embedded(_settings: &Settings) -> anyhow::Result<Self> {
        anyhow::bail!("this program was built without the feature `sqlite`")
    }
}

fn keys(settings: &Settings, key: Option<&SecretString>) -> anyhow::Result<EncryptionKeys> {
    let written = match settings.store.encrypt_with {
        settings::WrittenForm::Current => WrittenForm::Current,
        settings::WrittenForm::Legacy => WrittenForm::Legacy,
    };
    Ok(EncryptionKeys::new(key, settings.store.legacy_encryption_key.as_ref(), written)?)
}

/// The key of earlier runs, or a new one that only its owner may read.
fn kept_key(folder: &Path) -> io::Result<SecretString> {
    let file = folder.join(KEY_FILE);
    match file_access::read_text(&file, SizeLimit::SECRET) {
        Ok(key) => return Ok(key.trim_end().into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let key = generated_key()?;
    let mut opened = file_access::open(&file, OpenOptions::new().write(true).create_new(true))?;
    opened.write_all(secrecy::ExposeSecret::expose_secret(&key).as_bytes())?;
    // What is encrypted with it must not outlive it.
    opened.sync_all()?;
    Ok(key)
}

/// 32 characters, which AES-256 takes as its key.
fn generated_key() -> io::Result<SecretString> {
    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random).into())
}

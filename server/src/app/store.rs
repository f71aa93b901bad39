//! Opens the store that the settings describe.

mod key_file;
mod to_rekey;

#[cfg(feature = "sqlite")]
use std::fs::OpenOptions;
use std::sync::Arc;

#[cfg(feature = "sqlite")]
use anyhow::Context;
use secrecy::SecretString;
use settings::Settings;
#[cfg(feature = "sqlite")]
use settings::file_access;

#[cfg(feature = "sqlite")]
use self::key_file::{KeptKeys, KeyFile};
pub use self::to_rekey::StoreToRekey;
#[cfg(feature = "sqlite")]
use crate::store::SqliteStore;
use crate::store::{DocumentStore, EncryptionKeys, MemoryStore, Migrate, TenantStore, WrittenForm};

/// The file of the embedded store, in `server.data_dir`.
const FILE: &str = "store.sqlite";

#[cfg(not(feature = "sqlite"))]
const WITHOUT_SQLITE: &str = "this program was built without the feature `sqlite`";

/// A store that is ready to be asked, and the keys of its secrets.
#[derive(Debug)]
pub struct OpenedStore {
    /// The tenants.
    pub tenants: Arc<dyn TenantStore>,
    /// The documents.
    pub documents: Arc<dyn DocumentStore>,
    /// What encrypts their secrets.
    pub keys: EncryptionKeys,
    /// Its tables, which may have to be migrated once it can be reached.
    pub tables: StoreTables,
}

/// The tables of a store, by purpose.
#[derive(Debug)]
pub struct StoreTables {
    /// Those of tenants, without which no tenant of the store is served.
    pub tenants: Arc<dyn Migrate>,
    /// Those of documents, unless they are somewhere else.
    pub documents: Option<Arc<dyn Migrate>>,
}

impl StoreTables {
    /// All of them, in the order in which they are migrated.
    pub fn all(&self) -> impl Iterator<Item = &dyn Migrate> {
        [Some(&self.tenants), self.documents.as_ref()].into_iter().flatten().map(|tables| &**tables)
    }
}

impl OpenedStore {
    /// A store in memory.
    pub fn in_memory() -> Self {
        let key = key_file::generated().expect("the system provides random numbers");
        let keys =
            EncryptionKeys::new(Some(&key), None, WrittenForm::Current).expect("it has the right length");
        let store = Arc::new(MemoryStore::default());
        let tables = StoreTables { tenants: Arc::clone(&store) as Arc<dyn Migrate>, documents: None };
        Self { tenants: Arc::clone(&store) as Arc<dyn TenantStore>, documents: store, keys, tables }
    }

    /// The store that `settings` describe. A database is not connected to yet.
    ///
    /// # Errors
    /// When a key or an address cannot be used, or the embedded file cannot be opened.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        if settings.store.is_shared() { Self::shared(settings) } else { Self::embedded(settings).await }
    }

    /// Whether the embedded store was opened before.
    pub fn has_files(settings: &Settings) -> bool {
        [FILE, key_file::FILE].iter().any(|name| settings.server.data_dir.join(name).exists())
    }

    /// The tables of the store that `settings` describe, as they are.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn tables(settings: &Settings) -> anyhow::Result<StoreTables> {
        if settings.store.is_shared() {
            return Ok(Self::shared(settings)?.tables);
        }
        tables_of_file(settings).await
    }

    #[cfg(feature = "postgres")]
    fn shared(settings: &Settings) -> anyhow::Result<Self> {
        let keys = keys(settings, settings.store.encryption_key.as_ref(), &[])?;
        let database = crate::store::PostgresStore::new(&settings.store)?;
        let documents = Some(Arc::new(database.documents()) as Arc<dyn Migrate>);
        let tables = StoreTables { tenants: Arc::new(database.clone()), documents };
        Ok(Self { tenants: Arc::new(database.clone()), documents: Arc::new(database), keys, tables })
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
        let file = open_file(settings).await?;
        let KeptKeys { current, previous } = kept_keys(settings, &file).await?;
        Ok(Self::of_file(file, keys(settings, Some(&current), &previous)?))
    }

    /// The embedded file, whose secrets are encrypted with `keys`.
    #[cfg(feature = "sqlite")]
    async fn embedded_with(settings: &Settings, keys: EncryptionKeys) -> anyhow::Result<Self> {
        Ok(Self::of_file(open_file(settings).await?, keys))
    }

    #[cfg(feature = "sqlite")]
    fn of_file(file: SqliteStore, keys: EncryptionKeys) -> Self {
        let tables = StoreTables { tenants: Arc::new(file.clone()), documents: None };
        Self { tenants: Arc::new(file.clone()), documents: Arc::new(file), keys, tables }
    }

    #[cfg(not(feature = "sqlite"))]
    #[expect(clippy::unused_async, reason = "with the embedded store it awaits")]
    async fn embedded(_settings: &Settings) -> anyhow::Result<Self> {
        anyhow::bail!(WITHOUT_SQLITE)
    }

    #[cfg(not(feature = "sqlite"))]
    #[expect(clippy::unused_async, reason = "with the embedded store it awaits")]
    async fn embedded_with(_settings: &Settings, _keys: EncryptionKeys) -> anyhow::Result<Self> {
        anyhow::bail!(WITHOUT_SQLITE)
    }
}

/// The tables in the embedded file. Their keys are not needed, and none is made.
#[cfg(feature = "sqlite")]
async fn tables_of_file(settings: &Settings) -> anyhow::Result<StoreTables> {
    let never = settings::Store { migrate: settings::Migrate::Never, ..settings.store.clone() };
    let file = open_file(&Settings { store: never, ..settings.clone() }).await?;
    Ok(StoreTables { tenants: Arc::new(file), documents: None })
}

#[cfg(not(feature = "sqlite"))]
#[expect(clippy::unused_async, reason = "with the embedded store it awaits")]
async fn tables_of_file(_settings: &Settings) -> anyhow::Result<StoreTables> {
    anyhow::bail!(WITHOUT_SQLITE)
}

/// The embedded file, which is made if it is not there, and migrated if the settings say so.
#[cfg(feature = "sqlite")]
async fn open_file(settings: &Settings) -> anyhow::Result<SqliteStore> {
    let folder = &settings.server.data_dir;
    file_access::create_folder(folder)
        .with_context(|| format!("cannot make the folder {} (`server.data_dir`)", folder.display()))?;
    let file = folder.join(FILE);
    // SQLite would make a file that others may read; its further files have the permissions of this one.
    file_access::open(&file, OpenOptions::new().write(true).create(true).truncate(false))
        .with_context(|| format!("cannot open {}", file.display()))?;
    let opened = async {
        let store = SqliteStore::open(&file).await?;
        if settings.store.migrate == settings::Migrate::OnStart {
            store.migrate().await?;
        }
        Ok::<_, crate::store::StoreError>(store)
    };
    opened.await.with_context(|| format!("cannot open {}", file.display()))
}

/// The keys of these settings, with `current` as that of the current form, and further `previous` ones.
fn keys(
    settings: &Settings,
    current: Option<&SecretString>,
    previous: &[SecretString],
) -> anyhow::Result<EncryptionKeys> {
    let store = &settings.store;
    let written = match store.encrypt_with {
        settings::WrittenForm::Current => WrittenForm::Current,
        settings::WrittenForm::Legacy => WrittenForm::Legacy,
    };
    let keys = EncryptionKeys::new(current, store.legacy_encryption_key.as_ref(), written)?;
    Ok(keys.with_previous(store.previous_encryption_key.iter().chain(previous))?)
}

/// The key of the embedded store, and those that were it before: that of the settings takes the place of the generated one.
#[cfg(feature = "sqlite")]
async fn kept_keys(settings: &Settings, store: &SqliteStore) -> anyhow::Result<KeptKeys> {
    let folder = &settings.server.data_dir;
    let file = KeyFile::of(folder);
    let has_tenants = store.revisions().await.is_ok_and(|tenants| !tenants.is_empty());
    let kept = match &settings.store.encryption_key {
        // A new key would encrypt what comes, and hide that what is there can no longer be read.
        None if has_tenants && file.existing().is_ok_and(|keys| keys.is_empty()) => {
            anyhow::bail!(
                "{} has no {} beside it, which its secrets are encrypted with: restore that from a backup, or set `store.encryption_key` \
                 (DB_ENC_KEY_GCM) if it was set before",
                folder.join(FILE).display(),
                key_file::FILE
            )
        }
        Some(key) => file.existing().map(|previous| KeptKeys { current: key.clone(), previous }),
        None => file.keys(),
    };
    kept.with_context(|| format!("cannot keep a key in {} (`server.data_dir`)", folder.display()))
}

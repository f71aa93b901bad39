//! What the server remembers. One trait for each kind of thing, and one implementation for each place: `sqlite`, embedded;
//! `postgres`, which several nodes share; `memory`, for tests and examples.
//!
//! A store knows rows and SQL. What they mean, which of their values are secret, and what may be written is the work of the
//! modules above it. Only this module contains SQL.

#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
compile_error!("the server needs a store: build with the feature `sqlite`, `postgres` or both");

mod document;
mod encryption;
mod memory;
mod migration;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tenant;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::BoxStream;

pub use self::document::{
    CompactedDocument, CompactionError, DocumentName, DocumentStore, DocumentUpdate, DocumentVersion,
    MergeDocument, MergeRefused, StoredDocument, StoredUpdate,
};
pub use self::encryption::{
    EncryptionError, EncryptionKeys, KeyError, UsedKey, WrittenForm, is_in_current_form,
};
pub use self::memory::MemoryStore;
pub use self::migration::{Migration, MigrationStatus};
#[cfg(feature = "postgres")]
pub(crate) use self::postgres::connect_options;
#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresStore, PostgresTables};
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStore;
pub use self::tenant::{Revision, StoredExtension, StoredTenant};
use crate::new_credentials::Trial;

/// What a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A PostgreSQL, which nodes may share.
    Postgres,
    /// A file of this server.
    Sqlite,
    /// The memory of this process.
    Memory,
}

impl StoreKind {
    /// Its name in `/status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
            Self::Memory => "memory",
        }
    }
}

/// Tenants that are created and changed while the server runs.
pub trait TenantStore: std::fmt::Debug + Send + Sync {
    /// What it is.
    fn kind(&self) -> StoreKind;

    /// Finds out whether it can be reached. One in this process can.
    ///
    /// # Errors
    /// Why it cannot be.
    fn probe(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    /// Has the user and the password of these settings tried, before they are used. Connections that exist stay. All else of the
    /// settings is that of the start. Returns whether they are others than before; one in this process has none.
    fn offer_credentials(&self, _settings: &settings::Store) -> bool {
        false
    }

    /// Tries the credentials that are offered. If it accepts them, it is connected to with them from then on. Returns what was not
    /// known before.
    fn try_credentials(&self) -> BoxFuture<'_, Option<Trial>> {
        ready(None).boxed()
    }

    /// Whether it refuses the credentials of the newest settings, so that those before stay in use.
    fn refuses_credentials(&self) -> bool {
        false
    }

    /// All tenants, by name.
    fn tenants(&self) -> BoxFuture<'_, Result<Vec<StoredTenant>, StoreError>>;

    /// The tenant of this name, written exactly so.
    fn tenant<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<Option<StoredTenant>, StoreError>>;

    /// The present revision of every tenant.
    fn revisions(&self) -> BoxFuture<'_, Result<Vec<(String, Revision)>, StoreError>>;

    /// Writes a tenant with all its extensions, in one transaction: a new one, or instead of the revision `replaces`. When
    /// this returns it is durable. Returns the tenant as it is stored now.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if there is a tenant of this name already, or if it has another revision by now. Then nothing
    /// is written, and the caller begins again with what is stored.
    fn put<'a>(
        &'a self,
        tenant: &'a StoredTenant,
        replaces: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<StoredTenant, StoreError>>;

    /// Deletes the tenant of this name, written exactly so, and its extensions. Returns whether there was one.
    fn delete<'a>(&'a self, external_id: &'a str) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Begins to listen for changes. When this returns, each change that is committed is notified, those of this process
    /// included. `None` for a store that sends no notifications, because no other node uses it.
    fn changes(&self) -> Option<BoxFuture<'_, Result<ChangedNames, StoreError>>> {
        None
    }
}

/// Names of tenants, each when it was created, changed or deleted. It ends when the connection is lost; what is committed
/// from then on, until another one listens, is not notified.
pub type ChangedNames = BoxStream<'static, String>;

/// A store with tables, which a new version may have to change.
pub trait Migrate: std::fmt::Debug + Send + Sync {
    /// How far its tables are.
    fn migration_status(&self) -> BoxFuture<'_, Result<MigrationStatus, StoreError>>;

    /// Applies the steps that are pending, while no other process does, and returns them. Tables that a newer version has
    /// changed stay as they are.
    ///
    /// # Errors
    /// When a step cannot be applied; those before it are.
    fn migrate(&self) -> BoxFuture<'_, Result<Vec<Migration>, StoreError>>;

    /// The SQL that applies these steps, to be run by hand: what [`migrate`](Self::migrate) executes.
    fn script(&self, steps: &[Migration]) -> String;
}

/// Why a store does not do what it was asked to. No text contains values of rows or credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or does not answer in time. Later it may.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// What was to be replaced has changed meanwhile.
    #[error("it was changed at the same time")]
    Changed,
    /// It is read, and accepts no writes: a standby, or a writer that was demoted. Another one may have taken over.
    #[error("the store is read-only: {0}")]
    ReadOnly(String),
    /// It rejects the request, for example because its disk is full or a permission is missing.
    #[error("the store rejects this: {0}")]
    Rejected(String),
}

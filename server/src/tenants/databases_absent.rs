//! Stands for the databases of tenants in a server that is built without the feature `postgres`.

use std::borrow::Cow;
use std::sync::Arc;

use settings::DatabaseAddress;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{DatabaseStatus, MessageRecords, RecordsError, RecordsQuery, Tenant};
use crate::auth::{Authorizer, PublicRooms, QuestionTurn};

/// Why the database of a tenant is refused, and what has it.
pub const WITHOUT_DATABASES: &str = "this program was built without the databases of tenants, as `make run` builds it; \
    `cargo build --release -p realtime-server` builds one that has them (feature `postgres`)";

/// No databases.
pub struct NoDatabases;

impl NoDatabases {
    /// None.
    pub fn new(_tasks: TaskTracker, _stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self)
    }

    /// Not known.
    pub fn log_is_followed(&self, _tenant: &str) -> Option<Result<(), Cow<'static, str>>> {
        None
    }

    /// Without effect.
    pub fn note_use(self: &Arc<Self>, _tenant: &Arc<Tenant>) {}

    /// None.
    ///
    /// # Errors
    /// Always.
    #[expect(clippy::unused_async, reason = "as where there are databases")]
    pub async fn records(
        &self,
        _tenant: &str,
        _query: RecordsQuery,
        _turn: impl Future<Output = QuestionTurn>,
    ) -> Result<MessageRecords, RecordsError> {
        Err(RecordsError::Unavailable)
    }

    /// None.
    pub fn status(&self, _tenant: &str) -> Option<DatabaseStatus> {
        None
    }

    /// Without effect.
    pub fn shut_down(&self, _tenant: &str) {}
}

/// Refuses private rooms.
pub fn database_authorizer(_databases: &Arc<NoDatabases>) -> Arc<dyn Authorizer> {
    Arc::new(PublicRooms)
}

/// Refuses the database of a tenant.
///
/// # Errors
/// Always.
pub fn check_address(_address: &DatabaseAddress) -> Result<(), (&'static str, anyhow::Error)> {
    Err(("url", anyhow::anyhow!(WITHOUT_DATABASES)))
}

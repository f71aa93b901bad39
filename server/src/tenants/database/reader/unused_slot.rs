//! Looks whether the slot that keeps the changes of a tenant is used, on a connection of its own: this node does not use the database.

use std::time::Duration;

use sqlx::Connection as _;
use tokio::time::timeout;
use tracing::info;
use wire::pgoutput::Lsn;

use super::changes::ChangesStream;
use super::durable_slot::{CONNECTION_NAME, DurableSlot};
use super::log_stream::LogStream as _;
use crate::telemetry::codes::Code;
use crate::tenants::database::DatabaseFailure;
use crate::tenants::database::session::connect;
use crate::tenants::{DatabaseSpec, Tenant};

/// How long a look may take.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Drops the slot of a tenant if no session follows it and it is where it was `before`. Returns where it is if only that differs.
///
/// # Errors
/// When the database does not answer.
pub(in crate::tenants::database) async fn drop_unused_slot(
    tenant: &Tenant,
    before: Option<Lsn>,
) -> Result<Option<Lsn>, DatabaseFailure> {
    let policy = tenant.policy();
    let Some(spec) = policy.database().filter(|spec| spec.resume_wait.is_some()) else { return Ok(None) };
    let silent = || DatabaseFailure::new(Code::QueryCanceled, "the database does not answer");
    timeout(LOOK_MAX, look(tenant, spec, before)).await.unwrap_or_else(|_elapsed| Err(silent()))
}

async fn look(
    tenant: &Tenant,
    spec: &DatabaseSpec,
    before: Option<Lsn>,
) -> Result<Option<Lsn>, DatabaseFailure> {
    let mut connection = connect(spec, CONNECTION_NAME).await?;
    let slot =
        DurableSlot::find(&mut connection, tenant, &ChangesStream::slot(&spec.usage.slot_suffix)).await?;
    let progress = slot.look(&mut connection, "").await?;
    let mut unused = progress.position().filter(|_| progress.others == 0);
    if unused.is_some() && unused == before {
        unused = None;
        if slot.drop(&mut connection).await? {
            let (tenant, slot) = (&*tenant.id, slot.name());
            info!(tenant, slot, "Dropped the slot that has kept changes for servers that have not come back");
        }
    }
    connection.close().await?;
    Ok(unused)
}

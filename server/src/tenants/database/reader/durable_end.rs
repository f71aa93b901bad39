//! What becomes of the slot that keeps changes when this node does not read them any more.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use tracing::info;

use super::durable_changes::DurableChanges;
use super::durable_connection::{advance, connect};
use super::durable_slot::DurableSlot;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::TenantStatus;
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// How long what was sent may take to be handled when the server stops.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// What becomes of the slot when this node does not use the database any more.
enum SlotFate {
    /// Another use of the database goes on with it.
    Stays,
    /// No client of this node needs it.
    Unused,
    /// It is not to be there any more.
    Superfluous,
}

impl DurableChanges {
    /// There has been no demand for long: drops the slot if no other node reads.
    pub(super) async fn discard(&self, database: &TenantDatabase) {
        self.following.set_durable(None);
        note(database, self.drop_beside(database, SlotFate::Unused).await);
    }

    /// This node does not use the database any more.
    pub(super) async fn end(&self, database: &TenantDatabase) {
        let ended = if self.draining.is_cancelled() {
            self.advance_to_handled(database).await
        } else {
            self.drop_beside(database, self.fate(database)).await
        };
        note(database, ended);
    }

    /// What becomes of the slot, unless the server stops.
    fn fate(&self, database: &TenantDatabase) -> SlotFate {
        let policy = database.tenant.policy();
        let present = policy.database().filter(|_| policy.status != TenantStatus::Removed);
        let is_same = present.is_some_and(|present| {
            let suffixes = (&present.usage.slot_suffix, &database.spec.usage.slot_suffix);
            present.resume_wait.is_some()
                && present.address.is_same_login(&database.spec.address)
                && suffixes.0 == suffixes.1
        });
        match is_same {
            false => SlotFate::Superfluous,
            true if self.following.is_followed() => SlotFate::Stays,
            true => SlotFate::Unused,
        }
    }

    /// Drops the slot if it is to go, on a connection of its own.
    async fn drop_beside(&self, database: &TenantDatabase, fate: SlotFate) -> Result<(), DatabaseFailure> {
        if matches!(fate, SlotFate::Stays) {
            return Ok(());
        }
        let session_slot = self.sightings.lock().session_slot().to_owned();
        let mut connection = connect(database).await?;
        let slot = DurableSlot::find(&mut connection, &database.tenant, &self.upstream).await?;
        let progress = slot.look(&mut connection, &session_slot).await?;
        if matches!(fate, SlotFate::Superfluous) || progress.others == 0 {
            slot.drop(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    /// The last node stops: the next session starts where this one has stopped. If other nodes have read a moment ago, their clients
    /// may be behind, and the slot stays where it is.
    async fn advance_to_handled(&self, database: &TenantDatabase) -> Result<(), DatabaseFailure> {
        let progress = &self.following.progress;
        if timeout(SETTLE_MAX, progress.settled()).await.is_err() || self.sightings.lock().has_others() {
            return Ok(());
        }
        let Some(handled) = progress.position() else { return Ok(()) };
        let session_slot = self.sightings.lock().session_slot().to_owned();
        let mut connection = connect(database).await?;
        let slot = DurableSlot::find(&mut connection, &database.tenant, &self.upstream).await?;
        let present = slot.look(&mut connection, &session_slot).await?;
        if present.others == 0 && present.position().is_some_and(|position| position < handled) {
            connection = advance(connection, &slot, handled).await?;
        }
        Ok(connection.close().await?)
    }
}

/// Drops the slot that an earlier setting has left in a database, if there is one.
pub(super) async fn drop_left(
    connection: &mut PgConnection,
    database: &TenantDatabase,
    upstream: &str,
) -> Result<(), sqlx::Error> {
    let slot = DurableSlot::find(connection, &database.tenant, upstream).await?;
    if slot.drop(connection).await? {
        let (tenant, slot) = (&*database.tenant.id, slot.name());
        info!(tenant, slot, "Dropped the slot that has kept changes, which are not to be kept any more");
    }
    Ok(())
}

fn note(database: &TenantDatabase, ended: Result<(), DatabaseFailure>) {
    if let Err(failure) = ended {
        database.reports().record(Code::ReplicationSlotCheckSkipped.at(Scope::Log), &failure.reason);
    }
}

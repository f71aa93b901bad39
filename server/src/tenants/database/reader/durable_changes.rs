//! Keeps the changes of a tenant while no node reads them, in a slot of the database that follows its sessions at a distance
//! (docs/protocol/postgres-changes.md#gaps).
//!
//! Each node with a session looks every few seconds. The first one that finds the slot where it was before advances it, up to where all
//! sessions were `changes.resume_wait` ago: a node that has lost its session has that time to begin another one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::info;
use wire::pgoutput::Lsn;

use super::durable_connection::{advance, connect};
use super::durable_slot::{DurableSlot, DurableSlotProgress};
use super::session_failures::SessionFailures;
use super::sightings::Sightings;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::DurableStatus;
use crate::tenants::database::change_following::ChangeFollowing;
use crate::tenants::database::changes::ask;
use crate::tenants::database::log::{LogError, SlotSource};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// The shortest and the longest time between two looks at the slot.
const LOOK_MIN: Duration = Duration::from_millis(250);
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The pause after a look is so many times as long as it took, with what was done: at most a twentieth of a processor is used.
const ADVANCE_PAUSES: u32 = 20;

/// How the changes of a tenant are kept, for one use of its database.
pub(super) struct DurableChanges {
    /// The name that upstream gives to the slot of its session.
    pub(super) upstream: String,
    resume_wait: Duration,
    pub(super) following: Arc<ChangeFollowing>,
    /// Cancelled when clients are disconnected because the server stops.
    pub(super) draining: CancellationToken,
    pub(super) sightings: Mutex<Sightings>,
    failures: Mutex<SessionFailures>,
}

impl DurableChanges {
    /// Of a database whose changes are to be kept; `None` for others.
    pub(super) fn of(
        database: &TenantDatabase,
        upstream: String,
        draining: CancellationToken,
    ) -> Option<Arc<Self>> {
        let resume_wait = database.spec.resume_wait?;
        let (following, sightings) = (Arc::clone(&database.changes), Mutex::new(Sightings::new(resume_wait)));
        let failures = Mutex::default();
        Some(Arc::new(Self { upstream, resume_wait, following, draining, sightings, failures }))
    }

    /// How long changes wait for subscribers.
    pub(super) fn resume_wait(&self) -> Duration {
        self.resume_wait
    }

    /// What the slot of a session is made from.
    pub(super) async fn source(
        &self,
        database: &TenantDatabase,
        oid: u32,
    ) -> Result<SlotSource, DatabaseFailure> {
        // What an earlier session has sent is handled first, so that it is known where the next one starts.
        self.following.progress.settled().await;
        let slot = DurableSlot::new(&database.tenant, &self.upstream, oid);
        let progress = self.look(database, &slot, "").await?;
        if !progress.is_there || !self.stays(database, &slot, &progress).await? {
            return Ok(SlotSource::LogEnd);
        }
        let obstacle = self.failures.lock().obstacle(&self.following.progress);
        if let Some(reason) = obstacle {
            self.give_up(database, &slot, &reason).await?;
            return Ok(SlotSource::LogEnd);
        }
        Ok(SlotSource::Copy { slot: slot.name().to_owned(), handled: self.following.progress.position() })
    }

    /// Makes the slot, and lets it follow, while a session with the slot `session_slot` reads.
    pub(super) async fn follow(&self, database: &TenantDatabase, session_slot: &str) -> Infallible {
        let (mut connection, mut seen) = (None, None);
        let interval = (self.resume_wait / 4).clamp(LOOK_MIN, LOOK_MAX);
        loop {
            let begun = Instant::now();
            let step = self.step(database, session_slot, &mut connection, &mut seen).await;
            if let Err(failure) = step {
                connection = None;
                let code = Code::ReplicationSlotCheckSkipped.at(Scope::Log);
                database.reports().record(code, &failure.reason);
            }
            sleep(interval.max(begun.elapsed() * ADVANCE_PAUSES)).await;
        }
    }

    /// Looks, and does what is to be done. `seen` is where the slot was the last time.
    async fn step(
        &self,
        database: &TenantDatabase,
        session_slot: &str,
        connection: &mut Option<PgConnection>,
        seen: &mut Option<Lsn>,
    ) -> Result<(), DatabaseFailure> {
        let oid = ask(database, &(), |connection, ()| Box::pin(super::watchdog::oid(connection))).await?;
        let slot = DurableSlot::new(&database.tenant, &self.upstream, oid);
        let progress = self.look(database, &slot, session_slot).await?;
        if !self.stays(database, &slot, &progress).await? {
            return Ok(());
        }
        let Some(position) = progress.position() else {
            return self.make(database, &slot, session_slot).await;
        };
        self.following.set_durable(Some(DurableStatus::Retaining(progress.retained())));
        let due = self.sightings.lock().note(progress.handled(), progress.others, Instant::now());
        let is_advanced_elsewhere = seen.replace(position) != Some(position);
        if let Some(due) = due.filter(|due| *due > position && !is_advanced_elsewhere) {
            let open = match connection.take() {
                Some(open) => open,
                None => connect(database).await?,
            };
            *connection = Some(advance(open, &slot, due).await?);
            *seen = Some(due);
        }
        Ok(())
    }

    /// Whether the slot may be there. Otherwise it is dropped, if it is.
    async fn stays(
        &self,
        database: &TenantDatabase,
        slot: &DurableSlot,
        progress: &DurableSlotProgress,
    ) -> Result<bool, DatabaseFailure> {
        if let Some(reason) = progress.refusal() {
            if progress.is_there {
                self.drop(database, slot).await?;
            }
            self.refuse(database, reason.into());
            return Ok(false);
        }
        let Some(reason) = progress.harm(slot.name()) else { return Ok(true) };
        self.give_up(database, slot, &reason).await?;
        Ok(false)
    }

    /// Drops the slot for this reason. It is made again while a session reads.
    async fn give_up(
        &self,
        database: &TenantDatabase,
        slot: &DurableSlot,
        reason: &str,
    ) -> Result<(), DatabaseFailure> {
        self.drop(database, slot).await?;
        *self.failures.lock() = SessionFailures::default();
        self.following.set_durable(Some(DurableStatus::Missing));
        database.reports().record(Code::DurableSlotDropped.at(Scope::Log), reason);
        Ok(())
    }

    async fn look(
        &self,
        database: &TenantDatabase,
        slot: &DurableSlot,
        session_slot: &str,
    ) -> Result<DurableSlotProgress, DatabaseFailure> {
        ask(database, &(slot, session_slot), |connection, (slot, session)| {
            Box::pin(slot.look(connection, session))
        })
        .await
    }

    async fn make(
        &self,
        database: &TenantDatabase,
        slot: &DurableSlot,
        session_slot: &str,
    ) -> Result<(), DatabaseFailure> {
        let connection = database.acquire_in_turn().await?;
        let made = database.ask(connection, async |connection| {
            // A failure is not one of the connection, and another node may have made it.
            Ok(slot.copy(connection, session_slot).await)
        });
        match made.await? {
            Ok(()) => {
                let (tenant, slot) = (&*database.tenant.id, slot.name());
                info!(
                    tenant,
                    slot, "Changes of the database of the tenant are kept while no node reads them"
                );
                self.following.set_durable(Some(DurableStatus::Retaining(0)));
            }
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42710") => {}
            Err(sqlx::Error::Database(error)) => self.refuse(database, error.message().to_owned().into()),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn drop(&self, database: &TenantDatabase, slot: &DurableSlot) -> Result<bool, DatabaseFailure> {
        let connection = database.acquire_in_turn().await?;
        database.ask(connection, async |connection| slot.drop(connection).await).await
    }

    /// There is to be no slot, which operators are notified of once.
    fn refuse(&self, database: &TenantDatabase, reason: std::borrow::Cow<'static, str>) {
        let status = Some(DurableStatus::Refused(reason.clone()));
        if self.following.set_durable(status.clone()) != status {
            database.reports().record(Code::DurableSlotRefused.at(Scope::Log), &reason);
        }
    }

    /// The server stops, and no other node reads: waits until clients are disconnected. What is committed from then on waits for
    /// those who come back.
    pub(super) async fn until_last_drains(&self) {
        self.draining.cancelled().await;
        if self.sightings.lock().has_others() {
            std::future::pending::<()>().await;
        }
    }

    /// A session has ended.
    pub(super) fn note_failure(&self, error: &LogError) {
        self.failures.lock().note(error);
    }

    /// A session begins, with this slot.
    pub(super) fn note_session(&self, session_slot: &str) {
        self.sightings.lock().note_session(session_slot);
    }
}

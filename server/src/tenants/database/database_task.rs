//! Keeps the database of one tenant usable: connects, makes the schema and the partitions, notices when it goes away and
//! comes back, and ends when no client uses it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{DatabaseFailure, DatabaseState, TenantDatabase, preparation, reader};
use crate::backoff::{Backoff, jittered, random};
use crate::telemetry::codes::{Code, Scope};

/// The name of the connection that looks whether the database can be used, as upstream has it.
const PROBE_NAME: &str = "realtime_connect_probe";

/// Connections of a node beside the pool: for migrations, and for the write-ahead log.
const FURTHER_CONNECTIONS: i64 = 2;

/// The first and the longest wait before a database that cannot be reached is tried again.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// The most that is added to `database.partition_interval` (`database.randomize_interval`).
const RANDOM_MAX: Duration = Duration::from_secs(3600);

/// Before a database is looked at because a client has found that it does not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// When what the database has refused to make is tried again.
const PREPARE_AGAIN: Duration = Duration::from_secs(30);

/// How long one look at a database may take, what is made there included.
const LOOK_MAX: Duration = Duration::from_secs(180);

/// How often it is found out whether the database is still that of the tenant, and is used.
const WATCH: Duration = Duration::from_secs(2);

/// Runs until the database is replaced, or the server stops; or until it is not used any more, which `retire` is called for.
pub(super) async fn run(database: Arc<TenantDatabase>, retire: impl FnOnce(&Arc<TenantDatabase>)) {
    tokio::select! {
        () = keep(&database) => retire(&database),
        () = database.stop.cancelled() => {}
    }
    database.stop.cancel();
    // What waits for it to be reached waits no longer.
    let over = DatabaseFailure::new(Code::UnableToConnectToProject, "it is no longer used");
    database.set_state(DatabaseState::Unavailable(over));
    database.close().await;
}

async fn keep(database: &Arc<TenantDatabase>) {
    let mut task = DatabaseTask {
        database,
        is_prepared: false,
        prepare_at: Instant::now(),
        retry: RETRY,
        maintain_at: Instant::now() + database.spec.usage.delete_delay,
        was_lost: false,
    };
    loop {
        let reached = within(task.reach()).await;
        note(database, &reached);
        match reached {
            Ok(()) => {
                task.retry.reset();
                if task.until_due().await.is_break() {
                    return;
                }
            }
            Err(_) if until_retry(database, task.retry.next_wait()).await.is_break() => return,
            Err(_) => {}
        }
    }
}

/// Gives up what takes too long.
async fn within(look: impl Future<Output = Result<(), DatabaseFailure>>) -> Result<(), DatabaseFailure> {
    let silent = || DatabaseFailure::new(Code::UnableToConnectToProject, "the database does not answer");
    timeout(LOOK_MAX, look).await.unwrap_or_else(|_elapsed| Err(silent()))
}

/// What is left to be done.
struct DatabaseTask<'a> {
    database: &'a Arc<TenantDatabase>,
    /// Whether what has to be in the database was made.
    is_prepared: bool,
    /// When that is tried again, if not.
    prepare_at: Instant,
    /// The waits before it is tried to reach it again.
    retry: Backoff,
    /// When partitions are made and deleted.
    maintain_at: Instant,
    /// A client has found that the database does not answer. Once it does, sessions of the pool may have ended; closed before that,
    /// questions would wait for new ones instead of failing at once.
    was_lost: bool,
}

impl DatabaseTask<'_> {
    /// Connects, and makes what has to be there.
    async fn reach(&mut self) -> Result<(), DatabaseFailure> {
        let mut connection = self.database.connect(PROBE_NAME).await?;
        if std::mem::take(&mut self.was_lost) {
            self.database.close_idle();
        }
        if self.is_prepared && !self.database.take_lacks_partition() {
            return Ok(connection.close().await?);
        }
        check_free_connections(self.database, &mut connection).await?;
        if self.database.spec.resume_wait.is_none()
            && let Err(error) = reader::drop_durable_slot(&mut connection, self.database).await
        {
            let reason = error.to_string();
            self.database.reports().record(Code::ReplicationSlotCheckSkipped.at(Scope::Log), &reason);
        }
        let _closed = connection.close().await;
        let lacks = preparation::prepare(self.database).await?;
        self.is_prepared = lacks.is_none();
        self.database.set_lacks(lacks);
        self.prepare_at = Instant::now() + PREPARE_AGAIN;
        Ok(())
    }

    /// Maintains the partitions until the database is to be looked at again, because a client has found that it does not
    /// answer; or until it is not used any more.
    async fn until_due(&mut self) -> ControlFlow<()> {
        loop {
            tokio::select! {
                () = self.database.failed.notified() => {
                    self.was_lost = true;
                    sleep(PAUSE).await;
                    return ControlFlow::Continue(());
                }
                () = sleep(jittered(WATCH)) => {}
            }
            if is_over(self.database) {
                return ControlFlow::Break(());
            }
            self.database.try_new_password(PROBE_NAME).await;
            if !self.is_prepared && Instant::now() >= self.prepare_at {
                return ControlFlow::Continue(());
            }
            if Instant::now() >= self.maintain_at {
                self.maintain_at = Instant::now() + self.pause();
                if within(preparation::maintain(self.database)).await.is_err() {
                    return ControlFlow::Continue(());
                }
            }
        }
    }

    /// The time until partitions are maintained the next time.
    fn pause(&self) -> Duration {
        let usage = &self.database.spec.usage;
        let added = if usage.randomize_interval { RANDOM_MAX.mul_f64(random()) } else { Duration::ZERO };
        usage.partition_interval + added
    }
}

/// Waits before the database is tried again, unless there is another one by now, or one with another password.
async fn until_retry(database: &TenantDatabase, wait: Duration) -> ControlFlow<()> {
    let due = sleep(wait);
    tokio::pin!(due);
    loop {
        let reconfigured = database.tenant.until_reconfigured();
        if is_over(database) {
            return ControlFlow::Break(());
        }
        tokio::select! {
            () = reconfigured => {}
            () = &mut due => break,
        }
    }
    if is_over(database) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Whether the tenant has another database, none, or no client that needs it.
fn is_over(database: &TenantDatabase) -> bool {
    let has_users = database.tenant.users_here() > 0 || database.changes.is_followed();
    let is_unused = !has_users && database.unused_for() > database.spec.usage.idle_timeout;
    is_unused || !database.is_current()
}

async fn check_free_connections(
    database: &TenantDatabase,
    connection: &mut PgConnection,
) -> Result<(), DatabaseFailure> {
    let (free,): (i64,) = sqlx::query_as(
        "SELECT pg_catalog.current_setting('max_connections')::bigint - pg_catalog.count(*) \
         FROM pg_catalog.pg_stat_activity \
         WHERE backend_type = 'client backend' AND application_name NOT IN ('realtime_connect', 'realtime_connect_probe')",
    )
    .fetch_one(connection)
    .await?;
    let required = i64::from(database.spec.usage.max_connections.get()) + FURTHER_CONNECTIONS;
    if free < required {
        let text =
            format!("Only {free} available connections. At least {required} connections are required.");
        return Err(DatabaseFailure::new(Code::DatabaseLackOfConnections, text));
    }
    Ok(())
}

/// Notes the state, with a line in the log when it changes.
fn note(database: &TenantDatabase, reached: &Result<(), DatabaseFailure>) {
    let state = match reached {
        Ok(()) => DatabaseState::Ready,
        Err(failure) => DatabaseState::Unavailable(failure.clone()),
    };
    let before = database.set_state(state);
    let tenant = &*database.tenant.id;
    match (reached, before) {
        (Ok(()), DatabaseState::Unavailable(_)) => {
            info!(tenant, "The database of the tenant can be used again")
        }
        (Ok(()), DatabaseState::Connecting) => info!(tenant, "Connected to the database of the tenant"),
        (Ok(()), DatabaseState::Ready) => {}
        (Err(failure), before) => {
            if before == DatabaseState::Ready {
                warn!(tenant, "The database of the tenant cannot be used any more");
            }
            let code = match failure.code {
                Code::UnableToConnectToProject => Code::UnableToConnectToTenantDatabase,
                code => code,
            };
            database.reports().record(code.at(Scope::Log), &failure.reason);
        }
    }
}

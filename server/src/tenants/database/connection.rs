//! The connections to the database of one tenant, and its state.

use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Executor as _, PgConnection, Postgres};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::change_following::ChangeFollowing;
use super::exhaustion::Exhaustion;
use super::login::Login;
use super::questions::Questions;
use super::session::{self, pool_options, prepare_session};
use super::shared_answers::SharedAnswers;
use super::{DatabaseFailure, DatabaseState, LogState};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::reports::Reports;
use crate::tenants::{DatabaseSpec, Tenant, TenantStatus};

/// How long the end of a question that has failed may take.
const ROLLBACK_MAX: Duration = Duration::from_secs(1);

/// How long a connection is kept that nothing is asked on.
const IDLE_CONNECTION: Duration = Duration::from_secs(60);

/// The PostgreSQL database of a tenant.
pub struct TenantDatabase {
    /// The tenant.
    pub tenant: Arc<Tenant>,
    /// Where it is, and how it is used.
    pub spec: Arc<DatabaseSpec>,
    /// How it is connected to: the specification, with the password in use, and that of now.
    pub(super) login: Login,
    /// Whether its log was read for the tenant before, by another of these.
    pub(super) was_read: bool,
    pub(super) pool: PgPool,
    /// A connection of its own for members whose rights are asked again: joins, of which clients send as many as they like, do not
    /// delay that.
    pub(super) recheck_pool: PgPool,
    state: watch::Sender<DatabaseState>,
    /// Whether broadcasts from it are read.
    pub(super) log_state: watch::Sender<LogState>,
    /// Who follows the changes of its tables.
    pub(super) changes: Arc<ChangeFollowing>,
    /// When the state became another one, not only for another reason.
    state_since: Mutex<SystemTime>,
    /// What clients need and it lacked when it was prepared.
    lacks: Mutex<Option<String>>,
    exhaustion: Exhaustion,
    /// What its policies have said a moment ago.
    pub(super) answers: SharedAnswers,
    /// Counts the questions.
    pub(super) questions: Questions,
    started: Instant,
    /// Milliseconds from the start to the last use.
    used: AtomicU64,
    /// A question has found that the partition of today is missing.
    lacks_partition: AtomicBool,
    /// A question has found that it cannot be reached, or lacks something.
    pub(super) failed: Notify,
    /// Cancelled when it is replaced or no longer used.
    pub(super) stop: CancellationToken,
}

impl TenantDatabase {
    /// A database that nothing is connected to yet. What is asked of it runs as tasks counted by `tasks`.
    ///
    /// # Errors
    /// If its URL is none of PostgreSQL.
    pub(super) fn new(
        tenant: Arc<Tenant>,
        (spec, was_read): (Arc<DatabaseSpec>, bool),
        changes: Arc<ChangeFollowing>,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Result<Self, DatabaseFailure> {
        let usage = &spec.usage;
        let options = pool_options(&spec)?;
        let query_timeout = usage.query_timeout;
        let pool = PgPoolOptions::new()
            .max_connections(usage.max_connections.get())
            .acquire_timeout(usage.acquire_timeout)
            .idle_timeout(IDLE_CONNECTION)
            .test_before_acquire(false)
            .after_connect(move |connection, _| Box::pin(prepare_session(connection, query_timeout)));
        let recheck_pool = pool.clone().max_connections(1).connect_lazy_with(options.clone());
        let pool = pool.connect_lazy_with(options);
        Ok(Self {
            tenant,
            login: Login::of(Arc::clone(&spec)),
            spec,
            was_read,
            pool,
            recheck_pool,
            state: watch::Sender::default(),
            log_state: watch::Sender::default(),
            changes,
            state_since: Mutex::new(SystemTime::now()),
            lacks: Mutex::default(),
            exhaustion: Exhaustion::default(),
            answers: SharedAnswers::new(tasks),
            questions: Questions::default(),
            started: Instant::now(),
            used: AtomicU64::new(0),
            lacks_partition: AtomicBool::new(false),
            failed: Notify::new(),
            stop,
        })
    }

    /// Whether it can be used.
    pub fn state(&self) -> DatabaseState {
        self.state.borrow().clone()
    }

    /// Notes whether it can be used. Returns what was known before.
    pub(super) fn set_state(&self, state: DatabaseState) -> DatabaseState {
        let mut since = self.state_since.lock();
        if discriminant(&*self.state.borrow()) != discriminant(&state) {
            *since = SystemTime::now();
        }
        self.state.send_replace(state)
    }

    /// Follows whether it can be used.
    pub(super) fn subscribe_state(&self) -> watch::Receiver<DatabaseState> {
        self.state.subscribe()
    }

    /// Whether broadcasts from it are read.
    pub fn log_state(&self) -> LogState {
        self.log_state.borrow().clone()
    }

    /// Follows whether changes of its tables are read.
    pub fn changes_state(&self) -> watch::Receiver<LogState> {
        self.changes.state.subscribe()
    }

    /// Waits until it is known that it cannot be used.
    pub async fn until_unavailable(&self) {
        let mut state = self.state.subscribe();
        let is_unavailable = |state: &DatabaseState| matches!(state, DatabaseState::Unavailable(_));
        // The sender is part of this.
        let _found = state.wait_for(is_unavailable).await;
    }

    /// Whether it can be used, and since when.
    pub(super) fn state_since(&self) -> (DatabaseState, SystemTime) {
        let since = self.state_since.lock();
        (self.state(), *since)
    }

    /// Notes what clients need and it lacks.
    pub(super) fn set_lacks(&self, lacks: Option<String>) {
        *self.lacks.lock() = lacks;
    }

    /// What clients need and it lacked when it was prepared, for operators.
    pub(super) fn lacks(&self) -> Option<String> {
        self.lacks.lock().clone()
    }

    /// The connections of the pool, and those of them that something is asked on.
    pub(super) fn pool_size(&self) -> (u32, u32) {
        let (all, idle) = (self.pool.size(), u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX));
        (all, all.saturating_sub(idle))
    }

    /// Reports about the tenant.
    pub(super) fn reports(&self) -> &Reports {
        &self.tenant.reports
    }

    /// Whether it is still the database of the tenant.
    pub(super) fn is_current(&self) -> bool {
        let policy = self.tenant.policy();
        policy.status != TenantStatus::Removed && policy.database().is_some_and(|spec| self.serves(spec))
    }

    /// Notes that a client uses it.
    pub(super) fn note_use(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Relaxed);
    }

    /// How long no client has used it.
    pub(super) fn unused_for(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.used.load(Ordering::Relaxed)))
    }

    /// A connection for a question. Waits until it is known whether the database can be used, and for a free connection.
    ///
    /// # Errors
    /// When the database cannot be used, or no connection becomes free in time, or that has happened a moment ago.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, DatabaseFailure> {
        self.until_known().await?;
        if self.exhaustion.is_reached(self.spec.usage.max_connections, Instant::now()) {
            return Err(exhausted());
        }
        self.take_connection().await
    }

    /// As [`acquire`](Self::acquire), for those who ask few questions at once, whatever clients do: they wait for a connection also if
    /// others have waited in vain.
    ///
    /// # Errors
    /// When the database cannot be used, or no connection becomes free in time.
    pub(super) async fn acquire_in_turn(&self) -> Result<PoolConnection<Postgres>, DatabaseFailure> {
        self.until_known().await?;
        self.take_connection().await
    }

    async fn take_connection(&self) -> Result<PoolConnection<Postgres>, DatabaseFailure> {
        let max = self.spec.usage.max_connections;
        match self.pool.acquire().await {
            Ok(connection) => {
                self.exhaustion.clear();
                Ok(connection)
            }
            Err(sqlx::Error::PoolTimedOut) if self.pool.size() >= max.get() => {
                self.exhaustion.count(max, Instant::now());
                Err(exhausted())
            }
            Err(error) => Err(self.note_failure(error.into())),
        }
    }

    /// As [`acquire`](Self::acquire), for rights that are asked again.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn acquire_for_recheck(&self) -> Result<PoolConnection<Postgres>, DatabaseFailure> {
        self.until_known().await?;
        match self.recheck_pool.acquire().await {
            Ok(connection) => Ok(connection),
            Err(sqlx::Error::PoolTimedOut) => {
                Err(DatabaseFailure::new(Code::IncreaseConnectionPool, "rights are asked again too slowly"))
            }
            Err(error) => Err(self.note_failure(error.into())),
        }
    }

    async fn until_known(&self) -> Result<(), DatabaseFailure> {
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| *state != DatabaseState::Connecting).await;
        match known.as_deref() {
            Ok(DatabaseState::Ready) => Ok(()),
            Ok(DatabaseState::Unavailable(failure)) => Err(failure.clone()),
            Ok(DatabaseState::Connecting) | Err(_) => {
                Err(DatabaseFailure::new(Code::UnableToConnectToProject, "it is no longer used"))
            }
        }
    }

    /// Runs a question on `connection`, in the time that it may take. A connection that does not answer is closed.
    ///
    /// # Errors
    /// Those of the question; [`Code::QueryCanceled`] if it takes too long.
    pub async fn ask<T>(
        &self,
        mut connection: PoolConnection<Postgres>,
        question: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, DatabaseFailure> {
        // The database ends it itself; this is for one that does not answer at all.
        let limit = self.spec.usage.query_timeout + Duration::from_secs(1);
        match timeout(limit, question(&mut connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                // What the question has begun ends; if that fails too, with its session.
                let ended = timeout(ROLLBACK_MAX, connection.execute(sqlx::raw_sql("ROLLBACK"))).await;
                if !matches!(ended, Ok(Ok(_))) {
                    connection.close_on_drop();
                }
                Err(self.note_failure(error.into()))
            }
            Err(_elapsed) => {
                connection.close_on_drop();
                self.failed.notify_one();
                Err(self
                    .note_failure(DatabaseFailure::new(Code::QueryCanceled, "the database does not answer")))
            }
        }
    }

    /// Reports a failure, and has its task look if it means that the database cannot be reached.
    pub(super) fn note_failure(&self, failure: DatabaseFailure) -> DatabaseFailure {
        self.reports().record(failure.code.at(Scope::Log), &failure.reason);
        if failure.code == Code::MissingPartition {
            self.lacks_partition.store(true, Ordering::Relaxed);
        }
        if failure.is_away() {
            // What is asked from now on waits until its task has looked.
            self.state.send_if_modified(|state| {
                let was_ready = *state == DatabaseState::Ready;
                if was_ready {
                    *state = DatabaseState::Connecting;
                }
                was_ready
            });
        }
        if failure.is_away() || failure.code == Code::MissingPartition {
            self.failed.notify_one();
        }
        failure
    }

    /// Whether a partition is to be made, because a question has found none.
    pub(super) fn take_lacks_partition(&self) -> bool {
        self.lacks_partition.swap(false, Ordering::Relaxed)
    }

    /// Closes the connections that nothing is asked on: after a restart of the database it has ended their sessions.
    pub(super) fn close_idle(&self) {
        for pool in [&self.pool, &self.recheck_pool] {
            while let Some(mut connection) = pool.try_acquire() {
                connection.close_on_drop();
            }
        }
    }

    /// A connection of its own, which ends when it is dropped. `name` is its name in `pg_stat_activity`.
    ///
    /// # Errors
    /// When the database cannot be connected to in time.
    pub(super) async fn connect(&self, name: &str) -> Result<PgConnection, DatabaseFailure> {
        session::connect(&self.login.in_use(), name).await
    }

    /// Closes all connections, once what is being asked has been answered.
    pub(super) async fn close(&self) {
        self.recheck_pool.close().await;
        self.pool.close().await;
    }
}

fn exhausted() -> DatabaseFailure {
    DatabaseFailure::new(Code::IncreaseConnectionPool, "all connections are in use")
}

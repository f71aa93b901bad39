//! What a node has of the databases of its tenants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{Postgres, eventually};
use hub::{MemoryBudget, NodeId};
use realtime_server::auth::jwks::JwksSources;
use realtime_server::telemetry::metrics::Metrics;
use realtime_server::tenants::database::{
    CHANGES_IDLE, ChangeDemand, DatabaseMessage, DatabaseMessages, DroppedMessage, Election, Reading,
    UnusedSlots,
};
use realtime_server::tenants::{Databases, LogState, Registry, Tenant};
use settings::Settings;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sink::TestSink;

/// What changes are read from: a table in the publication that clients may subscribe to.
pub const TABLE: &str =
    "CREATE TABLE notes (body text); CREATE PUBLICATION supabase_realtime FOR TABLE notes";

/// A database with the table, in a cluster that other tests use.
pub fn database() -> Postgres {
    let postgres = Postgres::start();
    postgres.sql(TABLE);
    postgres
}

/// A node that reads the database of the default tenant. It stops when it is dropped.
pub struct TestNode {
    pub databases: Arc<Databases>,
    /// Broadcasts from the database.
    pub broadcasts: Arc<Broadcasts>,
    registry: Registry,
    settings: Settings,
    stop: CancellationToken,
}

impl TestNode {
    /// A node.
    pub fn of(postgres: &Postgres) -> TestNode {
        Self::idle_after(postgres, CHANGES_IDLE)
    }

    /// One that stops to read so long after the last demand.
    pub fn idle_after(postgres: &Postgres, changes_idle: Duration) -> TestNode {
        Self::with(postgres, changes_idle, Settings::default())
    }

    /// As [`idle_after`](Self::idle_after), and the database keeps what no node reads.
    pub fn durable(postgres: &Postgres, changes_idle: Duration) -> TestNode {
        let mut settings = Settings::default();
        settings.changes.durable = true;
        Self::with(postgres, changes_idle, settings)
    }

    fn with(postgres: &Postgres, changes_idle: Duration, mut settings: Settings) -> TestNode {
        settings.tenants.entry("default".into()).or_default().database.url = Some(postgres.url().into());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let jwks = JwksSources::new(tasks.clone(), stop.clone());
        let memory = MemoryBudget::new(usize::MAX, 75);
        let registry = Registry::new(&settings, jwks, (&Arc::new(Metrics::new(Vec::new())), &memory));
        let broadcasts = Arc::new(Broadcasts::default());
        let (node, messages) = (NodeId::random(), Arc::clone(&broadcasts) as _);
        let reading = Reading {
            node,
            election: Election::EachNode(node),
            messages,
            changes_idle,
            draining: CancellationToken::new(),
        };
        let databases = Databases::reading(tasks, stop.clone(), reading);
        TestNode { databases, broadcasts, registry, settings, stop }
    }

    /// Changes the settings of the tenant.
    pub fn reconfigure(&mut self, set: impl FnOnce(&mut settings::TenantDatabase)) {
        set(&mut self.settings.tenants.get_mut("default").expect("it is configured").database);
        self.registry.apply(&self.settings);
    }

    /// Looks for slots that are not used any more, once.
    pub async fn look(&self, unused: &mut UnusedSlots) {
        unused.look(self.registry.all()).await;
    }

    /// Looks for them so often, until this is dropped.
    pub async fn keep_looking(&self, interval: Duration) {
        UnusedSlots::new(&self.databases).run(interval, || self.registry.all()).await;
    }

    fn tenant(&self) -> Arc<Tenant> {
        self.registry.get("default").expect("it is configured")
    }

    pub fn follow(&self, sink: &Arc<TestSink>) -> ChangeDemand {
        self.databases.follow_changes(&self.tenant(), Arc::clone(sink) as _)
    }

    /// Whether changes are read, as operators see it.
    pub fn changes(&self) -> Option<LogState> {
        Some(self.databases.status("default")?.changes?.log)
    }

    pub async fn until_changes(&self, expected: LogState) {
        eventually(&format!("{expected:?}"), async || self.changes() == Some(expected.clone())).await;
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Counts broadcasts from the database.
#[derive(Default)]
pub struct Broadcasts(AtomicUsize);

impl Broadcasts {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl DatabaseMessages for Broadcasts {
    fn publish(&self, _tenant: &Arc<Tenant>, _message: DatabaseMessage<'_>) -> Result<usize, DroppedMessage> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(1)
    }

    fn note_gap(&self, _tenant: &Arc<Tenant>) {}
}

//! The databases that are in use on this node.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::change_following::{ChangeDemand, ChangeFollowing};
use super::database_task;
use super::{ChangeSink, LogState, Reading, TenantDatabase, reader};
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::{DatabaseSpec, Tenant};

/// The databases of tenants whose clients are connected to this node.
pub struct Databases {
    in_use: RwLock<HashMap<Arc<str>, Arc<TenantDatabase>>>,
    /// By tenant. Held by the demands for its changes and by its database.
    following: Mutex<HashMap<Arc<str>, Weak<ChangeFollowing>>>,
    pub(super) tasks: TaskTracker,
    stop: CancellationToken,
    reading: Option<Reading>,
}

impl Databases {
    /// None yet, whose logs are not read. Their tasks are counted by `tasks` and end with `stop`.
    pub fn new(tasks: TaskTracker, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self::unread(tasks, stop))
    }

    /// As [`new`](Self::new), and their logs are read.
    pub fn reading(tasks: TaskTracker, stop: CancellationToken, reading: Reading) -> Arc<Self> {
        Arc::new(Self { reading: Some(reading), ..Self::unread(tasks, stop) })
    }

    fn unread(tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { in_use: RwLock::default(), following: Mutex::default(), tasks, stop, reading: None }
    }

    /// A client of the tenant joins: its database is connected to, if it has one and is not yet.
    pub fn note_use(self: &Arc<Self>, tenant: &Arc<Tenant>) {
        let policy = tenant.policy();
        let Some(spec) = policy.database() else {
            return self.remove(&tenant.id);
        };
        if let Some(database) = self.get(&tenant.id)
            && Arc::ptr_eq(&database.tenant, tenant)
            && database.serves(spec)
        {
            return database.note_use();
        }
        self.start(tenant, spec);
    }

    /// Whether messages that are committed now in the database of a tenant are received; `None` if that cannot be said yet.
    pub fn log_is_followed(&self, tenant: &str) -> Option<Result<(), Cow<'static, str>>> {
        match self.get(tenant)?.log_state() {
            LogState::Starting => None,
            LogState::Reading | LogState::ReadElsewhere => Some(Ok(())),
            LogState::Unavailable { shown, .. } => Some(Err(shown)),
        }
    }

    /// Has the changes of tables of a tenant read, which a sink receives, until some time after the last of what this returns was
    /// dropped. A tenant has one sink: another one replaces it.
    pub fn follow_changes(self: &Arc<Self>, tenant: &Arc<Tenant>, sink: Arc<dyn ChangeSink>) -> ChangeDemand {
        let demand = self.following(&tenant.id).follow(sink);
        self.note_use(tenant);
        demand
    }

    /// Whether this node reads the changes of a tenant, or is about to.
    pub(super) fn follows_changes(&self, tenant: &str) -> bool {
        let following = self.following.lock().get(tenant).and_then(Weak::upgrade);
        following.is_some_and(|following| !following.is_unused())
    }

    /// The publication of a tenant may have tables by now. Without this it takes some seconds to notice.
    pub fn note_publication_changed(&self, tenant: &str) {
        if let Some(database) = self.get(tenant) {
            database.changes.publication_changed.notify_one();
        }
    }

    /// Who follows the changes of a tenant.
    fn following(&self, tenant: &Arc<str>) -> Arc<ChangeFollowing> {
        let mut all = self.following.lock();
        if let Some(present) = all.get(tenant).and_then(Weak::upgrade) {
            return present;
        }
        all.retain(|_, following| following.strong_count() > 0);
        let created = Arc::new(ChangeFollowing::default());
        all.insert(Arc::clone(tenant), Arc::downgrade(&created));
        created
    }

    /// The database of a tenant, while it is in use.
    pub fn get(&self, tenant: &str) -> Option<Arc<TenantDatabase>> {
        self.in_use.read().get(tenant).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<TenantDatabase>> {
        self.in_use.read().values().cloned().collect()
    }

    /// Starts to use a database, instead of the one that the tenant had before.
    fn start(self: &Arc<Self>, tenant: &Arc<Tenant>, spec: &Arc<DatabaseSpec>) {
        let mut in_use = self.in_use.write();
        let other = in_use.get(&tenant.id);
        if let Some(other) = other {
            let is_of_tenant = Arc::ptr_eq(&other.tenant, tenant) && other.serves(spec);
            if is_of_tenant && !other.stop.is_cancelled() {
                return other.note_use();
            }
            other.stop.cancel();
        }
        let spec = (Arc::clone(spec), other.is_some());
        let (changes, tasks) = (self.following(&tenant.id), (self.tasks.clone(), self.stop.child_token()));
        match TenantDatabase::new(Arc::clone(tenant), spec, changes, tasks) {
            Ok(database) => {
                let (database, databases) = (Arc::new(database), Arc::clone(self));
                in_use.insert(Arc::clone(&tenant.id), Arc::clone(&database));
                drop(in_use);
                let retire = move |database: &Arc<TenantDatabase>| databases.retire(database);
                if let Some(reading) = &self.reading {
                    self.tasks.spawn(reader::read_messages(Arc::clone(&database), reading.clone()));
                    self.tasks.spawn(reader::read_changes(Arc::clone(&database), reading.clone()));
                }
                self.tasks.spawn(database_task::run(database, retire));
            }
            Err(failure) => {
                in_use.remove(&tenant.id);
                tenant.reports.record(Code::UnableToConnectToTenantDatabase.at(Scope::Log), &failure.reason);
            }
        }
    }

    /// Ends the use of the database of a tenant.
    pub(super) fn remove(&self, tenant: &str) {
        if !self.in_use.read().contains_key(tenant) {
            return;
        }
        if let Some(database) = self.in_use.write().remove(tenant) {
            database.stop.cancel();
        }
    }

    /// Ends the use of `database`, whose task has ended. Clients who are there use the one that the tenant has now.
    fn retire(self: &Arc<Self>, database: &Arc<TenantDatabase>) {
        database.stop.cancel();
        let tenant = &database.tenant;
        let has_users = tenant.users_here() > 0 || database.changes.is_followed();
        if has_users && let Some(spec) = tenant.policy().database() {
            return self.start(tenant, spec);
        }
        let mut in_use = self.in_use.write();
        if in_use.get(&tenant.id).is_some_and(|current| Arc::ptr_eq(current, database)) {
            in_use.remove(&tenant.id);
        }
    }
}

//! The changes of one tenant: who has subscribed, and the task that sends them.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hub::Payer;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use wire::pgoutput::Relation;

use super::hidden_transactions::HiddenTransactions;
use super::notices::{MissedChanges, Notices};
use super::outage::Outage;
use super::row_question::{RowMatch, VisibilityWait};
use super::session_queue::SessionQueue;
use super::shared_checks::SharedChecks;
use super::subscriber::ChangeSubscriber;
use super::subscriptions::{State, Subscriptions};
use crate::node::Node;
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::ReasonCounter;
use crate::tenants::database::changes::ChangeTable;
use crate::tenants::database::{DatabaseFailure, TenantDatabase};
use crate::tenants::{Databases, LogState, Tenant};
use crate::workers::{in_time_slices, pause_if_used_up};

/// How long it may take until the log is read, before clients are notified that it is not.
const START_MAX: Duration = Duration::from_secs(15);

/// How long a subscription waits for another look at what there is to read, before the client is notified.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The pause between two attempts to ask. There is no event to wait for: only another question finds out that it is answered.
const BUSY_POLL: Duration = Duration::from_millis(100);

/// What clients receive when the database does not answer, or it is not known whether its log is read.
pub(super) const UNANSWERED: &str = "Realtime was unable to connect to the project database";

/// What they receive when it is not read yet, and no reason is known.
const NOT_YET: &str = "they are not read yet";

/// The changes of a tenant, as long as they are read, or a channel has subscribed to some.
pub(super) struct ChangesOfTenant {
    pub(super) tenant: Arc<Tenant>,
    pub(super) subscriptions: Subscriptions,
    /// Takes the sessions of the reader.
    pub(super) sessions: SessionQueue,
    node: Arc<Node>,
    /// These keep the reader, which keeps this.
    databases: Weak<Databases>,
    tasks: TaskTracker,
    /// Their time is that of the tenant, as that of its connections: a large transaction delays no broadcasts.
    pub(super) payer: Arc<Payer>,
    /// The checks of subscriptions.
    pub(super) checks: SharedChecks,
    /// What the task that handles changes asks the database, and has no answer to.
    pub(super) outages: Outages,
    /// What subscribers are notified of.
    pub(super) notices: Arc<Notices>,
    /// Ends its tasks.
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// Since when questions have no answer, by their kinds: an answer to one says nothing of another, which may take longer.
#[derive(Default)]
pub(super) struct Outages {
    /// What roles may read.
    pub(super) rights: Outage,
    /// Which subscribers may see a row.
    pub(super) lookups: Outage,
    /// What the log does not have of rows.
    pub(super) values: Outage,
    /// What subscriptions are for.
    pub(super) checks: Outage,
    /// Anything about rows whose transactions others cannot see yet.
    hidden: HiddenTransactions,
}

impl ChangesOfTenant {
    /// The changes of a tenant, whose log is read in `sessions`. What is done about them is counted by `tasks`, and ends with
    /// `stop`.
    pub(super) fn new(
        (node, databases): (&Arc<Node>, &Arc<Databases>),
        tenant: &Arc<Tenant>,
        sessions: SessionQueue,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Self {
        Self {
            tenant: Arc::clone(tenant),
            subscriptions: Subscriptions::default(),
            sessions,
            node: Arc::clone(node),
            databases: Arc::downgrade(databases),
            tasks,
            payer: Arc::new(Payer::new(tenant.memory.party())),
            checks: SharedChecks::default(),
            outages: Outages::default(),
            notices: Arc::new(Notices::new(tenant)),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Runs a task, until the changes of the tenant are neither read nor subscribed to.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(self.stop.clone(), task);
    }

    fn spawn_until(&self, stop: CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        let task = in_time_slices(Arc::clone(&self.payer), task);
        self.tasks.spawn(stop.run_until_cancelled_owned(task));
    }

    /// Runs the attempts to subscribe a channel, until the next ones replace them, unless it has
    /// unsubscribed.
    pub(super) fn spawn_attempts(
        &self,
        subscriber: &ChangeSubscriber,
        attempts: impl Future<Output = ()> + Send + 'static,
    ) {
        if let Some(stopped) = subscriber.progress.restart(&self.stop) {
            self.spawn_until(stopped, attempts);
        }
    }

    /// Ends the subscriptions of a channel. Many of them are removed by a task, part by part.
    pub(super) fn remove(self: &Arc<Self>, subscriber: &Arc<ChangeSubscriber>) {
        subscriber.progress.end();
        if self.subscriptions.with(|state| state.remove(subscriber)) {
            return;
        }
        let (changes, subscriber) = (Arc::clone(self), Arc::clone(subscriber));
        self.spawn(async move {
            while !changes.subscriptions.with(|state| state.remove(&subscriber)) {
                pause_if_used_up().await;
            }
        });
    }

    /// The database of the tenant.
    ///
    /// # Errors
    /// If it has none at the moment.
    pub(super) fn database(&self) -> Result<Arc<TenantDatabase>, DatabaseFailure> {
        let none = || DatabaseFailure::new(Code::UnableToConnectToProject, "the tenant has no database");
        self.databases.upgrade().and_then(|databases| databases.get(&self.tenant.id)).ok_or_else(none)
    }

    /// Waits until changes are read.
    ///
    /// # Errors
    /// Why they are not, for clients.
    pub(super) async fn until_read(&self) -> Result<(), Cow<'static, str>> {
        let Some(databases) = self.databases.upgrade() else { return Err(UNANSWERED.into()) };
        let Some(database) = databases.get(&self.tenant.id) else { return Err(UNANSWERED.into()) };
        let mut state = database.changes_state();
        // A session that has the lock instead of this node's is an older one of this node, whose end is waited for.
        let is_known = |state: &LogState| matches!(state, LogState::Reading | LogState::Unavailable { .. });
        let known = tokio::select! {
            // A session may last while no further connection can be made.
            biased;
            known = timeout(START_MAX, state.wait_for(is_known)) => {
                known.ok().and_then(Result::ok).map(|state| state.clone())
            }
            () = database.until_unavailable() => Some(LogState::unavailable(UNANSWERED)),
        };
        let shown = match known {
            Some(LogState::Unavailable { shown, .. }) => shown,
            Some(_) => return Ok(()),
            None => return Err(NOT_YET.into()),
        };
        // A client often subscribes right after the first table was published, which the reader has not noticed yet.
        databases.note_publication_changed(&self.tenant.id);
        match timeout(LOOK_MAX, state.wait_for(|state| *state == LogState::Reading)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(shown),
        }
    }

    /// Above this many bytes of a change its values are left out.
    pub(super) fn record_bytes_max(&self) -> usize {
        usize::try_from(self.node.settings().changes.max_record_bytes.as_u64()).unwrap_or(usize::MAX)
    }

    /// How long changes wait for the database.
    pub(super) fn database_wait(&self) -> Duration {
        self.node.settings().changes.database_wait
    }

    /// How long changes wait until others can see their transactions.
    pub(super) fn visibility_wait(&self) -> VisibilityWait<'_> {
        VisibilityWait { hidden: &self.outages.hidden, longest: self.database_wait() }
    }

    /// How long the database is not asked again for what took too long.
    pub(super) fn slow_query_pause(&self) -> Duration {
        self.node.settings().changes.slow_query_pause
    }

    /// How many different filters of a client may take too long in this time.
    pub(super) fn max_slow_filters(&self) -> u32 {
        self.node.settings().changes.max_slow_filters_per_client.get()
    }

    /// Which present rows stand for those of the log when it is asked who may see them.
    pub(super) fn row_match(&self) -> RowMatch {
        match self.node.settings().changes.exact_visibility {
            true => RowMatch::ByValues,
            false => RowMatch::ByKey,
        }
    }

    /// The log describes a table: the first time in a session, or because it `is_changed`. Subscriptions that this concerns are
    /// checked again before its rows are handled.
    pub(super) async fn note_table(self: &Arc<Self>, relation: &Relation<'_>, is_changed: bool) {
        let concerned = self.subscriptions.with(|state| match state.tables(relation.id) {
            [] => state.subscribers_by_name(relation.namespace, relation.name),
            known if is_changed || known.iter().any(|known| differs(relation, &known.table)) => {
                let mut concerned = state.subscribers_of(&[relation.id]);
                concerned.extend(state.missing_by_name(relation.id, relation.namespace, relation.name));
                concerned
            }
            _ => Vec::new(),
        });
        self.check_again(concerned).await;
    }

    /// Reads what the roles of subscribers may read of the tables. Tables that have changed since they were described are checked
    /// again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn read_rights(self: &Arc<Self>) -> Result<(), DatabaseFailure> {
        let asked = self.subscriptions.with(|state| state.tables_and_roles());
        let (tables, roles) = &asked;
        if tables.is_empty() {
            return Ok(());
        }
        let roles: Vec<&str> = roles.iter().map(|role| &**role).collect();
        let rights = self.database()?.table_rights(tables, &roles).await?;
        let changed = self.subscriptions.with(|state| state.replace_rights(&asked, &rights));
        if !changed.is_empty() {
            let concerned = self.subscriptions.with(|state| state.subscribers_of(&changed));
            self.check_again(concerned).await;
        }
        Ok(())
    }

    /// Checks those again who have subscribed to a table that is not in the publication any more.
    pub(super) async fn check_published(self: &Arc<Self>) {
        let tables = self.subscriptions.with(|state| state.oids());
        let Ok(database) = self.database() else { return };
        if tables.is_empty() {
            return;
        }
        // A failure is reported, and it is looked again soon.
        let Ok(unpublished) = database.unpublished(&database.spec.usage.publication, &tables).await else {
            return;
        };
        let concerned = self.subscriptions.with(|state| state.subscribers_of(&unpublished));
        self.check_again(concerned).await;
    }

    /// What roles may read cannot be found out. Until it can, they see nothing, which subscribers are notified of.
    pub(super) fn give_up_rights(&self, failure: &DatabaseFailure) {
        self.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
        self.subscriptions.with(State::clear_rights);
        for subscriber in self.subscriptions.all() {
            self.notices.send(&subscriber, MissedChanges::Gap);
        }
    }

    /// A question has no answer. Waits before it is asked again; `false` if changes are not to wait for it, or not any longer.
    pub(super) async fn may_ask_again(&self, outage: &Outage, failure: &DatabaseFailure) -> bool {
        self.tenant.metrics.count(ReasonCounter::ChangesQueryFailed, failure.code.name());
        if !failure.is_passing() {
            outage.end();
            return false;
        }
        !self.is_unused() && outage.wait(BUSY_POLL, self.database_wait()).await
    }

    /// Asks for values that the log does not have, again while the database is away, as long as changes wait for it.
    ///
    /// # Errors
    /// When the database does not answer any more, or the question took too long.
    pub(super) async fn ask_for_values<T, F>(&self, ask: impl Fn() -> F) -> Result<T, DatabaseFailure>
    where
        F: Future<Output = Result<T, DatabaseFailure>>,
    {
        loop {
            match ask().await {
                Err(failure)
                    if failure.code != Code::QueryCanceled
                        && self.may_ask_again(&self.outages.values, &failure).await => {}
                Err(failure) => return Err(failure),
                answer => {
                    self.outages.values.end();
                    return answer;
                }
            }
        }
    }

    /// Whether nothing is subscribed to any more.
    pub(super) fn is_unused(&self) -> bool {
        self.subscriptions.with(|state| state.is_empty())
    }
}

/// Whether the log has other columns than are known.
fn differs(relation: &Relation<'_>, table: &ChangeTable) -> bool {
    let is_known = |name: &str, oid: u32| {
        table.columns.iter().any(|column| *column.name == *name && column.type_oid == oid)
    };
    *table.name != *relation.name
        || relation.columns.iter().any(|column| !is_known(column.name, column.type_id))
}

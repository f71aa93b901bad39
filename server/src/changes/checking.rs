//! What subscriptions are for, which tables, columns and filters, and what their role may read of these.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::checks::{CheckAnswer, Checked, Wanted};
use super::lookups::{BUSY_MAX, BUSY_POLL, is_passing};
use super::subscriber::{ChangeSubscriber, Viewer};
use super::subscriptions::{CheckedSubscription, OutOfMemory};
use super::tenant_changes::ChangesOfTenant;
use crate::auth::NO_CHANNEL_MEMORY;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::database::changes::{ChangeTable, CheckedTable};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// Why a channel has not subscribed.
pub(super) enum NotSubscribed {
    /// What it asks for is wrong: what the client is to read.
    Refused(String),
    /// There is no memory for the tables that it names.
    OutOfMemory,
}

impl ChangesOfTenant {
    /// Finds out what a subscriber has subscribed to, after those that have asked before, and subscribes it.
    ///
    /// # Errors
    /// When the database does not answer. Within, why the client has not subscribed.
    pub(super) async fn check(
        &self,
        subscriber: &Arc<ChangeSubscriber>,
    ) -> Result<Result<(), NotSubscribed>, DatabaseFailure> {
        let viewer = subscriber.next_viewer();
        let shared = self.checks.share(Wanted::of(subscriber, &viewer));
        let checked = shared.answer(async |wanted| self.ask(wanted).await).await?;
        Ok(self.subscribe(subscriber, viewer, &checked))
    }

    /// Checks subscriptions again, after something of their tables has changed, and notifies the channels. Changes wait meanwhile, as
    /// they do for a database that does not answer. After that the others continue, and a channel that was not checked is tried
    /// again beside them: the log does not describe the table a second time.
    pub(super) async fn check_again(self: &Arc<Self>, subscribers: Vec<Arc<ChangeSubscriber>>) {
        let end = Instant::now() + BUSY_MAX;
        let mut answers: HashMap<Wanted, CheckAnswer> = HashMap::new();
        for subscriber in subscribers {
            let viewer = subscriber.next_viewer();
            let wanted = Wanted::of(&subscriber, &viewer);
            let answer = match answers.get(&wanted) {
                Some(answer) => answer.clone(),
                None => {
                    let answer = self.ask_until(&wanted, end).await;
                    answers.entry(wanted).or_insert(answer).clone()
                }
            };
            match answer.map(|checked| self.subscribe(&subscriber, viewer, &checked)) {
                Ok(Ok(())) => subscriber.notice_subscribed(),
                Ok(Err(NotSubscribed::Refused(text))) => subscriber.refuse(&text),
                Ok(Err(NotSubscribed::OutOfMemory)) => subscriber.refuse(NO_CHANNEL_MEMORY),
                Err(_) => self.subscribe_later(&subscriber),
            }
        }
    }

    /// As [`ask`](Self::ask), repeated while it may succeed later. A failure is reported.
    async fn ask_until(&self, wanted: &Wanted, end: Instant) -> CheckAnswer {
        loop {
            match self.ask(wanted).await {
                Err(failure) if is_passing(&failure) && Instant::now() < end && !self.is_unused() => {
                    sleep(BUSY_POLL).await;
                }
                Err(failure) => {
                    self.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
                    return Err(failure);
                }
                answer => return answer,
            }
        }
    }

    /// Subscribes a channel to what was found.
    ///
    /// # Errors
    /// Why it has not subscribed.
    fn subscribe(
        &self,
        subscriber: &Arc<ChangeSubscriber>,
        viewer: Arc<Viewer>,
        checked: &Checked,
    ) -> Result<(), NotSubscribed> {
        self.subscriptions.with(|state| match checked {
            Ok(checked) => {
                // It may have gone, or have another token, meanwhile.
                if Arc::ptr_eq(&subscriber.next_viewer(), &viewer) && !subscriber.has_ended() {
                    subscriber.set_viewer(viewer);
                    let subscribed = state.put(subscriber, checked, &self.tenant.memory);
                    return subscribed.map_err(|OutOfMemory| NotSubscribed::OutOfMemory);
                }
                Ok(())
            }
            Err(refusal) => {
                state.remove_entries(subscriber);
                Err(NotSubscribed::Refused(refusal.clone()))
            }
        })
    }

    async fn ask(&self, wanted: &Wanted) -> CheckAnswer {
        let Wanted { role, bindings } = wanted;
        let database = self.database()?;
        let publication = &database.spec.usage.publication;
        let bindings = match database.check_bindings(publication, role, bindings).await? {
            Ok(bindings) => bindings,
            Err(refusal) => return Ok(Arc::new(Err(refusal))),
        };
        let targets = bindings.iter().flat_map(|binding| &binding.tables);
        let oids: HashSet<u32> = targets.map(|target| target.oid).collect();
        let oids: Vec<u32> = oids.into_iter().collect();
        let tables = self.describe(&database, &oids).await?;
        let is_as_checked = |target: &CheckedTable| {
            tables.get(&target.oid).is_some_and(|table| table.shape().columns == target.columns)
        };
        if !bindings.iter().flat_map(|binding| &binding.tables).all(is_as_checked) {
            let reason = "a table has changed while a subscription to it was checked";
            return Err(DatabaseFailure::new(Code::QueryCanceled, reason));
        }
        let rights = database.table_rights(&oids, &[role]).await?;
        Ok(Arc::new(Ok(CheckedSubscription { bindings, tables, rights })))
    }

    /// Descriptions of tables: those that are known already, if they are still the same.
    async fn describe(
        &self,
        database: &TenantDatabase,
        oids: &[u32],
    ) -> Result<HashMap<u32, Arc<ChangeTable>>, DatabaseFailure> {
        let described = database.describe_tables(oids).await?;
        Ok(self.subscriptions.with(|state| {
            let shared = |table: ChangeTable| {
                let known = state.tables(table.oid).iter().find(|known| *known.table == table);
                known.map_or_else(|| Arc::new(table), |known| Arc::clone(&known.table))
            };
            described.into_iter().map(|table| (table.oid, shared(table))).collect()
        }))
    }
}

//! What subscriptions are for, which tables, columns and filters, and what their role may read of these.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;
use wire::supabase::changes::Binding;

use super::checked_subscription::CheckedSubscription;
use super::notices::MissedChanges;
use super::shared_checks::{CheckAnswer, CheckFailure, Checked, Wanted};
use super::subscriber::ChangeSubscriber;
use super::subscriptions::{OutOfMemory, State};
use super::tenant_changes::ChangesOfTenant;
use super::viewer::Viewer;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::database::changes::{ChangeTable, CheckedBinding, CheckedTable, TableRights};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};
use crate::workers::pause_if_used_up;

/// Joins that are checked again together: their tables are described, and the rights of their role read, once for all of them. No
/// setting: more would make no statement larger, and the database is asked for the bindings in parts anyway.
const CHECKED_TOGETHER: usize = 1_000;

/// How often tables may change while subscriptions to them are checked, before that is taken for a failure.
const CHECK_ATTEMPTS: usize = 3;

/// A channel whose subscription is checked, and with whose rights.
type Checking = (Arc<ChangeSubscriber>, Arc<Viewer>);

/// What a check of a subscription leads to.
pub(super) enum CheckOutcome {
    /// What is committed from now on is received.
    Subscribed,
    /// What the client is to read.
    Refused(String),
    /// There is no memory for the tables that it names.
    OutOfMemory,
    /// Nothing: meanwhile the channel has unsubscribed, or has another token.
    Outdated,
}

impl ChangesOfTenant {
    /// Finds out what a subscriber has subscribed to, after those that have asked before, and subscribes it.
    ///
    /// # Errors
    /// When the check has no answer.
    pub(super) async fn check(
        &self,
        subscriber: &Arc<ChangeSubscriber>,
    ) -> Result<CheckOutcome, CheckFailure> {
        let viewer = subscriber.progress.next_viewer();
        let client = subscriber.recipient.connection();
        let shared = self.checks.share(client, Wanted::of(subscriber, &viewer));
        let checked = shared.answer(async |wanted| self.ask_for(wanted).await).await?;
        Ok(self.subscribe(subscriber, &viewer, &checked).await)
    }

    /// Checks subscriptions again, after something of their tables has changed, and notifies the channels. Changes wait meanwhile, as
    /// they do for a database that does not answer. After that the others continue, and a channel that was not checked is tried
    /// again beside them: the log does not describe the table a second time.
    pub(super) async fn check_again(self: &Arc<Self>, subscribers: Vec<Arc<ChangeSubscriber>>) {
        let mut roles: HashMap<Box<str>, HashMap<Vec<Binding>, Vec<Checking>>> = HashMap::new();
        for subscriber in subscribers {
            let viewer = subscriber.progress.next_viewer();
            let Wanted { role, bindings } = Wanted::of(&subscriber, &viewer);
            roles.entry(role).or_default().entry(bindings).or_default().push((subscriber, viewer));
            pause_if_used_up().await;
        }
        for (role, joins) in roles {
            self.check_joins_again(&role, &joins.into_iter().collect::<Vec<_>>()).await;
        }
    }

    /// Checks joins of one role again, many by one question. Of those that take the database too long each half is asked for on its
    /// own, so that the others are not given up with one that is slow; for as long as changes wait for the database.
    async fn check_joins_again(self: &Arc<Self>, role: &str, joins: &[(Vec<Binding>, Vec<Checking>)]) {
        let mut rest: Vec<_> = joins.chunks(CHECKED_TOGETHER).rev().collect();
        let mut slow_since = None;
        while let Some(together) = rest.pop() {
            let bindings: Vec<&[Binding]> = together.iter().map(|(bindings, _)| &**bindings).collect();
            let checked = self.ask_until_answered(role, &bindings).await;
            if matches!(&checked, Err(failure) if failure.code == Code::QueryCanceled)
                && together.len() > 1
                && slow_since.get_or_insert_with(Instant::now).elapsed() < self.database_wait()
            {
                let (first, second) = together.split_at(together.len() / 2);
                rest.extend([second, first]);
                continue;
            }
            for (index, (_, of_join)) in together.iter().enumerate() {
                let checked = checked.as_ref().map(|checked| &checked[index]);
                for one in of_join {
                    self.settle(one, checked.ok()).await;
                    pause_if_used_up().await;
                }
            }
        }
    }

    /// Subscribes a channel that was checked again, and notifies it. `checked` is `None` if its check has no answer.
    async fn settle(self: &Arc<Self>, (subscriber, viewer): &Checking, checked: Option<&Checked>) {
        let Some(checked) = checked else {
            self.notices.send(subscriber, MissedChanges::Gap);
            return self.subscribe_again(subscriber);
        };
        match self.subscribe(subscriber, viewer, checked).await {
            CheckOutcome::Subscribed => subscriber.notice_subscribed(),
            CheckOutcome::Refused(refusal) => subscriber.refuse(&refusal),
            // Tried again, of which the client is notified.
            CheckOutcome::OutOfMemory => self.subscribe_again(subscriber),
            CheckOutcome::Outdated => {}
        }
    }

    /// As [`ask`](Self::ask), repeated while it may succeed later; not if it takes too long for several joins. A failure is reported.
    async fn ask_until_answered(
        &self,
        role: &str,
        joins: &[&[Binding]],
    ) -> Result<Vec<Checked>, DatabaseFailure> {
        loop {
            // Without a turn, because all changes wait: behind the checks of many clients that would be long.
            match self.ask(role, joins).await.map_err(CheckFailure::into_failure) {
                Err(failure)
                    if (failure.code != Code::QueryCanceled || joins.len() == 1)
                        && self.may_ask_again(&self.outages.checks, &failure).await => {}
                Err(failure) => {
                    self.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
                    return Err(failure);
                }
                answer => {
                    self.outages.checks.end();
                    return answer;
                }
            }
        }
    }

    /// Subscribes a channel to what was found, or to nothing if that is a refusal.
    async fn subscribe(
        &self,
        subscriber: &Arc<ChangeSubscriber>,
        viewer: &Arc<Viewer>,
        checked: &Checked,
    ) -> CheckOutcome {
        // One after the other: the parts of two that were found at different times are no subscription.
        let _turn = subscriber.settling.acquire().await.expect("it is never closed");
        let outcome = match checked {
            Ok(checked) => self.put(subscriber, viewer, checked).await,
            Err(refusal) => {
                self.clear(subscriber, viewer).await.map(|()| CheckOutcome::Refused(refusal.clone()))
            }
        };
        outcome.unwrap_or(CheckOutcome::Outdated)
    }

    /// Subscribes a channel to what was found, part by part. `None` if that does not count any more.
    async fn put(
        &self,
        subscriber: &Arc<ChangeSubscriber>,
        viewer: &Arc<Viewer>,
        checked: &CheckedSubscription,
    ) -> Option<CheckOutcome> {
        let parts = checked.oids_of_parts();
        // Before rows are seen by these rights, also those of tables whose part is not put yet.
        for oids in &parts {
            self.subscriptions.with(|state| state.set_rights(checked.rights_of(oids)));
            pause_if_used_up().await;
        }
        let (bytes, memory) = (checked.more_entry_bytes(), &self.tenant.memory);
        let begun = self.with_accepted(subscriber, viewer, |state| state.begin(subscriber, bytes, memory));
        if let Err(OutOfMemory) = begun? {
            return self.clear(subscriber, viewer).await.map(|()| CheckOutcome::OutOfMemory);
        }
        for oids in &parts {
            let part = checked.part(oids);
            self.with_accepted(subscriber, viewer, |state| state.put(subscriber, checked, &part))?;
            pause_if_used_up().await;
        }
        Some(CheckOutcome::Subscribed)
    }

    /// Removes what a channel has subscribed to, part by part. `None` if that does not count any more.
    async fn clear(&self, subscriber: &Arc<ChangeSubscriber>, viewer: &Arc<Viewer>) -> Option<()> {
        while !self.with_accepted(subscriber, viewer, |state| state.remove_entries(subscriber))? {
            pause_if_used_up().await;
        }
        Some(())
    }

    /// Works with the subscriptions if a check with the rights of `viewer` counts. Under the lock, so that one which unsubscribes later
    /// is removed later.
    fn with_accepted<T>(
        &self,
        subscriber: &ChangeSubscriber,
        viewer: &Arc<Viewer>,
        work: impl FnOnce(&mut State) -> T,
    ) -> Option<T> {
        self.subscriptions.with(|state| subscriber.progress.accept_check(viewer).then(|| work(state)))
    }

    /// What those who share a check have subscribed to.
    async fn ask_for(&self, wanted: &Wanted) -> CheckAnswer {
        let checked = self.ask(&wanted.role, &[&wanted.bindings]).await?;
        Ok(Arc::new(checked.into_iter().next().expect("one answer for one join")))
    }

    /// What the subscriptions of joins with one role are for.
    async fn ask(&self, role: &str, joins: &[&[Binding]]) -> Result<Vec<Checked>, CheckFailure> {
        let database = self.database()?;
        for _ in 0..CHECK_ATTEMPTS {
            if let Some(checked) = self.ask_once(&database, role, joins).await? {
                return Ok(checked);
            }
        }
        Err(CheckFailure::TablesChange)
    }

    /// As [`ask`](Self::ask). `None` if a table has changed meanwhile.
    async fn ask_once(
        &self,
        database: &TenantDatabase,
        role: &str,
        joins: &[&[Binding]],
    ) -> Result<Option<Vec<Checked>>, DatabaseFailure> {
        let joins = database.check_joins(&database.spec.usage.publication, role, joins).await?;
        let mut oids = HashSet::new();
        for binding in joins.iter().flatten().flatten() {
            oids.extend(binding.tables.iter().map(|target| target.oid));
            pause_if_used_up().await;
        }
        let oids: Vec<u32> = oids.into_iter().collect();
        let tables = self.describe(database, &oids).await?;
        let columns: HashMap<u32, Box<[i16]>> =
            tables.iter().map(|(oid, table)| (*oid, table.shape().columns)).collect();
        let is_as_checked = |target: &CheckedTable| {
            columns.get(&target.oid).is_some_and(|columns| **columns == *target.columns)
        };
        for binding in joins.iter().flatten().flatten() {
            if !binding.tables.iter().all(is_as_checked) {
                return Ok(None);
            }
            pause_if_used_up().await;
        }
        let rights = database.table_rights(&oids, &[role]).await?;
        let rights: HashMap<u32, TableRights> =
            rights.into_iter().map(|(table, _, rights)| (table, rights)).collect();
        let mut checked = Vec::with_capacity(joins.len());
        for join in joins {
            checked.push(match join {
                Ok(bindings) => Ok(checked_subscription(bindings, role, (&tables, &rights)).await),
                Err(refusal) => Err(refusal),
            });
        }
        Ok(Some(checked))
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

/// What a subscription is for, of the `tables` that are described, and of what the role may read of them.
async fn checked_subscription(
    bindings: Vec<Arc<CheckedBinding>>,
    role: &str,
    (tables, rights): (&HashMap<u32, Arc<ChangeTable>>, &HashMap<u32, TableRights>),
) -> CheckedSubscription {
    let (mut described, mut readable) = (BTreeMap::new(), BTreeMap::new());
    for binding in &bindings {
        for CheckedTable { oid, .. } in &binding.tables {
            if let Entry::Vacant(place) = described.entry(*oid)
                && let Some(table) = tables.get(oid)
            {
                place.insert(Arc::clone(table));
                readable.extend(rights.get(oid).map(|rights| (*oid, rights.clone())));
            }
        }
        pause_if_used_up().await;
    }
    CheckedSubscription { bindings, tables: described, role: role.into(), rights: readable }
}

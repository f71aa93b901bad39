//! The changes of one tenant on their way from the write-ahead log to subscribers, in the order of commits.
//!
//! One task handles them, batch after batch, in time slices of the tenant: what it waits for, such as the policies of a table,
//! holds back nothing but changes of this tenant. While it waits the reader fills the next batch, and then stops to read;
//! PostgreSQL keeps the rest.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hub::{Backlog, Frame, Offer, Recipient};
use metrics::Counter;
use tokio::time::{Instant, timeout};
use wire::pgoutput::{self, LogMessage};

use super::completed_rows::{CompletedRows, IncompleteRows};
use super::converted_rows::ConvertedRows;
use super::delivery::{self, Layouts, WrittenChange};
use super::evaluation;
use super::excluded::Excluded;
use super::log_change::LogChange;
use super::log_tables::{LogTables, table_of};
use super::lookups;
use super::matching::Matches;
use super::notices::MissedChanges;
use super::row_question::LookupContext;
use super::subscriber::ChangeSubscriber;
use super::subscriptions::{State, SubscribedTable};
use super::tenant_changes::ChangesOfTenant;
use super::wait_budget::{Receivers, WaitBudget};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::{MessageType, ReasonCounter};
use crate::tenants::Tenant;
use crate::tenants::database::DatabaseFailure;
use crate::tenants::database::changes::RowRights;
use crate::tenants::database::since_commit;
use crate::workers::{is_used_up, pause_if_used_up};

/// Matches that are handled together, of 8 bytes, and conditions on them that the database evaluates, of 12. More are handled one
/// part after the other. With a thousand subscribers under row level security it is 262 rows: what the database does for each of
/// them, whatever the number of rows is, is shared by these.
const MATCHES_MAX: usize = 1 << 18;

/// How long what roles may read is taken to be the same.
const RIGHTS_MAX_AGE: Duration = Duration::from_secs(1);

/// Messages for which no channel has subscribed, between two looks whether the time slice is used up.
const MESSAGES_PER_LOOK: usize = 16;

/// How often it is looked whether there is memory again for a client that was left without. Who has it frees it without an event.
const MEMORY_POLL: Duration = Duration::from_millis(20);

/// The first byte of the definition of a table.
const RELATION: u8 = b'R';

/// What is known of the log of a tenant.
#[derive(Default)]
pub(super) struct ChangeStream {
    /// The definitions of tables in this session of the log.
    log_tables: LogTables,
    /// The transaction that is being received.
    committed_at: i64,
    transaction: u32,
    rights_read: Option<Instant>,
    /// What the database is not asked for now, because it took too long.
    excluded: Excluded,
    /// How long changes may wait for clients that read slowly.
    waits: WaitBudget,
    /// Counts what is over the rate of the tenant, once something was.
    skipped: Option<Counter>,
}

impl ChangeStream {
    /// A session of the log begins: it describes all tables again.
    pub(super) fn begin(&mut self) {
        self.log_tables.clear();
    }

    /// Forgets what was excluded some time ago, also while nothing changes.
    pub(super) fn forget_excluded(&mut self, changes: &ChangesOfTenant) {
        self.excluded.forget_after(changes.slow_query_pause());
    }

    /// Handles messages of the log. Rows are read by the definition of their table that precedes them.
    pub(super) async fn handle(&mut self, changes: &Arc<ChangesOfTenant>, messages: &[Bytes]) {
        let (committed_before, started) = (self.committed_at, Instant::now());
        self.forget_excluded(changes);
        for part in messages.chunk_by(|_, next| next.first() != Some(&RELATION)) {
            self.note_relation(changes, &part[0]).await;
            self.refresh_rights(changes).await;
            let completed = self.complete(changes, part).await;
            let mut rest = part;
            while !rest.is_empty() {
                pause_if_used_up().await;
                let (collected, next) = self.collect(changes, (rest, &completed));
                rest = next;
                if !collected.matches.found.is_empty() {
                    self.send(changes, collected).await;
                }
            }
        }
        if self.committed_at != committed_before {
            let delay = since_commit(self.committed_at).as_secs_f64();
            changes.tenant.metrics.database().changes_delay.record(delay);
        }
        let took = started.elapsed().as_secs_f64() * 1_000.0;
        changes.tenant.metrics.database().batch_times.record(took);
    }

    /// Notes the definition of a table, if the message is one. Where it has changed, or is new, subscriptions are checked again.
    async fn note_relation(&mut self, changes: &Arc<ChangesOfTenant>, message: &Bytes) {
        if message.first() != Some(&RELATION) {
            return;
        }
        let Ok(LogMessage::Relation(relation)) = pgoutput::decode(message) else { return };
        let is_changed = self.log_tables.note(relation.id, message);
        changes.note_table(&relation, is_changed).await;
        // PostgreSQL describes a table again after its policies or its grants have changed too.
        if changes.subscriptions.with(|state| !state.tables(relation.id).is_empty()) {
            self.rights_read = None;
        }
    }

    /// Reads what roles may read of the tables, unless that was done a moment ago. If it cannot be found out, nothing is seen.
    async fn refresh_rights(&mut self, changes: &Arc<ChangesOfTenant>) {
        if self.rights_read.is_some_and(|read| read.elapsed() < RIGHTS_MAX_AGE) {
            return;
        }
        while let Err(failure) = changes.read_rights().await {
            if !changes.may_ask_again(&changes.outages.rights, &failure).await {
                return changes.give_up_rights(&failure);
            }
        }
        changes.outages.rights.end();
        self.rights_read = Some(Instant::now());
    }

    /// Reads the generated columns of rows, unless no table with such columns is subscribed to.
    async fn complete(&mut self, changes: &ChangesOfTenant, messages: &[Bytes]) -> CompletedRows {
        let incomplete = changes
            .subscriptions
            .with(|state| IncompleteRows::find(state, &mut self.log_tables, (messages, self.transaction)));
        CompletedRows::read(changes, incomplete, &mut self.excluded).await
    }

    /// Finds out which subscribers the first of `messages` may be for, and returns the others.
    fn collect<'m>(
        &mut self,
        changes: &ChangesOfTenant,
        (messages, completed): (&'m [Bytes], &'m CompletedRows),
    ) -> (Collected<'m>, &'m [Bytes]) {
        changes.subscriptions.with(|state| {
            let mut collected = Collected::default();
            for (place, message) in messages.iter().enumerate() {
                let before = collected.changes.len();
                self.collect_one(state, (message, completed), &mut collected);
                let is_looked_at = collected.changes.len() > before || place % MESSAGES_PER_LOOK == 0;
                let is_full = collected.matches.len() >= MATCHES_MAX;
                // What is asked of the database for few rows costs it as much as for many, so these are collected longer.
                if is_full || (is_looked_at && is_used_up() && !collected.is_asked()) {
                    return (collected, &messages[place + 1..]);
                }
            }
            (collected, &[])
        })
    }

    fn collect_one<'m>(
        &mut self,
        state: &State,
        (message, completed): (&'m Bytes, &'m CompletedRows),
        collected: &mut Collected<'m>,
    ) {
        match message.first() {
            Some(b'B') => {
                if let Ok(LogMessage::Begin(begin)) = pgoutput::decode(message) {
                    (self.committed_at, self.transaction) = (begin.committed_at, begin.transaction_id);
                }
            }
            Some(b'I' | b'U' | b'D') => {
                // Rows of tables that have no subscribers are not even decoded.
                for table in table_of(message).map_or(&[][..], |oid| state.tables(oid)) {
                    if let Some(change) = self.log_tables.change(message, (table, self.committed_at)) {
                        let change = match completed.row(message, &change.log_table) {
                            Some(row) => change.completed(row),
                            None => change,
                        };
                        self.add(change, table, collected);
                    }
                }
            }
            _ => {}
        }
    }

    fn add<'m>(&self, change: LogChange<'m>, table: &SubscribedTable, collected: &mut Collected<'m>) {
        let before = collected.matches.found.len();
        collected.matches.add(collected.changes.len(), &change, table);
        // The database is not asked about rows that are for no subscriber, nor waited for their transactions.
        if collected.matches.found.len() == before {
            return;
        }
        collected.changes.push(change);
        if collected.transactions.last() != Some(&self.transaction) {
            collected.transactions.push(self.transaction);
        }
    }

    /// Asks the database what has to be known, and sends the changes to those who see them.
    async fn send(&mut self, changes: &ChangesOfTenant, mut collected: Collected<'_>) {
        // Fails while the database is away, or has no time.
        while let Err(failure) = look_up(changes, &mut collected, &mut self.excluded).await {
            if !changes.may_ask_again(&changes.outages.lookups, &failure).await {
                return collected.matches.note_dropped(changes, &failure, |_, _| true);
            }
        }
        let (bytes_max, mut layouts) = (changes.record_bytes_max(), Layouts::default());
        let Collected { changes: rows, matches, .. } = collected;
        let converted = ConvertedRows::read(changes, (&rows, &matches), &mut self.excluded).await;
        let rows = converted.put_into(rows);
        let receivers = Receivers::of(&matches);
        for of_change in matches.found.chunk_by(|one, next| one.change == next.change) {
            let change = &rows[of_change[0].change as usize];
            let sizes = changes.tenant.metrics.payload_size(MessageType::PostgresChanges);
            let mut written = WrittenChange::new(change, (&mut layouts, bytes_max), sizes);
            changes.tenant.metrics.database().changes_dispatched.increment(1);
            for (to, ids) in delivery::by_receiver(&matches, of_change) {
                pause_if_used_up().await;
                if !self.is_within_rate(changes, &to.subscriber, ids.len()) {
                    continue;
                }
                changes.tenant.metrics.db_events.increment(ids.len() as u64);
                if let Some(frame) = written.frame(to, ids) {
                    self.send_one(&changes.tenant, (&to.subscriber, &frame), receivers).await;
                }
            }
        }
    }

    /// Whether the rate of the tenant allows to send a change for so many bindings of a channel. If not, it is dropped.
    fn is_within_rate(
        &mut self,
        changes: &ChangesOfTenant,
        subscriber: &Arc<ChangeSubscriber>,
        ids: usize,
    ) -> bool {
        let tenant = &changes.tenant;
        let is_allowed = tenant.allowance.changes.take(ids as u64, std::time::Instant::now());
        if !is_allowed {
            tenant.metrics.changes_over_rate.increment(1);
            // Kept, because it is looked up under a lock, and thousands may be dropped in a second.
            let skipped = || tenant.metrics.counter(ReasonCounter::ChangesSkipped, "rate_limited");
            self.skipped.get_or_insert_with(skipped).increment(1);
            if changes.notices.send(subscriber, MissedChanges::OverRate) {
                let report = Code::MessagePerSecondRateLimitReached.at(Scope::Channel);
                tenant.reports.record(report, MissedChanges::OverRate.text());
            }
        }
        is_allowed
    }

    /// Sends a change to one channel.
    async fn send_one(
        &mut self,
        tenant: &Tenant,
        (subscriber, frame): (&ChangeSubscriber, &Frame),
        receivers: Receivers,
    ) {
        match subscriber.recipient.backlog() {
            Backlog::None => self.waits.note_progress(receivers, Instant::now()),
            Backlog::New => self.wait_for(&subscriber.recipient, receivers).await,
            Backlog::AwaitedInVain => {}
        }
        match subscriber.send(frame) {
            Some(Offer::Queued | Offer::Evicted(_)) => tenant.metrics.changes_sent.increment(1),
            Some(Offer::Full) => tenant.metrics.changes_missed.increment(1),
            None => {}
        }
    }

    /// Waits for a client that reads slowly. One that was waited for in vain is not again until it has caught up: however many do
    /// not read, and however many channels they have, the others wait for each of them once.
    async fn wait_for(&mut self, recipient: &Recipient, receivers: Receivers) {
        let mut caught_up = poll_fn(|cx| recipient.poll_caught_up(cx));
        while let Some(wait) = self.waits.may_wait(receivers, Instant::now()) {
            let _looked_at_again = timeout(wait.min(MEMORY_POLL), &mut caught_up).await;
            if recipient.backlog() == Backlog::None {
                return self.waits.note_progress(receivers, Instant::now());
            }
        }
    }
}

/// Asks the database what has to be known of changes.
async fn look_up(
    changes: &ChangesOfTenant,
    collected: &mut Collected<'_>,
    excluded: &mut Excluded,
) -> Result<(), DatabaseFailure> {
    if !collected.is_asked() {
        return Ok(());
    }
    let Collected { changes: rows, matches, transactions } = collected;
    let database = changes.database()?;
    evaluation::evaluate((changes, &database), rows, matches, excluded).await?;
    let (row_match, visibility_wait) = (changes.row_match(), changes.visibility_wait());
    let context = LookupContext { database: &database, transactions, row_match, visibility_wait };
    lookups::look_up(changes, context, rows, matches, excluded).await?;
    changes.outages.lookups.end();
    Ok(())
}

/// Changes that are handled together.
#[derive(Default)]
struct Collected<'m> {
    changes: Vec<LogChange<'m>>,
    matches: Matches,
    /// The transactions that have written them, without their epoch.
    transactions: Vec<u32>,
}

impl Collected<'_> {
    /// Whether the database has to be asked about some of them.
    fn is_asked(&self) -> bool {
        let Matches { candidates, asked, .. } = &self.matches;
        !asked.is_empty() || candidates.iter().any(|one| one.row_rights != RowRights::Everyone)
    }
}

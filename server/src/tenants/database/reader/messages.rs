//! Reads what is written to `realtime.messages`, and hands it on in the order of commits (docs/protocol/database-broadcasts.md).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use tokio::sync::watch;
use wire::pgoutput::{self, LogMessage, Lsn};

use super::database_message::DatabaseMessages;
use super::failures::{Unreadable, described};
use super::log_stream::{LogStream, Prerequisites};
use super::messages_table::MessagesTable;
use super::watchdog;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::database::log::{LogError, LogEvent, LogSession, SlotSource};
use crate::tenants::database::log_times::{since_commit, since_timestamp};
use crate::tenants::database::preparation::MIGRATIONS_NAME;
use crate::tenants::database::{DatabaseFailure, TenantDatabase, schema};
use crate::tenants::{LogState, Tenant};

/// The publication with `realtime.messages`, as upstream has it.
const PUBLICATION: &str = "supabase_realtime_messages_publication";

/// Deliveries after which other tasks have their turn.
const DELIVERIES_PER_TURN: usize = 2_000;

/// The stream of broadcasts.
pub(super) struct MessagesStream(pub(super) Arc<dyn DatabaseMessages>);

/// What is known in a session.
#[derive(Default)]
pub(super) struct MessagesSession {
    /// The tables of which it has received definitions; `None` for those that are not read.
    tables: HashMap<u32, Option<MessagesTable>>,
    /// When the transaction was committed that is being received, in microseconds since the year 2000.
    committed_at: i64,
}

impl LogStream for MessagesStream {
    const APPLICATION_NAME: &'static str = "realtime_replication_connection";
    const SUBJECT: &'static str = "broadcasts";

    type Session = MessagesSession;

    /// The underscore stays without a suffix.
    fn slot(suffix: &str) -> String {
        format!("supabase_realtime_messages_replication_slot_{suffix}")
    }

    /// Members of rooms do not notice that the database is replaced.
    fn was_read(&self, database: &TenantDatabase) -> bool {
        database.was_read
    }

    /// Makes the publication if it is not there.
    async fn prepare(&self, database: &TenantDatabase) -> Result<Prerequisites, Unreadable> {
        let failed = |reason: String| DatabaseFailure::new(Code::StartReplicationFailed, reason);
        let mut connection = database.connect(MIGRATIONS_NAME).await?;
        let made = schema::make_messages_publication(&mut connection).await;
        if !made.map_err(|error| failed(error.to_string()))? {
            let reason = format!("the publication {PUBLICATION} is missing, and the role may not make it");
            return Err(failed(reason).into());
        }
        let oid = watchdog::oid(&mut connection).await.map_err(DatabaseFailure::from)?;
        let _closed = connection.close().await;
        Ok(Prerequisites { publications: vec![PUBLICATION.to_owned()], source: SlotSource::LogEnd, oid })
    }

    fn begin(
        &self,
        database: &Arc<TenantDatabase>,
        _log: &LogSession,
        is_continuation: bool,
    ) -> MessagesSession {
        let tenant = &database.tenant;
        let has_users_elsewhere = tenant.users() > tenant.users_here();
        if is_continuation || has_users_elsewhere {
            self.0.note_gap(tenant);
        }
        MessagesSession::default()
    }

    async fn read(
        &self,
        database: &TenantDatabase,
        session: &mut MessagesSession,
        log: &mut LogSession,
    ) -> String {
        let mut deliveries = 0;
        loop {
            match log.next().await {
                Ok(LogEvent::KeepAlive { wal_end }) => log.confirm(wal_end),
                Ok(LogEvent::Message { bytes, .. }) => match self.handle(&database.tenant, &bytes, session) {
                    Ok(Handled::Rows(delivered)) => deliveries += delivered,
                    Ok(Handled::Committed(end)) => log.confirm(end),
                    Err(error) => return described(&LogError::Protocol(error.to_string())),
                },
                Err(error) => return described(&error),
            }
            if deliveries >= DELIVERIES_PER_TURN {
                deliveries = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    fn state<'a>(&'a self, database: &'a TenantDatabase) -> &'a watch::Sender<LogState> {
        &database.log_state
    }

    /// Joins say so that need it.
    fn note_unavailable(&self, _shown: &str) {}

    /// Upstream measures neither, and codes count both.
    fn note_end(&self, _database: &TenantDatabase) {}

    fn note_unprepared(&self, _database: &TenantDatabase) {}

    /// Not shown: no receiver delays it.
    fn note_lag(&self, _bytes: u64) {}

    /// What it reads is made by itself.
    async fn until_changed(&self) {
        std::future::pending().await
    }
}

impl MessagesStream {
    /// Handles a message of the log.
    fn handle(
        &self,
        tenant: &Arc<Tenant>,
        bytes: &[u8],
        session: &mut MessagesSession,
    ) -> Result<Handled, pgoutput::PgoutputError> {
        match pgoutput::decode(bytes)? {
            LogMessage::Relation(relation) => {
                session.tables.insert(relation.id, MessagesTable::of(&relation));
            }
            LogMessage::Begin(begin) => session.committed_at = begin.committed_at,
            LogMessage::Insert(insert) => {
                if let Some(Some(table)) = session.tables.get(&insert.relation) {
                    return Ok(Handled::Rows(self.publish(
                        tenant,
                        table,
                        (insert.new, session.committed_at),
                    )));
                }
            }
            LogMessage::Commit(commit) => return Ok(Handled::Committed(commit.end_lsn)),
            _other => {}
        }
        Ok(Handled::Rows(0))
    }

    /// Publishes a row. Returns the deliveries, at least one, so that rows without receivers take turns too.
    fn publish(
        &self,
        tenant: &Arc<Tenant>,
        table: &MessagesTable,
        (row, committed_at): (pgoutput::Row<'_>, i64),
    ) -> usize {
        let published = table.read(row, tenant.allowance.max_payload_bytes()).and_then(|message| {
            let delivered = self.0.publish(tenant, message.as_message())?;
            note_latency(tenant, (message.inserted_at(), committed_at));
            Ok(delivered)
        });
        match published {
            Ok(delivered) => delivered.max(1),
            Err(dropped) => {
                tenant.metrics.database_dropped.increment(1);
                tenant.reports.record(Code::UnableToBroadcastChanges.at(Scope::Log), dropped);
                1
            }
        }
    }
}

/// Measures how long a row was on its way.
fn note_latency(tenant: &Tenant, (inserted_at, committed_at): (&str, i64)) {
    let (metrics, milliseconds) = (tenant.metrics.database(), |time: Duration| time.as_secs_f64() * 1_000.0);
    metrics.broadcast_since_commit.record(milliseconds(since_commit(committed_at)));
    if let Some(since) = since_timestamp(inserted_at) {
        metrics.broadcast_since_insert.record(milliseconds(since));
    }
}

/// What a message of the log meant.
enum Handled {
    /// Rows were delivered so often.
    Rows(usize),
    /// Everything up to this position is done.
    Committed(Lsn),
}

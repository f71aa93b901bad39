//! What distinguishes the readers of a database.

use std::sync::Arc;

use tokio::sync::watch;

use super::failures::Unreadable;
use crate::tenants::LogState;
use crate::tenants::database::TenantDatabase;
use crate::tenants::database::log::{LogSession, SlotSource};

/// What one reader reads of the log, and what it does with it.
pub(super) trait LogStream {
    /// The name of its sessions in `pg_stat_activity`, as upstream has it.
    const APPLICATION_NAME: &'static str;
    /// What it reads, in sentences of the log.
    const SUBJECT: &'static str;

    /// What lasts as long as a session.
    type Session;

    /// The name of its slot with this `database.slot_suffix`, as upstream has it.
    fn slot(suffix: &str) -> String;

    /// Whether it was read before for the same receivers, so that what was committed since then may be missing.
    fn was_read(&self, database: &TenantDatabase) -> bool;

    /// Does what precedes a session, and finds what it needs.
    async fn prepare(&self, database: &TenantDatabase) -> Result<Prerequisites, Unreadable>;

    /// A session begins; `is_continuation` says whether this or another node has read before.
    fn begin(&self, database: &Arc<TenantDatabase>, log: &LogSession, is_continuation: bool)
    -> Self::Session;

    /// Reads until the session ends. Returns why.
    async fn read(
        &self,
        database: &TenantDatabase,
        session: &mut Self::Session,
        log: &mut LogSession,
    ) -> String;

    /// Where it is noted whether it is read.
    fn state<'a>(&'a self, database: &'a TenantDatabase) -> &'a watch::Sender<LogState>;

    /// It cannot be read, for the reason that clients are shown.
    fn note_unavailable(&self, shown: &str);

    /// Counts a session that has failed.
    fn note_end(&self, database: &TenantDatabase);

    /// Counts an attempt to begin one that has failed.
    fn note_unprepared(&self, database: &TenantDatabase);

    /// Notes how many bytes of the log are not handled yet.
    fn note_lag(&self, bytes: u64);

    /// Until it is said that there may be something to read by now.
    async fn until_changed(&self);
}

/// What a session needs to know of the database.
pub(super) struct Prerequisites {
    /// The publications that are read. All of them exist.
    pub(super) publications: Vec<String>,
    /// What its slot is made from.
    pub(super) source: SlotSource,
    /// The oid of the database in its server.
    pub(super) oid: u32,
}

//! The slot that keeps the changes of a tenant while no node reads them. No session streams from it: sessions have copies, and it follows
//! them.

use sqlx::PgConnection;
use wire::pgoutput::Lsn;

use super::{names, watchdog};
use crate::tenants::Tenant;

/// The name of the connection that advances and drops the slot, in `pg_stat_activity`.
pub(super) const CONNECTION_NAME: &str = "realtime_durable_slot";

/// What is asked about the slot `$1`, and the sessions that read changes in this database.
const LOOK: &str = "
    WITH log AS (SELECT CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END AS log_end),
        sessions AS (SELECT slots.slot_name::text, slots.restart_lsn, slots.confirmed_flush_lsn
            FROM pg_catalog.pg_replication_slots AS slots
            JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = slots.active_pid
            WHERE slots.database = pg_catalog.current_database() AND activity.application_name = $2)
    SELECT pg_catalog.pg_is_in_recovery() AS is_standby,
        (SELECT setting::bigint * 1048576 FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size') AS retained_max,
        slot.slot_name IS NOT NULL AS is_there,
        COALESCE(slot.wal_status IN ('unreserved', 'lost'), false) AS is_ending,
        pg_catalog.pg_wal_lsn_diff(log_end, slot.restart_lsn)::bigint AS retained,
        pg_catalog.pg_wal_lsn_diff(slot.confirmed_flush_lsn, '0/0')::bigint AS position,
        (SELECT pg_catalog.count(*) FROM sessions WHERE slot_name <> $3) AS others,
        (SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.min(confirmed_flush_lsn), '0/0')::bigint FROM sessions) AS handled,
        (SELECT pg_catalog.pg_wal_lsn_diff(log_end, restart_lsn)::bigint FROM sessions WHERE slot_name = $3) AS session_retained
    FROM log LEFT JOIN pg_catalog.pg_replication_slots AS slot
        ON slot.slot_name = $1 AND slot.database = pg_catalog.current_database()";

/// Its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DurableSlot(String);

/// What is known of it.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct DurableSlotProgress {
    is_standby: bool,
    /// What slots of the server may retain, in bytes; negative for no limit.
    retained_max: Option<i64>,
    pub(super) is_there: bool,
    /// PostgreSQL has removed what it needs, or is about to.
    is_ending: bool,
    retained: Option<i64>,
    position: Option<i64>,
    /// Sessions beside that of this node.
    pub(super) others: i64,
    /// Up to where all sessions have handled the log.
    handled: Option<i64>,
    /// What that of this node retains.
    session_retained: Option<i64>,
}

impl DurableSlot {
    /// That of the tenant in a database, whose oid it is.
    pub(super) fn new(tenant: &Tenant, upstream: &str, oid: u32) -> Self {
        Self(names::durable(upstream, &tenant.id, oid))
    }

    /// That of the tenant in the database that `connection` is to.
    pub(super) async fn find(
        connection: &mut PgConnection,
        tenant: &Tenant,
        upstream: &str,
    ) -> Result<Self, sqlx::Error> {
        Ok(Self::new(tenant, upstream, watchdog::oid(connection).await?))
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// Asks what is known of it. `session_slot` is the slot of the session of this node.
    pub(super) async fn look(
        &self,
        connection: &mut PgConnection,
        session_slot: &str,
    ) -> Result<DurableSlotProgress, sqlx::Error> {
        let question = sqlx::query_as(LOOK).bind(&self.0).bind(names::CHANGES_SESSION).bind(session_slot);
        question.fetch_one(connection).await
    }

    /// Makes it where the slot of a session is.
    pub(super) async fn copy(
        &self,
        connection: &mut PgConnection,
        session_slot: &str,
    ) -> Result<(), sqlx::Error> {
        let statement = "SELECT pg_catalog.pg_copy_logical_replication_slot($1, $2, false)::text";
        sqlx::query(statement).bind(session_slot).bind(&self.0).execute(connection).await.map(drop)
    }

    /// Drops it, if it is there. Returns whether it was.
    pub(super) async fn drop(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let statement = "SELECT pg_catalog.pg_drop_replication_slot(slot_name)::text
            FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND database = pg_catalog.current_database()";
        Ok(sqlx::query(statement).bind(&self.0).fetch_optional(connection).await?.is_some())
    }

    /// Lets PostgreSQL remove what of the log is before `position`.
    pub(super) async fn advance(
        &self,
        connection: &mut PgConnection,
        position: Lsn,
    ) -> Result<(), sqlx::Error> {
        let statement =
            "SELECT pg_catalog.pg_replication_slot_advance($1, $2::text::pg_catalog.pg_lsn)::text";
        sqlx::query(statement).bind(&self.0).bind(position.to_string()).execute(connection).await.map(drop)
    }
}

impl DurableSlotProgress {
    /// Why the database is not to have such a slot, if so.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        match self.retained_max {
            _ if self.is_standby => Some("the database is a standby"),
            None | Some(..0) => Some("`max_slot_wal_keep_size` of the database is not limited"),
            // What a copy of the slot would retain.
            Some(max) if !self.is_there && self.session_retained.unwrap_or(0) > max / 2 => {
                Some("the session retains more than half of `max_slot_wal_keep_size` already")
            }
            Some(_) => None,
        }
    }

    /// Why it is to be dropped, before PostgreSQL ends it or the disk is full.
    pub(super) fn harm(&self, slot: &str) -> Option<String> {
        let (retained, max) = (self.retained(), self.retained_max.and_then(|max| u64::try_from(max).ok())?);
        let is_harmful = self.is_there && (self.is_ending || retained > max / 2);
        is_harmful.then(|| format!("the slot {slot} retains {retained} bytes, of {max} that are kept"))
    }

    /// Bytes of the log that it retains.
    pub(super) fn retained(&self) -> u64 {
        self.retained.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
    }

    /// Where it is.
    pub(super) fn position(&self) -> Option<Lsn> {
        self.position.map(i64::cast_unsigned).map(Lsn)
    }

    /// Up to where all sessions have handled the log, if there are any.
    pub(super) fn handled(&self) -> Option<Lsn> {
        self.handled.map(i64::cast_unsigned).map(Lsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(retained_max: Option<i64>, retained: i64) -> DurableSlotProgress {
        DurableSlotProgress {
            is_standby: false,
            retained_max,
            is_there: true,
            is_ending: false,
            retained: Some(retained),
            position: Some(1),
            others: 0,
            handled: None,
            session_retained: None,
        }
    }

    #[test]
    fn a_slot_without_a_limit_or_that_would_be_dropped_at_once_is_refused() {
        assert!(progress(None, 0).refusal().is_some() && progress(Some(-1_048_576), 0).refusal().is_some());
        assert!(DurableSlotProgress { is_standby: true, ..progress(Some(10), 0) }.refusal().is_some());
        assert_eq!(progress(Some(10), 9).refusal(), None, "it is there, and harmful");
        let missing = |retained| DurableSlotProgress {
            is_there: false,
            session_retained: Some(retained),
            ..progress(Some(10), 0)
        };
        assert!(missing(6).refusal().is_some() && missing(5).refusal().is_none());
    }

    #[test]
    fn a_slot_is_dropped_when_half_of_the_limit_is_used_or_postgresql_ends_it() {
        assert_eq!(progress(Some(10), 5).harm("s"), None);
        assert!(progress(Some(10), 6).harm("s").is_some());
        assert!(DurableSlotProgress { is_ending: true, ..progress(Some(10), 0) }.harm("s").is_some());
    }
}

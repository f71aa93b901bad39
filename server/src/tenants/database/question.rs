//! What the policies allow a client in one room, asked in one round trip.
//!
//! Reading: rows are inserted, and then selected as the client. Writing: rows are inserted as the client. Everything is
//! rolled back, so nothing is left and nothing reaches those who read the write-ahead log.
//!
//! Locks of the session that a policy has taken are freed, which a rollback does not do.
//!
//! It is one block of PL/pgSQL, which catches every error: PostgreSQL logs statements that fail, and this one has claims and
//! headers in it.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{Executor as _, PgConnection, Row as _};
use uuid::Uuid;

use super::DatabaseFailure;
use super::literal::literal;
use crate::auth::{Claims, Rights};
use crate::telemetry::codes::Code;

/// `INSERT` of rows, without the values.
const INSERT: &str = "INSERT INTO realtime.messages (id, topic, extension, inserted_at, updated_at) VALUES";

/// SQLSTATE of what the policies do not allow.
const DENIED: &str = "42501";

/// SQLSTATE of a table that does not exist.
const UNDEFINED_TABLE: &str = "42P01";

/// What is asked for one client and one room. The SQL is written when there is a connection: it is several times as long.
pub(super) struct PolicyQuestion {
    topic: Box<str>,
    claims: Arc<Claims>,
    headers: Arc<str>,
}

/// What the policies allow, and why a write could not be decided.
pub(super) struct PolicyRights {
    pub(super) rights: Rights,
    pub(super) failed_writes: Vec<DatabaseFailure>,
}

impl PolicyQuestion {
    /// The question of a client with these claims.
    pub(super) fn new(topic: &str, claims: &Arc<Claims>, headers: &Arc<str>) -> Self {
        Self { topic: topic.into(), claims: Arc::clone(claims), headers: Arc::clone(headers) }
    }

    fn sql(&self) -> String {
        let Self { topic, claims, headers } = self;
        let payload = claims.payload.as_deref().unwrap_or_default();
        let [broadcast, presence, written] = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
        let (topic, role) = (literal(topic), literal(&claims.role));
        let (payload, headers) = (literal(payload), literal(headers));
        let sub = claims.sub.as_deref().map_or_else(|| "NULL".to_owned(), literal);
        let now = "pg_catalog.timezone('UTC', pg_catalog.now())";
        let row = |id: Uuid, extension: &str| format!("('{id}', {topic}, '{extension}', {now}, {now})");
        let write = |extension: &str| {
            let row = row(Uuid::new_v4(), extension);
            format!(
                "BEGIN
                    {INSERT} {row};
                EXCEPTION WHEN query_canceled OR OTHERS THEN
                    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, place = TABLE_NAME;
                    PERFORM pg_catalog.set_config('realtime.{extension}_refused', state || ' ' || place || ' ' || reason, true);
                END;"
            )
        };
        let rows = [row(broadcast, "broadcast"), row(presence, "presence")].join(", ");
        let writes = [write("broadcast"), write("presence")].join("\n");
        // The tag is in no literal.
        format!(
            "BEGIN; DO $q{written}$
            DECLARE state text; reason text; place text;
            BEGIN
                {INSERT} {rows};
                PERFORM pg_catalog.set_config('role', {role}, true), pg_catalog.set_config('realtime.topic', {topic}, true),
                    pg_catalog.set_config('request.jwt.claims', {payload}, true),
                    pg_catalog.set_config('request.jwt.claim.sub', {sub}, true),
                    pg_catalog.set_config('request.jwt.claim.role', {role}, true),
                    pg_catalog.set_config('request.headers', {headers}, true);
                PERFORM pg_catalog.set_config('realtime.' || extension || '_readable', 'yes', true)
                    FROM realtime.messages WHERE id IN ('{broadcast}', '{presence}');
                {writes}
            EXCEPTION WHEN query_canceled OR OTHERS THEN
                GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, place = TABLE_NAME;
                PERFORM pg_catalog.set_config('realtime.refused', state || ' ' || place || ' ' || reason, true);
            END $q{written}$;
            SELECT pg_catalog.current_setting('realtime.refused', true) AS refused,
                pg_catalog.current_setting('realtime.broadcast_readable', true) AS broadcast_readable,
                pg_catalog.current_setting('realtime.presence_readable', true) AS presence_readable,
                pg_catalog.current_setting('realtime.broadcast_refused', true) AS broadcast_refused,
                pg_catalog.current_setting('realtime.presence_refused', true) AS presence_refused,
                pg_catalog.pg_advisory_unlock_all();
            ROLLBACK",
            written = written.simple()
        )
    }

    /// Asks on `connection`, which is in no transaction before and after that.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn ask(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Result<PolicyRights, DatabaseFailure>, sqlx::Error> {
        let row = connection.fetch_one(sqlx::raw_sql(&self.sql())).await?;
        Ok(rights(&row))
    }
}

/// What the database has found out.
fn rights(row: &PgRow) -> Result<PolicyRights, DatabaseFailure> {
    // A setting that was rolled back is empty, and not absent.
    let text =
        |name: &str| row.try_get::<Option<&str>, _>(name).ok().flatten().filter(|text| !text.is_empty());
    if let Some(refused) = text("refused") {
        return Err(failure(refused));
    }
    let mut failed_writes = Vec::new();
    let mut may = |refused: Option<&str>| {
        let Some(refused) = refused else { return Ok(true) };
        if !refused.starts_with(DENIED) {
            let failure = failure(refused);
            if !failure.is_of_policy() {
                return Err(failure);
            }
            failed_writes.push(failure);
        }
        Ok(false)
    };
    let rights = Rights {
        read_broadcasts: text("broadcast_readable").is_some(),
        read_presence: text("presence_readable").is_some(),
        send_broadcasts: may(text("broadcast_refused"))?,
        track_presence: may(text("presence_refused"))?,
    };
    Ok(PolicyRights { rights, failed_writes })
}

/// The failure that the block has noted: SQLSTATE, the table if there is one, and the message.
fn failure(noted: &str) -> DatabaseFailure {
    let mut parts = noted.splitn(3, ' ');
    let mut part = || parts.next().unwrap_or_default();
    let (state, table, message) = (part(), part(), part());
    let mut failure = DatabaseFailure::of_state(state, table, message);
    if state == UNDEFINED_TABLE && names_messages(message) {
        // Not a policy that fails: there are none.
        failure.code = Code::MigrationsFailedToRun;
    }
    failure
}

/// Whether a text has the name of the table that has the policies, in the quotation marks of any language.
fn names_messages(text: &str) -> bool {
    let is_of_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '$');
    text.split(|letter| !is_of_name(letter)).any(|word| word == "realtime.messages")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_table_of_messages_is_known_in_any_language_and_no_other_is_taken_for_it() {
        for (message, code) in [
            ("relation \"realtime.messages\" does not exist", Code::MigrationsFailedToRun),
            ("Relation »realtime.messages« existiert nicht", Code::MigrationsFailedToRun),
            ("relation \"realtime.messages_archive\" does not exist", Code::RlsPolicyError),
            ("relation \"members\" does not exist", Code::RlsPolicyError),
        ] {
            assert_eq!(failure(&format!("42P01  {message}")).code, code, "{message}");
        }
    }
}

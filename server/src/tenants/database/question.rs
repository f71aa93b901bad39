//! What the policies allow a client in one room, asked in one round trip.
//!
//! Reading: rows are inserted, and then selected as the client. Writing: rows are inserted as the client. Everything is
//! rolled back, so nothing is left and nothing reaches those who read the log of changes. All statements are sent at once as
//! one text; a write that is refused ends it, and costs a second round trip.

use std::fmt::Write as _;

use futures_util::TryStreamExt;
use sqlx::{Either, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

use super::DatabaseFailure;
use crate::auth::{Claims, Rights};

/// `INSERT` of one row per kind of message, without the values.
const INSERT: &str = "INSERT INTO realtime.messages (id, topic, extension, inserted_at, updated_at) VALUES ";

/// SQLSTATE of what the policies do not allow.
const DENIED: &str = "42501";

/// What is asked for one client and one room.
pub(super) struct PolicyQuestion {
    /// Makes the rows, becomes the client, and reads them.
    read: String,
    /// Of the rows for broadcasts and for presence.
    ids: [Uuid; 2],
    /// Insert such rows as the client.
    writes: [String; 2],
}

/// What the policies allow, and why a write could not be decided.
pub(super) struct PolicyRights {
    pub(super) rights: Rights,
    pub(super) failed_writes: Vec<DatabaseFailure>,
}

/// The statements have been run as far as the first write that failed.
struct Run {
    readable: Vec<Uuid>,
    /// Statements that are done.
    done: usize,
    error: Option<sqlx::Error>,
}

impl PolicyQuestion {
    /// The question of a client with these claims, whose JSON is `payload`.
    pub(super) fn new(topic: &str, claims: &Claims, payload: &str, headers: &str) -> Self {
        let ids = [Uuid::new_v4(), Uuid::new_v4()];
        let row = |id: Uuid, extension: &str| {
            let topic = literal(topic);
            format!(
                "('{id}', {topic}, '{extension}', pg_catalog.timezone('UTC', pg_catalog.now()), pg_catalog.timezone('UTC', pg_catalog.now()))"
            )
        };
        let mut read =
            format!("BEGIN; {INSERT}{}, {}; SELECT ", row(ids[0], "broadcast"), row(ids[1], "presence"));
        let sub = claims.sub.as_deref().map_or_else(|| "NULL".to_owned(), literal);
        for (number, (name, value)) in [
            ("role", literal(&claims.role)),
            ("realtime.topic", literal(topic)),
            ("request.jwt.claims", literal(payload)),
            ("request.jwt.claim.sub", sub),
            ("request.jwt.claim.role", literal(&claims.role)),
            ("request.headers", literal(headers)),
        ]
        .into_iter()
        .enumerate()
        {
            let comma = if number == 0 { "" } else { ", " };
            let _ = write!(read, "{comma}pg_catalog.set_config('{name}', {value}, true)");
        }
        let _ = write!(
            read,
            "; SELECT id::text FROM realtime.messages WHERE id IN ('{}', '{}');",
            ids[0], ids[1]
        );
        let write = |extension| format!("{INSERT}{};", row(Uuid::new_v4(), extension));
        Self { read, ids, writes: [write("broadcast"), write("presence")] }
    }

    /// Asks on `connection`, which is in no transaction before and after that.
    ///
    /// # Errors
    /// When reading cannot be decided. The transaction is still open then.
    pub(super) async fn ask(&self, connection: &mut PgConnection) -> Result<PolicyRights, sqlx::Error> {
        /// Statements before the first write: BEGIN, INSERT, set_config, SELECT, SAVEPOINT.
        const BEFORE_WRITES: usize = 5;
        let [broadcast, presence] = &self.writes;
        let text = format!("{} SAVEPOINT writes; {broadcast} {presence} ROLLBACK", self.read);
        let first = run(connection, &text).await;
        let mut failed_writes = Vec::new();
        let (may_broadcast, may_track) = match first.error {
            None => (true, true),
            Some(error) if first.done < BEFORE_WRITES => return Err(error),
            // The broadcast was refused: presence is asked for on its own.
            Some(error) if first.done == BEFORE_WRITES => {
                note_refusal(error, &mut failed_writes);
                let text = format!("ROLLBACK TO SAVEPOINT writes; {presence} ROLLBACK");
                let second = run(connection, &text).await;
                let may_track = second.error.is_none();
                if let Some(error) = second.error {
                    note_refusal(error, &mut failed_writes);
                    connection.execute(sqlx::raw_sql("ROLLBACK")).await?;
                }
                (false, may_track)
            }
            Some(error) => {
                note_refusal(error, &mut failed_writes);
                connection.execute(sqlx::raw_sql("ROLLBACK")).await?;
                (true, false)
            }
        };
        let rights = Rights {
            read_broadcasts: first.readable.contains(&self.ids[0]),
            send_broadcasts: may_broadcast,
            read_presence: first.readable.contains(&self.ids[1]),
            track_presence: may_track,
        };
        Ok(PolicyRights { rights, failed_writes })
    }
}

/// Keeps why a write failed, unless the policies deny it.
fn note_refusal(error: sqlx::Error, failed_writes: &mut Vec<DatabaseFailure>) {
    let is_denied =
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == DENIED);
    if !is_denied {
        failed_writes.push(error.into());
    }
}

/// Runs statements until one fails.
async fn run(connection: &mut PgConnection, text: &str) -> Run {
    let mut run = Run { readable: Vec::new(), done: 0, error: None };
    let mut results = connection.fetch_many(sqlx::raw_sql(text));
    loop {
        match results.try_next().await {
            Ok(Some(Either::Left(_done))) => run.done += 1,
            // Of `set_config` the columns are no ids.
            Ok(Some(Either::Right(row))) => {
                let id = row.try_get::<&str, _>("id").ok();
                run.readable.extend(id.and_then(|id| Uuid::try_parse(id).ok()));
            }
            Ok(None) => return run,
            Err(error) => {
                run.error = Some(error);
                return run;
            }
        }
    }
}

/// A literal of SQL, in a session with `standard_conforming_strings`. The text has no NUL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

//! One statement that asks which rows clients may see, and what it means if there is no answer: a policy that ends its session, or does
//! not end when it is cancelled, concerns its table only, as long as the database answers other questions.

use sqlx::{Executor as _, PgConnection, Row as _};

use super::super::{DatabaseFailure, TenantDatabase};
use super::ask;
use super::visibility_statement::LookupStatement;
use crate::telemetry::codes::Code;

/// Ends the other sessions of the server that run a statement with the text `$1`.
const END_SESSIONS: &str = "
    SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid))
    FROM pg_catalog.pg_stat_activity
    WHERE usename = current_user AND pid <> pg_catalog.pg_backend_pid() AND pg_catalog.strpos(query, $1) > 0";

/// What a statement has led to.
pub(super) enum LookupAttempt {
    /// Its answer.
    Answered(String),
    /// Its policies have prevented one.
    Unanswered(DatabaseFailure),
}

/// Asks on a connection of the pool.
///
/// # Errors
/// When the database does not answer other questions either.
pub(super) async fn attempt(
    database: &TenantDatabase,
    statement: &LookupStatement<'_>,
) -> Result<LookupAttempt, DatabaseFailure> {
    let text = statement.text();
    let first = ask(database, text.as_str(), |connection, text| Box::pin(answer(connection, text))).await;
    let attempted = match first {
        // The pool may have had connections that ended before.
        Err(failure) if failure.is_away() => attempt_on_usable(database, &text).await,
        first => first.map(LookupAttempt::Answered),
    };
    match attempted {
        Err(failure) if failure.code == Code::QueryCanceled => {
            // It may go on for ever. That this is answered means that the database has time.
            end_sessions(database, &statement.tag.to_string()).await?;
            Ok(LookupAttempt::Unanswered(failure))
        }
        attempted => attempted,
    }
}

/// Asks on a connection that can be used.
async fn attempt_on_usable(database: &TenantDatabase, text: &str) -> Result<LookupAttempt, DatabaseFailure> {
    let connection = database.acquire_in_turn().await?;
    let mut is_usable = false;
    let answer = database.ask(connection, async |connection| {
        connection.execute(sqlx::raw_sql("SELECT 1")).await?;
        is_usable = true;
        answer(connection, text).await
    });
    match answer.await {
        Err(failure) if is_usable && failure.is_away() => {
            let reason = format!("the policies end their session: {}", failure.reason);
            Ok(LookupAttempt::Unanswered(DatabaseFailure::new(Code::QueryCanceled, reason)))
        }
        answer => answer.map(LookupAttempt::Answered),
    }
}

async fn end_sessions(database: &TenantDatabase, of_statement: &str) -> Result<(), DatabaseFailure> {
    let ended = ask(database, of_statement, |connection, of_statement| {
        Box::pin(sqlx::query(END_SESSIONS).bind(of_statement).execute(connection))
    });
    ended.await.map(drop)
}

async fn answer(connection: &mut PgConnection, text: &str) -> Result<String, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(text)).await?;
    row.try_get::<Option<String>, _>("visible").map(Option::unwrap_or_default)
}

//! Questions that go to the database as JSON in a setting, and come back as such: one constant statement for any number of things
//! to ask, in one round trip.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Executor as _, PgConnection, Row as _};

use super::super::literal::literal;
use super::super::{DatabaseFailure, TenantDatabase};
use super::ask as ask_database;

/// Values have the texts that they have in the log of changes.
const SESSION: &str =
    "SET LOCAL TimeZone TO 'UTC'; SET LOCAL DateStyle TO 'ISO'; SET LOCAL IntervalStyle TO 'postgres';
    SET LOCAL extra_float_digits TO 1; SET LOCAL bytea_output TO 'hex'; SET LOCAL jit TO off";

/// Asks a question in the setting `setting`, which may take `time`. The `statement` returns the column `answer`, and ends the transaction. Nothing in the
/// question has NUL.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn ask<T: DeserializeOwned>(
    database: &TenantDatabase,
    (setting, time): (&str, Duration),
    question: &impl Serialize,
    statement: &str,
) -> Result<T, DatabaseFailure> {
    let question = serde_json::to_string(question).expect("plain data is JSON");
    let (question, milliseconds) = (literal(&question), time.as_millis().max(1));
    let text = format!(
        "BEGIN; {SESSION}; SET LOCAL statement_timeout TO {milliseconds}; SET LOCAL {setting} TO {question}; {statement}"
    );
    let answer =
        ask_database(database, text.as_str(), |connection, text| Box::pin(answer(connection, text))).await?;
    serde_json::from_str(&answer).map_err(|_not_of_this_form| {
        database.note_failure(DatabaseFailure::of_state("22000", "", "the answer is not what was asked for"))
    })
}

async fn answer(connection: &mut PgConnection, text: &str) -> Result<String, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(text)).await?;
    row.try_get::<Option<String>, _>("answer").map(Option::unwrap_or_default)
}

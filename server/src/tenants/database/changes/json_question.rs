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
pub(super) const FORMATS: &str =
    "SET LOCAL TimeZone TO 'UTC'; SET LOCAL DateStyle TO 'ISO'; SET LOCAL IntervalStyle TO 'postgres';
    SET LOCAL extra_float_digits TO 1; SET LOCAL bytea_output TO 'hex'";

/// Asks a question in the setting `setting`, which may take `time`. The `statement` returns the column `answer`, and ends the
/// transaction. Nothing in the question has NUL.
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
        "BEGIN READ ONLY; {FORMATS}; SET LOCAL jit TO off; SET LOCAL statement_timeout TO {milliseconds}; SET LOCAL {setting} TO {question}; {statement}"
    );
    let answer =
        ask_database(database, text.as_str(), |connection, text| Box::pin(answer(connection, text))).await?;
    serde_json::from_str(&answer).map_err(|_not_of_this_form| {
        database.note_failure(DatabaseFailure::of_state("22000", "", "the answer is not what was asked for"))
    })
}

/// Asks the first of these questions, and as many others as there is time for, each of which has an answer of its own. One that takes
/// all the time is found by halves, and fails with this reason.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn ask_some<T: DeserializeOwned>(
    database: &TenantDatabase,
    (setting, time): (&str, Duration),
    questions: &[impl Serialize],
    (statement, too_slow): (&str, &str),
) -> Result<Vec<Result<T, DatabaseFailure>>, DatabaseFailure> {
    let mut asked = questions;
    loop {
        let answers: Vec<T> = ask(database, (setting, time), &asked, statement).await?;
        match answers.len() {
            0 if asked.len() > 1 => asked = &asked[..asked.len() / 2],
            0 => return Ok(vec![Err(DatabaseFailure::of_state("57014", "", too_slow))]),
            _ => return Ok(answers.into_iter().map(Ok).collect()),
        }
    }
}

async fn answer(connection: &mut PgConnection, text: &str) -> Result<String, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(text)).await?;
    row.try_get::<Option<String>, _>("answer").map(Option::unwrap_or_default)
}

//! Questions that go to the database as JSON in a setting, and come back as such: one constant statement for any number of things
//! to ask, in one round trip.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::{Executor as _, PgConnection, Row as _};

use super::super::literal::literal;
use super::super::{DatabaseFailure, TenantDatabase};
use super::ask as ask_database;

/// Values have the texts that they have in the log of changes.
pub(super) const FORMATS: &str =
    "SET LOCAL TimeZone TO 'UTC'; SET LOCAL DateStyle TO 'ISO'; SET LOCAL IntervalStyle TO 'postgres';
    SET LOCAL extra_float_digits TO 1; SET LOCAL bytea_output TO 'hex'";

/// The setting in which a statement [`for_each`] is asked.
pub(super) const ASKED: &str = "realtime.asked";

/// A statement that evaluates an expression for each of a list of values, with results of the type `result`, both in SQL. Each value
/// has its `type`.
pub(super) fn for_each(expression: &str, result: &str) -> String {
    include_str!("for_each.sql").replace("{expression}", expression).replace("{result}", result)
}

/// What such a statement answers for one value.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum EachAnswer<T> {
    Failed { state: String, message: String },
    Found(T),
}

impl<T> EachAnswer<T> {
    pub(super) fn into_result(self) -> Result<T, DatabaseFailure> {
        match self {
            Self::Failed { state, message } => Err(DatabaseFailure::of_state(&state, "", &message)),
            Self::Found(found) => Ok(found),
        }
    }
}

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
        "BEGIN READ ONLY; {FORMATS}; SET LOCAL statement_timeout TO {milliseconds}; SET LOCAL {setting} TO {question}; {statement}"
    );
    let answer =
        ask_database(database, text.as_str(), |connection, text| Box::pin(answer(connection, text))).await?;
    serde_json::from_str(&answer).map_err(|_not_of_this_form| {
        database.note_failure(DatabaseFailure::of_state("22000", "", "the answer is not what was asked for"))
    })
}

/// Asks a statement [`for_each`] about the first of these values, and as many others as there is time for. One that takes all the
/// time is found by halves, and fails with this reason.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn ask_some<T: DeserializeOwned>(
    database: &TenantDatabase,
    time: Duration,
    values: &[impl Serialize],
    (statement, too_slow): (&str, &str),
) -> Result<Vec<Result<T, DatabaseFailure>>, DatabaseFailure> {
    let mut asked = values;
    loop {
        let answers: Vec<EachAnswer<T>> = ask(database, (ASKED, time), &asked, statement).await?;
        match answers.len() {
            0 if asked.len() > 1 => asked = &asked[..asked.len() / 2],
            0 => return Ok(vec![Err(DatabaseFailure::of_state("57014", "", too_slow))]),
            _ => return Ok(answers.into_iter().map(EachAnswer::into_result).collect()),
        }
    }
}

async fn answer(connection: &mut PgConnection, text: &str) -> Result<String, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(text)).await?;
    row.try_get::<Option<String>, _>("answer").map(Option::unwrap_or_default)
}

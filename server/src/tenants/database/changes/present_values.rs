//! What columns of rows are now, as the server may read them: those that the log does not have.
//!
//! Everything is caught, because PostgreSQL logs statements that fail, and this one has keys of rows in it. Policies are not evaluated:
//! they would be with the rights of the server.

use serde::Deserialize;
use sqlx::{Executor as _, PgConnection, Row as _};
use uuid::Uuid;

use super::super::{DatabaseFailure, TenantDatabase};
use super::ask;
use super::json_question::FORMATS;
use super::logged_rows::{Hindrance, LoggedRows, LookupError, RowsInSql, text_of};
use super::tables::{ChangeTable, TableColumn};

/// The texts of columns of a row, in the order in which they were asked for; `None` for NULL.
pub type PresentRow = Box<[Option<Box<str>>]>;

#[derive(Deserialize)]
#[serde(untagged)]
enum PresentAnswer {
    Hindered(Hindrance),
    Found(Vec<Option<PresentRow>>),
    Failed { state: String, message: String },
}

impl TenantDatabase {
    /// What the columns with these numbers are now, for each row; `None` for a row that is gone. `None` instead of a list if the table has
    /// no such columns, or no key to find rows by: nothing is asked then.
    ///
    /// # Errors
    /// When the database does not answer, or the server may not read the columns, or the question is to be asked again.
    pub async fn present_values(
        &self,
        table: &ChangeTable,
        rows: LoggedRows<'_>,
        numbers: &[i16],
    ) -> Result<Option<Vec<Option<PresentRow>>>, LookupError> {
        let columns: Vec<&TableColumn> = numbers
            .iter()
            .filter_map(|number| table.columns.iter().find(|column| column.number == *number))
            .collect();
        if columns.len() < numbers.len() || table.primary_key.is_empty() {
            return Ok(None);
        }
        let mut present = Vec::with_capacity(rows.keys.len());
        for range in rows.parts() {
            let text = statement(RowsInSql { table, rows: rows.part(range) }, &columns);
            let answer =
                ask(self, text.as_str(), |connection, text| Box::pin(answer(connection, text))).await?;
            match serde_json::from_str(&answer) {
                Ok(PresentAnswer::Found(some)) => present.extend(some),
                Ok(PresentAnswer::Hindered(hindrance)) => return Err(LookupError::Hindered(hindrance)),
                Ok(PresentAnswer::Failed { state, message }) => {
                    let failure = DatabaseFailure::of_state(&state, "", &message);
                    return Err(self.note_failure(failure).into());
                }
                Err(_not_of_this_form) => {
                    let reason = "the answer about present values is not what was asked for";
                    let failure = DatabaseFailure::of_state("22000", "", reason);
                    return Err(self.note_failure(failure).into());
                }
            }
        }
        Ok(Some(present))
    }
}

fn statement(rows: RowsInSql<'_>, columns: &[&TableColumn]) -> String {
    // In none of the literals.
    let tag = Uuid::new_v4().simple();
    let (too_early, is_renamed) = (rows.too_early(), rows.is_renamed(columns));
    let (keys, table, join) = (rows.keys(), rows.table(), rows.join());
    let texts: Vec<String> = columns.iter().map(|column| text_of(column, "")).collect();
    let texts = texts.join(", ");
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {FORMATS}; SET LOCAL row_security TO off;
        DO $p{tag}$
        #variable_conflict use_variable
        DECLARE
            answer text;
            state text;
            reason text;
        BEGIN
            IF {too_early} THEN
                answer := '\"TooEarly\"';
            ELSIF {is_renamed} THEN
                answer := '\"Renamed\"';
            ELSE
                SELECT pg_catalog.jsonb_agg(CASE WHEN t.tableoid IS NOT NULL THEN
                    pg_catalog.to_jsonb(array[{texts}]::text[]) END ORDER BY k.n)::text
                INTO answer FROM {keys} LEFT JOIN {table} ON {join};
            END IF;
            answer := pg_catalog.set_config('realtime.present', answer, true);
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
            answer := pg_catalog.set_config('realtime.present', pg_catalog.jsonb_build_object(
                'state', state, 'message', pg_catalog.left(reason, 1000))::text, true);
        END $p{tag}$;
        SELECT pg_catalog.current_setting('realtime.present', true) AS answer;
        ROLLBACK"
    )
}

async fn answer(connection: &mut PgConnection, text: &str) -> Result<String, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(text)).await?;
    row.try_get::<Option<String>, _>("answer").map(Option::unwrap_or_default)
}

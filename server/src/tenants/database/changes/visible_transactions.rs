//! Whether others can see what transactions in the log have written.

use sqlx::{Executor as _, PgConnection, Row as _};

use super::super::{DatabaseFailure, TenantDatabase};
use super::ask;
use super::logged_rows::too_early;

impl TenantDatabase {
    /// Whether others can see all of these transactions, given without their epoch.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn are_visible(&self, transactions: &[u32]) -> Result<bool, DatabaseFailure> {
        let text = format!("SELECT NOT {} AS answer", too_early(transactions));
        ask(self, text.as_str(), |connection, text| Box::pin(answer(connection, text))).await
    }
}

async fn answer(connection: &mut PgConnection, text: &str) -> Result<bool, sqlx::Error> {
    connection.fetch_one(sqlx::raw_sql(text)).await?.try_get("answer")
}

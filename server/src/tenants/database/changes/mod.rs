//! What Postgres Changes asks the database of a tenant.
//!
//! | module | question |
//! |---|---|
//! | `publication` | whether tables are published |
//! | `tables`, `types` | what their columns and keys are, and what values of them are in JSON |
//! | `rights`, `row_rights` | what roles may read of them, and for whom policies have to be asked |
//! | `check`, `check_question`, `check_answer`, `checked_binding` | whether subscriptions fit the tables |
//! | `visibility` | which rows clients may see now |
//! | `visible_transactions` | whether others can see what is in the log |
//! | `comparison`, `comparisons`, `comparison_progress` | whether filters hold that only the database can evaluate |
//! | `present_values` | what the log does not have of rows |
//! | `json_values` | what values are in JSON whose types have a cast of their own |
//!
//! All of it is asked on the pool of the tenant, bounded in time by `database.query_timeout` and in size by constants here. No
//! answer is kept: who asks knows what makes it invalid.

mod check;
mod check_answer;
mod check_question;
mod checked_binding;
mod comparison;
mod comparison_progress;
mod comparisons;
mod exception;
mod json_question;
mod json_values;
mod logged_rows;
mod present_values;
mod publication;
mod rights;
mod row_rights;
mod tables;
mod types;
mod visibility;
mod visibility_answer;
mod visibility_attempt;
mod visibility_statement;
mod visible_transactions;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use super::{DatabaseFailure, TenantDatabase};

pub use self::check::CheckedJoin;
pub use self::checked_binding::{CheckedBinding, CheckedFilter, CheckedTable};
pub use self::comparison::{Compared, Comparison, NotCompared};
pub use self::json_values::TypedText;
pub use self::logged_rows::{Hindrance, LoggedRows, LookupError, RowValues};
pub use self::present_values::PresentRow;
pub use self::publication::Publication;
pub use self::rights::TableRights;
pub use self::row_rights::RowRights;
pub use self::tables::{ChangeTable, RowKey, TableColumn, TableShape};
pub use self::types::CompareKind;
pub use self::visibility::{VisibilityQuestion, VisibleRows};

/// Asks on a connection of the pool, and once more if it is found closed, as each one is after a restart of the database: nothing
/// that is asked here writes.
pub(super) async fn ask<A: Sync + ?Sized, T>(
    database: &TenantDatabase,
    arguments: &A,
    question: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, sqlx::Error>>,
) -> Result<T, DatabaseFailure> {
    let connection = database.acquire_in_turn().await?;
    match database.ask(connection, async |connection| question(connection, arguments).await).await {
        Err(failure) if failure.is_away() => {
            let connection = database.acquire_in_turn().await?;
            database.ask(connection, async |connection| question(connection, arguments).await).await
        }
        answer => answer,
    }
}

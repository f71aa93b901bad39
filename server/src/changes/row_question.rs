//! Questions about rows that the log has: repeated until their transactions are visible to others, and asked by the present names of
//! the table.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::telemetry::codes::Code;
use crate::tenants::database::changes::{ChangeTable, Hindrance, LookupError};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// How often it is looked whether a transaction in the log is visible to others. PostgreSQL has no event for that.
const EARLY_POLL: Duration = Duration::from_millis(1);

/// Which present row stands for a row that the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowMatch {
    /// The one with its primary key.
    ByKey,
    /// The one with its primary key, as long as it has all the values that the log has.
    ByValues,
}

/// What the lookups of changes that are handled together have in common.
#[derive(Clone, Copy)]
pub(super) struct LookupContext<'a> {
    pub(super) database: &'a TenantDatabase,
    /// The transactions that have written the rows, without their epoch.
    pub(super) transactions: &'a [u32],
    pub(super) row_match: RowMatch,
    /// How long these transactions may take to become visible to others.
    pub(super) early_max: Duration,
}

/// A question about rows of a table.
pub(super) struct RowQuestion<'a> {
    /// The table, by the names that are known.
    pub(super) table: Cow<'a, ChangeTable>,
    begun: Instant,
    early_max: Duration,
}

impl<'a> RowQuestion<'a> {
    /// The transactions of the rows may take so long to become visible to others: they wait for a synchronous standby, if there is
    /// one.
    pub(super) fn about(table: &'a ChangeTable, early_max: Duration) -> Self {
        Self { table: Cow::Borrowed(table), begun: Instant::now(), early_max }
    }

    /// Does what the next attempt needs after one that has failed.
    ///
    /// # Errors
    /// If there is no use in one.
    pub(super) async fn prepare_again(
        &mut self,
        database: &TenantDatabase,
        error: LookupError,
    ) -> Result<(), DatabaseFailure> {
        let hindrance = match error {
            LookupError::Hindered(hindrance) => hindrance,
            LookupError::Failed(failure) => return Err(failure),
        };
        match hindrance {
            Hindrance::Renamed => self.table = Cow::Owned(renamed(database, &self.table).await?),
            Hindrance::TooEarly if self.begun.elapsed() < self.early_max => sleep(EARLY_POLL).await,
            Hindrance::TooEarly => {
                let reason = "a transaction in the log does not become visible";
                return Err(DatabaseFailure::new(Code::RlsPolicyError, reason));
            }
        }
        Ok(())
    }
}

/// The table by its present names, which it has got after the rows were written.
async fn renamed(database: &TenantDatabase, table: &ChangeTable) -> Result<ChangeTable, DatabaseFailure> {
    let now = database.describe_tables(&[table.oid]).await?.pop();
    now.filter(|now| now != table && now.shape().primary_key == table.shape().primary_key).ok_or_else(|| {
        let reason = "a table was dropped, or has another primary key, since its rows were written";
        DatabaseFailure::new(Code::RlsPolicyError, reason)
    })
}

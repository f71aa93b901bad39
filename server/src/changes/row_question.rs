//! Questions about rows that the log has: repeated until their transactions are visible to others, and asked by the present names of
//! the table.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::hidden_transactions::HiddenTransactions;
use crate::telemetry::codes::Code;
use crate::tenants::database::changes::{ChangeTable, Hindrance, LookupError};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// How often it is looked whether a transaction in the log is visible to others. PostgreSQL has no event for that.
const EARLY_POLL: Duration = Duration::from_millis(1);

/// How long each question waits for that, also while a standby is away: one that is there acknowledges a commit some time after it is
/// in the log, and every commit waits for it.
const EARLY_MAX: Duration = Duration::from_secs(1);

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
    pub(super) visibility_wait: VisibilityWait<'a>,
}

/// How long transactions may take to become visible to others: they wait for a synchronous standby, if there is one. While it is
/// away changes wait that long once, and for each question a moment.
#[derive(Clone, Copy)]
pub(super) struct VisibilityWait<'a> {
    pub(super) hidden: &'a HiddenTransactions,
    pub(super) longest: Duration,
}

/// A question about rows of a table, which were written by some transactions.
pub(super) struct RowQuestion<'a> {
    /// The table, by the names that are known.
    pub(super) table: Cow<'a, ChangeTable>,
    transactions: &'a [u32],
    visibility_wait: VisibilityWait<'a>,
    /// When it was found that others cannot see the transactions yet.
    early_since: Option<Instant>,
    /// Whether changes have waited for these transactions in an outage. A commit that waits for no standby is early for a moment too.
    has_waited: bool,
}

impl<'a> RowQuestion<'a> {
    pub(super) fn about(
        (table, transactions): (&'a ChangeTable, &'a [u32]),
        visibility_wait: VisibilityWait<'a>,
    ) -> Self {
        Self {
            table: Cow::Borrowed(table),
            transactions,
            visibility_wait,
            early_since: None,
            has_waited: false,
        }
    }

    /// It has an answer: others can see the transactions of the rows. If they always could, those for which changes have waited before
    /// may still not be visible.
    pub(super) async fn end(self, database: &TenantDatabase) {
        let hidden = self.visibility_wait.hidden;
        let are_visible = match hidden.to_look_at(Instant::now()) {
            _ if self.has_waited => true,
            // A failure is reported, and it is looked again.
            Some(transactions) => database.are_visible(&transactions).await == Ok(true),
            None => false,
        };
        if are_visible {
            hidden.end();
        }
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
            Hindrance::TooEarly => self.wait_until_visible().await?,
        }
        Ok(())
    }

    async fn wait_until_visible(&mut self) -> Result<(), DatabaseFailure> {
        let VisibilityWait { hidden, longest } = self.visibility_wait;
        let early_since = *self.early_since.get_or_insert_with(Instant::now);
        if early_since.elapsed() < EARLY_MAX.min(longest) {
            sleep(EARLY_POLL).await;
        } else if hidden.wait(self.transactions, EARLY_POLL, longest).await {
            self.has_waited = true;
        } else {
            let reason = "a transaction in the log does not become visible";
            return Err(DatabaseFailure::new(Code::RlsPolicyError, reason));
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

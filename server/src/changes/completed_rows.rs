//! Written rows with their generated columns, which the log does not have before PostgreSQL 18, nor there unless the publication says
//! so (docs/protocol/postgres-changes.md#generated-columns).
//!
//! They are read by primary key before filters are evaluated, once for all rows that are handled together, so that everything else sees
//! whole rows. A value is taken only while what it is computed from is still what the log has: it is that of this row, and not of a
//! later one.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use wire::pgoutput::{self, LogMessage, Row, RowBuffer, Value};

use super::by_address::ByAddress;
use super::excluded::Excluded;
use super::log_change::LogChange;
use super::log_table::LogTable;
use super::log_tables::{LogTables, table_of};
use super::row_question::RowQuestion;
use super::subscriptions::State;
use super::tenant_changes::ChangesOfTenant;
use crate::telemetry::codes::Scope;
use crate::tenants::database::DatabaseFailure;
use crate::tenants::database::changes::{LoggedRows, PresentRow, RowKey};

/// Rows with their generated columns, by the address of their message and by their table.
#[derive(Default)]
pub(super) struct CompletedRows(FxHashMap<(usize, ByAddress<LogTable>), RowBuffer>);

/// Rows of messages that lack generated columns.
#[derive(Default)]
pub(super) struct IncompleteRows<'m> {
    tables: FxHashMap<ByAddress<LogTable>, IncompleteTable<'m>>,
    transactions: Vec<u32>,
}

/// Those of one table.
struct IncompleteTable<'m> {
    log_table: Arc<LogTable>,
    keys: Vec<RowKey>,
    places: HashMap<RowKey, usize>,
    rows: Vec<IncompleteRow<'m>>,
}

struct IncompleteRow<'m> {
    /// The address of its message.
    message: usize,
    change: LogChange<'m>,
    /// The place of its key.
    key: usize,
}

impl<'m> IncompleteRows<'m> {
    /// Finds them among `messages`, the first of which are of the transaction `transaction`.
    pub(super) fn find(
        state: &State,
        log_tables: &mut LogTables,
        (messages, mut transaction): (&'m [Bytes], u32),
    ) -> Self {
        let mut incomplete = Self::default();
        if !state.has_generated() {
            return incomplete;
        }
        for message in messages {
            match message.first() {
                Some(b'B') => {
                    if let Ok(LogMessage::Begin(begin)) = pgoutput::decode(message) {
                        transaction = begin.transaction_id;
                    }
                }
                Some(b'I' | b'U') => {
                    let subscribed = table_of(message).map_or(&[][..], |oid| state.tables(oid));
                    for table in subscribed.iter().filter(|subscribed| subscribed.has_generated) {
                        if let Some(change) = log_tables.change(message, (table, 0)) {
                            incomplete.add(message, transaction, change);
                        }
                    }
                }
                _ => {}
            }
        }
        incomplete
    }

    fn add(&mut self, message: &Bytes, transaction: u32, change: LogChange<'m>) {
        if change.log_table.generated.is_empty() {
            return;
        }
        let Some(key) = change.key() else { return };
        let table = self.tables.entry(ByAddress::of(&change.log_table)).or_insert_with(|| IncompleteTable {
            log_table: Arc::clone(&change.log_table),
            keys: Vec::new(),
            places: HashMap::new(),
            rows: Vec::new(),
        });
        let key = *table.places.entry(key.clone()).or_insert_with(|| {
            table.keys.push(key);
            table.keys.len() - 1
        });
        table.rows.push(IncompleteRow { message: std::ptr::from_ref(message).addr(), change, key });
        if self.transactions.last() != Some(&transaction) {
            self.transactions.push(transaction);
        }
    }
}

impl CompletedRows {
    /// The row of a message, if it was completed.
    pub(super) fn row(&self, message: &Bytes, table: &Arc<LogTable>) -> Option<Row<'_>> {
        if self.0.is_empty() {
            return None;
        }
        let key = (std::ptr::from_ref(message).addr(), ByAddress::of(table));
        self.0.get(&key).map(RowBuffer::row)
    }

    /// Reads what rows lack. Those of a table of which that fails stay as they are.
    pub(super) async fn read(
        changes: &ChangesOfTenant,
        incomplete: IncompleteRows<'_>,
        excluded: &mut Excluded,
    ) -> Self {
        let mut completed = Self::default();
        let IncompleteRows { tables, transactions } = incomplete;
        for table in tables.into_values() {
            let oid = table.log_table.table.oid;
            let present = match excluded.has_generated(oid) {
                true => None,
                false => match changes.ask_for_values(|| table.ask(changes, &transactions)).await {
                    Ok(present) => Some(present),
                    Err(failure) => {
                        changes.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
                        excluded.add_generated(oid);
                        None
                    }
                },
            };
            match present {
                Some(Some(present)) => completed.add(&table, &present),
                Some(None) => {}
                None => changes.tenant.metrics.changes_incomplete.increment(table.rows.len() as u64),
            }
        }
        completed
    }

    fn add(&mut self, table: &IncompleteTable<'_>, present: &[Option<PresentRow>]) {
        for IncompleteRow { message, change, key } in &table.rows {
            if let (Some(row), Some(Some(present))) = (change.rows.after(), present.get(*key)) {
                let values = row.values().chain(table.values(change, present));
                let key = (*message, ByAddress::of(&table.log_table));
                self.0.insert(key, RowBuffer::new(values));
            }
        }
    }
}

impl IncompleteTable<'_> {
    /// The numbers of the columns that are read: those that are generated, and what they are computed from.
    fn numbers(&self) -> Vec<i16> {
        let table = &self.log_table.table;
        let generated = self.log_table.generated.iter().map(|column| &table.columns[*column]);
        let mut numbers: Vec<i16> = generated.clone().map(|column| column.number).collect();
        for number in generated.flat_map(|column| &column.computed_from) {
            if !numbers.contains(number) {
                numbers.push(*number);
            }
        }
        numbers
    }

    /// What these columns are now, for each key; `None` if the table has no such columns any more.
    async fn ask(
        &self,
        changes: &ChangesOfTenant,
        transactions: &[u32],
    ) -> Result<Option<Vec<Option<PresentRow>>>, DatabaseFailure> {
        let (database, numbers) = (changes.database()?, self.numbers());
        let rows = LoggedRows { keys: &self.keys, values: &[], transactions };
        let mut question =
            RowQuestion::about((&self.log_table.table, transactions), changes.visibility_wait());
        loop {
            match database.present_values(&question.table, rows, &numbers).await {
                Ok(Some(present)) => {
                    question.end(&database).await;
                    return Ok(Some(present));
                }
                Ok(None) => return Ok(None),
                Err(error) => question.prepare_again(&database, error).await?,
            }
        }
    }

    /// The generated columns of a row, in order. One that may be that of a later row is as a value that was not sent.
    fn values<'p>(&self, change: &LogChange<'_>, present: &'p PresentRow) -> Vec<Value<'p>> {
        let (numbers, table) = (self.numbers(), &self.log_table.table);
        let now = |number: i16| {
            let place = numbers.iter().position(|other| *other == number)?;
            Some(present.get(place)?.as_deref().map(str::as_bytes))
        };
        let is_unchanged = |number: &i16| {
            let column = table.columns.iter().position(|column| column.number == *number);
            let logged = column.and_then(|column| change.text(column));
            logged.is_none_or(|logged| now(*number) == Some(logged))
        };
        let value = |column: &usize| {
            let column = &table.columns[*column];
            match now(column.number) {
                Some(text) if column.computed_from.iter().all(is_unchanged) => {
                    text.map_or(Value::Null, Value::Text)
                }
                _ => Value::Unchanged,
            }
        };
        self.log_table.generated.iter().map(value).collect()
    }
}

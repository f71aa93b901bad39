//! Rows with values in JSON that only the database can write: those of types with a cast to `json` of their own, which `to_jsonb` calls.
//!
//! They are converted once for all rows that are handled together and are received by anyone. A value that cannot be converted is a
//! string of its text.

use std::collections::{HashMap, HashSet};

use rustc_hash::FxHashMap;
use wire::pgoutput::{Row, RowBuffer, Value};

use super::excluded::Excluded;
use super::log_change::LogChange;
use super::matching::Matches;
use super::tenant_changes::ChangesOfTenant;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::database::changes::TypedText;

/// The rows of changes, by their places: the one after, and the one before.
#[derive(Default)]
pub(super) struct ConvertedRows(FxHashMap<usize, (Option<RowBuffer>, Option<RowBuffer>)>);

/// Values in JSON; `None` for those that could not be converted.
type Conversions<'a> = HashMap<TypedText<'a>, Option<Box<str>>>;

impl ConvertedRows {
    /// Converts the values of those changes that are received.
    pub(super) async fn read(
        changes: &ChangesOfTenant,
        (rows, matches): (&[LogChange<'_>], &Matches),
        excluded: &mut Excluded,
    ) -> Self {
        if rows.iter().all(|change| change.log_table.converted.is_empty()) {
            return Self::default();
        }
        let received: HashSet<usize> = matches.found.iter().map(|one| one.change as usize).collect();
        let converted = rows.iter().enumerate();
        let converted = converted.filter(|(_, change)| !change.log_table.converted.is_empty());
        let converted: Vec<_> = converted.filter(|(place, _)| received.contains(place)).collect();
        let mut conversions = Conversions::default();
        for (_, change) in &converted {
            for row in [change.rows.after(), change.rows.before().map(|old| old.row())].into_iter().flatten()
            {
                conversions.extend(change.log_table.texts(row).map(|(_, text)| (text, None)));
            }
        }
        convert(changes, &mut conversions, excluded).await;
        let mut failed = 0;
        let rows = converted.into_iter().map(|(place, change)| {
            let mut write = |row: Row<'_>| written(change, row, &conversions, &mut failed);
            (place, (change.rows.after().map(&mut write), change.rows.before().map(|old| write(old.row()))))
        });
        let rows = rows.collect();
        changes.tenant.metrics.changes_incomplete.increment(failed);
        Self(rows)
    }

    /// The changes with these rows.
    pub(super) fn put_into<'a>(&'a self, mut changes: Vec<LogChange<'a>>) -> Vec<LogChange<'a>> {
        for (place, (new, old)) in &self.0 {
            let change = &mut changes[*place];
            let (new, old) = (new.as_ref().map(RowBuffer::row), old.as_ref().map(RowBuffer::row));
            change.rows = change.rows.replaced(new, old);
        }
        changes
    }
}

/// Converts values. Those of a type that takes too long are not tried for some time.
async fn convert(changes: &ChangesOfTenant, conversions: &mut Conversions<'_>, excluded: &mut Excluded) {
    let mut open: Vec<TypedText<'_>> = conversions.keys().copied().collect();
    loop {
        open.retain(|value| !excluded.has_conversion(value.type_oid));
        // Asked about nothing the database would seem to answer.
        if open.is_empty() {
            return;
        }
        let ask = || async { changes.database()?.some_as_json(&open).await };
        let answers = match changes.ask_for_values(ask).await {
            Ok(answers) => answers,
            Err(failure) => {
                changes.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
                open.iter().for_each(|value| excluded.add_conversion(value.type_oid));
                return;
            }
        };
        for (value, answer) in open.drain(..answers.len()).zip(answers) {
            match answer {
                Ok(json) => drop(conversions.insert(value, Some(json))),
                Err(failure) => {
                    changes.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
                    if failure.code == Code::QueryCanceled {
                        excluded.add_conversion(value.type_oid);
                    }
                }
            }
        }
    }
}

/// A row with JSON in the columns that are converted.
fn written(
    change: &LogChange<'_>,
    row: Row<'_>,
    conversions: &Conversions<'_>,
    failed: &mut u64,
) -> RowBuffer {
    let mut jsons: FxHashMap<usize, String> = FxHashMap::default();
    for (place, value) in change.log_table.texts(row) {
        let json = conversions.get(&value).and_then(Option::as_deref);
        *failed += u64::from(json.is_none());
        let json = json.map_or_else(|| serde_json::Value::from(value.text).to_string(), str::to_owned);
        jsons.insert(place, json);
    }
    let value = |(place, value)| jsons.get(&place).map_or(value, |json| Value::Text(json.as_bytes()));
    RowBuffer::new(row.values().enumerate().map(value))
}

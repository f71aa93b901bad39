//! The subscriptions to one table, found by the values of a row.
//!
//! A subscription with a condition `eq` or `in` is looked up by that value, so a row costs nothing for subscriptions to other
//! values. The others are asked one by one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use slab::Slab;
use wire::supabase::changes::{BindingEvent, ChangeType};

use super::compiled_filter::{CompiledFilter, Verdict, values_of};
use super::log_change::LogChange;
use super::operand;
use super::subscriber::ChangeSubscriber;
use crate::tenants::database::changes::{ChangeTable, CheckedFilter};

/// A binding of a subscriber, for one table.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) subscriber: Arc<ChangeSubscriber>,
    /// The id of the binding.
    pub(super) id: u32,
    pub(super) event: BindingEvent,
    /// The columns that are sent, by their places in the catalog; `None` for all.
    pub(super) select: Option<Arc<[usize]>>,
    /// The columns that its filters read, by their places in the catalog.
    pub(super) filtered: Box<[usize]>,
    /// All conditions but the one by which it is found.
    conditions: Box<[CompiledFilter]>,
    found_by: FoundBy,
}

/// How an entry is found.
#[derive(Debug)]
enum FoundBy {
    /// It is looked at for every row.
    Scan,
    /// By one of these values of a column.
    Values(usize, Box<[Box<[u8]>]>),
}

/// The subscriptions to a table.
#[derive(Debug, Default)]
pub(super) struct TableIndex {
    entries: Slab<Entry>,
    /// Entries that are looked at for every row.
    scanned: BTreeSet<usize>,
    /// By column and value. Hashed with a random key, because clients choose the values.
    by_value: FxHashMap<usize, HashMap<Box<[u8]>, Vec<usize>>>,
}

/// What is subscribed to.
pub(super) struct NewEntry<'f> {
    pub(super) subscriber: Arc<ChangeSubscriber>,
    pub(super) id: u32,
    pub(super) event: BindingEvent,
    pub(super) select: Option<Arc<[usize]>>,
    pub(super) filters: &'f [CheckedFilter],
}

impl TableIndex {
    /// Adds a binding. Returns its number.
    pub(super) fn add(&mut self, table: &ChangeTable, new: NewEntry<'_>) -> usize {
        let NewEntry { subscriber, id, event, select, filters } = new;
        let kind_of = |filter: &CheckedFilter| table.columns[filter.column].compare;
        let found = filters.iter().enumerate().find_map(|(place, filter)| {
            let values = values_of(filter, kind_of(filter))?;
            Some((place, FoundBy::Values(filter.column, values)))
        });
        let (indexed, found_by) = found.map_or((None, FoundBy::Scan), |(place, by)| (Some(place), by));
        let others = filters.iter().enumerate().filter(|(place, _)| Some(*place) != indexed);
        let conditions = others.map(|(_, filter)| CompiledFilter::new(filter, kind_of(filter))).collect();
        let slot = self.entries.vacant_entry();
        let number = slot.key();
        match &found_by {
            FoundBy::Scan => drop(self.scanned.insert(number)),
            FoundBy::Values(column, values) => {
                let by_value = self.by_value.entry(*column).or_default();
                values.iter().for_each(|value| by_value.entry(value.clone()).or_default().push(number));
            }
        }
        let filtered = filters.iter().map(|filter| filter.column).collect();
        slot.insert(Entry { subscriber, id, event, select, filtered, conditions, found_by });
        number
    }

    /// Removes a binding.
    pub(super) fn remove(&mut self, number: usize) {
        match self.entries.remove(number).found_by {
            FoundBy::Scan => drop(self.scanned.remove(&number)),
            FoundBy::Values(column, values) => {
                let Some(by_value) = self.by_value.get_mut(&column) else { return };
                for value in values {
                    if let Some(numbers) = by_value.get_mut(&value) {
                        numbers.retain(|other| *other != number);
                        if numbers.is_empty() {
                            by_value.remove(&value);
                        }
                    }
                }
                if by_value.is_empty() {
                    self.by_value.remove(&column);
                }
            }
        }
    }

    /// The number of bindings.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bindings for changes of this type with their numbers, whatever their conditions are.
    pub(super) fn of_type(&self, change: ChangeType) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().filter(move |(_, entry)| entry.event.includes(change))
    }

    /// Calls `found` for each binding that a row may be for, with its number and with what its conditions say, unless they fail.
    pub(super) fn look_up<'i>(
        &'i self,
        change: &LogChange<'_>,
        mut found: impl FnMut(usize, &'i Entry, Verdict),
    ) {
        let table = &change.log_table.table;
        let mut look_at = |number: usize| {
            let entry = &self.entries[number];
            if entry.event.includes(change.rows.change_type()) {
                match entry.verdict(change) {
                    Verdict::Fails => {}
                    verdict => found(number, entry, verdict),
                }
            }
        };
        self.scanned.iter().copied().for_each(&mut look_at);
        for (column, by_value) in &self.by_value {
            let Some(Some(text)) = change.text(*column) else { continue };
            let numbers = by_value.get(operand::key(table.columns[*column].compare, text));
            numbers.into_iter().flatten().copied().for_each(&mut look_at);
        }
    }
}

impl Entry {
    /// What the conditions say of a row.
    fn verdict(&self, change: &LogChange<'_>) -> Verdict {
        let mut verdict = Verdict::Passes;
        for condition in &self.conditions {
            // A condition on a column that the row lacks is not met, whether or not it is negated.
            let Some(text) = change.text(condition.column) else { return Verdict::Fails };
            let kind = change.log_table.table.columns[condition.column].compare;
            match condition.verdict(kind, text) {
                Verdict::Passes => {}
                Verdict::Fails => return Verdict::Fails,
                Verdict::Asked => verdict = Verdict::Asked,
            }
        }
        verdict
    }

    /// The conditions of which only the database knows whether the row meets them.
    pub(super) fn asked<'i>(&'i self, change: &'i LogChange<'_>) -> impl Iterator<Item = &'i CompiledFilter> {
        self.conditions.iter().filter(|condition| {
            let kind = change.log_table.table.columns[condition.column].compare;
            change.text(condition.column).is_some_and(|text| condition.verdict(kind, text) == Verdict::Asked)
        })
    }
}

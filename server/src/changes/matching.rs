//! Which subscribers a change may be for, before its row is looked up.
//!
//! What is known of a binding is found out once for all changes that are handled together: a thousand subscribers to a table
//! are a thousand matches of each row, of a few bytes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use wire::supabase::changes::{ChangeType, FilterOperator, RefusedChange};

use super::compiled_filter::{CompiledFilter, Verdict};
use super::index::Entry;
use super::log_change::LogChange;
use super::notices::MissedChanges;
use super::role_privileges::RolePrivileges;
use super::subscriber::ChangeSubscriber;
use super::subscriptions::SubscribedTable;
use super::tenant_changes::ChangesOfTenant;
use super::viewer::Viewer;
use crate::telemetry::codes::Scope;
use crate::tenants::database::DatabaseFailure;
use crate::tenants::database::changes::{Comparison, RowRights};

/// A binding that changes may be for, and what it receives of them.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) subscriber: Arc<ChangeSubscriber>,
    pub(super) viewer: Arc<Viewer>,
    /// The id of the binding.
    pub(super) id: u32,
    /// The columns that it has selected.
    pub(super) select: Option<Arc<[usize]>>,
    /// What its role may read.
    pub(super) privileges: Arc<RolePrivileges>,
    /// Instead of the row.
    pub(super) refused: Option<RefusedChange>,
    /// Which rows its viewer may see, where that has to be known: deleted rows and refusals reach all.
    pub(super) row_rights: RowRights,
}

/// A change that one binding may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Match {
    /// The change, by its place among those that are handled together.
    pub(super) change: u32,
    /// The binding, by its place among the candidates.
    pub(super) candidate: u32,
}

/// A condition of a match that only the database can evaluate.
#[derive(Debug)]
pub(super) struct AskedFilter {
    /// The match, by its place.
    pub(super) of: u32,
    /// What is compared, by its place.
    pub(super) comparison: u32,
    pub(super) is_negated: bool,
}

/// A comparison that the database makes, once for all matches that need it. Both values are named, not copied: clients may have
/// thousands of conditions on one large value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AskedComparison {
    /// The change, by its place among those that are handled together.
    change: u32,
    /// The column, by its place in the catalog.
    column: usize,
    pub(super) operator: FilterOperator,
    /// The value of the filter.
    pub(super) value: Arc<str>,
}

/// What is found for the changes that are handled together.
#[derive(Debug, Default)]
pub(super) struct Matches {
    pub(super) candidates: Vec<Candidate>,
    /// The places of the candidates; `None` for bindings that receive nothing.
    places: FxHashMap<(usize, usize, Form), Option<u32>>,
    /// In the order of changes.
    pub(super) found: Vec<Match>,
    pub(super) asked: Vec<AskedFilter>,
    pub(super) comparisons: Vec<AskedComparison>,
    /// The places of the comparisons. Hashed with a random key, because clients choose the values.
    comparison_places: HashMap<AskedComparison, u32>,
}

/// What is sent of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Written,
    Deleted,
    /// Why the row is not sent.
    Refusal,
}

impl Matches {
    /// Adds the bindings that `change`, the one with this number, may be for. Nothing about `table` changes until all are added.
    pub(super) fn add(&mut self, number: usize, change: &LogChange<'_>, table: &SubscribedTable) {
        let change_type = change.rows.change_type();
        let is_written = change_type != ChangeType::Delete;
        // Refused changes reach all subscribers, whatever their filters are.
        if is_written && table.has_refusals() {
            for (place, entry) in table.index.of_type(change_type) {
                self.push(number, (place, entry), table, Form::Refusal);
            }
        }
        let form = if is_written { Form::Written } else { Form::Deleted };
        table.index.look_up(change, |place, entry, verdict| {
            let Some(of) = self.push(number, (place, entry), table, form) else { return };
            if verdict == Verdict::Asked {
                for condition in entry.asked(change) {
                    let comparison = self.comparison(number, condition);
                    let is_negated = condition.is_negated;
                    self.asked.push(AskedFilter { of: as_number(of), comparison, is_negated });
                }
            }
        });
    }

    /// Matches and conditions together: what it takes to keep them.
    pub(super) fn len(&self) -> usize {
        self.found.len() + self.asked.len()
    }

    /// The conditions that only the database could evaluate are known, and forgotten.
    pub(super) fn forget_asked(&mut self) {
        self.asked.clear();
        self.comparisons.clear();
        self.comparison_places.clear();
    }

    /// The place of what the database is asked for a condition on a change.
    fn comparison(&mut self, number: usize, condition: &CompiledFilter) -> u32 {
        let CompiledFilter { column, operator, ref value, .. } = *condition;
        let comparison =
            AskedComparison { change: as_number(number), column, operator, value: Arc::clone(value) };
        let Self { comparisons, comparison_places, .. } = self;
        *comparison_places.entry(comparison).or_insert_with_key(|comparison| {
            comparisons.push(comparison.clone());
            as_number(comparisons.len() - 1)
        })
    }

    /// The candidate of a match.
    pub(super) fn candidate(&self, one: Match) -> &Candidate {
        &self.candidates[one.candidate as usize]
    }

    /// Some matches are dropped, because nothing can be found out about them, for this reason. Those whom they may have been for are notified.
    pub(super) fn note_dropped(
        &self,
        changes: &ChangesOfTenant,
        failure: &DatabaseFailure,
        is_dropped: impl Fn(Match, &Candidate) -> bool,
    ) {
        changes.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
        self.notify_dropped(changes, is_dropped);
    }

    /// Some matches are dropped. Those whom they may have been for are notified.
    pub(super) fn notify_dropped(
        &self,
        changes: &ChangesOfTenant,
        is_dropped: impl Fn(Match, &Candidate) -> bool,
    ) {
        let mut notified = HashSet::new();
        for one in &self.found {
            let candidate = self.candidate(*one);
            if is_dropped(*one, candidate) {
                changes.tenant.metrics.changes_dropped.increment(1);
                if notified.insert(candidate.subscriber.id) {
                    changes.notices.send(&candidate.subscriber, MissedChanges::Gap);
                }
            }
        }
    }

    /// Adds a match, if its binding receives something. Returns its place.
    fn push(
        &mut self,
        number: usize,
        (place, entry): (usize, &Entry),
        table: &SubscribedTable,
        form: Form,
    ) -> Option<usize> {
        let Self { candidates, places, found, .. } = self;
        let key = (std::ptr::from_ref(table).addr(), place, form);
        let candidate = (*places.entry(key).or_insert_with(|| {
            candidates.push(Candidate::new(entry, table, form)?);
            Some(as_number(candidates.len() - 1))
        }))?;
        found.push(Match { change: as_number(number), candidate });
        Some(found.len() - 1)
    }
}

impl AskedComparison {
    /// What the database is asked, for the changes that are handled together. `None` if the value of the row is no text.
    pub(super) fn as_question<'a>(&'a self, changes: &[LogChange<'a>]) -> Option<Comparison<'a>> {
        let change = &changes[self.change as usize];
        let row = std::str::from_utf8(change.text(self.column)??).ok()?;
        let type_oid = change.log_table.table.columns[self.column].cast_oid;
        Some(Comparison { type_oid, operator: self.operator, row: Some(row), value: &self.value })
    }
}

impl Candidate {
    /// Whether only the database knows which rows it may see.
    pub(super) fn is_looked_up(&self) -> bool {
        matches!(self.row_rights, RowRights::PerRole | RowRights::PerClaims)
    }

    /// `None` if the role of the binding does not exist, or may see nothing of this.
    fn new(entry: &Entry, table: &SubscribedTable, form: Form) -> Option<Self> {
        let viewer = entry.subscriber.progress.viewer();
        let privileges = table.privileges.get(viewer.role())?;
        let refused = match form {
            Form::Deleted => None,
            _ if table.table.primary_key.is_empty() => Some(RefusedChange::NoPrimaryKey),
            _ if !privileges.may_read_key => Some(RefusedChange::Unauthorized),
            _ => None,
        };
        // A filter on what the client may not read would say what it holds.
        let is_hidden = || {
            form == Form::Deleted
                && (privileges.rows != RowRights::Everyone || table.table.has_rls)
                && !entry.filtered.iter().all(|column| table.table.primary_key.contains(column))
        };
        let is_for_it = match form {
            Form::Refusal => refused.is_some(),
            // Not even that there was a row.
            Form::Deleted if !privileges.may_read_some => false,
            _ => refused.is_none() && !is_hidden() && privileges.may_read(&entry.filtered),
        };
        is_for_it.then(|| Self {
            subscriber: Arc::clone(&entry.subscriber),
            viewer,
            id: entry.id,
            select: entry.select.clone(),
            privileges: Arc::clone(privileges),
            refused,
            row_rights: if form == Form::Written { privileges.rows } else { RowRights::Everyone },
        })
    }
}

/// Changes that are handled together, their matches, and what is asked about them are fewer than this holds.
pub(super) fn as_number(place: usize) -> u32 {
    u32::try_from(place).expect("few enough are handled together")
}

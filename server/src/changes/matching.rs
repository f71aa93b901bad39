//! Which subscribers a change may be for, before its row is looked up.

use std::sync::Arc;

use wire::supabase::changes::{ChangeType, RefusedChange};

use super::compiled_filter::{AskedComparison, Verdict};
use super::index::Entry;
use super::log_table::LogChange;
use super::role_view::RoleView;
use super::subscriber::{ChangeSubscriber, Viewer};
use super::subscriptions::SubscribedTable;
use crate::tenants::database::changes::RowRights;

/// A change that one binding may be for.
#[derive(Debug)]
pub(super) struct Match {
    /// The change, by its place among those that are handled together.
    pub(super) change: usize,
    pub(super) subscriber: Arc<ChangeSubscriber>,
    pub(super) viewer: Arc<Viewer>,
    /// The id of the binding.
    pub(super) id: u32,
    /// The columns that it has selected.
    pub(super) select: Option<Arc<[usize]>>,
    /// What its role may read.
    pub(super) view: Arc<RoleView>,
    /// Instead of the row.
    pub(super) refused: Option<RefusedChange>,
}

/// A condition of a match that only the database can evaluate.
#[derive(Debug)]
pub(super) struct AskedFilter {
    /// The match, by its place.
    pub(super) of: usize,
    pub(super) comparison: AskedComparison,
    pub(super) is_negated: bool,
}

/// What is found for the changes that are handled together.
#[derive(Debug, Default)]
pub(super) struct Matches {
    pub(super) found: Vec<Match>,
    pub(super) asked: Vec<AskedFilter>,
}

impl Match {
    /// Which rows its viewer may see, where that has to be known: deleted rows and refusals reach all.
    pub(super) fn row_rights(&self, change: &LogChange<'_>) -> RowRights {
        let is_row = self.refused.is_none() && change.change != ChangeType::Delete;
        if is_row { self.view.rows } else { RowRights::Everyone }
    }
}

impl Matches {
    /// Adds the bindings that `change`, the one with this number, may be for.
    pub(super) fn add(&mut self, number: usize, change: &LogChange<'_>, table: &SubscribedTable) {
        let is_written = change.change != ChangeType::Delete;
        let refusal = |view: &RoleView| match () {
            () if !is_written => None,
            () if change.log_table.table.primary_key.is_empty() => Some(RefusedChange::NoPrimaryKey),
            () if !view.may_read_key => Some(RefusedChange::Unauthorized),
            () => None,
        };
        // Refused changes reach all subscribers, whatever their filters are.
        if is_written && table.has_refusals() {
            for entry in table.index.of_type(change.change) {
                self.push((number, change), entry, table, |view| refusal(view).map(Some));
            }
        }
        table.index.look_up(change, |entry, verdict| {
            let is_unrefused = |view: &RoleView| refusal(view).is_none().then_some(None);
            let Some(of) = self.push((number, change), entry, table, is_unrefused) else { return };
            if verdict == Verdict::Asked {
                self.asked.extend(entry.asked(change).filter_map(|condition| {
                    let column = &change.log_table.table.columns[condition.column];
                    let comparison = condition.comparison(column, change.text(condition.column)??)?;
                    Some(AskedFilter { of, comparison, is_negated: condition.is_negated })
                }));
            }
        });
    }

    /// Adds a match if its role exists, may see rows, and `outcome` says what it receives. Returns its place.
    fn push(
        &mut self,
        (change, row): (usize, &LogChange<'_>),
        entry: &Entry,
        table: &SubscribedTable,
        outcome: impl FnOnce(&RoleView) -> Option<Option<RefusedChange>>,
    ) -> Option<usize> {
        let viewer = entry.subscriber.viewer();
        let view = table.views.get(&viewer.role)?;
        let refused = outcome(view)?;
        // A filter on what the client may not read would say what it holds.
        let is_hidden = row.change == ChangeType::Delete
            && (view.rows != RowRights::Everyone || table.table.has_rls)
            && !entry.filtered.iter().all(|column| table.table.primary_key.contains(column));
        if refused.is_none() && (is_hidden || !view.may_read(&entry.filtered)) {
            return None;
        }
        self.found.push(Match {
            change,
            subscriber: Arc::clone(&entry.subscriber),
            viewer,
            id: entry.id,
            select: entry.select.clone(),
            view: Arc::clone(view),
            refused,
        });
        Some(self.found.len() - 1)
    }
}

//! Which rows the viewers may see, which the database is asked before changes are sent.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::excluded::Excluded;
use super::log_change::LogChange;
use super::matching::{Match, Matches};
use super::row_question::LookupContext;
use super::table_lookup::{SeenRows, TableLookup};
use super::tenant_changes::ChangesOfTenant;
use crate::telemetry::codes::Code;
use crate::tenants::database::DatabaseFailure;
use crate::tenants::database::changes::RowRights;

/// Removes the matches whose viewers may not see the row.
pub(super) async fn look_up(
    of_tenant: &ChangesOfTenant,
    context: LookupContext<'_>,
    changes: &[LogChange<'_>],
    matches: &mut Matches,
    excluded: &mut Excluded,
) -> Result<(), DatabaseFailure> {
    let mut lookups: FxHashMap<usize, TableLookup<'_>> = FxHashMap::default();
    let mut has_lost_key = false;
    for of_change in matches.found.chunk_by(|one, next| one.change == next.change) {
        let change = &changes[of_change[0].change as usize];
        let asked = of_change.iter().map(|one| (one.candidate, matches.candidate(*one)));
        let mut asked = asked.filter(|(_, candidate)| candidate.is_looked_up()).peekable();
        if asked.peek().is_none() {
            continue;
        }
        has_lost_key |= change.log_table.has_lost_key();
        let lookup = lookups
            .entry(description(change))
            .or_insert_with(|| TableLookup::new(change, context.row_match, matches.candidates.len()));
        lookup.ask(of_change[0].change, change, asked);
    }
    if has_lost_key {
        let reason = "the log does not have the primary key of rows by the names that it has now";
        let failure = DatabaseFailure::new(Code::RlsPolicyError, reason);
        matches.note_dropped(of_tenant, &failure, |one, candidate| {
            candidate.is_looked_up() && changes[one.change as usize].log_table.has_lost_key()
        });
    }
    let mut seen = FxHashMap::default();
    for (table, lookup) in lookups {
        match lookup.run(context, excluded).await {
            // What concerns one table hides no rows of others.
            Err(failure) if !failure.is_passing() => {
                matches.note_dropped(of_tenant, &failure, |one, candidate| {
                    candidate.is_looked_up() && description(&changes[one.change as usize]) == table
                });
            }
            found => drop(seen.insert(table, found?)),
        }
    }
    let seen_by = |one: Match| {
        let table = description(&changes[one.change as usize]);
        seen.get(&table).map(|seen: &SeenRows| seen.is_visible(one))
    };
    if seen.values().any(|seen| seen.is_incomplete) {
        matches.notify_dropped(of_tenant, |one, candidate| {
            candidate.is_looked_up() && seen_by(one) == Some(None)
        });
    }
    let Matches { candidates, found, .. } = matches;
    found.retain(|one| match candidates[one.candidate as usize].row_rights {
        RowRights::Everyone => true,
        RowRights::Nothing => false,
        RowRights::PerRole | RowRights::PerClaims => seen_by(*one) == Some(Some(true)),
    });
    Ok(())
}

/// The description of the table of a change, by its address, which the change keeps. A table that has changed has two until all
/// subscriptions to it were checked again, and the keys of one are not those of the other.
fn description(change: &LogChange<'_>) -> usize {
    Arc::as_ptr(&change.log_table.table).addr()
}

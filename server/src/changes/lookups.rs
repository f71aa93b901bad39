//! Which rows the viewers may see, which the database is asked before changes are sent.

use std::collections::HashMap;

use super::by_address::ByAddress;
use super::excluded::Excluded;
use super::log_change::LogChange;
use super::matching::{Match, Matches};
use super::row_question::{LookupContext, RowMatch};
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
    let Lookups { tables, of_changes, has_lost_key } = Lookups::of(changes, matches, context.row_match);
    if has_lost_key {
        let reason = "the log does not have the primary key of rows by the names that it has now";
        let failure = DatabaseFailure::new(Code::RlsPolicyError, reason);
        matches.note_dropped(of_tenant, &failure, |one, candidate| {
            candidate.is_looked_up() && changes[one.change as usize].log_table.has_lost_key()
        });
    }
    let mut seen: Vec<Option<SeenRows>> = Vec::with_capacity(tables.len());
    for (index, lookup) in tables.into_iter().enumerate() {
        seen.push(match lookup.run(context, excluded).await {
            // What concerns one table hides no rows of others.
            Err(failure) if !failure.is_passing() => {
                matches.note_dropped(of_tenant, &failure, |one, candidate| {
                    candidate.is_looked_up() && of_changes[one.change as usize] == Some(index)
                });
                None
            }
            found => Some(found?),
        });
    }
    let seen_by = |one: Match| {
        let seen = seen[of_changes[one.change as usize]?].as_ref();
        seen.map(|seen| seen.is_visible(one))
    };
    if seen.iter().flatten().any(|seen| seen.is_incomplete) {
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

/// The rows that are looked up.
struct Lookups<'a> {
    /// By descriptions of tables. A table that has changed has two until all subscriptions to it were checked again, and the keys of
    /// one are not those of the other.
    tables: Vec<TableLookup<'a>>,
    /// The index of that of each change, if its row is looked up.
    of_changes: Vec<Option<usize>>,
    /// Whether the keys of some rows cannot be read.
    has_lost_key: bool,
}

impl<'a> Lookups<'a> {
    fn of(changes: &'a [LogChange<'a>], matches: &Matches, row_match: RowMatch) -> Self {
        let (mut tables, mut indices) = (Vec::new(), HashMap::new());
        let (mut of_changes, mut has_lost_key) = (vec![None; changes.len()], false);
        for of_change in matches.found.chunk_by(|one, next| one.change == next.change) {
            let number = of_change[0].change;
            let change = &changes[number as usize];
            let candidates = of_change.iter().map(|one| (one.candidate, matches.candidate(*one)));
            let mut candidates = candidates.filter(|(_, candidate)| candidate.is_looked_up()).peekable();
            if candidates.peek().is_none() {
                continue;
            }
            has_lost_key |= change.log_table.has_lost_key();
            let index = *indices.entry(ByAddress::of(&change.log_table.table)).or_insert_with(|| {
                tables.push(TableLookup::new(change, row_match, matches.candidates.len()));
                tables.len() - 1
            });
            of_changes[number as usize] = Some(index);
            tables[index].add(number, change, candidates);
        }
        Self { tables, of_changes, has_lost_key }
    }
}

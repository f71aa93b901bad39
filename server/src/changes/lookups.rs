//! Which rows the viewers may see, which the database is asked before changes are sent.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::excluded::{Excluded, Viewpoint};
use super::log_table::LogChange;
use super::matching::{Candidate, Match, Matches, as_number};
use super::row_question::{RowMatch, RowQuestion};
use super::tenant_changes::ChangesOfTenant;
use super::viewer::Viewer;
use crate::telemetry::codes::Code;
use crate::tenants::database::changes::{LoggedRows, RowKey, RowRights, RowValues, VisibilityQuestion};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// Removes the matches whose viewers may not see the row.
pub(super) async fn look_up(
    (of_tenant, database): (&ChangesOfTenant, &TenantDatabase),
    (changes, (transactions, row_match)): (&[LogChange<'_>], (&[u32], RowMatch)),
    matches: &mut Matches,
    excluded: &mut Excluded,
) -> Result<(), DatabaseFailure> {
    let mut lookups: FxHashMap<usize, Lookup<'_>> = FxHashMap::default();
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
            .or_insert_with(|| Lookup::new((change, row_match), matches.candidates.len()));
        lookup.ask(of_change[0].change, change, asked, excluded);
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
        match lookup.run(database, transactions, excluded).await {
            // What concerns one table hides no rows of others.
            Err(failure) if !failure.is_passing() => {
                matches.note_dropped(of_tenant, &failure, |one, candidate| {
                    candidate.is_looked_up() && description(&changes[one.change as usize]) == table
                });
            }
            found => drop(seen.insert(table, found?)),
        }
    }
    let Matches { candidates, found, .. } = matches;
    found.retain(|one| match candidates[one.candidate as usize].row_rights {
        RowRights::Everyone => true,
        RowRights::Nothing => false,
        RowRights::PerRole | RowRights::PerClaims => {
            let table = description(&changes[one.change as usize]);
            seen.get(&table).is_some_and(|seen: &SeenRows| seen.has(*one))
        }
    });
    Ok(())
}

/// The description of the table of a change, by its address, which the change keeps. A table that has changed has two until all
/// subscriptions to it were checked again, and the keys of one are not those of the other.
fn description(change: &LogChange<'_>) -> usize {
    Arc::as_ptr(&change.log_table.table).addr()
}

/// Rows of one description of a table that are looked up.
struct Lookup<'a> {
    change: &'a LogChange<'a>,
    row_match: RowMatch,
    keys: Vec<RowKey>,
    /// For each of the keys, if they have to be still the same.
    values: Vec<RowValues>,
    /// The place of the key of each change.
    places: FxHashMap<u32, u32>,
    viewpoints: HashMap<Viewpoint, u32>,
    questions: Vec<LookupQuestion>,
    /// The question of each candidate, once that is known.
    of_candidates: Vec<OfCandidate>,
}

/// What is asked for a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfCandidate {
    Unknown,
    /// The database took too long a moment ago.
    Excluded,
    /// The place of the question.
    Question(u32),
}

/// The rows that a viewer may see, if they are among these.
struct LookupQuestion {
    viewer: Arc<Viewer>,
    /// The places of their keys, ascending.
    keys: Vec<u32>,
}

/// What was found.
struct SeenRows {
    /// The place of the key of each change.
    places: FxHashMap<u32, u32>,
    of_candidates: Vec<OfCandidate>,
    /// For each question the places of the keys of visible rows, ascending.
    seen: Vec<Vec<u32>>,
}

impl<'a> Lookup<'a> {
    fn new((change, row_match): (&'a LogChange<'a>, RowMatch), candidates: usize) -> Self {
        Self {
            change,
            row_match,
            keys: Vec::new(),
            values: Vec::new(),
            places: FxHashMap::default(),
            viewpoints: HashMap::new(),
            questions: Vec::new(),
            of_candidates: vec![OfCandidate::Unknown; candidates],
        }
    }

    /// Asks for the row of a change, for these candidates.
    fn ask<'c>(
        &mut self,
        number: u32,
        change: &LogChange<'_>,
        candidates: impl Iterator<Item = (u32, &'c Candidate)>,
        excluded: &Excluded,
    ) {
        let Some(key) = change.key() else { return };
        let place = as_number(self.keys.len());
        self.keys.push(key);
        if self.row_match == RowMatch::ByValues {
            self.values.push(change.known_values());
        }
        self.places.insert(number, place);
        for (index, candidate) in candidates {
            if let OfCandidate::Question(question) = self.question(index, candidate, excluded) {
                let keys = &mut self.questions[question as usize].keys;
                if keys.last() != Some(&place) {
                    keys.push(place);
                }
            }
        }
    }

    fn question(&mut self, index: u32, candidate: &Candidate, excluded: &Excluded) -> OfCandidate {
        let known = self.of_candidates[index as usize];
        if known != OfCandidate::Unknown {
            return known;
        }
        let viewpoint = Viewpoint::of(candidate);
        let found = if excluded.has_viewpoint(self.change.log_table.table.oid, &viewpoint) {
            OfCandidate::Excluded
        } else {
            let questions = &mut self.questions;
            OfCandidate::Question(*self.viewpoints.entry(viewpoint).or_insert_with(|| {
                questions.push(LookupQuestion { viewer: Arc::clone(&candidate.viewer), keys: Vec::new() });
                as_number(questions.len() - 1)
            }))
        };
        self.of_candidates[index as usize] = found;
        found
    }

    async fn run(
        self,
        database: &TenantDatabase,
        transactions: &[u32],
        excluded: &mut Excluded,
    ) -> Result<SeenRows, DatabaseFailure> {
        let Self { change, keys, values, places, viewpoints, questions, of_candidates, .. } = self;
        let asked: Vec<_> = questions.iter().map(LookupQuestion::as_question).collect();
        let begun = Instant::now();
        let rows = LoggedRows { keys: &keys, values: &values, transactions };
        let mut question = RowQuestion::about(&change.log_table.table);
        let found = loop {
            match database.visible_rows(&question.table, rows, &asked).await? {
                Ok(found) => break found,
                Err(hindrance) => question.prepare_again(database, hindrance).await?,
            }
        };
        let metrics = database.tenant.metrics.database();
        metrics.changes_lookups.record(begun.elapsed().as_secs_f64() * 1_000.0);
        let slow = |found: &Result<Vec<u32>, DatabaseFailure>| {
            found.as_ref().is_err_and(|failure| failure.code == Code::QueryCanceled)
        };
        for (viewpoint, question) in viewpoints {
            let question = question as usize;
            if slow(&found[question]) {
                metrics.changes_exclusions.increment(1);
                excluded.add_viewpoint(change.log_table.table.oid, viewpoint, &questions[question].viewer);
            }
        }
        // A viewer for whom the policies fail sees nothing.
        let seen = found.into_iter().zip(&questions).map(|(seen, question)| {
            seen.unwrap_or_else(|failure| {
                database.report_hidden(&change.log_table.table, question.viewer.role(), &failure);
                Vec::new()
            })
        });
        Ok(SeenRows { places, of_candidates, seen: seen.collect() })
    }
}

impl LookupQuestion {
    fn as_question(&self) -> VisibilityQuestion<'_> {
        VisibilityQuestion { role: self.viewer.role(), claims: self.viewer.claims(), keys: &self.keys }
    }
}

impl SeenRows {
    /// Whether the viewer of a match may see its row.
    fn has(&self, one: Match) -> bool {
        let OfCandidate::Question(question) = self.of_candidates[one.candidate as usize] else {
            return false;
        };
        let key = self.places.get(&one.change);
        key.is_some_and(|key| self.seen[question as usize].binary_search(key).is_ok())
    }
}

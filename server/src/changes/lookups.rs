//! What the database is asked about changes before they are sent: filters that only it can evaluate, and which rows the
//! viewers may see.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::supabase::changes::FilterOperator;

use super::log_table::LogChange;
use super::matching::{Match, Matches};
use super::subscriber::Viewer;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::database::changes::{RowKey, RowRights, VisibilityQuestion, VisibleRows};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// How long a transaction in the log may take to become visible to others, and how often that is looked at. It waits for a
/// synchronous standby, if there is one.
const EARLY_MAX: Duration = Duration::from_secs(30);
const EARLY_POLL: Duration = Duration::from_millis(1);

/// Whether the same may succeed later: the database is away, or has no time or no connection.
fn is_passing(failure: &DatabaseFailure) -> bool {
    let is_busy = matches!(
        failure.code,
        Code::IncreaseConnectionPool | Code::QueryCanceled | Code::DatabaseLackOfConnections
    );
    failure.is_away() || is_busy
}

/// How long what takes too long is not asked again: a filter on values of a type, or the policies of a table for a viewer.
const EXCLUSION: Duration = Duration::from_secs(60);

/// What has taken too long a moment ago, and concerns its own clients only: for these it hides rows.
#[derive(Default)]
pub(super) struct Excluded {
    comparisons: HashMap<ComparisonKey, Instant>,
    /// With the viewer, so that no other one gets its address.
    viewpoints: HashMap<(u32, Viewpoint), (Instant, Arc<Viewer>)>,
}

/// Type, operator and value of a filter.
type ComparisonKey = (u32, FilterOperator, Box<str>);

impl Excluded {
    fn forget_old(&mut self) {
        self.comparisons.retain(|_, since| since.elapsed() < EXCLUSION);
        self.viewpoints.retain(|_, (since, _)| since.elapsed() < EXCLUSION);
    }
}

/// Removes the matches whose conditions are not met, asking the database.
pub(super) async fn evaluate(
    database: &TenantDatabase,
    matches: &mut Matches,
    excluded: &mut Excluded,
) -> Result<(), DatabaseFailure> {
    excluded.forget_old();
    if matches.asked.is_empty() {
        return Ok(());
    }
    let mut fails = vec![false; matches.found.len()];
    let (mut open, mut comparisons) = (Vec::new(), Vec::new());
    for asked in &matches.asked {
        if excluded.comparisons.contains_key(&asked.comparison.key()) {
            fails[asked.of] = true;
        } else {
            open.push(asked);
            comparisons.push(asked.comparison.as_question());
        }
    }
    let results = match database.compare_in_database(&comparisons).await {
        Err(failure) if !is_passing(&failure) => comparisons.iter().map(|_| Err(failure.clone())).collect(),
        results => results?,
    };
    for (asked, result) in open.into_iter().zip(results) {
        let holds = result.unwrap_or_else(|failure| {
            if failure.code == Code::QueryCanceled {
                excluded.comparisons.insert(asked.comparison.key(), Instant::now());
            }
            database.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
            None
        });
        // What is NULL, or cannot be compared, is not met, whether or not it is negated.
        fails[asked.of] |= holds.is_none_or(|holds| holds == asked.is_negated);
    }
    matches.asked.clear();
    let mut fails = fails.into_iter();
    matches.found.retain(|_| !fails.next().unwrap_or(false));
    Ok(())
}

/// Removes the matches whose viewers may not see the row.
pub(super) async fn look_up(
    database: &TenantDatabase,
    changes: &[LogChange<'_>],
    transactions: &[u32],
    found: &mut Vec<Match>,
    excluded: &mut Excluded,
) -> Result<(), DatabaseFailure> {
    let mut lookups: HashMap<u32, Lookup<'_>> = HashMap::new();
    for one in &*found {
        let change = &changes[one.change];
        if matches!(one.row_rights(change), RowRights::PerRole | RowRights::PerClaims)
            && !excluded.viewpoints.contains_key(&(change.log_table.table.oid, Viewpoint::of(one)))
            && let Some(key) = change.key()
        {
            let lookup = lookups.entry(change.log_table.table.oid).or_insert_with(|| Lookup::new(change));
            lookup.ask(one, key);
        }
    }
    let mut seen = HashMap::new();
    for (oid, lookup) in lookups {
        match lookup.run(database, transactions, excluded).await {
            // What concerns one table hides no rows of others.
            Err(failure) if !is_passing(&failure) => {
                database.tenant.metrics.changes_dropped.increment(1);
                database.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
            }
            found => drop(seen.insert(oid, found?)),
        }
    }
    found.retain(|one| {
        let change = &changes[one.change];
        match one.row_rights(change) {
            RowRights::Everyone => true,
            RowRights::Nothing => false,
            RowRights::PerRole | RowRights::PerClaims => {
                seen.get(&change.log_table.table.oid).is_some_and(|seen: &SeenRows| seen.has(one))
            }
        }
    });
    Ok(())
}

/// Rows of one table that are looked up.
struct Lookup<'a> {
    change: &'a LogChange<'a>,
    keys: Vec<RowKey>,
    /// The place of the key of each change.
    places: HashMap<usize, u32>,
    questions: HashMap<Viewpoint, LookupQuestion>,
}

/// By whose rights rows are looked up. Where claims do not matter, the first viewer of a role stands for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Viewpoint {
    OfRole(Box<str>),
    /// By the address of the viewer, which the matches keep.
    OfViewer(usize),
}

/// The rows that a viewer may see, if they are among these.
struct LookupQuestion {
    viewer: Arc<Viewer>,
    /// The places of their keys, ascending.
    keys: Vec<u32>,
}

/// What was found: for each viewpoint the places of keys, ascending.
struct SeenRows {
    places: HashMap<usize, u32>,
    seen: HashMap<Viewpoint, Vec<u32>>,
}

impl Viewpoint {
    fn of(one: &Match) -> Self {
        match one.view.rows {
            RowRights::PerRole => Self::OfRole(one.viewer.role.clone()),
            _ => Self::OfViewer(Arc::as_ptr(&one.viewer).addr()),
        }
    }
}

impl<'a> Lookup<'a> {
    fn new(change: &'a LogChange<'a>) -> Self {
        Self { change, keys: Vec::new(), places: HashMap::new(), questions: HashMap::new() }
    }

    /// Asks for the row of a match. Matches come in the order of their changes.
    fn ask(&mut self, one: &Match, key: RowKey) {
        let Self { keys, places, questions, .. } = self;
        let place = *places.entry(one.change).or_insert_with(|| {
            keys.push(key);
            u32::try_from(keys.len() - 1).unwrap_or(u32::MAX)
        });
        let question = questions
            .entry(Viewpoint::of(one))
            .or_insert_with(|| LookupQuestion { viewer: Arc::clone(&one.viewer), keys: Vec::new() });
        if question.keys.last() != Some(&place) {
            question.keys.push(place);
        }
    }

    async fn run(
        self,
        database: &TenantDatabase,
        transactions: &[u32],
        excluded: &mut Excluded,
    ) -> Result<SeenRows, DatabaseFailure> {
        let Self { change, keys, places, questions } = self;
        let (viewpoints, questions): (Vec<_>, Vec<_>) = questions.into_iter().unzip();
        let asked: Vec<_> = questions.iter().map(LookupQuestion::as_question).collect();
        let begun = Instant::now();
        let found = loop {
            let rows = (&keys[..], transactions);
            match database.visible_rows(&change.log_table.table, rows, &asked).await? {
                VisibleRows::Found(found) => break found,
                VisibleRows::TooEarly if begun.elapsed() < EARLY_MAX => sleep(EARLY_POLL).await,
                VisibleRows::TooEarly => {
                    let reason = "a transaction in the log does not become visible";
                    return Err(DatabaseFailure::new(Code::RlsPolicyError, reason));
                }
            }
        };
        // A viewer for whom the policies fail sees nothing.
        let oid = change.log_table.table.oid;
        let seen =
            found.into_iter().zip(viewpoints.iter().zip(&questions)).map(|(seen, (viewpoint, question))| {
                seen.unwrap_or_else(|failure| {
                    if failure.code == Code::QueryCanceled {
                        let entry = (Instant::now(), Arc::clone(&question.viewer));
                        excluded.viewpoints.insert((oid, viewpoint.clone()), entry);
                    }
                    database.tenant.reports.record(failure.code.at(Scope::Log), &failure.reason);
                    Vec::new()
                })
            });
        let seen: Vec<_> = seen.collect();
        Ok(SeenRows { places, seen: viewpoints.into_iter().zip(seen).collect() })
    }
}

impl LookupQuestion {
    fn as_question(&self) -> VisibilityQuestion<'_> {
        VisibilityQuestion { role: &self.viewer.role, claims: &self.viewer.claims, keys: &self.keys }
    }
}

impl SeenRows {
    /// Whether the viewer of a match may see its row.
    fn has(&self, one: &Match) -> bool {
        let key = self.places.get(&one.change);
        let seen = self.seen.get(&Viewpoint::of(one));
        key.zip(seen).is_some_and(|(key, seen)| seen.binary_search(key).is_ok())
    }
}

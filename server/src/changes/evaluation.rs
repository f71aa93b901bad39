//! Evaluates the filters that only the database can evaluate.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::excluded::Excluded;
use super::filters_in_time::{ComparedFilter, FilterKey};
use super::log_change::LogChange;
use super::matching::{AskedComparison, Candidate, Match, Matches};
use super::slow_filters::{ExcludedFilters, FilterSource};
use super::tenant_changes::ChangesOfTenant;
use crate::telemetry::codes::{Code, Scope};
use crate::tenants::database::changes::{Compared, Comparison, NotCompared};
use crate::tenants::database::{DatabaseFailure, TenantDatabase};

/// Removes the matches whose conditions are not met. They wait for filters that take too long for `database.query_timeout` at most:
/// what was not compared by then is a gap of the subscribers whom it concerns.
pub(super) async fn evaluate(
    (of_tenant, database): (&ChangesOfTenant, &TenantDatabase),
    changes: &[LogChange<'_>],
    matches: &mut Matches,
    excluded: &mut Excluded,
) -> Result<(), DatabaseFailure> {
    if matches.asked.is_empty() {
        return Ok(());
    }
    let results = compare((of_tenant, database), changes, matches, excluded).await?;
    let (mut fails, mut unasked) = (vec![false; matches.found.len()], HashSet::new());
    for asked in &matches.asked {
        let (of, result) = (asked.of as usize, &results[asked.comparison as usize]);
        // What is NULL, or cannot be compared, is not met, whether or not it is negated.
        let holds = result.as_ref().ok().copied().flatten();
        fails[of] |= holds.is_none_or(|holds| holds == asked.is_negated);
        if *result == Err(NotCompared::Unasked) {
            unasked.insert(matches.found[of]);
        }
    }
    if !unasked.is_empty() {
        let failure = DatabaseFailure::new(Code::QueryCanceled, "filters take too long together");
        matches.note_dropped(of_tenant, &failure, |one: Match, _| unasked.contains(&one));
    }
    matches.forget_asked();
    let mut fails = fails.into_iter();
    matches.found.retain(|_| !fails.next().unwrap_or(false));
    Ok(())
}

/// The results of the comparisons, by their places. Those of a filter with equal values are made once.
async fn compare(
    (of_tenant, database): (&ChangesOfTenant, &TenantDatabase),
    changes: &[LogChange<'_>],
    matches: &Matches,
    excluded: &mut Excluded,
) -> Result<Vec<Compared>, DatabaseFailure> {
    let max_slow = of_tenant.max_slow_filters();
    let is_wanted = wanted((changes, matches), excluded, max_slow);
    let mut results = vec![Err(NotCompared::TooSlow); matches.comparisons.len()];
    let mut filters: HashMap<ComparedFilter, HashMap<Option<&str>, Vec<usize>>> = HashMap::new();
    for (place, comparison) in matches.comparisons.iter().enumerate() {
        let Some((filter, row)) = compared(comparison, changes) else { continue };
        if excluded.has_filter(&filter) {
            continue;
        }
        if is_wanted[place] {
            filters.entry(filter).or_default().entry(row).or_default().push(place);
        } else {
            results[place] = Err(NotCompared::Unasked);
        }
    }
    let asked: Vec<_> = filters
        .iter()
        .flat_map(|(filter, rows)| rows.iter().map(move |(row, of)| (filter, *row, of)))
        .collect();
    let questions = asked.iter().map(|((type_oid, operator, value), row, _)| Comparison {
        type_oid: *type_oid,
        operator: *operator,
        row: *row,
        value,
    });
    let questions: Vec<_> = questions.collect();
    let found = match database.compare_in_database(&questions).await {
        Err(failure) if !failure.is_passing() => {
            questions.iter().map(|_| Err(NotCompared::Failed(failure.clone()))).collect()
        }
        found => found?,
    };
    database.tenant.metrics.database().changes_comparisons.increment(questions.len() as u64);
    let (mut slow, mut slow_places, now) = (HashSet::new(), HashMap::new(), Instant::now());
    let mut in_time: HashMap<_, Vec<_>> = HashMap::new();
    for ((filter, _, places), result) in asked.into_iter().zip(found) {
        if note(database, filter, &result, excluded) {
            slow.insert(filter);
            // It may have answered in time for another row.
            in_time.remove(filter);
        }
        if slow.contains(filter) {
            slow_places.extend(places.iter().map(|place| (*place, filter)));
        } else if !matches!(result, Err(NotCompared::TooSlow | NotCompared::Unasked))
            && let Some(key) = excluded.in_time.renew(filter, now)
        {
            in_time.entry(filter).or_default().extend(places.iter().map(|place| (*place, key)));
        }
        places.iter().for_each(|place| results[*place].clone_from(&result));
    }
    note_in_time(matches, &in_time.into_values().flatten().collect(), excluded);
    note_sources(database, (changes, matches), (&slow_places, max_slow), excluded);
    Ok(results)
}

/// The filter of a comparison, and what it is compared with. `None` if that is no text, which cannot be compared.
fn compared<'a>(
    comparison: &'a AskedComparison,
    changes: &[LogChange<'a>],
) -> Option<(ComparedFilter, Option<&'a str>)> {
    let Comparison { type_oid, operator, row, .. } = comparison.as_question(changes)?;
    Some(((type_oid, operator, Arc::clone(&comparison.value)), row))
}

/// For each comparison whether it is made: not if only those need it whose filters are excluded.
fn wanted((changes, matches): (&[LogChange<'_>], &Matches), excluded: &Excluded, max_slow: u32) -> Vec<bool> {
    let slow = &excluded.slow_filters;
    if slow.is_empty() {
        return vec![true; matches.comparisons.len()];
    }
    let of_client = |candidate: &Candidate| match client(candidate) {
        Some(client) => slow.excluded(&client, max_slow),
        None => ExcludedFilters::None,
    };
    let of_clients: Vec<ExcludedFilters> = matches.candidates.iter().map(of_client).collect();
    let is_in_time = |comparison: &AskedComparison| {
        compared(comparison, changes).is_some_and(|(filter, _)| excluded.in_time.contains(&filter))
    };
    let are_in_time: Vec<bool> = matches.comparisons.iter().map(is_in_time).collect();
    let mut wanted = vec![false; matches.comparisons.len()];
    for asked in &matches.asked {
        let (found, comparison) = (matches.found[asked.of as usize], asked.comparison as usize);
        let of_table = slow.excluded(&table(&changes[found.change as usize]), max_slow);
        wanted[comparison] |= match of_clients[found.candidate as usize].max(of_table) {
            ExcludedFilters::None => true,
            ExcludedFilters::AllButInTime => are_in_time[comparison],
            ExcludedFilters::All => false,
        };
    }
    wanted
}

/// Reports a comparison that was not made, and excludes a filter that takes too long. Returns whether it was not before.
fn note(
    database: &TenantDatabase,
    filter: &ComparedFilter,
    result: &Compared,
    excluded: &mut Excluded,
) -> bool {
    let reports = &database.tenant.reports;
    match result {
        Err(NotCompared::Failed(failure)) => {
            reports.record(failure.code.at(Scope::Log), &failure.reason);
            false
        }
        Err(NotCompared::TooSlow) if excluded.add_filter(filter) => {
            note_exclusion(database, "a filter takes too long");
            true
        }
        _ => false,
    }
}

/// Notes filters that were answered in time, by their comparisons, of clients that have them.
fn note_in_time(matches: &Matches, in_time: &HashMap<usize, FilterKey>, excluded: &mut Excluded) {
    if in_time.is_empty() {
        return;
    }
    let now = Instant::now();
    for asked in &matches.asked {
        let Some(key) = in_time.get(&(asked.comparison as usize)) else { continue };
        let candidate = matches.candidate(matches.found[asked.of as usize]);
        if let Some(client) = candidate.subscriber.recipient.connection() {
            excluded.in_time.note(*key, &client, now);
        }
    }
}

/// Excludes filters of clients, and on tables, of which more different ones take too long than a client may have (`max_slow`). `slow` has
/// those that were found just now, by their comparisons.
fn note_sources(
    database: &TenantDatabase,
    (changes, matches): (&[LogChange<'_>], &Matches),
    (slow, max_slow): (&HashMap<usize, &ComparedFilter>, u32),
    excluded: &mut Excluded,
) {
    if slow.is_empty() {
        return;
    }
    let (mut counted, now) = (HashSet::new(), Instant::now());
    for asked in &matches.asked {
        let Some(filter) = slow.get(&(asked.comparison as usize)) else { continue };
        let found = matches.found[asked.of as usize];
        let sources = [client(matches.candidate(found)), Some(table(&changes[found.change as usize]))];
        for source in sources.into_iter().flatten() {
            if counted.insert((source.clone(), *filter)) && excluded.slow_filters.add(source, max_slow, now) {
                note_exclusion(database, "many filters of one client, or on one table, take too long");
            }
        }
    }
}

fn note_exclusion(database: &TenantDatabase, reason: &str) {
    database.tenant.metrics.database().changes_exclusions.increment(1);
    database.tenant.reports.record(Code::QueryCanceled.at(Scope::Log), reason);
}

/// The client of a binding, unless it has left.
fn client(candidate: &Candidate) -> Option<FilterSource> {
    candidate.subscriber.recipient.connection().map(FilterSource::Client)
}

fn table(change: &LogChange<'_>) -> FilterSource {
    FilterSource::Table(change.log_table.table.oid)
}

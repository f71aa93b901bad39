//! Evaluates the filters that only the database can evaluate.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::excluded::{ComparedFilter, Excluded};
use super::log_table::LogChange;
use super::matching::{Match, Matches};
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
    let results = compare(database, changes, matches, excluded).await?;
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
    database: &TenantDatabase,
    changes: &[LogChange<'_>],
    matches: &Matches,
    excluded: &mut Excluded,
) -> Result<Vec<Compared>, DatabaseFailure> {
    let mut filters: HashMap<ComparedFilter, HashMap<Option<&str>, Vec<usize>>> = HashMap::new();
    for (place, comparison) in matches.comparisons.iter().enumerate() {
        // What is no text cannot be compared.
        let Some(Comparison { type_oid, operator, row, .. }) = comparison.as_question(changes) else {
            continue;
        };
        let filter = (type_oid, operator, Arc::clone(&comparison.value));
        if !excluded.has_filter(&filter) {
            filters.entry(filter).or_default().entry(row).or_default().push(place);
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
    let mut results = vec![Err(NotCompared::TooSlow); matches.comparisons.len()];
    for ((filter, _, places), result) in asked.into_iter().zip(found) {
        note(database, filter, &result, excluded);
        places.iter().for_each(|place| results[*place].clone_from(&result));
    }
    Ok(results)
}

/// Reports a comparison that was not made, and excludes a filter that takes too long.
fn note(database: &TenantDatabase, filter: &ComparedFilter, result: &Compared, excluded: &mut Excluded) {
    let reports = &database.tenant.reports;
    match result {
        Err(NotCompared::Failed(failure)) => reports.record(failure.code.at(Scope::Log), &failure.reason),
        Err(NotCompared::TooSlow) if excluded.add_filter(filter) => {
            database.tenant.metrics.database().changes_exclusions.increment(1);
            reports.record(Code::QueryCanceled.at(Scope::Log), "a filter takes too long");
        }
        _ => {}
    }
}

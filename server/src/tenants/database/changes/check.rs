//! Whether subscriptions fit the tables of the publication, and what their filters mean there.
//!
//! Many joins are checked by one statement, which answers for what they have in common once: what each of them is for follows from that
//! in this process. A hundred bindings with filters on all of a thousand tables are a hundred thousand answers otherwise.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use wire::supabase::changes::Binding;

use super::super::{DatabaseFailure, TenantDatabase};
use super::check_answer::PublicationTables;
use super::check_question::CheckQuestion;
use super::checked_binding::CheckedBinding;
use super::exception;
use super::json_question;
use crate::workers::pause_if_used_up;

static CHECK: LazyLock<String> =
    LazyLock::new(|| include_str!("check.sql").replace("-- cast_type.sql", include_str!("cast_type.sql")));

/// Different subscriptions that one statement checks, unless one join has more.
const PER_STATEMENT: usize = 200;

/// What was found of the subscriptions of a join; or what its client reads, because one of them does not fit.
pub type CheckedJoin = Result<Vec<Arc<CheckedBinding>>, String>;

impl TenantDatabase {
    /// Whether the subscriptions of joins fit the tables of `publication`, for clients of `role`. If one does not fit, all of its join
    /// are refused: as upstream adds them in reverse order, for what is wrong with the last one that does not fit.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn check_joins(
        &self,
        publication: &str,
        role: &str,
        joins: &[&[Binding]],
    ) -> Result<Vec<CheckedJoin>, DatabaseFailure> {
        let mut checked = Vec::with_capacity(joins.len());
        while checked.len() < joins.len() {
            let rest = &joins[checked.len()..];
            checked.extend(self.check_some(publication, role, &rest[..at_once(rest)]).await?);
        }
        Ok(checked)
    }

    /// As [`check_joins`](Self::check_joins), with one statement.
    async fn check_some(
        &self,
        publication: &str,
        role: &str,
        joins: &[&[Binding]],
    ) -> Result<Vec<CheckedJoin>, DatabaseFailure> {
        let is_asked = |binding: &&Binding| !has_nul(binding) && !role.contains('\0');
        // Clients may send the same many times, and it may be for thousands of tables.
        let (mut question, mut places) = (CheckQuestion::default(), HashMap::new());
        for binding in joins.iter().copied().flatten().filter(is_asked) {
            places.entry(binding).or_insert_with(|| question.add(binding));
        }
        let mut resolved = Vec::with_capacity(question.bindings.len());
        if !question.bindings.is_empty() {
            let (request, time) = (question.request(publication, role), self.spec.usage.query_timeout);
            let answer = json_question::ask(self, ("realtime.request", time), &request, &CHECK).await?;
            let tables =
                PublicationTables::of(&question, answer).map_err(|failure| self.note_failure(failure))?;
            for binding in &question.bindings {
                resolved.push(tables.resolve(binding).map_err(|failure| self.note_failure(failure))?);
                pause_if_used_up().await;
            }
        }
        let result = |binding: &Binding| match places.get(binding) {
            Some(place) => resolved[*place].clone(),
            None => {
                let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
                Err(binding.exception_text(&exception::text("22021", message)))
            }
        };
        let joined = joins.iter().map(|join| {
            let of_join: Vec<_> = join.iter().map(result).collect();
            let refused = of_join.iter().rev().find_map(|result| result.as_ref().err().cloned());
            refused.map_or_else(|| of_join.into_iter().collect(), Err)
        });
        Ok(joined.collect())
    }
}

/// How many joins, and at least one, are checked at once.
fn at_once(joins: &[&[Binding]]) -> usize {
    let mut bindings = HashSet::new();
    let fitting = joins.iter().take_while(|join| {
        bindings.extend(join.iter());
        bindings.len() <= PER_STATEMENT
    });
    fitting.count().max(1)
}

/// No text in PostgreSQL can have NUL.
fn has_nul(binding: &Binding) -> bool {
    let texts = [binding.schema.as_str(), binding.table.as_str()].into_iter();
    let filters = binding.filters.iter().flat_map(|filter| [&*filter.column, &*filter.value]);
    let select = binding.select.iter().flatten().map(String::as_str);
    texts.chain(filters).chain(select).any(|text| text.contains('\0'))
}

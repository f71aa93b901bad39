//! Whether filters hold that only the database can evaluate: what depends on a collation, on its dialect of regular expressions,
//! or on the operators of a type.

use std::sync::LazyLock;

use serde::Serialize;
use tokio::time::Instant;

use super::super::{DatabaseFailure, TenantDatabase};
use super::comparison::{Compared, Comparison, NotCompared};
use super::comparison_progress::ComparisonProgress;
use super::json_question::{self, EachAnswer};
use crate::telemetry::codes::Code;

static COMPARE: LazyLock<String> =
    LazyLock::new(|| json_question::for_each(include_str!("compare.sql"), "boolean"));

/// One statement takes at most this part of `database.query_timeout`, which is the time for all comparisons of a call.
const TIME_SHARE: u32 = 8;

#[derive(Serialize)]
struct ComparisonQuestion<'a> {
    #[serde(rename = "type")]
    type_oid: u32,
    operator: &'static str,
    row: Option<&'a str>,
    value: &'a str,
}

impl TenantDatabase {
    /// Whether each of the comparisons holds; `None` if that is NULL, as with most operators if the row has NULL. Those with a filter
    /// that takes too long do not delay others for longer than `database.query_timeout`. Those with the same filter follow each other.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn compare_in_database(
        &self,
        comparisons: &[Comparison<'_>],
    ) -> Result<Vec<Compared>, DatabaseFailure> {
        let (begun, time) = (Instant::now(), self.spec.usage.query_timeout);
        let mut progress = ComparisonProgress::new(comparisons);
        loop {
            let asked = progress.next();
            if asked.is_empty() || begun.elapsed() >= time {
                return Ok(progress.finish());
            }
            let questions: Vec<_> = asked.iter().map(|(_, index)| question(&comparisons[*index])).collect();
            let setting = (json_question::ASKED, time / TIME_SHARE);
            let answers: Vec<EachAnswer<Option<bool>>> =
                json_question::ask(self, setting, &questions, &COMPARE).await?;
            progress.note(&asked, answers.into_iter().map(result));
        }
    }
}

fn question<'a>(comparison: &Comparison<'a>) -> ComparisonQuestion<'a> {
    let Comparison { type_oid, operator, row, value } = *comparison;
    ComparisonQuestion { type_oid, operator: operator.as_str(), row, value }
}

fn result(answer: EachAnswer<Option<bool>>) -> Compared {
    answer.into_result().map_err(|failure| match failure.code {
        Code::QueryCanceled => NotCompared::TooSlow,
        _ => NotCompared::Failed(failure),
    })
}

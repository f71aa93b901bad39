//! Whether filters hold that only the database can evaluate: what depends on a collation, on its dialect of regular expressions,
//! or on the operators of a type.

use serde::{Deserialize, Serialize};
use wire::supabase::changes::FilterOperator;

use super::super::{DatabaseFailure, TenantDatabase};
use super::json_question;

const COMPARE: &str = include_str!("compare.sql");

/// The most comparisons of one statement.
const PER_STATEMENT: usize = 500;

/// The most bytes of their values.
const BYTES_PER_STATEMENT: usize = 1 << 20;

/// One statement takes at most this part of `database.query_timeout`. To find a filter that takes too long takes some of them, during
/// which no others are evaluated.
const TIME_SHARE: u32 = 8;

/// A comparison of a value of a row with that of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Comparison<'a> {
    /// The id of the type of the column.
    pub type_oid: u32,
    /// How they are compared.
    pub operator: FilterOperator,
    /// The text of the value of the row; `None` for NULL.
    pub row: Option<&'a str>,
    /// The value of the filter. For [`FilterOperator::In`] an array literal.
    pub value: &'a str,
}

#[derive(Serialize)]
struct ComparisonQuestion<'a> {
    #[serde(rename = "type")]
    type_oid: u32,
    operator: &'static str,
    row: Option<&'a str>,
    value: &'a str,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ComparisonAnswer {
    Holds(Option<bool>),
    Failed { state: String, message: String },
}

impl TenantDatabase {
    /// Whether each of the comparisons holds; `None` if that is NULL, as with most operators if the row has NULL. One that fails, or
    /// takes too long, is an error of its own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn compare_in_database(
        &self,
        comparisons: &[Comparison<'_>],
    ) -> Result<Vec<Result<Option<bool>, DatabaseFailure>>, DatabaseFailure> {
        let mut answers = Vec::with_capacity(comparisons.len());
        while answers.len() < comparisons.len() {
            let rest = &comparisons[answers.len()..];
            let some = self.compare_some(&rest[..at_once(rest)]).await?;
            answers.extend(some);
        }
        Ok(answers)
    }

    /// Makes the first of these comparisons, and as many others as there is time for.
    async fn compare_some(
        &self,
        comparisons: &[Comparison<'_>],
    ) -> Result<Vec<Result<Option<bool>, DatabaseFailure>>, DatabaseFailure> {
        let time = self.spec.usage.query_timeout / TIME_SHARE;
        let questions: Vec<_> = comparisons.iter().map(question).collect();
        let statement = (COMPARE, "a filter takes too long");
        let answers =
            json_question::ask_some(self, ("realtime.comparisons", time), &questions, statement).await?;
        Ok(answers.into_iter().map(|answer| answer.and_then(ComparisonAnswer::into_result)).collect())
    }
}

/// How many, and at least one, are made at once.
fn at_once(comparisons: &[Comparison<'_>]) -> usize {
    let mut bytes = 0;
    let fitting = comparisons.iter().take(PER_STATEMENT).take_while(|comparison| {
        bytes += comparison.value.len() + comparison.row.map_or(0, str::len);
        bytes <= BYTES_PER_STATEMENT
    });
    fitting.count().max(1)
}

fn question<'a>(comparison: &Comparison<'a>) -> ComparisonQuestion<'a> {
    let Comparison { type_oid, operator, row, value } = *comparison;
    ComparisonQuestion { type_oid, operator: operator.as_str(), row, value }
}

impl ComparisonAnswer {
    fn into_result(self) -> Result<Option<bool>, DatabaseFailure> {
        match self {
            Self::Holds(holds) => Ok(holds),
            Self::Failed { state, message } => Err(DatabaseFailure::of_state(&state, "", &message)),
        }
    }
}

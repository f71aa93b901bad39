//! Whether subscriptions fit the tables of the publication, and what their filters mean there.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::{Value, json};
use wire::supabase::changes::{Binding, Filter, FilterOperator, NamePattern};

use super::super::{DatabaseFailure, TenantDatabase};
use super::exception;
use super::json_question;
use crate::telemetry::codes::Code;

static CHECK: LazyLock<String> =
    LazyLock::new(|| include_str!("check.sql").replace("-- cast_type.sql", include_str!("cast_type.sql")));

/// Different subscriptions that one statement checks, unless one join has more.
const PER_STATEMENT: usize = 200;

/// A subscription that fits the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBinding {
    /// The tables that it is for; at least one.
    pub tables: Vec<CheckedTable>,
}

/// A table that a subscription is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedTable {
    /// Its id in the catalog.
    pub oid: u32,
    /// The filters, in the order of the subscription.
    pub filters: Vec<CheckedFilter>,
    /// The columns that are asked for, as indices of those of the table.
    pub select: Option<Box<[usize]>>,
    /// The numbers of the columns that the indices are of.
    pub columns: Arc<[i16]>,
}

/// The texts of the value of a filter, or of the elements of `in`; `None` for NULL.
pub type CanonicalTexts = Arc<[Option<Box<str>>]>;

/// A filter on a table. All tables of a subscription share its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedFilter {
    /// The column, as an index of those of the table.
    pub column: usize,
    /// How it is compared.
    pub operator: FilterOperator,
    /// With what, as the client has sent it.
    pub value: Arc<str>,
    /// The text of that value, or of the elements of `in`, as the log has values of the type of the column; `bytea` as it was sent.
    /// Empty for operators whose value is not of that type.
    pub canonical: CanonicalTexts,
    /// Whether the row passes if the comparison is false.
    pub is_negated: bool,
}

/// One of the things that the database says.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CheckAnswer {
    /// A subscription to all rows of tables.
    FitsAll {
        binding: usize,
        oids: Vec<u32>,
    },
    /// A subscription, on one of its tables.
    Fits {
        binding: usize,
        oid: u32,
        filters: Vec<FilterAnswer>,
        select: Option<Box<[usize]>>,
    },
    /// The value of a filter of a subscription, in all tables whose column has this type.
    Value {
        binding: usize,
        filter: usize,
        #[serde(rename = "type")]
        type_oid: u32,
        canonical: Vec<Option<Box<str>>>,
    },
    Table {
        oid: u32,
        columns: Vec<i16>,
    },
    Refused {
        binding: Option<usize>,
        state: String,
        message: String,
    },
    /// There is no publication of this name. It may be made again.
    Missing {
        missing: String,
    },
}

#[derive(Debug, Deserialize)]
struct FilterAnswer {
    column: usize,
    #[serde(rename = "type")]
    type_oid: u32,
}

/// What the tables of subscriptions have in common.
#[derive(Default)]
struct SharedAnswers {
    /// The columns of tables that have some, by their oids.
    columns: HashMap<u32, Arc<[i16]>>,
    /// Values by subscription, filter, and type.
    values: HashMap<(usize, usize, u32), CanonicalTexts>,
}

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
        let (mut asked, mut places) = (Vec::new(), HashMap::new());
        for binding in joins.iter().copied().flatten().filter(is_asked) {
            places.entry(binding).or_insert_with(|| {
                asked.push(binding);
                asked.len() - 1
            });
        }
        let request = json!({
            "publication": publication,
            "role": role,
            "bindings": asked.iter().copied().map(request).collect::<Vec<_>>(),
        });
        let setting = ("realtime.request", self.spec.usage.query_timeout);
        let answers: Vec<CheckAnswer> = match asked.is_empty() {
            true => Vec::new(),
            false => json_question::ask(self, setting, &request, &CHECK).await?,
        };
        let resolved = resolve(&asked, answers).map_err(|failure| self.note_failure(failure))?;
        let result = |binding: &Binding| match places.get(binding) {
            Some(place) => resolved[*place].clone(),
            None => {
                let message = "invalid byte sequence for encoding \"UTF8\": 0x00";
                Err(binding.exception_text(&exception::text("22021", message)))
            }
        };
        let results: Vec<_> = joins.iter().copied().flatten().map(result).collect();
        let (mut joined, mut results) = (Vec::with_capacity(joins.len()), results.into_iter());
        for join in joins {
            let of_join: Vec<_> = results.by_ref().take(join.len()).collect();
            let refused = of_join.iter().rev().find_map(|result| result.as_ref().err().cloned());
            joined.push(refused.map_or_else(|| of_join.into_iter().collect(), Err));
        }
        Ok(joined)
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

fn request(binding: &Binding) -> Value {
    let name = |pattern: &NamePattern| match pattern {
        NamePattern::Any => Value::Null,
        NamePattern::Exact(name) => Value::from(name.as_str()),
    };
    let filter = |filter: &Filter| json!({"column": filter.column, "operator": filter.operator.as_str(), "value": filter.value});
    json!({
        "schema": name(&binding.schema),
        "table": name(&binding.table),
        "filters": binding.filters.iter().map(filter).collect::<Vec<_>>(),
        "select": binding.select,
    })
}

/// The tables of each subscription, or the text for the client.
fn resolve(
    bindings: &[&Binding],
    answers: Vec<CheckAnswer>,
) -> Result<Vec<Result<Arc<CheckedBinding>, String>>, DatabaseFailure> {
    let (shared, answers) = SharedAnswers::take(answers);
    let filters: Vec<Vec<Arc<str>>> = bindings.iter().copied().map(values).collect();
    let mut checked: Vec<Result<CheckedBinding, String>> =
        bindings.iter().map(|_| Ok(CheckedBinding { tables: Vec::new() })).collect();
    for answer in answers {
        match answer {
            CheckAnswer::FitsAll { binding, oids } => {
                if let Some(Ok(checked)) = checked.get_mut(binding) {
                    checked.tables.extend(oids.into_iter().map(|oid| shared.table(oid, Vec::new(), None)));
                }
            }
            CheckAnswer::Fits { binding, oid, filters: answers, select } => {
                if let (Some(Ok(checked)), Some(of)) = (checked.get_mut(binding), bindings.get(binding)) {
                    let filters = of.filters.iter().zip(&filters[binding]).zip(answers).enumerate();
                    let filters = filters.map(|(number, ((filter, value), answer))| {
                        let canonical = shared.values.get(&(binding, number, answer.type_oid));
                        let canonical = canonical.ok_or_else(|| {
                            DatabaseFailure::of_state("22000", "", "a value of a filter has no answer")
                        })?;
                        Ok(checked_filter(filter, (value, canonical), answer.column))
                    });
                    let filters: Result<_, DatabaseFailure> = filters.collect();
                    checked.tables.push(shared.table(oid, filters?, select));
                }
            }
            CheckAnswer::Refused { binding: Some(binding), state, message } if is_of_client(&state) => {
                if let (Some(checked), Some(binding)) = (checked.get_mut(binding), bindings.get(binding)) {
                    *checked = Err(binding.exception_text(&exception::text(&state, &message)));
                }
            }
            CheckAnswer::Refused { state, message, .. } => {
                return Err(DatabaseFailure::of_state(&state, "", &message));
            }
            CheckAnswer::Missing { missing } => {
                let reason = format!("the publication `{missing}` does not exist");
                return Err(DatabaseFailure::new(Code::StartReplicationFailed, reason));
            }
            CheckAnswer::Value { .. } | CheckAnswer::Table { .. } => {}
        }
    }
    let fitting = checked.into_iter().zip(bindings).map(|(checked, binding)| {
        checked.and_then(|checked| match checked.tables.is_empty() {
            true => Err(binding.no_table_text()),
            false => Ok(Arc::new(checked)),
        })
    });
    Ok(fitting.collect())
}

impl SharedAnswers {
    /// Takes them from all answers, and returns the others.
    fn take(answers: Vec<CheckAnswer>) -> (Self, Vec<CheckAnswer>) {
        let (mut shared, mut others) = (Self::default(), Vec::new());
        for answer in answers {
            match answer {
                CheckAnswer::Table { oid, columns } => drop(shared.columns.insert(oid, columns.into())),
                CheckAnswer::Value { binding, filter, type_oid, canonical } => {
                    shared.values.insert((binding, filter, type_oid), canonical.into());
                }
                other => others.push(other),
            }
        }
        (shared, others)
    }

    fn table(&self, oid: u32, filters: Vec<CheckedFilter>, select: Option<Box<[usize]>>) -> CheckedTable {
        CheckedTable { oid, filters, select, columns: self.columns.get(&oid).cloned().unwrap_or_default() }
    }
}

/// The values of its filters.
fn values(binding: &Binding) -> Vec<Arc<str>> {
    binding.filters.iter().map(|filter| filter.value.as_str().into()).collect()
}

fn checked_filter(
    filter: &Filter,
    (value, canonical): (&Arc<str>, &CanonicalTexts),
    column: usize,
) -> CheckedFilter {
    CheckedFilter {
        column,
        operator: filter.operator,
        value: Arc::clone(value),
        canonical: Arc::clone(canonical),
        is_negated: filter.is_negated,
    }
}

/// Whether an error is one of what the client has sent, and not of the database.
fn is_of_client(state: &str) -> bool {
    DatabaseFailure::of_state(state, "", "").code == Code::RlsPolicyError
}

/// No text in PostgreSQL can have NUL.
fn has_nul(binding: &Binding) -> bool {
    let texts = [binding.schema.as_str(), binding.table.as_str()].into_iter();
    let filters = binding.filters.iter().flat_map(|filter| [&*filter.column, &*filter.value]);
    let select = binding.select.iter().flatten().map(String::as_str);
    texts.chain(filters).chain(select).any(|text| text.contains('\0'))
}

//! What the database says of tables and filters, and which tables each subscription is for.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use wire::supabase::changes::{Binding, Filter};

use super::super::DatabaseFailure;
use super::check_question::{AskedBinding, CheckQuestion};
use super::checked_binding::{CanonicalTexts, CheckedBinding, CheckedFilter, CheckedTable};
use super::exception;
use crate::telemetry::codes::Code;

/// As `check.sql` writes it.
#[derive(Debug, Deserialize)]
pub(super) struct PublicationAnswer {
    /// Why there is nothing else.
    failed: Option<SqlFailure>,
    /// The publication, if there is none of this name. It may be made again.
    missing: Option<String>,
    /// Why nothing can be read as the role.
    role: Option<SqlFailure>,
    matched: Option<Vec<MatchedTables>>,
    tables: Option<Vec<TableAnswer>>,
    values: Option<Vec<ValueAnswer>>,
}

/// An error of the database.
#[derive(Debug, Clone, Deserialize)]
struct SqlFailure {
    state: String,
    message: String,
}

/// The tables with some names, by their names.
#[derive(Debug, Deserialize)]
struct MatchedTables {
    pattern: usize,
    oids: Vec<u32>,
}

/// A table with columns.
#[derive(Debug, Deserialize)]
struct TableAnswer {
    oid: u32,
    /// The numbers of its columns, in order.
    columns: Vec<i16>,
    /// Those that are asked for, and can be read.
    readable: Option<HashMap<Box<str>, ReadableColumn>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct ReadableColumn {
    number: i16,
    #[serde(rename = "type")]
    type_oid: u32,
}

/// What the value of a filter is for a type.
#[derive(Debug, Deserialize)]
struct ValueAnswer {
    filter: usize,
    #[serde(rename = "type")]
    type_oid: u32,
    canonical: Option<Vec<Option<Box<str>>>>,
    failure: Option<SqlFailure>,
}

/// What is known of the tables that subscriptions may be for.
pub(super) struct PublicationTables {
    role: Option<SqlFailure>,
    /// By the places of their names.
    matched: Vec<Vec<u32>>,
    /// By their oids.
    tables: HashMap<u32, KnownTable>,
    /// By the places of filters, and by types.
    values: HashMap<(usize, u32), Result<CanonicalTexts, SqlFailure>>,
}

#[derive(Default)]
struct KnownTable {
    columns: Arc<[i16]>,
    readable: HashMap<Box<str>, ReadableColumn>,
}

impl SqlFailure {
    /// An error that a function of upstream raises.
    fn raised(message: String) -> Self {
        Self { state: "P0001".to_owned(), message }
    }

    fn into_failure(self) -> DatabaseFailure {
        DatabaseFailure::of_state(&self.state, "", &self.message)
    }

    /// What the client reads, if it is one of what it has sent, and not of the database.
    fn into_refusal(self, binding: &Binding) -> Result<String, DatabaseFailure> {
        let Self { state, message } = &self;
        let text = exception::text(state, message);
        let failure = self.into_failure();
        if failure.is_of_policy() { Ok(binding.exception_text(&text)) } else { Err(failure) }
    }
}

impl PublicationTables {
    /// # Errors
    /// When the database has not found it out.
    pub(super) fn of(
        question: &CheckQuestion<'_>,
        answer: PublicationAnswer,
    ) -> Result<Self, DatabaseFailure> {
        let PublicationAnswer { failed, missing, role, matched, tables, values } = answer;
        if let Some(failed) = failed {
            return Err(failed.into_failure());
        }
        if let Some(missing) = missing {
            let reason = format!("the publication `{missing}` does not exist");
            return Err(DatabaseFailure::new(Code::StartReplicationFailed, reason));
        }
        let mut oids = vec![Vec::new(); question.bindings.len()];
        for tables in matched.into_iter().flatten() {
            if let Some(of_pattern) = oids.get_mut(tables.pattern) {
                *of_pattern = tables.oids;
            }
        }
        let known = tables.into_iter().flatten().map(|TableAnswer { oid, columns, readable }| {
            (oid, KnownTable { columns: columns.into(), readable: readable.unwrap_or_default() })
        });
        let values =
            values.into_iter().flatten().map(|ValueAnswer { filter, type_oid, canonical, failure }| {
                let canonical = failure.map_or_else(|| Ok(canonical.unwrap_or_default().into()), Err);
                ((filter, type_oid), canonical)
            });
        Ok(Self { role, matched: oids, tables: known.collect(), values: values.collect() })
    }

    /// The tables of a subscription; or what its client reads, because it does not fit one of them: the first by its name.
    ///
    /// # Errors
    /// When the database has not found it out.
    pub(super) fn resolve(
        &self,
        asked: &AskedBinding<'_>,
    ) -> Result<Result<Arc<CheckedBinding>, String>, DatabaseFailure> {
        let AskedBinding { binding, pattern, .. } = asked;
        let oids = &self.matched[*pattern];
        if oids.is_empty() {
            return Ok(Err(binding.no_table_text()));
        }
        let tables = match &self.role {
            Some(failure) => Err(failure.clone()),
            None => oids.iter().map(|oid| self.table(asked, *oid)).collect::<Result<Vec<_>, _>>(),
        };
        match tables {
            Ok(mut tables) => {
                tables.sort_unstable_by_key(|table| table.oid);
                Ok(Ok(Arc::new(CheckedBinding { tables })))
            }
            Err(failure) => failure.into_refusal(binding).map(Err),
        }
    }

    fn table(&self, asked: &AskedBinding<'_>, oid: u32) -> Result<CheckedTable, SqlFailure> {
        let without_columns = KnownTable::default();
        let table = self.tables.get(&oid).unwrap_or(&without_columns);
        let filters = asked.binding.filters.iter().zip(&asked.filters).map(|(filter, (place, value))| {
            let (column, type_oid) = table
                .column(&filter.column)
                .ok_or_else(|| SqlFailure::raised(format!("invalid column for filter {}", filter.column)))?;
            let canonical = self.canonical((*place, type_oid))?;
            let Filter { operator, is_negated, .. } = *filter;
            Ok(CheckedFilter { column, operator, value: Arc::clone(value), canonical, is_negated })
        });
        let filters = filters.collect::<Result<_, SqlFailure>>()?;
        let selected = |name: &String| match table.column(name) {
            Some((column, _)) => Ok(column),
            None => Err(SqlFailure::raised(format!("invalid column for select {name}"))),
        };
        let select = asked.binding.select.as_ref().map(|names| names.iter().map(selected).collect());
        Ok(CheckedTable { oid, filters, select: select.transpose()?, columns: Arc::clone(&table.columns) })
    }

    fn canonical(&self, key: (usize, u32)) -> Result<CanonicalTexts, SqlFailure> {
        let none = || SqlFailure {
            state: "XX000".to_owned(),
            message: "a value of a filter has no answer".to_owned(),
        };
        self.values.get(&key).cloned().unwrap_or_else(|| Err(none()))
    }
}

impl KnownTable {
    /// The index and the type of a column that can be read.
    fn column(&self, name: &str) -> Option<(usize, u32)> {
        let ReadableColumn { number, type_oid } = self.readable.get(name)?;
        Some((self.columns.binary_search(number).ok()?, *type_oid))
    }
}

//! A filter of a subscription, compiled for the type of its column
//! (docs/protocol/postgres-changes.md#filters).

use std::cmp::Ordering;
use std::sync::Arc;

use wire::supabase::changes::FilterOperator;

use super::operand::{self, Operand};
use crate::tenants::database::changes::{CheckedFilter, CompareKind};

/// A condition on one column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CompiledFilter {
    /// The column, by its place in the table.
    pub(super) column: usize,
    /// As the client has sent it.
    pub(super) operator: FilterOperator,
    /// The same. Shared with what the database is asked, and with other tables of the binding.
    pub(super) value: Arc<str>,
    /// Whether rows pass for which the comparison is false.
    pub(super) is_negated: bool,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    IsNull,
    /// `is.true`, and so on, as the text of the value.
    IsBoolean(&'static [u8]),
    IsUnknown,
    Equal(Operand),
    Distinct(Operand),
    Order(FilterOperator, Operand),
    /// An unquoted `NULL` among the values makes the test unknown where it is not true.
    In {
        values: Vec<Operand>,
        has_null: bool,
    },
    /// Only the database can compare.
    Asked,
}

/// What a condition says of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The row passes.
    Passes,
    /// It does not, or its value is unknown.
    Fails,
    /// The database has to be asked.
    Asked,
}

impl From<bool> for Verdict {
    fn from(passes: bool) -> Self {
        if passes { Self::Passes } else { Self::Fails }
    }
}

impl CompiledFilter {
    /// Compiles a filter that the database has accepted, on a column that is compared as `kind`.
    pub(super) fn new(filter: &CheckedFilter, kind: Option<CompareKind>) -> Self {
        let CheckedFilter { column, operator, value, canonical, is_negated } = filter;
        let test = Self::test(*operator, value, canonical, kind).unwrap_or(Test::Asked);
        Self { column: *column, operator: *operator, value: Arc::clone(value), is_negated: *is_negated, test }
    }

    /// `None` if only the database can compare.
    fn test(
        operator: FilterOperator,
        value: &str,
        canonical: &[Option<Box<str>>],
        kind: Option<CompareKind>,
    ) -> Option<Test> {
        if operator == FilterOperator::Is {
            return match value {
                "null" => Some(Test::IsNull),
                "true" => Some(Test::IsBoolean(b"t")),
                "false" => Some(Test::IsBoolean(b"f")),
                _ => Some(Test::IsUnknown),
            };
        }
        if operator == FilterOperator::In && canonical.is_empty() {
            return Some(Test::In { values: Vec::new(), has_null: false });
        }
        let kind = kind?;
        let read = |text: &str| Operand::read(kind, text.as_bytes());
        let one = || canonical.first()?.as_deref().and_then(read);
        match operator {
            FilterOperator::Eq => one().map(Test::Equal),
            FilterOperator::Neq => Some(Test::Order(operator, one()?)),
            FilterOperator::IsDistinct => one().map(Test::Distinct),
            FilterOperator::In => {
                let values: Option<Vec<_>> = canonical.iter().flatten().map(|text| read(text)).collect();
                Some(Test::In { values: values?, has_null: canonical.iter().any(Option::is_none) })
            }
            // The order of texts depends on the collation.
            FilterOperator::Lt | FilterOperator::Lte | FilterOperator::Gt | FilterOperator::Gte
                if kind != CompareKind::Text =>
            {
                Some(Test::Order(operator, one()?))
            }
            _ => None,
        }
    }

    /// What the condition says of a row whose column has the value `text`, `None` for NULL.
    pub(super) fn verdict(&self, kind: Option<CompareKind>, text: Option<&[u8]>) -> Verdict {
        let Some(text) = text else { return self.of_null() };
        let is_true = match &self.test {
            Test::IsNull | Test::IsUnknown => Some(false),
            Test::IsBoolean(value) => Some(*value == text),
            Test::Asked => return Verdict::Asked,
            Test::Equal(_) | Test::Distinct(_) | Test::Order(..) | Test::In { .. } => {
                let Some(row) = kind.and_then(|kind| Operand::read(kind, text)) else {
                    return Verdict::Asked;
                };
                self.compare(&row)
            }
        };
        is_true.is_some_and(|is_true| is_true != self.is_negated).into()
    }

    /// Whether the test is true of a value; `None` if that is unknown.
    fn compare(&self, row: &Operand) -> Option<bool> {
        match &self.test {
            Test::Equal(value) => row.compare(value).map(Ordering::is_eq),
            Test::Distinct(value) => row.compare(value).map(Ordering::is_ne),
            Test::Order(operator, value) => row.compare(value).map(|order| match operator {
                FilterOperator::Lt => order.is_lt(),
                FilterOperator::Lte => order.is_le(),
                FilterOperator::Gt => order.is_gt(),
                FilterOperator::Gte => order.is_ge(),
                _ => order.is_ne(),
            }),
            Test::In { values, has_null } => {
                let is_found = values.iter().any(|value| row.compare(value) == Some(Ordering::Equal));
                (is_found || !has_null).then_some(is_found)
            }
            _ => None,
        }
    }

    fn of_null(&self) -> Verdict {
        let is_true = match self.test {
            Test::IsNull | Test::Distinct(_) | Test::IsUnknown => true,
            Test::IsBoolean(_) => false,
            Test::Asked if self.operator == FilterOperator::IsDistinct => true,
            // Nothing is among no values.
            Test::In { ref values, has_null: false } if values.is_empty() => false,
            // Unknown, also if it is negated.
            _ => return Verdict::Fails,
        };
        (is_true != self.is_negated).into()
    }
}

/// The values of a column with which a row can pass, if the filter names them all. Each is there once.
pub(super) fn values_of(filter: &CheckedFilter, kind: Option<CompareKind>) -> Option<Box<[Box<[u8]>]>> {
    let names_all = matches!(filter.operator, FilterOperator::Eq | FilterOperator::In);
    let kind = kind.filter(|kind| names_all && !filter.is_negated && Operand::has_one_text(*kind))?;
    let texts = filter.canonical.iter().flatten();
    let mut values: Vec<Box<[u8]>> =
        texts.map(|text| operand::key(Some(kind), text.as_bytes()).into()).collect();
    values.sort_unstable();
    values.dedup();
    Some(values.into())
}

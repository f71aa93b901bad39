//! A comparison that the database makes, and what becomes of it.

use wire::supabase::changes::FilterOperator;

use super::super::DatabaseFailure;

/// A comparison of a value of a row with that of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Comparison<'a> {
    /// The id of the type that values of the column are cast to.
    pub type_oid: u32,
    /// How they are compared.
    pub operator: FilterOperator,
    /// The text of the value of the row; `None` for NULL.
    pub row: Option<&'a str>,
    /// The value of the filter. For [`FilterOperator::In`] an array literal.
    pub value: &'a str,
}

/// What became of a comparison.
pub type Compared = Result<Option<bool>, NotCompared>;

/// Why it is not known whether a comparison holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotCompared {
    /// It fails, such as one of types that cannot be compared.
    Failed(DatabaseFailure),
    /// Comparisons with this filter take too long.
    TooSlow,
    /// Others have taken the time.
    Unasked,
}

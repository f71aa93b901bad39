//! What a subscription is for, as it was found when it was checked.

use std::sync::Arc;

use wire::supabase::changes::FilterOperator;

/// A subscription that fits the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBinding {
    /// The tables that it is for, by their oids; at least one.
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

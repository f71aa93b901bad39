//! One condition of a subscription on the values of a row, and how conditions are displayed.
//!
//! The value is kept as the client wrote it: its meaning depends on the type of the column, which only the database knows.

use std::fmt;

use super::elixir;
use crate::pgoutput::json::{ArrayText, MalformedArray};

/// A condition on a column: `column=[not.]operator.value`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    /// The name of the column.
    pub column: String,
    /// How the column is compared.
    pub operator: FilterOperator,
    /// What it is compared with; for [`FilterOperator::In`] an array literal of PostgreSQL.
    pub value: String,
    /// Whether the row passes if the comparison is false.
    pub is_negated: bool,
}

/// How a filter compares a column with its value. In the order of upstream's enum, by which filters are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterOperator {
    /// `=`
    Eq,
    /// `<>`
    Neq,
    /// `<`
    Lt,
    /// `<=`
    Lte,
    /// `>`
    Gt,
    /// `>=`
    Gte,
    /// `= ANY (array)`
    In,
    /// `LIKE`
    Like,
    /// `ILIKE`
    Ilike,
    /// `IS`, with `null`, `true`, `false` or `unknown`.
    Is,
    /// `~`
    Match,
    /// `~*`
    Imatch,
    /// `IS DISTINCT FROM`
    IsDistinct,
}

impl FilterOperator {
    /// All operators.
    pub const ALL: [Self; 13] = [
        Self::Eq,
        Self::Neq,
        Self::Lt,
        Self::Lte,
        Self::Gt,
        Self::Gte,
        Self::In,
        Self::Like,
        Self::Ilike,
        Self::Is,
        Self::Match,
        Self::Imatch,
        Self::IsDistinct,
    ];

    /// The operator as clients write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::In => "in",
            Self::Like => "like",
            Self::Ilike => "ilike",
            Self::Is => "is",
            Self::Match => "match",
            Self::Imatch => "imatch",
            Self::IsDistinct => "isdistinct",
        }
    }

    /// The operator of this name. Names are case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == name)
    }
}

impl Filter {
    /// The elements of the value of an [`In`](FilterOperator::In) filter, as PostgreSQL reads an array literal; `None` for
    /// NULL.
    ///
    /// # Errors
    /// When the value is no list of one dimension. PostgreSQL refuses most of such values and accepts some (more
    /// dimensions, explicit bounds), so it has to be asked.
    pub fn elements(&self) -> Result<Vec<Option<String>>, MalformedArray> {
        let mut elements = Vec::new();
        let mut array = ArrayText::new(self.value.as_bytes(), b',');
        array.each_element(|element| {
            let text = element.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            elements.push(text);
        })?;
        Ok(elements)
    }
}

/// Filters as an Elixir list of tuples: `[{"subject", "eq", "hey", false}]`.
pub(super) struct FilterList<'a>(pub(super) &'a [Filter]);

impl fmt::Display for FilterList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        elixir::list(f, self.0.iter(), |f, filter| {
            f.write_str("{")?;
            elixir::binary(f, &filter.column)?;
            f.write_str(", ")?;
            elixir::binary(f, filter.operator.as_str())?;
            f.write_str(", ")?;
            elixir::binary(f, &filter.value)?;
            write!(f, ", {}}}", filter.is_negated)
        })
    }
}

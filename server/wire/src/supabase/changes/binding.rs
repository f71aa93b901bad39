//! One subscription to the changes of tables, as a join asks for it.

use std::fmt;

use serde_json::value::RawValue;

use super::elixir::{self, MapLiteral};
use super::filter::{Filter, FilterList};
use super::filter_list::{self, FilterError};
use crate::change_type::ChangeType;
use crate::raw_json;

/// What a client subscribes to: an element of `config.postgres_changes`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The kinds of changes.
    pub event: BindingEvent,
    /// The schemas of the tables.
    pub schema: NamePattern,
    /// The tables.
    pub table: NamePattern,
    /// Conditions on the row, all of which must hold; in the order in which they were sent.
    pub filters: Vec<Filter>,
    /// The columns to be sent beside those of the primary key; all if there is no list.
    pub select: Option<Vec<String>>,
}

/// The kinds of changes that a binding is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BindingEvent {
    /// All, also when the client writes something unknown.
    Any,
    /// Inserted rows.
    Insert,
    /// Updated rows.
    Update,
    /// Deleted rows.
    Delete,
}

/// The name of a schema or a table, or all of them.
///
/// Upstream compares names with `LIKE`, so that `_` and `%` are wildcards there. Here a name is a name: the table `a_b` is
/// not `axb`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamePattern {
    /// `*`
    Any,
    /// This name.
    Exact(String),
}

/// Why a binding is refused. Displayed as the client reads it, which quotes the binding: not for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingError {
    /// `select` is a string.
    SelectNotList,
    /// `select` with all tables or all schemas.
    SelectWithWildcard,
    /// `filter` cannot be read.
    Filter(FilterError),
    /// Neither a schema nor a table, or a filter without both.
    NoParameters {
        /// The binding as an Elixir map, without tokens.
        binding: String,
    },
}

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelectNotList => f.write_str(
                "Error parsing `select` params: expected a list of column name strings, \
                 e.g. select: [\"col1\", \"col2\"]",
            ),
            Self::SelectWithWildcard => f.write_str(
                "Column selection is not supported for wildcard subscriptions. \
                 Provide an explicit schema and table name.",
            ),
            Self::Filter(reason) => write!(f, "Error parsing `filter` params: {reason}"),
            Self::NoParameters { binding } => write!(
                f,
                "No subscription params provided. \
                 Please provide at least a `schema` or `table` to subscribe to: {binding}"
            ),
        }
    }
}

impl std::error::Error for BindingError {}

impl BindingEvent {
    /// The event as it is displayed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "*",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a binding with this event is for changes of this type.
    pub fn includes(self, change: ChangeType) -> bool {
        match self {
            Self::Any => true,
            Self::Insert => change == ChangeType::Insert,
            Self::Update => change == ChangeType::Update,
            Self::Delete => change == ChangeType::Delete,
        }
    }

    fn from_json(event: Option<&str>) -> Self {
        let name = event.and_then(raw_json::string).unwrap_or_default();
        let named = |event: &Self| name.eq_ignore_ascii_case(event.as_str());
        [Self::Insert, Self::Update, Self::Delete].into_iter().find(named).unwrap_or(Self::Any)
    }
}

impl NamePattern {
    /// Whether `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == name,
        }
    }

    /// The name, or `*`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::Exact(name) => name,
        }
    }
}

impl From<&str> for NamePattern {
    fn from(name: &str) -> Self {
        if name == "*" { Self::Any } else { Self::Exact(name.to_owned()) }
    }
}

impl Binding {
    /// Reads a binding, a JSON object.
    ///
    /// Which of `schema`, `table` and `filter` are there decides what is meant; one that is there but not a string, such as
    /// `null`, is an error. `select` is checked first.
    ///
    /// # Errors
    /// When it does not name tables, or its `filter` or `select` cannot be read.
    pub fn parse(binding: &RawValue) -> Result<Self, BindingError> {
        let binding = binding.get();
        let names = ["event", "schema", "table", "filter", "select"];
        let no_parameters = || BindingError::NoParameters { binding: displayed(binding) };
        let [event, schema, table, filter, select] =
            raw_json::properties(binding, names).map_err(|_not_an_object| no_parameters())?;
        let select = select.map_or(Ok(None), parse_select)?;
        let string = |value| raw_json::string(value).ok_or_else(no_parameters);
        let (schema, table) = match (schema, table, filter) {
            (Some(schema), Some(table), _) => (string(schema)?, string(table)?),
            (Some(schema), None, None) => (string(schema)?, "*".into()),
            (None, Some(table), None) => ("public".into(), string(table)?),
            _ => return Err(no_parameters()),
        };
        let filter = filter.map(string).transpose()?.unwrap_or_default();
        let filters = filter_list::parse(&filter).map_err(BindingError::Filter)?;
        let (schema, table) = (NamePattern::from(&*schema), NamePattern::from(&*table));
        if select.is_some() && (schema == NamePattern::Any || table == NamePattern::Any) {
            return Err(BindingError::SelectWithWildcard);
        }
        Ok(Self { event: BindingEvent::from_json(event), schema, table, filters, select })
    }

    /// What a client reads when no table of the publication is meant.
    pub fn no_table_text(&self) -> String {
        format!(
            "Unable to subscribe to changes with given parameters. \
             Please check Realtime is enabled for the given connect parameters: {self}"
        )
    }

    /// What a client reads when the database refuses the binding with the error `exception`.
    pub fn exception_text(&self, exception: &str) -> String {
        format!(
            "Unable to subscribe to changes with given parameters. \
             An exception happened so please check your connect parameters: {self}. Exception: {exception}"
        )
    }
}

impl fmt::Display for Binding {
    /// `[event: INSERT, schema: public, table: ghosts, filters: [], select: nil]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (schema, table) = (self.schema.as_str(), self.table.as_str());
        let filters = FilterList(&self.filters);
        let event = self.event.as_str();
        write!(f, "[event: {event}, schema: {schema}, table: {table}, filters: {filters}, select: ")?;
        match &self.select {
            None => f.write_str("nil")?,
            Some(select) => elixir::list(f, select.iter(), |f, column| elixir::binary(f, column))?,
        }
        f.write_str("]")
    }
}

/// The strings of a list; `None` if there are none. Other types than a list count as absent, but a string is an error.
fn parse_select(select: &str) -> Result<Option<Vec<String>>, BindingError> {
    if select.starts_with('"') {
        return Err(BindingError::SelectNotList);
    }
    let mut columns = Vec::new();
    // Anything but an array has no elements.
    let _ = raw_json::each_element(select, |column| {
        columns.extend(raw_json::string(column).map(|column| column.into_owned()));
    });
    Ok((!columns.is_empty()).then_some(columns))
}

/// The binding as it is shown in an error.
fn displayed(binding: &str) -> String {
    match raw_json::properties(binding, ["user_token", "auth_token"]) {
        Ok([None, None]) => MapLiteral(binding).to_string(),
        _ => "<redacted>".to_owned(),
    }
}

//! How the text of a type becomes JSON.

/// What the values of a type are in JSON. The caller derives it from the catalog, where a domain has the kind of its base
/// type, but for a domain over `bytea`, which is [`Text`](Self::Text).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// `boolean`.
    Boolean,
    /// `smallint`, `integer` and `bigint`. A number, also one that a double cannot represent.
    Integer,
    /// `real` and `double precision`. A number without an exponent. `NaN` and infinity are `null`, and strings within an
    /// array or a composite value.
    Float,
    /// `numeric`. A number with its scale; `NaN` and infinity as for [`Float`](Self::Float).
    Numeric,
    /// `bytea`. A string of hexadecimal digits without `\x`; within an array or a composite value with it.
    Bytea,
    /// `timestamp`. A string with `T` between date and time.
    Timestamp,
    /// `timestamptz`. The same, with the time zone as hours and minutes.
    TimestampTz,
    /// `json` and `jsonb`. The value as it is written.
    Json,
    /// Arrays of any number of dimensions.
    Array {
        /// The elements.
        element: Box<Self>,
        /// What stands between them in text (`pg_type.typdelim`): a comma for all types but `box`.
        delimiter: u8,
    },
    /// Composite types. An object.
    Composite {
        /// The fields, in order.
        fields: Vec<CompositeField>,
    },
    /// `hstore`. An object of strings.
    Hstore,
    /// All other types, `oid` included: a string of the text.
    Text,
}

impl ValueKind {
    /// A number of bytes that the JSON of `text` has at least, found without writing it.
    pub(crate) fn json_bytes_min(&self, text: &[u8]) -> usize {
        match self {
            // Each level of these doubles the escapes of the text, but not those of JSON.
            Self::Array { .. } | Self::Composite { .. } | Self::Hstore => 0,
            // `Infinity` is `null`.
            _ => text.len() / 2,
        }
    }
}

/// A field of a composite type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CompositeField {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: ValueKind,
}

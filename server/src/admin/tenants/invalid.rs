//! Why a body is refused with 422, in upstream's texts (those of Ecto, its database library).

use serde_json::{Map, Value, json};

/// What is wrong with one field, as the end of a sentence that begins with its name. No text contains the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FieldError {
    /// Another type, or a value that the column cannot hold.
    #[error("is invalid")]
    Invalid,
    /// Required, and missing.
    #[error("can't be blank")]
    Blank,
    /// There is one already.
    #[error("has already been taken")]
    Taken,
    /// Other characters than a name has.
    #[error("has invalid format")]
    Format,
    /// A name that means something else.
    #[error("is reserved")]
    Reserved,
    /// Identifies what it belongs to.
    #[error("can't be changed")]
    Fixed,
    /// Below the smallest number.
    #[error("must be greater than or equal to {0}")]
    Below(i32),
    /// Above the largest number.
    #[error("must be less than or equal to {0}")]
    Above(i32),
    /// More bytes than allowed.
    #[error("should be at most {0} byte(s)")]
    TooLong(usize),
    /// More entries than allowed.
    #[error("should have at most {0} item(s)")]
    TooMany(usize),
    /// JSON in JSON beyond a depth.
    #[error("should be nested at most {0} level(s) deep")]
    TooDeep(usize),
    /// A secret that operators have.
    #[error("is a secret of operators")]
    OfOperators,
    /// Neither key.
    #[error("either jwt_secret or jwt_jwks must be provided")]
    NoKeys,
}

impl From<FieldError> for Value {
    /// The errors of a field that has this one.
    fn from(error: FieldError) -> Self {
        json!([error.to_string()])
    }
}

/// The errors of a body by field: the value of `errors` in a 422.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Invalid {
    /// A list of texts for each field; for `extensions` also one object for each of them.
    pub(super) errors: Map<String, Value>,
}

impl Invalid {
    /// A body with one error.
    pub(super) fn field(name: &str, errors: impl Into<Value>) -> Self {
        let mut invalid = Self::default();
        invalid.add(name, errors);
        invalid
    }

    /// The first error, as a sentence.
    pub(super) fn first(&self) -> String {
        let Some((field, errors)) = self.errors.iter().next() else { return String::new() };
        match errors.get(0).and_then(Value::as_str) {
            Some(text) => format!("{field} {text}"),
            None => format!("{field}: {errors}"),
        }
    }

    /// Adds the errors of a field.
    pub(super) fn add(&mut self, name: &str, errors: impl Into<Value>) {
        self.errors.insert(name.into(), errors.into());
    }
}

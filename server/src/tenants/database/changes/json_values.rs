//! What values are in JSON whose types have a cast to `json` of their own, which `to_jsonb` uses.

use std::sync::LazyLock;

use serde::Serialize;

use super::super::{DatabaseFailure, TenantDatabase};
use super::json_question;

/// NULL is no value of the log, but a cast may make it.
static CONVERT: LazyLock<String> = LazyLock::new(|| {
    let expression =
        "pg_catalog.format('coalesce(pg_catalog.to_jsonb(%L::%s)::text, ''null'')', v ->> 'text', t.name)";
    json_question::for_each(expression, "text")
});

/// The most values of one statement.
const PER_STATEMENT: usize = 500;

/// The most bytes of their texts, unless one has more.
const BYTES_PER_STATEMENT: usize = 1 << 20;

/// One statement takes at most this part of `database.query_timeout`. To find a value that takes too long takes some of them.
const TIME_SHARE: u32 = 8;

/// The text of a value, and its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct TypedText<'a> {
    /// The id of the type, without domains.
    #[serde(rename = "type")]
    pub type_oid: u32,
    /// The text, as the log has it.
    pub text: &'a str,
}

impl TenantDatabase {
    /// The first of these values as JSON, and as many others as there is time for, and at least one. One that cannot be converted, or
    /// takes too long, is an error of its own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn some_as_json(
        &self,
        values: &[TypedText<'_>],
    ) -> Result<Vec<Result<Box<str>, DatabaseFailure>>, DatabaseFailure> {
        let time = self.spec.usage.query_timeout / TIME_SHARE;
        let statement = (&**CONVERT, "the cast of a type to json takes too long");
        let asked = &values[..at_once(values)];
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        json_question::ask_some(self, time, asked, statement).await
    }
}

/// How many, and at least one, are converted at once.
fn at_once(values: &[TypedText<'_>]) -> usize {
    let mut bytes = 0;
    let fitting = values.iter().take(PER_STATEMENT).take_while(|value| {
        bytes += value.text.len();
        bytes <= BYTES_PER_STATEMENT
    });
    fitting.count().max(1).min(values.len())
}

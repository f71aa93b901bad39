//! What people read and editors use, written from the structs: the reference, the schema, the starter files.
//!
//! They lie in `config/`, and in `helm/` for the chart. A test compares, and writes them anew under `UPDATE=1`.

mod chart;
mod markdown;
mod schema;
mod starters;
mod wrap;

pub use starters::Starter;

/// The reference of all keys and variables, in Markdown.
pub fn reference() -> String {
    markdown::page()
}

/// The JSON Schema of a settings file, by which editors complete and check.
pub fn schema() -> String {
    schema::text()
}

/// The JSON Schema of the values of the Helm chart: the chart's own part, as it stands in `own`, with the definitions that
/// are made of the settings.
pub fn chart_schema(own: &str) -> serde_json::Result<String> {
    chart::values_schema(own)
}

/// What the templates of the Helm chart need to know about keys.
pub fn chart_templates() -> String {
    chart::templates()
}

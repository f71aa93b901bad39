//! What people read and editors use, written from the structs: the reference, the schema, the starter files.
//!
//! They lie in `config/`. A test compares, and writes them anew under `UPDATE=1`.

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

//! What people read and editors use, written from the structs: the reference, the schema, the starter files.
//!
//! They lie in `config/`. A test compares, and writes them anew under `UPDATE=1`.

mod markdown;
mod schema;
mod starters;

pub use starters::Starter;

/// The reference of all keys and variables, in Markdown.
pub fn reference() -> String {
    markdown::page()
}

/// The JSON Schema of a settings file, by which editors complete and check.
pub fn schema() -> String {
    schema::text()
}

/// Breaks text into lines of at most `width` characters, longer words aside.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

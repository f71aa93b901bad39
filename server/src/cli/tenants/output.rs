//! Responses as a person reads them.

use anyhow::Context;
use serde_json::Value;

/// The columns of the list: their heading, and the field.
const COLUMNS: [(&str, &str); 9] = [
    ("ID", "external_id"),
    ("USERS", "max_concurrent_users"),
    ("CHANNELS", "max_channels_per_client"),
    ("EVENTS/S", "max_events_per_second"),
    ("JOINS/S", "max_joins_per_second"),
    ("PRIVATE", "private_only"),
    ("PRESENCE", "presence_enabled"),
    ("SUSPENDED", "suspend"),
    ("ORIGIN", "origin"),
];

/// Prints the response `body` as it is if that is wanted as `json`, else `text`.
///
/// # Errors
/// When stdout is closed.
pub(super) fn print(body: &[u8], json: bool, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let text = match (json, body) {
        (true, []) => String::new(),
        (true, body) => format!("{}\n", String::from_utf8_lossy(body)),
        (false, _) => text(),
    };
    crate::cli::print_stdout(text).context("cannot print it")
}

/// A table of the tenants in a response; what is absent is a dash.
pub(super) fn list(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let tenants = body["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let heading = COLUMNS.map(|(heading, _)| heading.to_owned()).to_vec();
    let row = |tenant: &Value| COLUMNS.iter().map(|(_, field)| value(&tenant[*field])).collect();
    aligned(&std::iter::once(heading).chain(tenants.iter().map(row)).collect::<Vec<_>>())
}

/// The fields of the tenant in a response, a line each.
pub(super) fn tenant(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut rows = Vec::new();
    add_rows(&mut rows, String::new(), &body["data"]);
    aligned(&rows)
}

fn add_rows(rows: &mut Vec<Vec<String>>, name: String, field: &Value) {
    let dotted = |inside: &str| if name.is_empty() { inside.to_owned() } else { format!("{name}.{inside}") };
    match field {
        Value::Object(fields) => {
            fields.iter().for_each(|(inside, field)| add_rows(rows, dotted(&printable(inside)), field));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| add_rows(rows, dotted(&at.to_string()), item));
        }
        field => rows.push(vec![name, value(field)]),
    }
}

fn value(field: &Value) -> String {
    match field {
        Value::Null => "-".into(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

/// A text without the characters that a terminal takes for commands.
pub(super) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// The rows, a line each, with columns as wide as their longest cell.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  "));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tenants_are_a_table() {
        let body = json!({"data": [
            {"external_id": "default", "max_concurrent_users": null, "private_only": false, "suspend": true, "origin": "config"},
            {"external_id": "a\u{1b}[2J", "max_concurrent_users": 200, "private_only": true},
        ]});
        let expected = "\
ID       USERS  CHANNELS  EVENTS/S  JOINS/S  PRIVATE  PRESENCE  SUSPENDED  ORIGIN
default  -      -         -         -        false    -         true       config
a\u{fffd}[2J    200    -         -         -        true     -         -          -
";
        assert_eq!(list(body.to_string().as_bytes()), expected);
    }

    #[test]
    fn a_tenant_is_a_line_for_each_field() {
        let body = json!({"data": {"external_id": "acme", "extensions": [{"type": "t", "settings": {"region": "r"}}]}});
        let expected = "\
extensions.0.settings.region  r
extensions.0.type             t
external_id                   acme
";
        assert_eq!(tenant(body.to_string().as_bytes()), expected);
    }
}

//! Values of all types, compared with what the output plugin of Supabase Realtime, `wal2json`, reads of the same log, after the casts
//! that its SQL makes of them.

use serde_json::{Value, json};

use super::types::Case;
use super::{Oracle, ask, literal, subscribe};
use crate::changes::change;

/// A slot of `wal2json`; it is dropped with its database otherwise.
struct Slot<'a> {
    oracle: &'a Oracle,
    name: String,
}

impl<'a> Slot<'a> {
    /// `None` on a server without the plugin.
    fn create(oracle: &'a Oracle) -> Option<Self> {
        let name = oracle.postgres().sql("SELECT 'oracle_' || current_database()");
        let create = format!("SELECT pg_create_logical_replication_slot('{name}', 'wal2json')");
        if !oracle.postgres().try_sql(&create) {
            println!("SKIPPED: values as wal2json has them: the server does not have this output plugin");
            return None;
        }
        Some(Self { oracle, name })
    }

    /// The changes of rows since the last call.
    fn changes(&self) -> Vec<Value> {
        let query = format!(
            "SET TimeZone TO 'UTC'; SELECT coalesce(jsonb_agg(data::jsonb), '[]')
             FROM pg_logical_slot_get_changes('{}', NULL, NULL, 'format-version', '2', 'include-transaction', 'false',
                 'add-tables', 'oracle.*')",
            self.name
        );
        let Value::Array(changes) = ask(self.oracle.postgres(), &query) else { panic!("a list") };
        changes
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.oracle.postgres().try_sql(&format!("SELECT pg_drop_replication_slot('{}')", self.name));
    }
}

/// The text of the column `v`. In a row before, `wal2json` writes no NULL.
fn text(columns: &Value) -> Option<String> {
    let column = columns.as_array()?.iter().find(|column| column["name"] == "v")?;
    match &column["value"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        number => Some(number.to_string()),
    }
}

/// Values as clients read them.
fn shown(oracle: &Oracle, case: &Case, texts: &[Option<String>]) -> Vec<Value> {
    // Digits without the mark of the format.
    if case.sql_type == "bytea" {
        return texts.iter().map(|text| json!(text)).collect();
    }
    let sql_type = case.sql_type;
    let casts = texts.iter().map(|text| match text {
        Some(text) => format!("to_jsonb({}::{sql_type})", literal(text)),
        None => "'null'".to_owned(),
    });
    let casts: Vec<_> = casts.collect();
    let query = format!("SET TimeZone TO 'UTC'; SELECT to_jsonb(array[{}]::jsonb[])", casts.join(", "));
    let Value::Array(values) = ask(oracle.postgres(), &query) else { panic!("a list") };
    values
}

#[tokio::test]
async fn values_are_those_of_wal2json() {
    let oracle = Oracle::start().await;
    let Some(slot) = Slot::create(&oracle) else { return };
    let mut client = oracle.changes.client("ann").await;
    subscribe(&mut client, "realtime:room", &[json!({"schema": "oracle", "table": "*"})]).await;
    let mut differences = Vec::new();
    for (number, case) in oracle.cases.iter().enumerate() {
        let table = format!("oracle.t{number}");
        oracle.postgres().sql(&case.insert(number));
        oracle.postgres().sql(&format!("UPDATE {table} SET v = v; DELETE FROM {table}"));
        let expected = slot.changes();
        let images = [("record", "columns"), ("old_record", "identity")];
        let texts: Vec<_> =
            expected.iter().flat_map(|change| images.map(|(_, columns)| text(&change[columns]))).collect();
        let mut values = shown(&oracle, case, &texts).into_iter();
        for expected in expected {
            let (_, data) = change(&mut client).await;
            let kind = match expected["action"].as_str() {
                Some("I") => "INSERT",
                Some("U") => "UPDATE",
                _ => "DELETE",
            };
            assert_eq!((&data["type"], &data["table"]), (&json!(kind), &expected["table"]));
            for (image, columns) in images {
                let value = values.next().expect("one for each");
                if !expected[columns].is_null() && data[image]["v"] != value {
                    differences.push(format!(
                        "{} {kind} {image}: {} instead of {value}",
                        case.sql_type, data[image]["v"]
                    ));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    drop(slot);
    oracle.changes.rooms.world.stop().await;
}

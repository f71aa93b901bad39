//! Values of all types, as records have them and as `to_jsonb` gives them in the same transaction.

use serde_json::{Value, json};

use super::{Oracle, ask, subscribe};
use crate::changes::change;

/// As clients read a value that `to_jsonb` gives as `value`.
fn shown(sql_type: &str, mut value: Value) -> Value {
    let column = &mut value["v"];
    match (sql_type, column.as_str()) {
        // Without the mark of the format, as upstream has them, from `wal2json`.
        ("bytea", Some(text)) => *column = text.strip_prefix("\\x").unwrap_or(text).into(),
        // JSON has no such numbers, and `wal2json` writes none of them.
        ("real" | "double precision" | "numeric", Some(_)) => *column = Value::Null,
        _ => {}
    }
    value
}

#[tokio::test]
async fn values_are_what_to_jsonb_gives() {
    let oracle = Oracle::start().await;
    let mut client = oracle.changes.client("ann").await;
    let all = json!({"schema": "oracle", "table": "*"});
    subscribe(&mut client, "realtime:room", &[all]).await;
    let mut differences = Vec::new();
    for (number, case) in oracle.cases.iter().enumerate() {
        let table = format!("oracle.t{number}");
        let expected = ask(
            oracle.postgres(),
            &format!(
                "SET LOCAL TimeZone TO 'UTC'; {}; SELECT jsonb_agg(to_jsonb(t) ORDER BY id) FROM {table} AS t;
                 UPDATE {table} SET v = v; DELETE FROM {table}",
                case.insert(number)
            ),
        );
        let columns = ask(
            oracle.postgres(),
            &format!(
                "SELECT jsonb_agg(jsonb_build_object('name', attname, 'type', typname) ORDER BY attnum)
                 FROM pg_attribute JOIN pg_type AS t ON t.oid = atttypid WHERE attrelid = '{table}'::regclass AND attnum > 0"
            ),
        );
        let rows: Vec<Value> = expected
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| shown(case.sql_type, row.clone()))
            .collect();
        for kind in ["INSERT", "UPDATE", "DELETE"] {
            for row in &rows {
                let (_, data) = change(&mut client).await;
                assert_eq!((&data["type"], &data["table"]), (&json!(kind), &json!(format!("t{number}"))));
                assert_eq!(data["columns"], columns, "{}", case.sql_type);
                let images = [("record", kind != "DELETE"), ("old_record", kind != "INSERT")];
                for (image, _) in images.iter().filter(|(_, is_there)| *is_there) {
                    if data[image] != *row {
                        differences.push(format!(
                            "{} {kind} {image}: {} instead of {row}",
                            case.sql_type, data[image]
                        ));
                    }
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    oracle.changes.rooms.world.stop().await;
}

//! The changes of rows as clients receive them.

use hub::{Dialect, Encode};
use serde_json::{Value as Json, json};
use wire::pgoutput::json::ValueKind;
use wire::pgoutput::{LogMessage, Row, Value, decode};
use wire::phoenix::{V1, V2};
use wire::supabase::changes::{
    BindingEvent, ChangeEnvelope, ChangeType, ChangedRows, LegacyChange, RefusedChange, RowChange, RowImage,
    RowLayout, column_list,
};

use crate::fuzz::reader;

/// An inserted row, as the log has it.
fn log_row(values: &[Value<'_>]) -> Vec<u8> {
    let mut bytes = vec![b'I', 0, 0, 0, 1, b'N', 0, values.len() as u8];
    for value in values {
        match value {
            Value::Null => bytes.push(b'n'),
            Value::Unchanged => bytes.push(b'u'),
            Value::Text(text) | Value::Binary(text) => {
                bytes.push(b't');
                bytes.extend((text.len() as u32).to_be_bytes());
                bytes.extend_from_slice(text);
            }
        }
    }
    bytes
}

fn row(bytes: &[u8]) -> Row<'_> {
    match decode(bytes) {
        Ok(LogMessage::Insert(insert)) => insert.new,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(text.as_bytes())
}

/// `id`, a column that is not to be read, and `body`.
fn layout() -> RowLayout {
    RowLayout::new([Some(("id", ValueKind::Integer)), None, Some(("bo\"dy", ValueKind::Text))])
}

fn key_layout() -> RowLayout {
    RowLayout::new([Some(("id", ValueKind::Integer)), None, None])
}

fn change(rows: ChangedRows<'_>) -> RowChange<'_> {
    let columns = r#"[{"name":"id","type":"int8"}]"#;
    RowChange { schema: "public", table: "me\"ssages", committed_at: 840_629_036_123_456, columns, rows }
}

fn data(rows: ChangedRows<'_>) -> Json {
    let data = change(rows).to_json(1 << 20);
    assert!(!data.is_shortened);
    serde_json::from_str(&data.json).unwrap()
}

#[test]
fn a_new_row_has_the_columns_of_its_layout() {
    let (layout, bytes) = (layout(), log_row(&[text("7"), text("secret"), text("hi")]));
    let record = RowImage { layout: &layout, row: row(&bytes), unchanged_from: None };
    assert_eq!(
        data(ChangedRows::Insert { record }),
        json!({
            "schema": "public",
            "table": "me\"ssages",
            "type": "INSERT",
            "commit_timestamp": "2026-08-21T12:03:56.123Z",
            "columns": [{"name": "id", "type": "int8"}],
            "record": {"id": 7, "bo\"dy": "hi"},
            "errors": null,
        })
    );
}

#[test]
fn a_changed_row_has_its_key_and_a_deleted_one_nothing_else() {
    let (layout, key) = (layout(), key_layout());
    let new = log_row(&[text("7"), Value::Null, Value::Null]);
    let record = RowImage { layout: &layout, row: row(&new), unchanged_from: None };
    let old_record = RowImage { layout: &key, row: row(&new), unchanged_from: None };
    let update = data(ChangedRows::Update { record, old_record });
    assert_eq!(update["type"], "UPDATE");
    assert_eq!(
        (&update["record"], &update["old_record"]),
        (&json!({"id": 7, "bo\"dy": null}), &json!({"id": 7}))
    );
    let delete = data(ChangedRows::Delete { old_record });
    assert_eq!((&delete["type"], &delete["old_record"]), (&json!("DELETE"), &json!({"id": 7})));
    assert_eq!(delete.get("record"), None);
    let none = RowLayout::new([None, None, None]);
    let old_record = RowImage { layout: &none, row: row(&new), unchanged_from: None };
    assert_eq!(data(ChangedRows::Delete { old_record })["old_record"], json!({}));
}

#[test]
fn an_unchanged_value_is_that_of_the_row_before_or_missing() {
    let layout = layout();
    let (new, old) = (
        log_row(&[Value::Unchanged, Value::Null, Value::Unchanged]),
        log_row(&[text("7"), text("secret"), text("long")]),
    );
    let record = |unchanged_from| RowImage { layout: &layout, row: row(&new), unchanged_from };
    let insert = |record| data(ChangedRows::Insert { record })["record"].clone();
    assert_eq!(insert(record(None)), json!({}));
    assert_eq!(insert(record(Some(row(&old)))), json!({"id": 7, "bo\"dy": "long"}));
    let partly = log_row(&[text("8"), Value::Null, Value::Unchanged]);
    assert_eq!(insert(record(Some(row(&partly)))), json!({"id": 8}));
}

#[test]
fn a_change_that_is_too_large_has_short_values_only() {
    let layout = RowLayout::new([
        Some(("a", ValueKind::Text)),
        Some(("b", ValueKind::Text)),
        Some(("c", ValueKind::Integer)),
        Some(("d", ValueKind::Text)),
    ]);
    let (at_most, above) = ("x".repeat(62), "y".repeat(63));
    let new = log_row(&[text(&above), text(&at_most), text("1"), Value::Unchanged]);
    let old = log_row(&[text("a"), text(&above), text("1"), text("d")]);
    let record = RowImage { layout: &layout, row: row(&new), unchanged_from: Some(row(&old)) };
    let old_record = RowImage { layout: &layout, row: row(&old), unchanged_from: None };
    let change = change(ChangedRows::Update { record, old_record });
    let whole = change.to_json(1000);
    assert!(!whole.is_shortened && whole.json.contains(&above));
    let shortened = change.to_json(200);
    assert!(shortened.is_shortened);
    let json: Json = serde_json::from_str(&shortened.json).unwrap();
    assert_eq!(json["record"], json!({"b": at_most, "c": 1}));
    assert_eq!(json["old_record"], json!({"a": "a", "c": 1, "d": "d"}));
    assert_eq!(json["errors"], json!(["Error 413: Payload Too Large"]));
    assert_eq!(json["columns"], json!([{"name": "id", "type": "int8"}]));
}

#[test]
fn a_row_is_not_too_large_because_its_text_is_longer_than_its_json() {
    let array = ValueKind::Array { element: Box::new(ValueKind::Json), delimiter: b',' };
    let layout = RowLayout::new([Some(("a", ValueKind::Float)), Some(("b", array))]);
    // Of 8 and 106 bytes; as JSON of 4 and 53.
    let quotes = format!("{{\"\\\"{}\\\"\"}}", "\\\\".repeat(24));
    let new = log_row(&[text("Infinity"), text(&quotes)]);
    let record = RowImage { layout: &layout, row: row(&new), unchanged_from: None };
    let whole = change(ChangedRows::Insert { record }).to_json(100);
    assert!(!whole.is_shortened, "{}", whole.json);
    let json: Json = serde_json::from_str(&whole.json).unwrap();
    assert_eq!(json["record"], json!({"a": null, "b": ["\\".repeat(12)]}));
}

#[test]
fn a_value_of_another_form_is_its_text_and_counted() {
    let (layout, bytes) = (layout(), log_row(&[text("seven"), Value::Null, text("hi")]));
    let record = RowImage { layout: &layout, row: row(&bytes), unchanged_from: None };
    let data = change(ChangedRows::Insert { record }).to_json(1 << 20);
    assert_eq!(data.malformed, 1);
    let json: Json = serde_json::from_str(&data.json).unwrap();
    assert_eq!(json["record"], json!({"id": "seven", "bo\"dy": "hi"}));
}

#[test]
fn a_row_that_has_fewer_columns_than_the_layout_is_written_as_far_as_it_goes() {
    let (layout, bytes) = (layout(), log_row(&[text("7")]));
    let record = RowImage { layout: &layout, row: row(&bytes), unchanged_from: None };
    assert_eq!(data(ChangedRows::Insert { record })["record"], json!({"id": 7}));
}

#[test]
fn columns_have_their_types() {
    assert_eq!(column_list([]), "[]");
    assert_eq!(
        column_list([("id", "int8"), ("a\"b", "_text")]),
        r#"[{"name":"id","type":"int8"},{"name":"a\"b","type":"_text"}]"#
    );
}

#[test]
fn a_refused_change_has_no_row() {
    let json = |refused: RefusedChange, change| -> Json {
        serde_json::from_str(&refused.to_json("public", "t", change)).unwrap()
    };
    assert_eq!(
        json(RefusedChange::NoPrimaryKey, ChangeType::Insert),
        json!({
            "schema": "public", "table": "t", "type": "INSERT", "commit_timestamp": null, "columns": [],
            "record": {}, "errors": ["Error 400: Bad Request, no primary key"],
        })
    );
    let update = json(RefusedChange::Unauthorized, ChangeType::Update);
    assert_eq!((&update["record"], &update["old_record"]), (&json!({}), &json!({})));
    assert_eq!(update["errors"], json!(["Error 401: Unauthorized"]));
}

#[test]
fn a_binding_is_for_the_changes_of_its_event() {
    let all = [ChangeType::Insert, ChangeType::Update, ChangeType::Delete];
    let included = |event: BindingEvent| all.map(|change| event.includes(change));
    assert_eq!(included(BindingEvent::Any), [true; 3]);
    assert_eq!(included(BindingEvent::Insert), [true, false, false]);
    assert_eq!(included(BindingEvent::Update), [false, true, false]);
    assert_eq!(included(BindingEvent::Delete), [false, false, true]);
}

#[test]
fn a_change_is_sent_to_a_room_with_the_ids_that_match() {
    let envelope = ChangeEnvelope { ids: &[7, 134_217_727], data: r#"{"type":"INSERT"}"# };
    let frame = |dialect| envelope.encode("room1", dialect).map(|frame| reader::text(&frame).to_owned());
    assert_eq!(
        frame(V2).unwrap(),
        r#"[null,null,"realtime:room1","postgres_changes",{"ids":[7,134217727],"data":{"type":"INSERT"}}]"#
    );
    let v1: Json = serde_json::from_str(&frame(V1).unwrap()).unwrap();
    assert_eq!(
        v1,
        json!({
            "topic": "realtime:room1", "event": "postgres_changes", "ref": null,
            "payload": {"ids": [7, 134_217_727], "data": {"type": "INSERT"}},
        })
    );
    assert_eq!(frame(Dialect::RELAY), None);
}

#[test]
fn an_old_client_receives_the_type_as_the_event() {
    let legacy = LegacyChange { change: ChangeType::Delete, data: "{\"a\":1}" };
    let frame = legacy.encode("public:todos", V1).unwrap();
    let v1: Json = serde_json::from_str(reader::text(&frame)).unwrap();
    assert_eq!(
        v1,
        json!({"topic": "realtime:public:todos", "event": "DELETE", "payload": {"a": 1}, "ref": null})
    );
    let frame = legacy.encode("public:todos", V2).unwrap();
    assert_eq!(reader::text(&frame), r#"[null,null,"realtime:public:todos","DELETE",{"a":1}]"#);
}

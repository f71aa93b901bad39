//! Changes without their rows: no primary key (400), a key that may not be read (401), too large (413), and who receives them.

use serde_json::{Value, json};

use super::{Oracle, ask, subscribe};
use crate::changes::change;

/// What stands instead of a row.
fn refused(table: &str, kind: &str, error: &str) -> Value {
    let mut data = json!({
        "schema": "oracle", "table": table, "type": kind, "commit_timestamp": null, "columns": [], "record": {}, "errors": [error],
    });
    if kind == "UPDATE" {
        data["old_record"] = json!({});
    }
    data
}

#[tokio::test]
async fn written_rows_without_a_key_that_may_be_read_are_refused_to_all_whatever_their_filters_are() {
    let oracle = Oracle::start().await;
    oracle.postgres().sql(
        "CREATE TABLE oracle.keyless (id int, v text); ALTER TABLE oracle.keyless REPLICA IDENTITY FULL;
         CREATE TABLE oracle.secret (id int PRIMARY KEY, v text); ALTER TABLE oracle.secret REPLICA IDENTITY FULL;
         REVOKE SELECT ON oracle.secret FROM authenticated; GRANT SELECT (v) ON oracle.secret TO authenticated;
         GRANT SELECT ON oracle.secret TO anon; GRANT USAGE ON SCHEMA oracle TO anon;
         ALTER PUBLICATION supabase_realtime ADD TABLE oracle.keyless, oracle.secret",
    );
    for (table, error) in
        [("keyless", "Error 400: Bad Request, no primary key"), ("secret", "Error 401: Unauthorized")]
    {
        let bindings = [
            json!({"schema": "oracle", "table": table}),
            json!({"schema": "oracle", "table": table, "filter": "v=eq.another"}),
            json!({"schema": "oracle", "table": table, "event": "DELETE"}),
            json!({"schema": "oracle", "table": table, "select": ["v"]}),
        ];
        let mut client = oracle.changes.client("ann").await;
        let ids = subscribe(&mut client, "realtime:room", &bindings[..3]).await;
        let mut selecting = oracle.changes.client("ann").await;
        // Those of the key are added, which may not be read.
        let of_selection = subscribe(&mut selecting, "realtime:room", &bindings[3..]).await;
        oracle.postgres().sql(&format!(
            "INSERT INTO oracle.{table} VALUES (1, 'one'); UPDATE oracle.{table} SET v = 'two'; DELETE FROM oracle.{table}"
        ));
        for kind in ["INSERT", "UPDATE"] {
            let expected = refused(table, kind, error);
            assert_eq!(change(&mut client).await, (json!([ids[1], ids[0]]), expected.clone()));
            assert_eq!(change(&mut selecting).await, (json!(of_selection), expected));
        }
        let (received, data) = change(&mut client).await;
        assert_eq!((&received, &data["errors"]), (&json!([ids[2], ids[0]]), &Value::Null), "{table}");
        let row = if table == "keyless" { json!({"id": 1, "v": "two"}) } else { json!({"v": "two"}) };
        assert_eq!(data["old_record"], row);
    }
    // Another role reads the key.
    let claims = json!({"role": "anon", "exp": 4_000_000_000_u64});
    let target = format!("/socket/websocket?apikey={}&vsn=1.0.0", oracle.changes.world().sign(&claims));
    let anon = oracle.changes.world().connect_to(harness::Dialect::V1, &target).await;
    let mut anon = anon.expect("the handshake succeeds");
    subscribe(&mut anon, "realtime:room", &[json!({"schema": "oracle", "table": "secret"})]).await;
    oracle.postgres().sql("INSERT INTO oracle.secret VALUES (2, 'one')");
    assert_eq!(change(&mut anon).await.1["record"], json!({"id": 2, "v": "one"}));
    oracle.changes.rooms.world.stop().await;
}

/// The values of a row whose JSON has at most 64 bytes, and which the update has written.
const SHORT: &str =
    "SELECT jsonb_object_agg(key, value) FROM jsonb_each((SELECT to_jsonb(t) FROM oracle.large AS t))
    WHERE octet_length(value::text) <= 64 AND key <> 'apart'";

#[tokio::test]
async fn of_a_row_that_is_too_large_short_values_are_received_by_those_who_may_see_it() {
    let oracle = Oracle::start().await;
    oracle.changes.world().apply(|settings| settings.changes.max_record_bytes = settings::ByteSize::kib(4));
    oracle.postgres().sql(
        "CREATE TABLE oracle.large (id int PRIMARY KEY, body text, apart text, fits text, exceeds text, wide text, list int[], owner text);
         ALTER TABLE oracle.large ALTER apart SET STORAGE EXTERNAL, REPLICA IDENTITY FULL, ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON oracle.large USING (owner = current_setting('request.jwt.claims', true)::jsonb ->> 'sub');
         ALTER PUBLICATION supabase_realtime ADD TABLE oracle.large",
    );
    let (mut ann, mut bob) = (oracle.changes.client("ann").await, oracle.changes.client("bob").await);
    let table = json!({"schema": "oracle", "table": "large"});
    let filtered = json!({"schema": "oracle", "table": "large", "filter": "id=gt.1"});
    let ids = subscribe(&mut ann, "realtime:room", &[table.clone(), filtered]).await;
    subscribe(&mut bob, "realtime:room", &[table]).await;
    // 62 characters and their quotes are 64 bytes.
    oracle.postgres().sql(
        "INSERT INTO oracle.large VALUES (1, repeat('x', 5000), NULL, repeat('f', 62), repeat('e', 63), repeat('ü', 32),
             '{1,2,3}', 'ann')",
    );
    let (received, data) = change(&mut ann).await;
    let error = json!(["Error 413: Payload Too Large"]);
    assert_eq!((&received, &data["errors"]), (&json!([ids[0]]), &error), "filters apply");
    assert_eq!(data["record"], ask(oracle.postgres(), &SHORT.replace(" AND key <> 'apart'", "")));
    assert!(!data["commit_timestamp"].is_null() && data["columns"].as_array().expect("a list").len() == 8);
    // Small enough again.
    let before = ask(oracle.postgres(), SHORT);
    oracle.postgres().sql("UPDATE oracle.large SET body = 'small', apart = NULL");
    let (_, data) = change(&mut ann).await;
    assert_eq!((&data["errors"], &data["old_record"]), (&error, &with_null(before)), "with the row before");
    oracle.postgres().sql("UPDATE oracle.large SET apart = repeat('apart ', 500)");
    assert_eq!(change(&mut ann).await.1["errors"], Value::Null);
    // Of a value that was not written, not even the row before has it.
    oracle.postgres().sql("UPDATE oracle.large SET fits = 'f'");
    let (_, data) = change(&mut ann).await;
    assert_eq!((&data["errors"], &data["record"]), (&error, &ask(oracle.postgres(), SHORT)));
    bob.expect_quiet().await;
    oracle.changes.rooms.world.stop().await;
}

/// With the value that was NULL.
fn with_null(mut row: Value) -> Value {
    row["apart"] = Value::Null;
    row
}

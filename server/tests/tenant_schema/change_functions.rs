//! What the subscribers of a table may see of a change, given as the plugin wal2json writes it.

use harness::Postgres;

use crate::prepared;

/// A table, and the changes of a row of it.
const TABLE: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, owner text, body text);
    GRANT SELECT (id, owner, body) ON notes TO authenticated;
    GRANT SELECT (body) ON notes TO anon;
    CREATE FUNCTION wal(action text, body text) RETURNS jsonb LANGUAGE sql AS $$
        SELECT jsonb_build_object('action', action, 'schema', 'public', 'table', 'notes',
            'timestamp', '2026-08-21 14:03:56.123987+02',
            'pk', '[{\"name\": \"id\", \"type\": \"integer\", \"typeoid\": 23}]'::jsonb)
        || CASE WHEN action <> 'D' THEN jsonb_build_object('columns', jsonb_build_array(
            jsonb_build_object('name', 'id', 'type', 'integer', 'typeoid', 23, 'value', 1),
            jsonb_build_object('name', 'owner', 'type', 'text', 'typeoid', 25, 'value', 'ann'),
            jsonb_build_object('name', 'body', 'type', 'text', 'typeoid', 25, 'value', body))) ELSE '{}' END
        || CASE WHEN action <> 'I' THEN jsonb_build_object('identity', jsonb_build_array(
            jsonb_build_object('name', 'id', 'type', 'integer', 'typeoid', 23, 'value', 1))) ELSE '{}' END
    $$;";

const RLS: &str = "ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON notes USING (owner = current_setting('request.jwt.claims', true)::jsonb ->> 'sub');";

/// A subscription whose id ends in these digits.
fn subscribe(postgres: &Postgres, id: u32, claims: &str, more: &str) {
    let (columns, values) = more.split_once('=').map_or(("", ""), |(column, value)| (column, value));
    let comma = if columns.is_empty() { "" } else { "," };
    postgres.sql(&format!(
        "INSERT INTO realtime.subscription (subscription_id, entity, claims {comma} {columns})
         VALUES ('00000000-0000-0000-0000-{id:012}', 'notes', '{claims}' {comma} {values})"
    ));
}

/// Which subscriptions see a change, and with which errors, by group.
fn seen(postgres: &Postgres, wal: &str) -> String {
    postgres.sql(&format!(
        "SELECT (SELECT string_agg(right(id::text, 1), ' ' ORDER BY id) FROM unnest(subscription_ids) AS id),
             is_rls_enabled, array_to_string(errors, ' ') FROM realtime.apply_rls({wal})"
    ))
}

const ANN: &str = r#"{"role": "authenticated", "sub": "ann"}"#;
const BOB: &str = r#"{"role": "authenticated", "sub": "bob"}"#;

#[tokio::test]
async fn a_change_is_for_those_who_asked_for_it() {
    let postgres = prepared().await;
    postgres.sql(TABLE);
    assert_eq!(seen(&postgres, "wal('I', 'hi')"), "");
    subscribe(&postgres, 1, ANN, "");
    subscribe(&postgres, 2, ANN, "action_filter='UPDATE'");
    subscribe(
        &postgres,
        3,
        ANN,
        "filters=array[('body', 'eq', 'hi', false)]::realtime.user_defined_filter[]",
    );
    subscribe(
        &postgres,
        4,
        ANN,
        "filters=array[('body', 'eq', 'ho', false)]::realtime.user_defined_filter[]",
    );
    assert_eq!(seen(&postgres, "wal('I', 'hi')"), "1 3|f|");
    assert_eq!(seen(&postgres, "wal('U', 'ho')"), "1 2 4|f|");
    // A filter on what the change does not carry does not pass.
    assert_eq!(seen(&postgres, "wal('D', NULL)"), "1|f|");
    assert_eq!(seen(&postgres, "wal('T', NULL)"), "");
}

#[tokio::test]
async fn the_record_has_what_the_role_may_read_and_has_selected() {
    let postgres = prepared().await;
    postgres.sql(TABLE);
    subscribe(&postgres, 1, ANN, "");
    subscribe(&postgres, 2, ANN, "selected_columns=array['body']");
    let wal = "SELECT jsonb_pretty(wal) FROM realtime.apply_rls(wal('U', 'hi'))";
    let expected = |columns: &str, record: &str| {
        format!(
            r#"{{"type": "UPDATE", "schema": "public", "table": "notes", "commit_timestamp": "2026-08-21T12:03:56.123Z",
                "columns": [{columns}], "record": {record}, "old_record": {{"id": 1}}}}"#
        )
    };
    let id = r#"{"name": "id", "type": "int4"}"#;
    let body = r#"{"name": "body", "type": "text"}"#;
    let owner = r#"{"name": "owner", "type": "text"}"#;
    let (selected, all) = (
        expected(&format!("{id}, {body}"), r#"{"id": 1, "body": "hi"}"#),
        expected(&format!("{id}, {owner}, {body}"), r#"{"id": 1, "owner": "ann", "body": "hi"}"#),
    );
    let pretty =
        postgres.sql(&format!("SELECT jsonb_pretty('{selected}') UNION ALL SELECT jsonb_pretty('{all}')"));
    assert_eq!(postgres.sql(wal), pretty);
    let deleted =
        "SELECT wal ? 'record', wal -> 'old_record' FROM realtime.apply_rls(wal('D', NULL)) LIMIT 1";
    assert_eq!(postgres.sql(deleted), r#"f|{"id": 1}"#);
}

#[tokio::test]
async fn the_policies_are_asked_for_each_subscriber() {
    let postgres = prepared().await;
    postgres.sql(TABLE);
    postgres.sql(RLS);
    subscribe(&postgres, 1, ANN, "");
    subscribe(&postgres, 2, BOB, "");
    subscribe(&postgres, 3, r#"{"role": "service_role"}"#, "");
    postgres.sql("GRANT SELECT ON notes TO service_role");
    // There is no such row any more.
    assert_eq!(seen(&postgres, "wal('I', 'hi')"), "");
    postgres.sql("INSERT INTO notes VALUES (1, 'ann', 'hi')");
    assert_eq!(seen(&postgres, "wal('I', 'hi')"), "1|t|\n3|t|");
    assert_eq!(seen(&postgres, "wal('D', NULL)"), "1 2|t|\n3|t|");
    let after = "DO $$ BEGIN PERFORM realtime.apply_rls(wal('I', 'hi')); END $$;
        SELECT current_user, current_setting('request.jwt.claims', true)";
    assert_eq!(postgres.sql(after), "postgres|");
}

#[tokio::test]
async fn a_policy_that_fails_for_one_subscriber_hides_nothing_from_the_others() {
    let postgres = prepared().await;
    postgres.sql(TABLE);
    postgres.sql(RLS);
    postgres.sql("INSERT INTO notes VALUES (1, 'ann', 'hi')");
    postgres.sql(
        "CREATE POLICY division ON notes USING
         (1 / (current_setting('request.jwt.claims', true)::jsonb ->> 'n')::int = 1 AND owner = 'ann')",
    );
    subscribe(&postgres, 1, r#"{"role": "authenticated", "sub": "bob", "n": 0}"#, "");
    subscribe(&postgres, 2, r#"{"role": "authenticated", "sub": "bob", "n": 1}"#, "");
    subscribe(&postgres, 3, r#"{"role": "authenticated", "sub": "bob", "n": 2}"#, "");
    assert_eq!(seen(&postgres, "wal('I', 'hi')"), "2|t|");
    // Twice in a session, although the question is prepared.
    assert_eq!(
        seen(
            &postgres,
            "wal('I', 'hi')) UNION ALL SELECT '2', true, '' FROM realtime.apply_rls(wal('I', 'hi')"
        ),
        "2|t|\n2|t|"
    );
}

#[tokio::test]
async fn what_cannot_be_shown_is_an_error_without_a_record() {
    let postgres = prepared().await;
    postgres.sql(TABLE);
    subscribe(
        &postgres,
        1,
        r#"{"role": "anon"}"#,
        "filters=array[('body', 'eq', 'no', false)]::realtime.user_defined_filter[]",
    );
    subscribe(&postgres, 2, ANN, "");
    assert_eq!(seen(&postgres, "wal('I', 'hi')"), "1|f|Error 401: Unauthorized\n2|f|");
    let keyless = "wal('I', 'hi') || '{\"pk\": []}'";
    assert_eq!(
        seen(&postgres, keyless),
        "1|f|Error 400: Bad Request, no primary key\n2|f|Error 400: Bad Request, no primary key"
    );
    let short = "SELECT wal -> 'record', errors FROM realtime.apply_rls(wal('I', repeat('x', 100)), 300) LIMIT 1 OFFSET 1";
    assert_eq!(postgres.sql(short), r#"{"id": 1, "owner": "ann"}|{"Error 413: Payload Too Large"}"#);
}

#[tokio::test]
async fn names_are_escaped_for_the_plugin() {
    let postgres = prepared().await;
    postgres.sql(r#"CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."c, d\e" (id int)"#);
    let quoted = r#"SELECT realtime.quote_wal2json('"a.b"."c, d\e"')"#;
    assert_eq!(postgres.sql(quoted), r"a\.b.c\,\ d\\e");
    let columns =
        "array[('id', 'integer', 23, '7', true, true), ('raw', 'bytea', 17, '\"00ff\"', true, true),
        ('body', 'text', 25, '\"x\"', false, true)]::realtime.wal_column[]";
    assert_eq!(
        postgres.sql(&format!("SELECT realtime.build_prepared_statement_sql('q', 'pg_class', {columns})")),
        r"PREPARE q AS SELECT EXISTS (SELECT 1 FROM pg_class WHERE id = '7' AND raw = E'\\x00ff')"
    );
}

//! What an application calls to send messages from SQL.

use harness::Postgres;

use crate::prepared;

/// The messages, without what differs each time.
fn messages(postgres: &Postgres) -> String {
    let rows =
        "SELECT topic, extension, event, private, payload - 'id', binary_payload FROM realtime.messages
        ORDER BY inserted_at, topic";
    postgres.sql(rows)
}

#[tokio::test]
async fn a_message_is_a_row_whose_id_is_added_to_its_payload() {
    let postgres = prepared().await;
    postgres.sql(r#"SELECT realtime.send('{"a": 1}', 'shout', 'room')"#);
    assert_eq!(messages(&postgres), r#"room|broadcast|shout|t|{"a": 1}|"#);
    let is_added = "SELECT (payload ->> 'id')::uuid = id FROM realtime.messages";
    assert_eq!(postgres.sql(is_added), "t");

    postgres.sql("TRUNCATE realtime.messages");
    postgres.sql(r#"SELECT realtime.send('{"id": 7}', 'shout', 'room', false)"#);
    let kept = postgres.sql("SELECT payload, private FROM realtime.messages");
    assert_eq!(kept, r#"{"id": 7}|f"#);

    postgres.sql("TRUNCATE realtime.messages");
    postgres.sql(r"SELECT realtime.send_binary('\x00ff', 'shout', 'room', private => false)");
    assert_eq!(messages(&postgres), r"room|broadcast|shout|f||\x00ff");
}

#[tokio::test]
async fn what_cannot_be_sent_is_a_warning_and_the_transaction_goes_on() {
    let postgres = prepared().await;
    let warning = |send: &str| {
        let notices = postgres.notices(&format!("CREATE TABLE done (); {send}"));
        // What came before in the transaction is there.
        postgres.sql("DROP TABLE done");
        assert_eq!(messages(&postgres), "", "{send}");
        notices.lines().next().unwrap_or_default().to_owned()
    };
    let prefix = "WARNING:  WarnSendingBroadcastMessage:";
    assert_eq!(warning("SELECT realtime.send('7', 'e', 't')"), format!("{prefix} cannot set path in scalar"));
    assert_eq!(
        warning("SELECT realtime.send('{}', 'e', NULL)"),
        format!(
            r#"{prefix} null value in column "topic" of relation "{}" violates not-null constraint"#,
            crate::today(&postgres).partition()
        )
    );
    let partition = crate::today(&postgres).partition();
    postgres.sql(&format!("DROP TABLE realtime.{partition}"));
    for send in ["SELECT realtime.send('{}', 'e', 't')", r"SELECT realtime.send_binary('\x00', 'e', 't')"] {
        assert_eq!(warning(send), format!(r#"{prefix} no partition of relation "messages" found for row"#));
    }
}

#[tokio::test]
async fn the_policies_decide_for_roles_they_apply_to() {
    let postgres = prepared().await;
    let send = |role: &str, topic: &str| {
        postgres.notices(&format!("SET ROLE {role}; SELECT realtime.send('{{}}', 'e', '{topic}')"))
    };
    let refused = "WARNING:  WarnSendingBroadcastMessage: \
                   new row violates row-level security policy for table \"messages\"";
    for role in ["anon", "authenticated"] {
        assert_eq!(send(role, "room"), refused);
    }
    assert_eq!(messages(&postgres), "");
    postgres.sql(
        "CREATE POLICY rooms ON realtime.messages FOR INSERT TO authenticated
         WITH CHECK (topic = 'room' AND realtime.topic() = 'room' AND extension = 'broadcast')",
    );
    assert_eq!(send("anon", "room"), refused);
    assert_eq!(send("authenticated", "other"), refused);
    assert_eq!(send("authenticated", "room"), "");
    assert_eq!(send("service_role", "other"), "");
    assert_eq!(messages(&postgres), "room|broadcast|e|t|{}|\nother|broadcast|e|t|{}|");
}

#[tokio::test]
async fn a_partition_is_no_way_around_the_policies() {
    let postgres = prepared().await;
    postgres.sql("SELECT realtime.send('{}', 'e', 't')");
    let partition = crate::today(&postgres).partition();
    for role in ["anon", "authenticated", "service_role"] {
        let may = format!("SELECT has_table_privilege('{role}', 'realtime.{partition}', 'SELECT, INSERT')");
        assert_eq!(postgres.sql(&may), "f", "{role}");
    }
    // Also after a grant that a tool has made for all tables.
    postgres.sql("GRANT ALL ON ALL TABLES IN SCHEMA realtime TO anon");
    let read = format!("SET ROLE anon; SELECT count(*) FROM realtime.{partition}");
    assert_eq!(postgres.sql(&read), "0");
}

#[tokio::test]
async fn the_topic_is_that_of_the_transaction() {
    let postgres = prepared().await;
    assert_eq!(postgres.sql("SELECT realtime.topic() IS NULL"), "t");
    assert_eq!(
        postgres.sql("DO $$ BEGIN PERFORM realtime.send('{}', 'e', 'room'); END $$; SELECT realtime.topic()"),
        "room"
    );
    let empty = "SET realtime.topic TO ''; SELECT realtime.topic() IS NULL";
    assert_eq!(postgres.sql(empty), "t");
}

const TRIGGER: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, code char(3), bytes bytea);
    CREATE FUNCTION publish() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM realtime.broadcast_changes(
            'notes', TG_OP, TG_OP, TG_TABLE_NAME, TG_TABLE_SCHEMA, new, old, TG_LEVEL);
        RETURN NULL;
    END $$;
    CREATE TRIGGER publish AFTER INSERT OR UPDATE OR DELETE ON notes FOR EACH ROW EXECUTE FUNCTION publish();";

#[tokio::test]
async fn a_trigger_sends_the_changed_row() {
    let postgres = prepared().await;
    postgres.sql(TRIGGER);
    let sent = |statement: &str| {
        postgres.sql("TRUNCATE realtime.messages");
        postgres.sql(statement);
        let row = "SELECT event, private, topic, payload ->> 'operation', payload ->> 'schema', payload ->> 'table',
            payload -> 'record', payload -> 'old_record', (payload ->> 'id')::uuid = id, count(*) OVER ()
            FROM realtime.messages";
        postgres.sql(row)
    };
    let (old, new) =
        (r#"{"id": 1, "code": "abc", "bytes": "\\x00"}"#, r#"{"id": 1, "code": "abc", "bytes": null}"#);
    assert_eq!(
        sent(r"INSERT INTO notes VALUES (1, 'abc', '\x00')"),
        format!("INSERT|t|notes|INSERT|public|notes|{old}|null|t|1")
    );
    assert_eq!(
        sent("UPDATE notes SET bytes = NULL"),
        format!("UPDATE|t|notes|UPDATE|public|notes|{new}|{old}|t|1")
    );
    assert_eq!(sent("DELETE FROM notes"), format!("DELETE|t|notes|DELETE|public|notes|null|{new}|t|1"));
}

#[tokio::test]
async fn a_trigger_for_statements_or_other_operations_is_an_error() {
    let postgres = prepared().await;
    let error = |operation: &str, level: &str| {
        postgres.notices(&format!(
            "DO $$ BEGIN
                 PERFORM realtime.broadcast_changes('t', 'e', '{operation}', 'notes', 'public', NULL, NULL, '{level}');
             EXCEPTION WHEN raise_exception THEN RAISE NOTICE '%', SQLERRM; END $$"
        ))
    };
    assert_eq!(
        error("INSERT", "STATEMENT"),
        "NOTICE:  Failed to process the row: function can only be triggered for each row, not for each statement"
    );
    assert_eq!(
        error("TRUNCATE", "ROW"),
        "NOTICE:  Failed to process the row: Unexpected operation type: TRUNCATE"
    );
    assert_eq!(messages(&postgres), "");
}

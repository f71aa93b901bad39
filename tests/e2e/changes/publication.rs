//! What a publication publishes: row filters, lists of columns, operations, and schemas.

use std::time::Duration;

use harness::eventually_within;
use serde_json::json;

use super::numbered::{Receipt, Subscriber};
use super::{Changes, change, next, record, table};

/// Lists of columns and filters of rows exist since PostgreSQL 15.
fn lacks_lists(changes: &Changes) -> bool {
    let lacks = changes.postgres().sql("SELECT current_setting('server_version_num')::int < 150000") == "t";
    if lacks {
        println!(
            "SKIPPED: filters and lists of columns of publications: the server is older than PostgreSQL 15"
        );
    }
    lacks
}

#[tokio::test]
async fn rows_that_enter_and_leave_the_filter_of_a_publication_are_inserted_and_deleted() {
    let changes = Changes::start().await;
    if lacks_lists(&changes) {
        return;
    }
    changes.postgres().sql(
        "ALTER TABLE public.todos REPLICA IDENTITY FULL;
         ALTER PUBLICATION supabase_realtime SET TABLE public.todos WHERE (title = 'shown')",
    );
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    for (statement, expected) in [
        ("INSERT INTO public.todos VALUES (1, 'hidden', 'ann'), (2, 'shown', 'ann')", ("INSERT", 2)),
        ("UPDATE public.todos SET title = 'shown' WHERE id = 1", ("INSERT", 1)),
        ("UPDATE public.todos SET done = true WHERE id = 1", ("UPDATE", 1)),
        ("UPDATE public.todos SET title = 'hidden' WHERE id = 2", ("DELETE", 2)),
        ("DELETE FROM public.todos", ("DELETE", 1)),
    ] {
        changes.postgres().sql(statement);
        let (_, data) = change(&mut ann).await;
        let row = if data["type"] == "DELETE" { &data["old_record"] } else { &data["record"] };
        assert_eq!((&data["type"], &row["id"]), (&json!(expected.0), &json!(expected.1)), "{statement}");
    }
    ann.expect_quiet().await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn columns_that_are_not_published_are_not_received_and_cannot_be_named() {
    let changes = Changes::start().await;
    if lacks_lists(&changes) {
        return;
    }
    changes.postgres().sql("ALTER PUBLICATION supabase_realtime SET TABLE public.todos (id, title)");
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    for (key, value) in [("filter", json!("user_id=eq.ann")), ("select", json!(["user_id"]))] {
        let mut binding = json!({"schema": "public", "table": "todos"});
        binding[key] = value;
        let mut bob = changes.client("bob").await;
        super::join(&mut bob, &json!([binding])).await;
        let (status, message) = super::system(&mut bob).await;
        assert!(
            status == "error" && message.ends_with(&format!("invalid column for {key} user_id")),
            "{message}"
        );
    }
    changes
        .postgres()
        .sql("INSERT INTO public.todos VALUES (1, 'one', 'ann'); UPDATE public.todos SET done = true");
    for _ in 0..2 {
        assert_eq!(record(&mut ann).await, json!({"id": 1, "title": "one"}));
    }
    // More columns, while they have subscribed.
    changes.postgres().sql(
        "ALTER PUBLICATION supabase_realtime SET TABLE public.todos; UPDATE public.todos SET title = 'two'",
    );
    let row = loop {
        let message = next(&mut ann).await;
        if message["event"] == "postgres_changes" {
            break message["payload"]["data"]["record"].clone();
        }
    };
    assert_eq!(row, json!({"id": 1, "title": "two", "user_id": "ann", "done": true}));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn only_the_operations_of_the_publication_are_received() {
    let changes = Changes::start().await;
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    changes.postgres().sql(
        "ALTER PUBLICATION supabase_realtime SET (publish = 'insert, delete');
         INSERT INTO public.todos VALUES (1, 'one', 'ann'); UPDATE public.todos SET title = 'two'; DELETE FROM public.todos;
         INSERT INTO public.todos VALUES (2, 'two', 'ann'); TRUNCATE public.todos",
    );
    for expected in ["INSERT", "DELETE", "INSERT"] {
        loop {
            let message = next(&mut ann).await;
            if message["event"] == "postgres_changes" {
                assert_eq!(message["payload"]["data"]["type"], expected);
                break;
            }
        }
    }
    ann.expect_quiet().await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_publication_of_all_tables_has_those_that_are_made_later() {
    let changes = Changes::start().await;
    changes
        .postgres()
        .sql("DROP PUBLICATION supabase_realtime; CREATE PUBLICATION supabase_realtime FOR ALL TABLES");
    let mut ann = changes.subscribed("ann", &json!([{"schema": "public", "table": "*"}])).await;
    changes.postgres().sql(
        "CREATE TABLE public.later (id int PRIMARY KEY); GRANT SELECT ON public.later TO authenticated;
         INSERT INTO public.later VALUES (1)",
    );
    loop {
        let message = next(&mut ann).await;
        if message["event"] == "postgres_changes" {
            assert_eq!(message["payload"]["data"]["table"], "later");
            break;
        }
    }
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_table_that_is_dropped_or_no_longer_published_is_noticed_without_a_row() {
    let changes = Changes::start().await;
    changes.postgres().sql(
        "CREATE TABLE public.notes (id int PRIMARY KEY); CREATE TABLE public.others (id int PRIMARY KEY);
         GRANT SELECT ON public.others TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.notes, public.others",
    );
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    let mut bob = changes.subscribed("bob", &json!([{"schema": "public", "table": "notes"}])).await;
    let mut cas = changes.subscribed("cas", &json!([{"schema": "public", "table": "others"}])).await;
    changes
        .postgres()
        .sql("ALTER PUBLICATION supabase_realtime DROP TABLE public.todos; DROP TABLE public.notes");
    for client in [&mut ann, &mut bob] {
        eventually_within(Duration::from_secs(15), "the client is notified", async || {
            let refusal = "Please check Realtime is enabled";
            client.received().await.iter().any(|frame| frame.to_string().contains(refusal))
        })
        .await;
    }
    changes.postgres().sql("INSERT INTO public.others VALUES (1)");
    assert_eq!(record(&mut cas).await["id"], 1);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn who_subscribes_while_there_is_no_publication_waits_for_it() {
    let changes = Changes::start().await;
    let mut ann = Subscriber::subscribed(&changes, "ann").await;
    changes.postgres().sql("DROP PUBLICATION supabase_realtime");
    let mut late = Subscriber::joined(&changes, "late").await;
    let missing =
        "Changes of the database are not available: the publication `supabase_realtime` does not exist";
    late.until(&Receipt::Notice(missing.to_owned())).await;
    changes.postgres().sql("CREATE PUBLICATION supabase_realtime FOR TABLE public.todos");
    late.until(&Receipt::Subscribed).await;
    late.until_written(changes.postgres(), 1).await;
    ann.until(&Receipt::Row(1)).await;
    changes.rooms.world.stop().await;
}

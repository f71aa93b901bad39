//! Tables that appear, and whose definition changes, while clients have subscribed to them.

use harness::Postgres;
use serde_json::json;

use super::{Changes, TABLES, change, expect_subscribed, join, record, system, table};

#[tokio::test]
async fn a_subscription_to_all_tables_sees_a_new_one_at_once() {
    let changes = Changes::start().await;
    let mut ann = changes.subscribed("ann", &json!([{"schema": "public", "table": "*"}])).await;
    changes.postgres().sql(
        "CREATE TABLE public.later (id int PRIMARY KEY); GRANT SELECT ON public.later TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.later; INSERT INTO public.later VALUES (7)",
    );
    expect_subscribed(&mut ann).await;
    let (_, data) = change(&mut ann).await;
    assert_eq!((&data["table"], &data["record"]), (&json!("later"), &json!({"id": 7})));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn columns_are_added_and_dropped_and_renamed() {
    let changes = Changes::start().await;
    let binding = json!([{"event": "INSERT", "schema": "public", "table": "todos", "filter": "title=eq.x"}]);
    let mut ann = changes.subscribed("ann", &binding).await;
    let insert = "INSERT INTO public.todos (id, title) VALUES";
    changes.postgres().sql(&format!(
        "ALTER TABLE public.todos ADD COLUMN note text DEFAULT 'n'; {insert} (1, 'y'), (2, 'x')"
    ));
    expect_subscribed(&mut ann).await;
    assert_eq!(
        record(&mut ann).await,
        json!({"id": 2, "title": "x", "user_id": null, "done": false, "note": "n"})
    );
    changes.postgres().sql(&format!("ALTER TABLE public.todos DROP COLUMN user_id; {insert} (3, 'x')"));
    expect_subscribed(&mut ann).await;
    assert_eq!(record(&mut ann).await, json!({"id": 3, "title": "x", "done": false, "note": "n"}));
    changes
        .postgres()
        .sql(&format!("ALTER TABLE public.todos RENAME COLUMN note TO remark; {insert} (4, 'x')"));
    expect_subscribed(&mut ann).await;
    assert_eq!(record(&mut ann).await, json!({"id": 4, "title": "x", "done": false, "remark": "n"}));
    changes.rooms.world.stop().await;
}

// In a cluster of its own: a new slot waits for the transactions of other tests.
#[tokio::test]
async fn a_client_that_subscribes_right_after_the_first_table_was_published_does_not_wait() {
    let changes = Changes::with(Postgres::alone(&[])).await;
    changes.postgres().sql("ALTER PUBLICATION supabase_realtime DROP TABLE public.todos");
    let bindings = table("todos");
    let mut early = changes.client("ann").await;
    join(&mut early, &bindings).await;
    let reason =
        "Changes of the database are not available: the publication `supabase_realtime` has no table";
    assert_eq!(system(&mut early).await, ("ok".to_owned(), reason.to_owned()));
    changes.postgres().sql("ALTER PUBLICATION supabase_realtime ADD TABLE public.todos");
    let mut ann = changes.client("ann").await;
    join(&mut ann, &bindings).await;
    expect_subscribed(&mut ann).await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn rows_are_read_by_the_definition_that_precedes_them() {
    let changes = Changes::start().await;
    changes.postgres().sql(
        "CREATE TABLE public.notes (id int PRIMARY KEY, first text, secret text, body text);
         GRANT SELECT (id, first, body) ON public.notes TO authenticated;
         ALTER PUBLICATION supabase_realtime ADD TABLE public.notes",
    );
    let mut ann = changes.subscribed("ann", &json!([{"schema": "public", "table": "notes"}])).await;
    changes.postgres().sql(
        "BEGIN; INSERT INTO public.notes VALUES (1, 'f', 'hidden', 'b'); ALTER TABLE public.notes DROP COLUMN first;
         INSERT INTO public.notes VALUES (2, 'hidden', 'b'); ALTER TABLE public.notes DROP COLUMN secret;
         INSERT INTO public.notes VALUES (3, 'b'); COMMIT",
    );
    let mut found = Vec::new();
    while found.len() < 3 {
        let message = super::next(&mut ann).await;
        let record = &message["payload"]["data"]["record"];
        assert!(!message.to_string().contains("hidden"), "{message}");
        if message["event"] == "postgres_changes" {
            found.push((record["id"].clone(), record["body"].clone()));
        }
    }
    assert_eq!(found, [1, 2, 3].map(|id| (json!(id), json!("b"))));
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_table_that_is_dropped_and_made_again_is_the_one_that_was_named() {
    let changes = Changes::start().await;
    let mut ann = changes.subscribed("ann", &table("todos")).await;
    changes.postgres().sql("DROP TABLE public.todos");
    changes.postgres().sql(TABLES);
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'one', 'ann')");
    expect_subscribed(&mut ann).await;
    assert_eq!(record(&mut ann).await["id"], 1);
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_filter_on_a_column_that_was_revoked_finds_nothing() {
    let changes = Changes::start().await;
    let by_title = json!([{"schema": "public", "table": "todos", "filter": "title=eq.x"}]);
    let mut ann = changes.subscribed("ann", &by_title).await;
    let mut bob = changes.subscribed("bob", &table("todos")).await;
    changes.postgres().sql(
        "REVOKE SELECT ON public.todos FROM authenticated; GRANT SELECT (id, done) ON public.todos TO authenticated",
    );
    // What roles may read is known for a second.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    changes.postgres().sql("INSERT INTO public.todos VALUES (1, 'x', 'ann')");
    assert_eq!(record(&mut bob).await, json!({"id": 1, "done": false}));
    ann.expect_quiet().await;
    changes.rooms.world.stop().await;
}

#[tokio::test]
async fn a_subscription_that_a_dropped_column_has_ended_continues_when_the_column_is_back() {
    let changes = Changes::start().await;
    let all = json!([{"event": "INSERT", "schema": "public", "table": "todos"}]);
    let filtered = json!([{"event": "INSERT", "schema": "public", "table": "todos", "filter": "title=eq.x"}]);
    let mut ann = changes.subscribed("ann", &all).await;
    let mut bob = changes.subscribed("bob", &filtered).await;
    changes.postgres().sql("ALTER TABLE public.todos DROP COLUMN title; INSERT INTO public.todos VALUES (1)");
    expect_subscribed(&mut ann).await;
    assert_eq!(record(&mut ann).await["id"], 1);
    assert_eq!(system(&mut bob).await.0, "error");
    changes.postgres().sql(
        "ALTER TABLE public.todos ADD COLUMN title text; INSERT INTO public.todos (id, title) VALUES (2, 'x')",
    );
    expect_subscribed(&mut bob).await;
    assert_eq!(record(&mut bob).await["id"], 2);
    changes.rooms.world.stop().await;
}
